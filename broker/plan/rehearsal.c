/* rehearsal.c - an edge without sockets, disks and delays. What the core appends is durable at once, what it
 * orders is done at once; only time, which some things wait for, passes as it does. */
#include "rehearsal.h"
#include "check.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATOR = 1, MONITOR = 2, WORKERS = 16, QUIET_MS = 5000, LONGEST_MS = 3600000 };

struct answer {
    uint64_t peer, epoch, order_id;
    struct mf_uuid id;
    enum mf_operation operation;
};

static void *grow(void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    *cap = *cap * 2 + 64;
    items = realloc(items, *cap * size);
    MF_CHECK(items);
    return items;
}

void mf_rehearsal_init(struct mf_rehearsal *self, const struct mf_broker_config *config)
{
    struct mf_broker_config c = *config;

    c.monitor_ms = INT32_MAX; /* the one that is heard says nothing but what it has to */
    c.breaker_nodes = 0; /* what is asked is what would be done, not whether an operator would be asked */
    c.snapshot_rows = 0;
    *self = (struct mf_rehearsal){.b = mf_broker_new(&c), .left = mf_map_new(), .names = mf_map_new()};
}

void mf_rehearsal_free(struct mf_rehearsal *self)
{
    mf_broker_destroy(&self->b);
    mf_map_destroy(&self->left);
    mf_map_destroy(&self->names);
    mf_arena_free(&self->reply_arena);
    mf_arena_free(&self->arena);
    mf_arena_free(&self->words);
    free(self->players);
    free(self->answers);
    free(self->moves);
}

const char *mf_rehearsal_name(struct mf_rehearsal *self, struct mf_str name)
{
    const char *known = mf_map_get_str(self->names, name);

    if (known)
        return known;
    known = mf_str_dup(&self->arena, name).ptr;
    mf_map_put_str(self->names, name, (void *)known);
    return known;
}

/* ------------------------------------------------------------------ what is noted */

static void note_placed(struct mf_rehearsal *self, struct mf_uuid id)
{
    const struct mf_instance *inst = mf_instance_find(self->b, id);

    if (!inst || !inst->node)
        return;
    self->moves = grow(self->moves, self->n_moves, &self->cap_moves, sizeof(*self->moves));
    self->moves[self->n_moves++] = (struct mf_move){.step = self->step,
                                                    .at = self->now - self->step_at,
                                                    .group = mf_rehearsal_name(self, mf_group_of(inst)->name),
                                                    .node = mf_rehearsal_name(self, inst->node->name),
                                                    .from = mf_map_get_uuid(self->left, inst->replaces),
                                                    .slot = inst->slot->index,
                                                    .generation = inst->generation,
                                                    .born = inst->born};
    if (self->placed)
        self->placed(self->placed_arg, inst);
}

/* Where it was, for what will replace it. */
static void note_left(struct mf_rehearsal *self, struct mf_uuid id)
{
    const struct mf_instance *inst = mf_instance_find(self->b, id);

    if (inst && inst->node && !mf_map_get_uuid(self->left, id))
        mf_map_put_uuid(self->left, id, (void *)mf_rehearsal_name(self, inst->node->name));
}

static void note(struct mf_rehearsal *self, const struct mf_broker_row *row)
{
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_event event;

    if (row->kind != MF_EV_INSTANCE_PLACED && row->kind != MF_EV_INSTANCE_LOST &&
        row->kind != MF_EV_INSTANCE_SUPERSEDED && row->kind != MF_EV_INSTANCE_DESTROYING)
        return;
    MF_CHECK(mf_event_decode(row->kind, row->data, &arena, &event, &error) == 0);
    if (row->kind == MF_EV_INSTANCE_PLACED)
        note_placed(self, event.instance_placed.id);
    else if (row->kind == MF_EV_INSTANCE_LOST)
        note_left(self, event.instance_lost.id);
    else if (row->kind == MF_EV_INSTANCE_SUPERSEDED)
        note_left(self, event.instance_superseded.id);
    else
        note_left(self, event.instance_destroying.id);
    mf_arena_free(&arena);
}

/* ------------------------------------------------------------------ the edge */

