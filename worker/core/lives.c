/* lives.c - the machine of guest.def: one function per act of the table, and the two lanes that begin what
 * waits. An act runs after the guest has moved. Orders held by a guest are answered exactly once; a result
 * for an order of an epoch that is over is not made. */
#include "image_files.h"
#include "state.h"
#include <string.h>

typedef void guest_act(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause);

static void answer_create(struct mf_worker *self, struct mf_guest *guest, enum mf_errcode code,
                          struct mf_str text)
{
    mf_reports_result(self, guest, &guest->create, MF_OPERATION_CREATE, code, text, (struct mf_str){0});
}

static void answer_destroy(struct mf_worker *self, struct mf_guest *guest, enum mf_errcode code,
                           struct mf_str text, struct mf_str console)
{
    mf_reports_result(self, guest, &guest->destroy, MF_OPERATION_DESTROY, code, text, console);
}

static struct mf_held held(const struct mf_worker *self, uint64_t order_id, uint64_t remaining_ms)
{
    return (struct mf_held){order_id, self->now, self->now + (mf_ms)remaining_ms};
}

static struct mf_msg_order_create *order_dup(struct mf_arena *arena, const struct mf_msg_order_create *order)
{
    struct mf_msg_order_create *copy = mf_arena_alloc(arena, sizeof *copy);
    *copy = *order;
    copy->tenant = mf_str_dup(arena, order->tenant);
    copy->group = mf_str_dup(arena, order->group);
    copy->offering.name = mf_str_dup(arena, order->offering.name);
    copy->offering.class = mf_str_dup(arena, order->offering.class);
    mf_image_dup(arena, &order->image, &copy->image);
    copy->labels = mf_labels_dup(arena, order->labels);
    copy->network = mf_str_dup(arena, order->network);
    copy->health.checks.n = 0; /* the monitors' affair */
    copy->health.checks.items = NULL;
    copy->user_data.bytes = (struct mf_str){0}; /* the edge has the bytes */
    return copy;
}

/* -- leases and images: wanted with the order, let go when its create is dropped or over */

static void want_lease(struct mf_worker *self, struct mf_guest *guest)
{
    guest->cleared = guest->order->policy != MF_POLICY_AT_MOST;
    guest->wants_lease = !guest->cleared;
    if (guest->wants_lease)
        mf_outbox_lease(self, MF_WORKER_LEASE_WANT, guest->id);
}

static void end_lease(struct mf_worker *self, struct mf_guest *guest)
{
    if (guest->wants_lease)
        mf_outbox_lease(self, MF_WORKER_LEASE_OVER, guest->id);
    guest->wants_lease = false;
}

static void let_go(struct mf_worker *self, struct mf_guest *guest)
{
    end_lease(self, guest);
    mf_needs_release(self, guest);
}

static void act_none(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
}

/* -- orders held, attached, refused */

static void act_attach_create(struct mf_worker *self, struct mf_guest *guest,
                              const struct mf_guest_cause *cause)
{
    guest->create = held(self, cause->create->order_id, cause->create->remaining_ms);
}

static void act_hold_create(struct mf_worker *self, struct mf_guest *guest,
                            const struct mf_guest_cause *cause)
{
    const struct mf_msg_order_create *order = cause->create;
    act_attach_create(self, guest, cause);
    mf_arena_reset(&guest->arena);
    guest->order = order_dup(&guest->arena, order);
    guest->dead = guest->hinted = false;
    mf_wellbeing_forget(guest);
    want_lease(self, guest);
    mf_needs_hold(self, guest);
    mf_str_format(guest->name, sizeof guest->name, "%.*s/%.*s/%llu#%llu", (int)order->tenant.len,
                  order->tenant.ptr, (int)order->group.len, order->group.ptr, (unsigned long long)order->slot,
                  (unsigned long long)order->generation);
}

static void act_attach_destroy(struct mf_worker *self, struct mf_guest *guest,
                               const struct mf_guest_cause *cause)
{
    guest->destroy = held(self, cause->destroy->order_id, cause->destroy->remaining_ms);
    guest->evidence = cause->destroy->evidence;
    guest->not_before = self->now; /* a clean-up that waits to be tried again need not wait any longer */
}

static void act_hold_destroy(struct mf_worker *self, struct mf_guest *guest,
                             const struct mf_guest_cause *cause)
{
    act_attach_destroy(self, guest, cause);
    guest->grace_ms = (mf_ms)cause->destroy->grace_ms;
}

static void act_refuse_create(struct mf_worker *self, struct mf_guest *guest,
                              const struct mf_guest_cause *cause)
{
    struct mf_held order = held(self, cause->create->order_id, cause->create->remaining_ms);
    mf_reports_result(self, guest, &order, MF_OPERATION_CREATE, MF_E_STALE,
                      mf_str("this instance exists here and is stopped, being destroyed, or not ours; a life "
                             "does not come back"),
                      (struct mf_str){0});
}

