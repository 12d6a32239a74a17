/* core_world.c - see core_world.h. */
#include "core_world.h"
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

static void feed_one(struct core_world *w, struct mf_broker_event *event)
{
    struct mf_broker_action action;

    event->wall_ms = 1700000000000 + w->now;
    mf_broker_feed(w->b, w->now, event);
    while (mf_broker_poll(w->b, &action)) {
        if (action.kind == MF_BROKER_APPEND)
            w->seq = action.row.seq;
        else if (action.kind == MF_BROKER_SEND && action.message->kind == MF_MSG_WELCOME)
            w->epochs[action.peer - 1] = action.message->welcome.epoch;
        else if (action.kind == MF_BROKER_SEND && action.message->kind == MF_MSG_ORDER_CREATE)
            w->answers[w->n_answers++ % CORE_ORDERS] =
                (struct core_answer){.peer = action.peer,
                                     .epoch = action.message->order_create.epoch,
                                     .order_id = action.message->order_create.order_id,
                                     .id = action.message->order_create.id};
    }
}

void core_feed(struct core_world *w, struct mf_broker_event event)
{
    w->now++;
    feed_one(w, &event);
    while (mf_broker_committed(w->b) < w->seq)
        feed_one(w, &(struct mf_broker_event){.kind = MF_BROKER_COMMITTED, .seq = w->seq});
}

void core_say(struct core_world *w, uint64_t peer, enum mf_role role, const char *name, struct mf_message m)
{
    core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_MESSAGE,
                                          .peer = {.handle = peer, .role = role, .name = mf_str(name)},
                                          .message = &m,
                                          .body_digest = mf_digest_make(&peer, sizeof(peer))});
}

struct core_world *core_world_new(const struct mf_broker_config *config)
{
    struct core_world *w = calloc(1, sizeof(*w));

    w->b = mf_broker_new(config);
    w->answers = calloc(CORE_ORDERS, sizeof(*w->answers));
    core_feed(w, (struct mf_broker_event){.kind = MF_BROKER_START});
    return w;
}

void core_world_free(struct core_world **self)
{
    mf_broker_destroy(&(*self)->b);
    free((*self)->answers);
    free(*self);
    *self = NULL;
}

void core_client(struct core_world *w, struct mf_message m)
{
    core_say(w, UINT64_MAX, MF_ROLE_OPERATOR, "ann", m);
}

const char *core_node(uint64_t peer, char text[32])
{
    snprintf(text, 32, "node-%llu", (unsigned long long)peer);
    return text;
}

void core_join(struct core_world *w, uint64_t peer, struct mf_rec_resources capacity, const char *rack)
{
    char name[32], machine[64];
    struct mf_label labels[] = {{mf_str("rack"), mf_str(rack)}, {mf_str("zone"), mf_str("z1")}};

    snprintf(machine, sizeof(machine), "%032llx", (unsigned long long)peer);
    core_say(w, peer, MF_ROLE_WORKER, core_node(peer, name),
             (struct mf_message){.kind = MF_MSG_HELLO,
                                 .hello = {.machine_id = mf_str(machine),
                                           .boot_id = mf_str("0f7a4d9a-6a0e-4c53-9a53-1f1f2a0f3c11"),
                                           .started_ms = 1,
                                           .capacity = capacity,
                                           .class = mf_str("standard"),
                                           .labels = {labels, 2},
                                           .driver = mf_str("libvirt/qemu"),
                                           .fences = true}});
}

void core_answer_all(struct core_world *w)
{
    for (size_t i = 0; i < w->n_answers; i++) {
        struct core_answer *a = &w->answers[i % CORE_ORDERS];
        char name[32];
        if (w->n_answers - i > CORE_ORDERS)
            bench_die("more than %d orders are out at once", CORE_ORDERS);
        core_say(w, a->peer, MF_ROLE_WORKER, core_node(a->peer, name),
                 (struct mf_message){.kind = MF_MSG_ORDER_RESULT,
                                     .order_result = {.report_id = ++w->next_report,
                                                      .order_id = a->order_id,
                                                      .epoch = a->epoch,
                                                      .id = a->id,
                                                      .operation = MF_OPERATION_CREATE,
                                                      .code = mf_str("ok")}});
    }
    w->n_answers = 0;
}

void core_name_things(struct core_world *w)
{
    core_client(w, (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                                       .image_add = {.request_id = mf_str("i"),
                                                     .image = {.name = mf_str("tiny"),
                                                               .kernel = mf_str("tiny/vmlinuz"),
                                                               .kernel_sha256 = {{1}},
                                                               .initrd = mf_str("tiny/initrd"),
                                                               .initrd_sha256 = {{2}}}}});
    core_client(
        w, (struct mf_message){
               .kind = MF_MSG_OFFERING_ADD,
               .offering_add = {
                   .request_id = mf_str("o"),
                   .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 1024, .disk_mib = 4096}}});
}
