/* Random orders, deaths, lists, links and delays against a little model of a hypervisor, from printed seeds:
 * whatever comes, the invariants hold after each step, and once the storm is over the core knows exactly what
 * the hypervisor has. */
#include "worker_trace.h"
#include "check.h"
#include <string.h>

enum { GUESTS = 12, STEPS = 4000, SEEDS = 30 };

struct world {
    struct mf_random random;
    struct mf_worker *worker;
    mf_ms now;
    bool runs[GUESTS], job[GUESTS], create[GUESTS];
    uint64_t listing; /* ticket, 0 none */
    struct mf_worker_guest seen[GUESTS];
    size_t n_seen;
    uint64_t epoch, order, reports;
    bool welcome_due;
    int creates, destroys; /* under way */
};

static void feed(struct world *w, struct mf_worker_event event);

static void take(struct world *w, const struct mf_worker_action *action)
{
    unsigned id = action->id.bytes[15];
    switch (action->kind) {
    case MF_WORKER_CREATE:
    case MF_WORKER_DESTROY:
        assert_false(w->job[id]); /* never two jobs on one guest */
        w->job[id] = true;
        w->create[id] = action->kind == MF_WORKER_CREATE;
        *(w->create[id] ? &w->creates : &w->destroys) += 1;
        assert_true(w->creates <= 2 && w->destroys <= 2);
        break;
    case MF_WORKER_LIST:
        assert_true(w->listing == 0);
        w->listing = action->list_ticket;
        w->n_seen = 0; /* what it will say is what is true now */
        for (unsigned i = 1; i < GUESTS; i++)
            if (w->runs[i]) {
                w->seen[w->n_seen] = (struct mf_worker_guest){.id = trace_id(i), .running = true};
                mf_str_format(w->seen[w->n_seen++].name, 200, "default/web/%u#1", i);
            }
        break;
    case MF_WORKER_SEND:
        w->welcome_due = w->welcome_due || action->message->kind == MF_MSG_HELLO;
        break;
    default:
        break;
    }
}

static void feed(struct world *w, struct mf_worker_event event)
{
    struct mf_worker_action action;
    mf_worker_feed(w->worker, w->now, &event);
    mf_worker_check(w->worker);
    while (mf_worker_poll(w->worker, &action))
        take(w, &action);
}

static void say(struct world *w, const struct mf_message *message)
{
    feed(w, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = message});
}

static void order(struct world *w, bool create, unsigned id, uint64_t remaining_ms)
{
    struct mf_message m = {.kind = create ? MF_MSG_ORDER_CREATE : MF_MSG_ORDER_DESTROY};
    uint64_t order_id = ++w->order;
    if (create)
        m.order_create = (struct mf_msg_order_create){.order_id = order_id,
                                                      .epoch = w->epoch,
                                                      .term = 1,
                                                      .remaining_ms = remaining_ms,
                                                      .id = trace_id(id),
                                                      .tenant = mf_str("default"),
                                                      .group = mf_str("web"),
                                                      .slot = id,
                                                      .generation = 1};
    else
        m.order_destroy = (struct mf_msg_order_destroy){.order_id = order_id,
                                                        .epoch = w->epoch,
                                                        .term = 1,
                                                        .remaining_ms = remaining_ms,
                                                        .id = trace_id(id)};
    say(w, &m);
}

static void end_job(struct world *w, unsigned id, bool ok)
{
    if (!w->job[id])
        return;
    bool create = w->create[id];
    if (ok)
        w->runs[id] = create;
    w->job[id] = false;
    *(create ? &w->creates : &w->destroys) -= 1;
    feed(w, (struct mf_worker_event){.kind = MF_WORKER_JOB_DONE,
                                     .id = trace_id(id),
                                     .code = ok ? MF_E_OK : MF_E_DRIVER,
                                     .operation = create ? MF_OPERATION_CREATE : MF_OPERATION_DESTROY});
}