static void keep_answer(struct mf_rehearsal *self, uint64_t peer, const struct mf_message *m)
{
    bool create = m->kind == MF_MSG_ORDER_CREATE;

    self->answers = grow(self->answers, self->n_answers, &self->cap_answers, sizeof(*self->answers));
    self->answers[self->n_answers++] =
        (struct answer){.peer = peer,
                        .epoch = create ? m->order_create.epoch : m->order_destroy.epoch,
                        .order_id = create ? m->order_create.order_id : m->order_destroy.order_id,
                        .id = create ? m->order_create.id : m->order_destroy.id,
                        .operation = create ? MF_OPERATION_CREATE : MF_OPERATION_DESTROY};
}

/* What is handed out lives until the next feed: so it travels, as it would. */
static void keep_reply(struct mf_rehearsal *self, const struct mf_message *m)
{
    struct mf_buf head = {0}, body = {0};
    struct mf_decode_error error;

    mf_arena_reset(&self->reply_arena);
    mf_message_encode(m, &head, &body);
    struct mf_str bytes = mf_str_dup(&self->reply_arena, (struct mf_str){body.ptr, (uint32_t)body.len});
    MF_CHECK(mf_message_decode((struct mf_str){head.ptr, (uint32_t)head.len}, bytes, &self->reply_arena,
                               &self->reply, &error) == 0);
    mf_buf_free(&head);
    mf_buf_free(&body);
}

static void take_sent(struct mf_rehearsal *self, uint64_t peer, const struct mf_message *m)
{
    if (peer == OPERATOR)
        keep_reply(self, m);
    else if (peer < WORKERS)
        return;
    else if (m->kind == MF_MSG_WELCOME)
        self->players[peer - WORKERS].epoch = m->welcome.epoch;
    else if (m->kind == MF_MSG_ORDER_CREATE || m->kind == MF_MSG_ORDER_DESTROY)
        keep_answer(self, peer, m);
}

static void feed_one(struct mf_rehearsal *self, struct mf_broker_event event)
{
    struct mf_broker_action action;

    event.wall_ms = self->wall + self->now;
    mf_broker_feed(self->b, self->now, &event);
    while (mf_broker_poll(self->b, &action)) {
        if (action.kind == MF_BROKER_SEND)
            take_sent(self, action.peer, action.message);
        if (action.kind != MF_BROKER_APPEND)
            continue;
        self->handed = action.row.seq;
        self->last_at = self->now;
        if (self->step)
            note(self, &action.row);
    }
}

static void feed_durable(struct mf_rehearsal *self, struct mf_broker_event event)
{
    feed_one(self, event);
    while (mf_broker_committed(self->b) < self->handed)
        feed_one(self, (struct mf_broker_event){.kind = MF_BROKER_COMMITTED, .seq = self->handed});
}

static void say_as(struct mf_rehearsal *self, uint64_t handle, enum mf_role role, struct mf_str name,
                   const struct mf_message *m)
{
    struct mf_broker_event event = {
        .kind = MF_BROKER_MESSAGE, .peer = {.handle = handle, .role = role, .name = name}, .message = m};

    event.body_digest = mf_digest_make(&self->next_id, sizeof(self->next_id));
    feed_durable(self, event);
}

static void say_of_worker(struct mf_rehearsal *self, const struct answer *a)
{
    struct mf_str name = mf_str(self->players[a->peer - WORKERS].name);
    const struct mf_instance *inst;

    say_as(self, a->peer, MF_ROLE_WORKER, name,
           &(struct mf_message){.kind = MF_MSG_ORDER_RESULT,
                                .order_result = {.report_id = ++self->next_id,
                                                 .order_id = a->order_id,
                                                 .epoch = a->epoch,
                                                 .id = a->id,
                                                 .operation = a->operation,
                                                 .code = mf_str("ok")}});
    inst = a->operation == MF_OPERATION_CREATE ? mf_instance_find(self->b, a->id) : NULL;
    if (inst && mf_group_waits_ready(mf_group_of(inst)))
        say_as(self, a->peer, MF_ROLE_WORKER, name,
               &(struct mf_message){
                   .kind = MF_MSG_FACT_READY,
                   .fact_ready = {.report_id = ++self->next_id, .epoch = a->epoch, .id = a->id}});
}

static void answer_all(struct mf_rehearsal *self)
{
    for (size_t i = 0; i < self->n_answers; i++) { /* the list grows while we go */
        struct answer a = self->answers[i];
        say_of_worker(self, &a);
    }
    self->n_answers = 0;
}

