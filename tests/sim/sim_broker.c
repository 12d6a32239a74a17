/* The broker's edge. It does what the real one does, with a simulated disk: rows are committed in groups,
 * what the core queued behind them leaves when they are durable, streams are read from durable rows, and a
 * crash forgets all but the disk. */
#include "sim_broker.h"
#include "check.h"
#include "clock.h"
#include "model.h"
#include "net.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_LIMIT = 200000, IDLE_LOOK_MS = 100 };

struct mf_sim_broker {
    struct mf_sim_world *world;
    struct mf_broker *core;
    struct mf_sim_store *store;
    uint64_t life;             /* incarnation: what a dead one began must not reach the next */
    struct mf_sim_clock clock; /* another one in every life: the next may run on another machine */
    mf_ms up_since, checked;
    uint64_t checked_seq;
    bool frozen, told_full;
    struct mf_sim_event tick, commit, snapshot, start;
    struct mf_sim_fold fold; /* snapshot on its way to the disk */
    struct mf_sim_fold last; /* what a dead core held, if all of it was durable */
};

struct stream_read {
    struct mf_sim_event event;
    struct mf_sim_broker *broker;
    uint64_t life, peer, stream, from, until;
    uint32_t rows;
    char type[64], subject[256];
};

static void commit_more(struct mf_sim_broker *self)
{
    if (mf_sim_store_committing(self->store) || !mf_sim_store_waiting(self->store))
        return;
    mf_sim_store_begin(self->store);
    mf_sim_after(self->world, &self->commit, mf_sim_weather_fsync(self->world->weather));
}

/* Nothing is visible before it is durable: what each message shows must be on disk when it leaves. */
static void check_durable(struct mf_sim_broker *self, const struct mf_message *message)
{
    uint64_t shows = 0;
    switch (message->kind) {
    case MF_MSG_ACCEPTED:
        shows = message->accepted.seq;
        break;
    case MF_MSG_ORDER_CREATE:
        shows = message->order_create.order_id;
        break;
    case MF_MSG_ORDER_DESTROY:
        shows = message->order_destroy.order_id;
        break;
    case MF_MSG_GROUPS:
        shows = message->groups.seq;
        break;
    case MF_MSG_INSTANCES:
        shows = message->instances.seq;
        break;
    case MF_MSG_NODES:
        shows = message->nodes.seq;
        break;
    case MF_MSG_STATUS_REPLY:
        shows = message->status_reply.seq;
        break;
    case MF_MSG_WELCOME:
        if (!mf_sim_model_epoch_known(self->world->model, message->welcome.epoch))
            mf_sim_fail(self->world, "durable", "epoch %llu was granted before its node.joined was on disk",
                        (unsigned long long)message->welcome.epoch);
        return;
    default:
        return;
    }
    if (shows > mf_sim_store_newest(self->store))
        mf_sim_fail(self->world, "durable", "%s shows row %llu, but %llu is the newest on disk",
                    mf_kind_desc(message->kind)->wire, (unsigned long long)shows,
                    (unsigned long long)mf_sim_store_newest(self->store));
}

static void send_out(struct mf_sim_broker *self, uint64_t peer, const struct mf_message *message)
{
    struct mf_message copy = *message;
    check_durable(self, message);
    if (copy.kind == MF_MSG_ORDER_CREATE && !mf_digest_is_zero(copy.order_create.user_data.digest)) {
        copy.order_create.user_data.bytes =
            mf_sim_store_blob(self->store, copy.order_create.user_data.digest);
        if (!copy.order_create.user_data.bytes.ptr)
            mf_sim_fail(self->world, "I1", "the user-data of an accepted group is not on disk");
    }
    if (!self->world->failed)
        mf_sim_net_send(self->world->net, peer, &copy);
}

static void stream_fires(struct mf_sim_event *event);
static void stream_drop(struct mf_sim_event *event)
{
    free(MF_SIM_OWNER(event, struct stream_read, event));
}

static void stream_start(struct mf_sim_broker *self, const struct mf_broker_action *action)
{
    struct stream_read *read = mf_sim_alloc(sizeof(*read));
    *read = (struct stream_read){.event = {.fire = stream_fires, .drop = stream_drop},
                                 .broker = self,
                                 .life = self->life,
                                 .peer = action->peer,
                                 .stream = action->stream,
                                 .from = action->seq,
                                 .until = action->until,
                                 .rows = action->rows};
    mf_str_format(read->type, sizeof(read->type), "%.*s", (int)action->type_prefix.len,
                  action->type_prefix.ptr ? action->type_prefix.ptr : "");
    mf_str_format(read->subject, sizeof(read->subject), "%.*s", (int)action->subject_prefix.len,
                  action->subject_prefix.ptr ? action->subject_prefix.ptr : "");
    mf_sim_after(self->world, &read->event, mf_sim_between(self->world, 0, 3));
}