static void act_already(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    act_attach_create(self, guest, cause);
    answer_create(self, guest, MF_E_OK, mf_str(""));
}

static void act_cancel_create(struct mf_worker *self, struct mf_guest *guest,
                              const struct mf_guest_cause *cause)
{
    let_go(self, guest);
    answer_create(self, guest, MF_E_DEADLINE, mf_str("destroyed before it began"));
    act_hold_destroy(self, guest, cause);
}

static void act_forget_create(struct mf_worker *self, struct mf_guest *guest,
                              const struct mf_guest_cause *cause)
{
    let_go(self, guest);
    guest->create = (struct mf_held){0};
}

static void act_detach(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    guest->create.order_id = guest->destroy.order_id = 0;
}

static void act_create_expired(struct mf_worker *self, struct mf_guest *guest,
                               const struct mf_guest_cause *cause)
{
    char text[MF_WORKER_TEXT_MAX];
    struct mf_str why = mf_str("its time ran out while it waited for a lane; it was not begun");
    if (!mf_needs_met(guest))
        why = mf_needs_why_not(guest, text);
    else if (!guest->cleared)
        why = mf_str("its time ran out while it waited for a lease; it was not begun");
    let_go(self, guest);
    answer_create(self, guest, MF_E_DEADLINE, why);
}

static void act_destroy_expired(struct mf_worker *self, struct mf_guest *guest,
                                const struct mf_guest_cause *cause)
{
    answer_destroy(self, guest, MF_E_DEADLINE, mf_str("not gone yet; the destroy goes on"),
                   (struct mf_str){0});
}

/* -- creates */

static void act_begin_create(struct mf_worker *self, struct mf_guest *guest,
                             const struct mf_guest_cause *cause)
{
    struct mf_worker_action *action = mf_outbox_add(self, MF_WORKER_CREATE);
    action->id = guest->id;
    action->order = guest->order;
}

static void act_created(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    answer_create(self, guest, MF_E_OK, mf_str(""));
    mf_wellbeing_runs(self, guest);
    if (guest->hinted)
        self->list_wanted = true;
    guest->hinted = false;
}

static void act_create_failed(struct mf_worker *self, struct mf_guest *guest,
                              const struct mf_guest_cause *cause)
{
    let_go(self, guest);
    if (guest->create.order_id)
        answer_create(self, guest, cause->code, cause->text);
    else /* the hello told it as creating: its end must be told too */
        mf_reports_death(self, guest->id, MF_DEATH_ABSENT, cause->text, (struct mf_str){0});
}

static void act_look(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    guest->hinted = true;
}

static void act_undo(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    guest->grace_ms = 0; /* the create's order stays held: it is answered when the undoing is done */
    guest->not_before = self->now;
}

static void act_doomed(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    answer_create(self, guest, MF_E_DEADLINE, mf_str("destroyed while it was being born"));
}

/* -- ends */

static void clean_up(struct mf_worker *self, struct mf_guest *guest)
{
    guest->dead = true;
    mf_wellbeing_forget(guest);
    guest->grace_ms = 0;
    guest->not_before = self->now;
}

static void act_death(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    mf_reports_death(self, guest->id, cause->how, cause->text, cause->console);
    clean_up(self, guest);
}

static void act_found_off(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    /* No proof: a paused one is listed so too, and its process stands. */
    mf_reports_death(self, guest->id, MF_DEATH_ABSENT, mf_str("the hypervisor lists it as not running"),
                     cause->console);
    clean_up(self, guest);
}

static void act_found_absent(struct mf_worker *self, struct mf_guest *guest,
                             const struct mf_guest_cause *cause)
{
    mf_reports_death(self, guest->id, MF_DEATH_ABSENT, mf_str("the hypervisor does not list it any more"),
                     cause->console);
    clean_up(self, guest);
}

static void act_begin_destroy(struct mf_worker *self, struct mf_guest *guest,
                              const struct mf_guest_cause *cause)
{
    struct mf_worker_action *action = mf_outbox_add(self, MF_WORKER_DESTROY);
    action->id = guest->id;
    action->grace_ms = guest->grace_ms;
    action->evidence = guest->evidence;
}

static void act_destroyed(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    answer_create(self, guest, MF_E_DEADLINE, mf_str("born after its time was over; undone"));
    answer_destroy(self, guest, MF_E_OK, mf_str(""), cause->console);
    guest->dead = false;
}

static void act_destroy_failed(struct mf_worker *self, struct mf_guest *guest,
                               const struct mf_guest_cause *cause)
{
    answer_create(self, guest, MF_E_DEADLINE, mf_str("born after its time was over; undoing it failed"));
    answer_destroy(self, guest, cause->code, cause->text, (struct mf_str){0});
    guest->dead = false;
    self->list_wanted = true;
}