static void feed(struct mf_rehearsal *self, struct mf_broker_event event)
{
    feed_durable(self, event);
    answer_all(self);
}

static void say(struct mf_rehearsal *self, uint64_t handle, enum mf_role role, struct mf_str name,
                const struct mf_message *m)
{
    say_as(self, handle, role, name, m);
    answer_all(self);
}

/* ------------------------------------------------------------------ time */

void mf_rehearsal_until(struct mf_rehearsal *self, mf_ms then)
{
    mf_ms deadline;

    while ((deadline = mf_broker_deadline(self->b)) < then) {
        self->now = deadline > self->now ? deadline : self->now;
        feed(self, (struct mf_broker_event){.kind = MF_BROKER_TICK});
        MF_CHECK(mf_broker_deadline(self->b) > self->now); /* or time would stand still */
    }
    self->now = then > self->now ? then : self->now;
    feed(self, (struct mf_broker_event){.kind = MF_BROKER_TICK});
}

/* Nothing waits for longer than a lease, but what waits for an operator, for room, or for a try every now and
 * then of what failed before the copy was made. */
void mf_rehearsal_settle(struct mf_rehearsal *self)
{
    mf_ms longest =
        self->b->lease_max > self->b->config.lease_ms ? self->b->lease_max : self->b->config.lease_ms;
    mf_ms quiet = longest + longest / 100 + QUIET_MS, end = self->now + quiet + LONGEST_MS;
    uint64_t seq;

    do {
        seq = self->handed;
        mf_rehearsal_until(self, self->now + quiet);
    } while (self->handed != seq && self->now < end);
}

void mf_rehearsal_skip_idle(struct mf_rehearsal *self)
{
    self->step_at += self->now - self->last_at;
    self->last_at = self->now;
}

/* ------------------------------------------------------------------ who speaks */

int mf_rehearsal_ask(struct mf_rehearsal *self, struct mf_message message, char error[512])
{
    char id[32];
    struct mf_str request_id =
        mf_str_format(id, sizeof(id), "plan-%llu", (unsigned long long)++self->next_id);

    memcpy(&message.provision.request_id, &request_id, sizeof(request_id)); /* the first field of each */
    self->reply = (struct mf_message){0};
    say(self, OPERATOR, MF_ROLE_OPERATOR, mf_str("plan"), &message);
    if (self->reply.kind != MF_MSG_ERROR)
        return 0;
    mf_str_format(error, 512, "%.*s", MF_STR_ARG(self->reply.error.text));
    return -EINVAL;
}

static uint64_t player_of(struct mf_rehearsal *self, struct mf_str name)
{
    const struct mf_node *node = mf_node_find(self->b, name);

    if (node && mf_node_up(node))
        return node->peer;
    self->players = grow(self->players, self->n_players, &self->cap_players, sizeof(*self->players));
    mf_str_format(self->players[self->n_players].name, MF_NAME_MAX + 1, "%.*s", MF_STR_ARG(name));
    return WORKERS + self->n_players++;
}

static void list_guests(struct mf_rehearsal *self, const struct mf_node *node, struct mf_msg_hello *hello)
{
    size_t n = node->n_instances + node->n_strangers;
    struct mf_rec_guest *guests = mf_arena_alloc(&self->words, (n + 1) * sizeof(*guests));
    uint32_t at = 0;

    for (const struct mf_instance *inst = node->first; inst; inst = inst->next)
        if (mf_instance_runs(inst))
            guests[at++] = (struct mf_rec_guest){
                .id = inst->id, .state = MF_GUEST_STATE_RUNNING, .ready = inst->ready_ms != 0};
    for (const struct mf_stranger *stranger = node->strangers; stranger; stranger = stranger->next)
        guests[at++] = (struct mf_rec_guest){
            .id = stranger->id, .state = stranger->state, .name = mf_str_dup(&self->words, stranger->name)};
    hello->guests.items = guests;
    hello->guests.n = at;
}

/* What a hello says replaces what it was made of: so it is made of copies. */
struct mf_msg_hello mf_rehearsal_words(struct mf_rehearsal *self, const struct mf_node *node)
{
    struct mf_msg_hello hello = {.started_ms = (uint64_t)node->started_ms,
                                 .epoch = node->epoch,
                                 .capacity = node->capacity,
                                 .cpu_ratio_percent = node->cpu_ratio_percent,
                                 .guests_die_with_me = node->guests_die_with_me,
                                 .fences = node->fences};