static void snapshot_start(struct mf_sim_broker *self)
{
    mf_sim_fold_take(&self->fold, self->core);
    mf_sim_after(self->world, &self->snapshot, mf_sim_between(self->world, 1, 30));
}

static void carry_out(struct mf_sim_broker *self, const struct mf_broker_action *action)
{
    switch (action->kind) {
    case MF_BROKER_APPEND:
        mf_sim_store_append(self->store, &action->row);
        break;
    case MF_BROKER_SEND:
        send_out(self, action->peer, action->message);
        break;
    case MF_BROKER_CLOSE:
        mf_sim_net_close(self->world->net, action->peer);
        break;
    case MF_BROKER_STREAM_READ:
        stream_start(self, action);
        break;
    case MF_BROKER_SNAPSHOT:
        snapshot_start(self);
        break;
    }
}

/* After every step that made a row, and a few times a second besides; large worlds less often. */
static void check_core(struct mf_sim_broker *self)
{
    bool moved = mf_broker_seq(self->core) != self->checked_seq;
    if (self->world->look_ms ? !mf_sim_look(self->world, &self->checked)
                             : !moved && self->world->now - self->checked < IDLE_LOOK_MS)
        return;
    self->checked = self->world->now;
    self->checked_seq = mf_broker_seq(self->core);
    mf_broker_check(self->core);
}

static void pump(struct mf_sim_broker *self)
{
    struct mf_broker_action action;
    unsigned n = 0;
    while (!self->world->failed && mf_broker_poll(self->core, &action)) {
        carry_out(self, &action);
        if (++n > POLL_LIMIT + 200 * self->world->n_nodes)
            mf_sim_fail(self->world, "poll", "the broker's core has no end of actions");
    }
    check_core(self);
    commit_more(self);
    mf_sim_clock_set(&self->clock, self->world, &self->tick, mf_broker_deadline(self->core));
}

static void feed(struct mf_sim_broker *self, struct mf_broker_event *event)
{
    event->wall_ms = mf_sim_clock_wall(&self->clock, self->world);
    mf_broker_feed(self->core, mf_sim_clock_now(&self->clock, self->world), event);
    pump(self);
}

static void tick_fires(struct mf_sim_event *event)
{
    struct mf_sim_broker *self = MF_SIM_OWNER(event, struct mf_sim_broker, tick);
    if (self->frozen)
        mf_sim_after(self->world, event, 20);
    else
        feed(self, &(struct mf_broker_event){.kind = MF_BROKER_TICK});
}

/* No room: said once, and tried again until there is. */
static void commit_waits(struct mf_sim_broker *self)
{
    mf_sim_after(self->world, &self->commit, 100);
    if (self->told_full)
        return;
    self->told_full = true;
    feed(self, &(struct mf_broker_event){.kind = MF_BROKER_STORE_FULL, .full = true});
}

/* The disk refuses for good: the broker ends itself, and whoever looks after it starts it again. What was
 * being written is there as a whole, or not at all. */
static void commit_fails(struct mf_sim_broker *self)
{
    mf_sim_trace(self->world, "store", "a write fails");
    mf_sim_broker_crash(self);
    mf_sim_after(self->world, &self->start, mf_sim_between(self->world, 100, 2000));
}

static void commit_fires(struct mf_sim_event *event)
{
    struct mf_sim_broker *self = MF_SIM_OWNER(event, struct mf_sim_broker, commit);
    if (self->frozen) {
        mf_sim_after(self->world, event, 20);
        return;
    }
    if (mf_sim_store_is_full(self->store)) {
        commit_waits(self);
        return;
    }
    if (mf_sim_weather_fsync_fails(self->world->weather)) {
        commit_fails(self);
        return;
    }
    uint64_t seq = mf_sim_store_finish(self->store);
    if (self->world->failed)
        return;
    if (self->told_full) {
        self->told_full = false;
        feed(self, &(struct mf_broker_event){.kind = MF_BROKER_STORE_FULL, .full = false});
    }
    feed(self, &(struct mf_broker_event){.kind = MF_BROKER_COMMITTED, .seq = seq});
}

static void snapshot_fires(struct mf_sim_event *event)
{
    struct mf_sim_broker *self = MF_SIM_OWNER(event, struct mf_sim_broker, snapshot);
    if (self->frozen || self->fold.seq > mf_sim_store_newest(self->store)) {
        mf_sim_after(self->world, event, 5);
        return;
    }
    struct mf_broker_event done = {.kind = MF_BROKER_SNAPSHOT_DONE, .seq = self->fold.seq};
    mf_sim_store_snapshot(self->store, &self->fold);
    done.oldest = mf_sim_store_oldest(self->store);
    mf_sim_trace(self->world, "store", "snapshot at %llu, oldest row %llu", (unsigned long long)done.seq,
                 (unsigned long long)done.oldest);
    feed(self, &done);
}