static void act_retry(struct mf_worker *self, struct mf_guest *guest, const struct mf_guest_cause *cause)
{
    guest->not_before = self->now + 5 * self->config.retry_ms;
}

/* -- the table */

struct cell {
    enum mf_guest_life next;
    guest_act *act; /* NULL: refused */
};
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, to, function, why)                                                             \
    [MF_GUEST_##state][MF_GUEST_ON_##event] = {MF_GUEST_##to, function},
#define MF_REFUSE(state, event, why) [MF_GUEST_##state][MF_GUEST_ON_##event] = {MF_GUEST_##state, NULL},
static const struct cell table[MF_GUEST_COUNT][MF_GUEST_ON_COUNT] = {
#include "guest.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

void mf_guest_feed(struct mf_worker *self, struct mf_guest *guest, enum mf_guest_event event,
                   const struct mf_guest_cause *cause)
{
    const struct cell *cell = &table[guest->life][event];
    mf_move_taken("guest", guest->life, event);
    if (!cell->act)
        return;
    mf_guests_move(self, guest, cell->next);
    cell->act(self, guest, cause);
}

/* -- what drives it besides orders and lists */

void mf_lives_job_done(struct mf_worker *self, const struct mf_worker_event *event)
{
    struct mf_guest *guest = mf_guests_find(self, event->id);
    bool create = event->operation == MF_OPERATION_CREATE;
    if (!guest || (create ? guest->life != MF_GUEST_CREATING && guest->life != MF_GUEST_DOOMED
                          : guest->life != MF_GUEST_DESTROYING))
        return;
    enum mf_guest_event what = MF_GUEST_ON_DONE;
    if (event->code != MF_E_OK)
        what = create || guest->destroy.order_id ? MF_GUEST_ON_FAILED : MF_GUEST_ON_RETRY;
    else if (create && self->now >= guest->create.deadline && guest->create.order_id)
        what = MF_GUEST_ON_LATE;
    if (create)
        let_go(self, guest);
    mf_guest_feed(
        self, guest, what,
        &(struct mf_guest_cause){.code = event->code, .text = event->text, .console = event->console});
}

void mf_lives_lease_ready(struct mf_worker *self, struct mf_uuid id)
{
    struct mf_guest *guest = mf_guests_find(self, id);
    if (guest && guest->wants_lease)
        guest->cleared = true;
}

static void feed_all(struct mf_worker *self, enum mf_guest_life life, enum mf_guest_event event)
{
    for (struct mf_guest *guest = TAILQ_FIRST(&self->lives[life]), *next; guest; guest = next) {
        next = TAILQ_NEXT(guest, link);
        mf_guest_feed(self, guest, event, &(struct mf_guest_cause){0});
    }
}

void mf_lives_epoch(struct mf_worker *self)
{
    for (unsigned life = 0; life < MF_GUEST_COUNT; life++)
        feed_all(self, life, MF_GUEST_ON_EPOCH);
}

void mf_lives_timers(struct mf_worker *self)
{
    static const enum mf_guest_life timed[] = {MF_GUEST_QUEUED, MF_GUEST_DOOMED, MF_GUEST_ENDING,
                                               MF_GUEST_DESTROYING};
    for (unsigned i = 0; i < 4; i++)
        for (struct mf_guest *guest = TAILQ_FIRST(&self->lives[timed[i]]), *next; guest; guest = next) {
            next = TAILQ_NEXT(guest, link);
            const struct mf_held *order = timed[i] == MF_GUEST_QUEUED ? &guest->create : &guest->destroy;
            if (order->order_id && self->now >= order->deadline)
                mf_guest_feed(self, guest, MF_GUEST_ON_EXPIRED, &(struct mf_guest_cause){0});
        }
}

/* Of those that may begin, the neediest; of equals, the one that came first. */
static struct mf_guest *next_create(const struct mf_worker *self)
{
    struct mf_guest *guest, *best = NULL;
    TAILQ_FOREACH(guest, &self->lives[MF_GUEST_QUEUED], link)
    if (guest->cleared && mf_needs_met(guest) && (!best || guest->order->need > best->order->need))
        best = guest;
    return best;
}

void mf_lives_pump(struct mf_worker *self)
{
    const struct mf_guest_cause nothing = {0};
    struct mf_guest *next;
    while (self->n_lives[MF_GUEST_CREATING] + self->n_lives[MF_GUEST_DOOMED] < self->config.create_lanes &&
           (next = next_create(self)))
        mf_guest_feed(self, next, MF_GUEST_ON_BEGIN, &nothing);
    for (struct mf_guest *guest = TAILQ_FIRST(&self->lives[MF_GUEST_ENDING]); guest; guest = next) {
        next = TAILQ_NEXT(guest, link);
        if (self->n_lives[MF_GUEST_DESTROYING] >= self->config.destroy_lanes)
            return;
        if (guest->not_before <= self->now)
            mf_guest_feed(self, guest, MF_GUEST_ON_BEGIN, &nothing);
    }
}