static void end_list(struct world *w)
{
    uint64_t ticket = w->listing;
    w->listing = 0;
    if (ticket)
        feed(w,
             (struct mf_worker_event){
                 .kind = MF_WORKER_LISTED, .list_ticket = ticket, .guests = w->seen, .n_guests = w->n_seen});
}

static void welcome(struct world *w)
{
    if (!w->welcome_due)
        return;
    w->welcome_due = false;
    struct mf_message m = {.kind = MF_MSG_WELCOME,
                           .welcome = {.epoch = ++w->epoch,
                                       .term = 1,
                                       .pulse_key = mf_str("0123456789abcdef0123456789abcdef"),
                                       .pulse_ms = 200,
                                       .alive_ms = 1000}};
    say(w, &m);
}

static void step(struct world *w)
{
    unsigned id = 1 + (unsigned)mf_random_below(&w->random, GUESTS - 1);
    w->now += (mf_ms)mf_random_below(&w->random, 60);
    switch (mf_random_below(&w->random, 12)) {
    case 0:
    case 1:
        order(w, true, id, 1 + mf_random_below(&w->random, 2000));
        break;
    case 2:
        order(w, false, id, 1 + mf_random_below(&w->random, 2000));
        break;
    case 3:
    case 4:
    case 5:
        end_job(w, id, mf_random_below(&w->random, 4) > 0);
        break;
    case 6:
        if (w->runs[id] && !w->job[id]) {
            w->runs[id] = false;
            if (mf_random_below(&w->random, 2))
                feed(w, (struct mf_worker_event){
                            .kind = MF_WORKER_DIED, .id = trace_id(id), .how = MF_DEATH_EXITED});
        }
        break;
    case 7:
    case 8:
        end_list(w);
        break;
    case 9:
        welcome(w);
        break;
    case 10:
        if (mf_random_below(&w->random, 6) == 0)
            feed(w, (struct mf_worker_event){.kind = mf_random_below(&w->random, 2) ? MF_WORKER_LINK_DOWN
                                                                                    : MF_WORKER_LINK_UP});
        else
            say(w, &(struct mf_message){
                       .kind = MF_MSG_REPORT_ACK,
                       .report_ack = {.report_id = 1 + mf_random_below(&w->random, 500), .epoch = w->epoch}});
        break;
    default:
        if (mf_random_below(&w->random, 10) == 0)
            say(w, &(struct mf_message){.kind = MF_MSG_HELLO_AGAIN});
        feed(w, (struct mf_worker_event){.kind = MF_WORKER_TICK});
        break;
    }
}

/* The faults stop: all jobs succeed, the link is up, lists come in. Then the books must be right. */
static void heal(struct world *w)
{
    feed(w, (struct mf_worker_event){.kind = MF_WORKER_LINK_UP});
    for (int turn = 0; turn < 200; turn++) {
        for (unsigned id = 1; id < GUESTS; id++)
            end_job(w, id, true);
        end_list(w);
        welcome(w);
        say(w, &(struct mf_message){.kind = MF_MSG_ALIVE_ACK, .alive_ack = {.epoch = w->epoch, .term = 1}});
        w->now += 500;
        feed(w, (struct mf_worker_event){.kind = MF_WORKER_TICK});
    }
    assert_true(mf_worker_welcomed(w->worker));
    size_t running = 0;
    for (unsigned id = 1; id < GUESTS; id++)
        running += w->runs[id];
    assert_int_equal(mf_worker_guests(w->worker), running);
    assert_int_equal(w->creates + w->destroys, 0);
}

static void storms(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w = {.now = 1000};
        struct mf_worker_config config;
        mf_random_seed(&w.random, seed);
        mf_worker_config_default(&config);
        config.create_lanes = config.destroy_lanes = 2;
        w.worker = mf_worker_new(&config);
        print_message("seed %llu\n", (unsigned long long)seed);
        feed(&w, (struct mf_worker_event){.kind = MF_WORKER_LINK_UP});
        for (int i = 0; i < STEPS; i++)
            step(&w);
        heal(&w);
        mf_worker_destroy(&w.worker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(storms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