/* -- streams */

static void stream_send(struct mf_sim_broker *self, const struct stream_read *read, uint64_t oldest)
{
    uint64_t newest = mf_sim_store_newest(self->store), seq = read->from ? read->from : oldest;
    uint64_t until = read->until < newest ? read->until : newest;
    struct mf_rec_event_row *items = mf_sim_alloc(sizeof(*items) * (read->rows + 1));
    uint32_t n = 0;
    for (; seq <= until && n < read->rows && n < 4096; seq++) {
        const struct mf_sim_row *row = mf_sim_store_row(self->store, seq);
        if (mf_sim_row_passes(row, read->type, read->subject))
            items[n++] = (struct mf_rec_event_row){.seq = row->seq,
                                                   .cause = row->cause,
                                                   .time_ms = (uint64_t)row->time_ms,
                                                   .type = mf_str(mf_kind_desc(row->kind)->wire),
                                                   .subject = row->subject,
                                                   .data = row->data};
    }
    struct mf_message message = {.kind = MF_MSG_EVENTS};
    message.events.stream = read->stream;
    message.events.rows.items = items;
    message.events.rows.n = n;
    message.events.next = seq;
    message.events.live = seq > newest;
    send_out(self, read->peer, &message);
    free(items);
    feed(self, &(struct mf_broker_event){.kind = MF_BROKER_STREAM_SENT,
                                         .peer = {.handle = read->peer},
                                         .stream = read->stream,
                                         .seq = seq,
                                         .rows = n});
}

static void stream_fires(struct mf_sim_event *event)
{
    struct stream_read *read = MF_SIM_OWNER(event, struct stream_read, event);
    struct mf_sim_broker *self = read->broker;
    uint64_t oldest = mf_sim_store_oldest(self->store);
    if (self->core && self->life == read->life && self->frozen) {
        mf_sim_after(self->world, event, 20);
        return;
    }
    if (self->core && self->life == read->life) {
        if (read->from && read->from < oldest)
            feed(self, &(struct mf_broker_event){.kind = MF_BROKER_STREAM_EXPIRED,
                                                 .peer = {.handle = read->peer},
                                                 .stream = read->stream,
                                                 .seq = oldest});
        else
            stream_send(self, read, oldest);
    }
    free(read);
}

/* -- from the network */

static void on_message(void *owner, const struct mf_sim_link *link, uint64_t handle,
                       const struct mf_message *message, struct mf_digest body_digest)
{
    struct mf_sim_broker *self = owner;
    struct mf_message copy = *message;
    struct mf_broker_event event = {.kind = MF_BROKER_MESSAGE, .message = &copy, .body_digest = body_digest};
    event.peer = (struct mf_peer){handle, link->role, mf_str(link->name)};
    if (copy.kind == MF_MSG_PROVISION && copy.provision.user_data.bytes.len) {
        struct mf_blob *blob = &copy.provision.user_data;
        blob->digest = mf_digest_make(blob->bytes.ptr, blob->bytes.len);
        mf_sim_store_blob_put(self->store, blob->digest, blob->bytes);
    }
    feed(self, &event);
}

static void on_gone(void *owner, uint64_t handle)
{
    struct mf_sim_broker *self = owner;
    if (self->core)
        feed(self, &(struct mf_broker_event){.kind = MF_BROKER_PEER_GONE, .peer = {.handle = handle}});
}

static const struct mf_sim_listener listener = {on_message, on_gone};

/* -- life */

static void start_fires(struct mf_sim_event *event)
{
    mf_sim_broker_start(MF_SIM_OWNER(event, struct mf_sim_broker, start));
}

struct mf_sim_broker *mf_sim_broker_new(struct mf_sim_world *world)
{
    struct mf_sim_broker *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->store = mf_sim_store_new(world);
    self->tick.fire = tick_fires;
    self->commit.fire = commit_fires;
    self->snapshot.fire = snapshot_fires;
    self->start.fire = start_fires;
    mf_sim_net_listen(world->net, &listener, self);
    mf_sim_after(world, &self->start, 1);
    return self;
}

void mf_sim_broker_destroy(struct mf_sim_broker **self)
{
    struct mf_sim_broker *broker = *self;
    if (!broker)
        return;
    *self = NULL;
    mf_broker_destroy(&broker->core);
    mf_sim_fold_clear(&broker->fold);
    mf_sim_fold_clear(&broker->last);
    mf_sim_store_destroy(&broker->store);
    free(broker);
}