    mf_arena_reset(&self->words);
    hello.machine_id = mf_str_dup(&self->words, node->machine_id);
    hello.boot_id = mf_str_dup(&self->words, node->boot_id);
    hello.class = mf_str_dup(&self->words, node->class);
    hello.driver = mf_str_dup(&self->words, node->driver);
    hello.probe_address = mf_str_dup(&self->words, node->probe_address);
    hello.labels = mf_labels_dup(&self->words, node->labels);
    hello.cells.items = mf_arena_alloc(&self->words, (node->n_cells + 1) * sizeof(*hello.cells.items));
    hello.cells.n = node->n_cells;
    for (uint32_t i = 0; i < node->n_cells; i++)
        hello.cells.items[i] = node->cells[i];
    list_guests(self, node, &hello);
    return hello;
}

void mf_rehearsal_hello(struct mf_rehearsal *self, struct mf_str name, const struct mf_msg_hello *hello)
{
    struct mf_message message = {.kind = MF_MSG_HELLO, .hello = *hello};
    uint64_t handle = player_of(self, name);

    say(self, handle, MF_ROLE_WORKER, mf_str(mf_rehearsal_name(self, name)), &message);
}

static void connect_all(struct mf_rehearsal *self)
{
    for (size_t i = 0; i < self->b->nodes.n; i++) { /* no hello of a known node moves another in the list */
        const struct mf_node *node = self->b->nodes.items[i];
        struct mf_msg_hello hello;

        if (node->state == MF_NODE_STATE_FAILED)
            continue;
        hello = mf_rehearsal_words(self, node);
        mf_rehearsal_hello(self, node->name, &hello);
    }
}

/* One voice will do; those that were known are not there to speak. */
static void hush_monitors(struct mf_rehearsal *self)
{
    char ignored[512];

    while (self->b->n_monitors) {
        struct mf_message forget = {.kind = MF_MSG_MONITOR_FORGET,
                                    .monitor_forget = {.monitor = mf_str(self->b->monitors[0].name)}};
        MF_CHECK(mf_rehearsal_ask(self, forget, ignored) == 0);
    }
}

void mf_rehearsal_begin(struct mf_rehearsal *self, mf_ms wall)
{
    char ignored[512];

    self->wall = wall;
    self->handed = mf_broker_seq(self->b);
    feed(self, (struct mf_broker_event){.kind = MF_BROKER_START, .oldest = 1});
    hush_monitors(self);
    connect_all(self);
    if (self->b->frozen_by.len)
        mf_rehearsal_ask(self, (struct mf_message){.kind = MF_MSG_THAW}, ignored);
    mf_rehearsal_settle(self);
}

void mf_rehearsal_step(struct mf_rehearsal *self)
{
    self->step++;
    self->step_at = self->last_at = self->now;
}

static void say_of_monitor(struct mf_rehearsal *self, struct mf_message message)
{
    say(self, MONITOR, MF_ROLE_MONITOR, mf_str("plan"), &message);
}

void mf_rehearsal_hang_up(struct mf_rehearsal *self, struct mf_node *const *nodes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (mf_node_up(nodes[i]))
            feed(self,
                 (struct mf_broker_event){.kind = MF_BROKER_PEER_GONE, .peer = {.handle = nodes[i]->peer}});
}

void mf_rehearsal_lose(struct mf_rehearsal *self, struct mf_node *const *nodes, size_t n)
{
    mf_rehearsal_hang_up(self, nodes, n);
    if (!self->b->n_monitors)
        say_of_monitor(self, (struct mf_message){.kind = MF_MSG_MONITOR_HELLO,
                                                 .monitor_hello = {.pulse_address = mf_str("0.0.0.0:1")}});
    for (size_t i = 0; i < n; i++)
        say_of_monitor(self, (struct mf_message){.kind = MF_MSG_MONITOR_VERDICT,
                                                 .monitor_verdict = {.node = nodes[i]->name,
                                                                     .epoch = nodes[i]->epoch,
                                                                     .verdict = MF_VERDICT_FAILED,
                                                                     .evidence = MF_EVIDENCE_CLOSED}});
}