void mf_sim_broker_crash(struct mf_sim_broker *self)
{
    if (!self->core)
        return;
    mf_sim_trace(self->world, "broker", "crashes");
    if (!mf_sim_store_waiting(self->store))
        mf_sim_fold_take(&self->last, self->core);
    mf_sim_cancel(self->world, &self->tick);
    mf_sim_cancel(self->world, &self->commit);
    mf_sim_cancel(self->world, &self->snapshot);
    mf_sim_fold_clear(&self->fold);
    mf_broker_destroy(&self->core);
    self->frozen = self->told_full = false;
    mf_sim_store_crash(self->store);
    mf_sim_net_broker_down(self->world->net);
}

static struct mf_broker *load(struct mf_sim_broker *self, bool whole_log)
{
    struct mf_broker_config config = *mf_sim_weather_broker(self->world->weather);
    config.seed = mf_random_next(&self->world->random);
    struct mf_broker *core = mf_broker_new(&config);
    char text[256] = "";
    if (mf_sim_store_load(self->store, core, whole_log, text) < 0)
        mf_sim_fail(self->world, "replay", "what is on disk is refused: %s", text);
    return core;
}

static void compare(struct mf_sim_broker *self, const struct mf_sim_fold *live,
                    const struct mf_broker *reloaded, const char *how)
{
    char text[900] = "";
    struct mf_sim_fold fold = {0};
    mf_sim_fold_take(&fold, reloaded);
    if (!mf_sim_fold_equal(live, &fold, text, sizeof(text)))
        mf_sim_fail(self->world, "replay", "%s, the fold differs (first: living, second: loaded): %s", how,
                    text);
    mf_sim_fold_clear(&fold);
}

void mf_sim_broker_start(struct mf_sim_broker *self)
{
    if (self->core)
        return;
    self->core = load(self, false);
    self->life++;
    mf_ms wall_skew = self->clock.wall_skew;
    mf_sim_clock_init(&self->clock, self->world);
    self->clock.wall_skew = wall_skew;
    self->up_since = self->world->now;
    mf_sim_trace(self->world, "broker", "starts with %llu rows",
                 (unsigned long long)mf_sim_store_newest(self->store));
    if (self->last.n && !self->world->failed)
        compare(self, &self->last, self->core, "after a crash");
    mf_sim_fold_clear(&self->last);
    if (self->world->failed)
        return;
    mf_sim_net_broker_up(self->world->net);
    feed(self,
         &(struct mf_broker_event){.kind = MF_BROKER_START, .oldest = mf_sim_store_oldest(self->store)});
}

void mf_sim_broker_freeze(struct mf_sim_broker *self, bool frozen)
{
    if (!self->core || self->frozen == frozen)
        return;
    mf_sim_trace(self->world, "broker", frozen ? "is stopped" : "goes on");
    self->frozen = frozen;
    self->up_since = self->world->now;
    mf_sim_net_broker_freeze(self->world->net, frozen);
}

void mf_sim_broker_fill_disk(struct mf_sim_broker *self, bool full)
{
    mf_sim_trace(self->world, "broker", "its disk %s", full ? "is full" : "has room");
    mf_sim_store_fill(self->store, full);
}

void mf_sim_broker_set_wall(struct mf_sim_broker *self, mf_ms skew)
{
    mf_sim_trace(self->world, "broker", "its wall clock jumps by %lld s",
                 (long long)(skew - self->clock.wall_skew) / 1000);
    self->clock.wall_skew = skew;
}

bool mf_sim_broker_is_up(const struct mf_sim_broker *self)
{
    return self->core && !self->frozen;
}

mf_ms mf_sim_broker_since(const struct mf_sim_broker *self)
{
    return self->up_since;
}

bool mf_sim_broker_is_durable(const struct mf_sim_broker *self)
{
    const struct mf_broker *core = mf_sim_broker_core(self);
    return core && mf_broker_seq(core) == mf_broker_committed(core);
}

const struct mf_broker *mf_sim_broker_core(const struct mf_sim_broker *self)
{
    return self->core;
}

void mf_sim_broker_print(const struct mf_sim_broker *self)
{
    struct mf_buf buf = {0};
    if (!self->core)
        return;
    mf_broker_describe(self->core, &buf);
    printf("%.*s\n", (int)buf.len, buf.ptr);
    mf_buf_free(&buf);
}

const struct mf_sim_store *mf_sim_broker_store(const struct mf_sim_broker *self)
{
    return self->store;
}

void mf_sim_broker_check_replay(struct mf_sim_broker *self)
{
    if (!self->core || mf_sim_store_waiting(self->store))
        return;
    struct mf_sim_fold live = {0};
    mf_sim_fold_take(&live, self->core);
    for (int whole = 0; whole < 2 && !self->world->failed; whole++) {
        struct mf_broker *core = load(self, whole);
        if (!self->world->failed)
            compare(self, &live, core, whole ? "loaded from the whole log" : "loaded from snapshot and tail");
        mf_broker_destroy(&core);
    }
    mf_sim_fold_clear(&live);
}
