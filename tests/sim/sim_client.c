/* A client: one request at a time, sent again until answered, and a stream of events that must have no gap,
 * no double and no lie: every row it is sent is compared with the row on the broker's disk. */
#include "sim_client.h"
#include "client_ledger.h"
#include "model.h"
#include "operate.h"
#include "sim_broker.h"
#include "weather.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_sim_client {
    struct mf_sim_world *world;
    uint32_t index;
    enum mf_role role;
    char name[MF_NAME_MAX + 1];
    struct mf_sim_path path;
    struct mf_sim_link link;
    struct mf_sim_ledger ledger;
    struct mf_sim_entry *asked;     /* the one that is not answered yet */
    struct mf_sim_entry *queue[32]; /* a scenario's, in order */
    size_t n_queue;
    bool resting;
    bool passive; /* a scenario's: it does what it is told */
    bool slow, expired;
    uint32_t set_up; /* the operator's first requests, done */
    uint64_t reads, seen_seq;
    struct mf_sim_event think, again;
    /* the stream */
    uint64_t stream, next, credit;
    char type[64], subject[256];
};

/* -- requests */

static struct mf_str arena_text(struct mf_sim_entry *entry, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static struct mf_str arena_text(struct mf_sim_entry *entry, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return mf_str_dup(&entry->arena, mf_str(text));
}

static void send_entry(struct mf_sim_client *self, const struct mf_sim_entry *entry)
{
    mf_sim_link_send(&self->link, &entry->message);
    if (mf_sim_chance(self->world, 5))
        mf_sim_link_send(&self->link, &entry->message);
}

static void ask(struct mf_sim_client *self, struct mf_sim_entry *entry)
{
    self->asked = entry;
    send_entry(self, entry);
    mf_sim_after(self->world, &self->again, mf_sim_between(self->world, 300, 2000));
}

static const char *const offerings[] = {"small", "big"};

static const char *const images[] = {"tiny", "crash", "bad"};
enum { IMAGES = 3, SET_UP = IMAGES + 2 };

static void add_image(struct mf_sim_entry *entry, const char *name)
{
    struct mf_rec_image *image = &entry->message.image_add.image;
    entry->message.kind = MF_MSG_IMAGE_ADD;
    entry->message.image_add.request_id = mf_str(entry->request_id);
    image->name = mf_str(name);
    image->kernel = mf_str("https://origin.example/tiny/vmlinuz"); /* fetched; the other lies on every node */
    image->initrd = mf_str("tiny/initrd");
    image->kernel_sha256 = mf_digest_make("kernel", 6);
    image->initrd_sha256 = mf_digest_make("initrd", 6);
}

static void add_offering(struct mf_sim_entry *entry, uint32_t i)
{
    entry->message.kind = MF_MSG_OFFERING_ADD;
    entry->message.offering_add.request_id = mf_str(entry->request_id);
    struct mf_rec_offering *offering = &entry->message.offering_add.offering;
    offering->name = mf_str(offerings[i]);
    offering->vcpus = i + 1;
    offering->memory_mib = 256 << i;
    offering->disk_mib = 1024;
}

static struct mf_labels one_label(struct mf_sim_entry *entry, const char *key, const char *value)
{
    struct mf_label *label = mf_arena_alloc(&entry->arena, sizeof(*label));
    *label = (struct mf_label){mf_str(key), mf_str(value)};
    return (struct mf_labels){label, 1};
}

/* Another group of the same client, whether it is there or not. */
static struct mf_rec_group_name *another(struct mf_sim_client *self, struct mf_sim_entry *entry,
                                         const char *group, uint64_t spec)
{
    struct mf_rec_group_name *name = mf_arena_alloc(&entry->arena, sizeof(*name));
    unsigned n = mf_sim_weather_groups(self->world->weather);
    for (unsigned i = 0; i < n; i++) {
        const char *other = self->ledger.groups[(spec + i) % n].name;
        if (strcmp(other, group) == 0)
            continue;
        name->group = mf_str(other);
        return name;
    }
    return NULL;
}

static void rule(struct mf_sim_client *self, struct mf_sim_entry *entry, const char *group, uint64_t spec)
{
    struct mf_rec_rules *rules = &entry->message.provision.rules;
    switch (spec & 15) {
    case 1:
    case 2:
        rules->spread_by = mf_str("rack");
        rules->max_skew = spec & 2 ? 2 : 0;
        return;
    case 3:
        rules->pack_by = mf_str("zone");
        return;
    case 4:
        rules->node_max = 2;
        return;
    case 5:
        rules->forbid = one_label(entry, "zone", "b");
        return;
    case 6:
        rules->prefer = one_label(entry, "zone", "c");
        rules->priority = 80;
        return;
    case 7:
        rules->apart.items = another(self, entry, group, spec >> 4);
        rules->apart.n = rules->apart.items != NULL;
        rules->apart_by = mf_str(rules->apart.n ? "zone" : "");
        return;
    case 8:
        rules->with.items = another(self, entry, group, spec >> 4);
        rules->with.n = rules->with.items != NULL;
        return;
    default:
        return;
    }
}

/* A specification is a number; its bits choose. The same number is the same specification. */
static void provision(struct mf_sim_client *self, struct mf_sim_entry *entry, const char *group,
                      uint64_t spec, uint64_t count)
{
    struct mf_msg_provision *message = &entry->message.provision;
    entry->message.kind = MF_MSG_PROVISION;
    entry->spec = spec;
    message->request_id = mf_str(entry->request_id);
    message->group = arena_text(entry, "%s", group);
    message->count = count;
    message->override =
        self->role == MF_ROLE_OPERATOR; /* a client is refused what headroom has no room for */
    message->image = mf_str(mf_sim_weather_image(self->world->weather, (spec >> 9) & 15));
    if (spec & 128 && mf_sim_weather_fences(self->world->weather))
        message->policy = MF_POLICY_AT_MOST;
    if (spec & 256)
        message->min = count / 2;
    message->offering = mf_str(offerings[spec & 1]);
    message->spread = spec & 2 ? MF_SPREAD_HOST : MF_SPREAD_UNSET;
    message->fit = spec & 4 ? MF_FIT_BEST : MF_FIT_UNSET;
    if (spec & 8)
        message->user_data.bytes =
            arena_text(entry, "#!/bin/sh\necho %s %llu\n", group, (unsigned long long)spec);
    if (spec & 1 << 13) {
        message->health.ready = MF_READINESS_PORT;
        message->health.boot_ms = mf_sim_weather_boot_limit(self->world->weather);
    }
    message->spares = (spec >> 14 & 3) == 3 ? 2 : 0;
    if ((spec & 0x70) == 0x70 && self->world->options.profile != MF_SIM_LARGE)
        message->require = one_label(entry, "zone", "a");
    if (self->world->options.profile == MF_SIM_SMALL)
        rule(self, entry, group, spec >> 16);
}

/* The id of a living instance of the group, as its user would have read it in a list; empty if there is none.
 */
static struct mf_str some_id(struct mf_sim_client *self, struct mf_sim_entry *entry,
                             const struct mf_sim_intent *intent)
{
    const struct mf_sim_group *group = mf_sim_model_active_group(self->world->model, intent->name);
    const struct mf_sim_slot *slot =
        group ? mf_map_get_u64(group->slots, mf_sim_below(self->world, intent->desired)) : NULL;
    char text[MF_UUID_TEXT];
    if (!slot || !slot->current)
        return (struct mf_str){0};
    return arena_text(entry, "%s", mf_uuid_text(slot->current->id, text));
}

static void change(struct mf_sim_client *self, struct mf_sim_entry *entry, const struct mf_sim_intent *group)
{
    struct mf_sim_world *world = self->world;
    bool small = world->options.profile == MF_SIM_SMALL;
    uint64_t dice = small ? mf_sim_below(world, 100) : 40 + mf_sim_below(world, 35);
    if (dice < 8) { /* the same again, or one that differs */
        provision(self, entry, group->name, mf_sim_chance(world, 50) ? group->spec : group->spec ^ 2,
                  group->desired ? group->desired : 1);
    } else if (dice < 40 || !group->desired) {
        entry->message.kind = MF_MSG_SCALE;
        entry->message.scale.request_id = mf_str(entry->request_id);
        entry->message.scale.group = arena_text(entry, "%s", group->name);
        entry->message.scale.count = mf_sim_below(world, 1 + mf_sim_weather_slots(world->weather));
        entry->message.scale.override = self->role == MF_ROLE_OPERATOR;
    } else {
        entry->message.kind = MF_MSG_DESTROY;
        entry->message.destroy.request_id = mf_str(entry->request_id);
        entry->message.destroy.target =
            dice < 75 ? arena_text(entry, "%s/%llu", group->name,
                                   (unsigned long long)mf_sim_below(world, group->desired))
                      : arena_text(entry, "%s", group->name);
        struct mf_str id =
            dice < 75 && mf_sim_chance(world, 30) ? some_id(self, entry, group) : (struct mf_str){0};
        if (id.len)
            entry->message.destroy.target = id;
        if (mf_sim_chance(world, 20))
            entry->message.destroy.grace_ms = mf_sim_below(world, 3000);
    }
}

/* What makes the world: images and offerings. */
static void set_up(struct mf_sim_client *self)
{
    struct mf_sim_entry *entry = mf_sim_ledger_add(&self->ledger, -1);
    if (self->set_up < IMAGES)
        add_image(entry, images[self->set_up]);
    else
        add_offering(entry, self->set_up - IMAGES);
    ask(self, entry);
}

static uint64_t first_count(struct mf_sim_client *self)
{
    uint64_t slots = mf_sim_weather_slots(self->world->weather);
    return self->world->options.profile == MF_SIM_SMALL ? 1 + mf_sim_below(self->world, slots) : slots;
}

static void ask_something(struct mf_sim_client *self)
{
    struct mf_sim_world *world = self->world;
    if (self->role == MF_ROLE_OPERATOR && self->set_up < SET_UP) {
        set_up(self);
        return;
    }
    if (self->role == MF_ROLE_OPERATOR && mf_sim_chance(world, 40)) {
        struct mf_sim_entry *entry = mf_sim_ledger_add(&self->ledger, -1);
        mf_sim_operate(world, entry);
        ask(self, entry);
        return;
    }
    int which = (int)mf_sim_below(world, mf_sim_weather_groups(world->weather));
    struct mf_sim_entry *entry = mf_sim_ledger_add(&self->ledger, which);
    if (self->ledger.groups[which].active)
        change(self, entry, &self->ledger.groups[which]);
    else
        provision(self, entry, self->ledger.groups[which].name, mf_sim_below(world, 1 << 24),
                  first_count(self));
    ask(self, entry);
}

/* Faults are over: the operator ends what holds the cluster back. */
static void mend_something(struct mf_sim_client *self)
{
    if (self->role != MF_ROLE_OPERATOR || !mf_sim_operate_mends(self->world))
        return;
    struct mf_sim_entry *entry = mf_sim_ledger_add(&self->ledger, -1);
    mf_sim_operate_mend(self->world, entry);
    ask(self, entry);
}

static void read_something(struct mf_sim_client *self)
{
    static const enum mf_kind kinds[] = {MF_MSG_LIST_GROUPS, MF_MSG_LIST_INSTANCES, MF_MSG_LIST_NODES,
                                         MF_MSG_STATUS,      MF_MSG_LOGS,           MF_MSG_LIST_DOMAINS};
    struct mf_message message = {.kind = kinds[mf_sim_below(self->world, 6)]};
    char id[32], target[100];
    message.list_groups.request_id =
        mf_str_format(id, sizeof(id), "read-%llu", (unsigned long long)++self->reads);
    if (message.kind == MF_MSG_LOGS)
        message.logs.target = mf_str_format(target, sizeof(target), "%s/0", self->ledger.groups[0].name);
    mf_sim_link_send(&self->link, &message); /* all of them begin with their request_id */
}

static void think_fires(struct mf_sim_event *event)
{
    struct mf_sim_client *self = MF_SIM_OWNER(event, struct mf_sim_client, think);
    bool busy = self->role == MF_ROLE_OPERATOR && (self->set_up < SET_UP || self->resting);
    mf_sim_after(self->world, event, busy ? 50 : mf_sim_weather_think(self->world->weather));
    if (self->resting) {
        if (!self->asked)
            mend_something(self);
        return;
    }
    bool made = self->role != MF_ROLE_OPERATOR || self->set_up == SET_UP;
    if (self->passive && made)
        return;
    if (!self->asked)
        ask_something(self);
    if (mf_sim_chance(self->world, 20))
        read_something(self);
    if (self->ledger.n && mf_sim_chance(self->world, 5)) /* an old one again: it must be answered as it was */
        send_entry(self, self->ledger.entries[mf_sim_below(self->world, self->ledger.n)]);
}

static void again_fires(struct mf_sim_event *event)
{
    struct mf_sim_client *self = MF_SIM_OWNER(event, struct mf_sim_client, again);
    if (!self->asked)
        return;
    send_entry(self, self->asked);
    mf_sim_after(self->world, event, mf_sim_between(self->world, 300, 2000));
}

/* -- answers */

static void settled(struct mf_sim_client *self, const struct mf_sim_entry *entry)
{
    if (entry != self->asked || entry->answer == MF_SIM_UNANSWERED)
        return;
    if (self->role == MF_ROLE_OPERATOR && self->set_up < SET_UP)
        self->set_up++;
    self->asked = NULL;
    mf_sim_cancel(self->world, &self->again);
    if (self->n_queue) {
        struct mf_sim_entry *next = self->queue[0];
        memmove(self->queue, self->queue + 1, --self->n_queue * sizeof(self->queue[0]));
        ask(self, next);
    }
}

static void on_accepted(struct mf_sim_client *self, const struct mf_msg_accepted *message)
{
    struct mf_sim_entry *entry = mf_sim_ledger_find(&self->ledger, message->request_id);
    if (!entry) {
        mf_sim_fail(self->world, "I1", "%s was told of a request it never made", self->name);
        return;
    }
    if (message->seq > self->seen_seq)
        self->seen_seq = message->seq;
    mf_sim_ledger_accepted(&self->ledger, entry, message);
    settled(self, entry);
}

/* Little, so that credit is what a stream waits for; in a large world it would wait for nothing else. */
static uint64_t some_credit(struct mf_sim_client *self)
{
    return self->world->options.profile == MF_SIM_SMALL ? 1 + mf_sim_below(self->world, 60) : 4000;
}

static void subscribe(struct mf_sim_client *self)
{
    struct mf_message message = {.kind = MF_MSG_SUBSCRIBE};
    char id[32];
    message.subscribe.request_id =
        mf_str_format(id, sizeof(id), "stream-%llu", (unsigned long long)++self->stream);
    message.subscribe.stream = self->stream;
    message.subscribe.from = self->next;
    message.subscribe.type = mf_str(self->type);
    message.subscribe.subject = mf_str(self->subject);
    message.subscribe.credit = self->credit = some_credit(self);
    mf_sim_link_send(&self->link, &message);
}

static void on_error(struct mf_sim_client *self, const struct mf_msg_error *message)
{
    const struct mf_sim_store *store = mf_sim_broker_store(self->world->broker);
    struct mf_sim_entry *entry = mf_sim_ledger_find(&self->ledger, message->request_id);
    if (mf_str_is(message->code, "expired")) {
        if (self->next >= mf_sim_store_oldest(store))
            mf_sim_fail(self->world, "I6", "%s: row %llu is retained, but the stream says expired",
                        self->name, (unsigned long long)self->next);
        self->expired = true;
        self->next = message->oldest_seq;
        subscribe(self); /* begins anew from there */
    } else if (entry) {
        mf_sim_ledger_refused(&self->ledger, entry, message);
        settled(self, entry);
    }
}

/* A read on the same connection shows what was accepted before. */
static void on_list(struct mf_sim_client *self, uint64_t seq)
{
    if (seq < self->seen_seq)
        mf_sim_fail(self->world, "I1", "%s reads the state at row %llu after row %llu was accepted",
                    self->name, (unsigned long long)seq, (unsigned long long)self->seen_seq);
}

/* -- the stream */

static void give_credit(struct mf_sim_client *self, uint64_t used)
{
    struct mf_message message = {.kind = MF_MSG_CREDIT};
    if (used > self->credit)
        mf_sim_fail(self->world, "I6", "%s was sent more rows than it gave credit for", self->name);
    self->credit -= used;
    if (self->credit > 10 || self->slow)
        return;
    message.credit.stream = self->stream;
    message.credit.credit = some_credit(self);
    self->credit += message.credit.credit;
    mf_sim_link_send(&self->link, &message);
}

static bool same_row(const struct mf_rec_event_row *a, const struct mf_sim_row *b)
{
    return a->seq == b->seq && a->cause == b->cause && a->time_ms == (uint64_t)b->time_ms &&
           mf_str_is(a->type, mf_kind_desc(b->kind)->wire) && mf_str_eq(a->subject, b->subject) &&
           mf_str_eq(a->data, b->data);
}

static void on_events(struct mf_sim_client *self, const struct mf_msg_events *message)
{
    const struct mf_sim_store *store = mf_sim_broker_store(self->world->broker);
    if (message->stream != self->stream)
        return; /* of a stream this client has ended */
    uint32_t n = 0;
    for (uint64_t seq = self->next; seq < message->next; seq++) {
        const struct mf_sim_row *row = mf_sim_store_row(store, seq);
        if (!row) {
            mf_sim_fail(self->world, "I6", "%s was told to go on from row %llu, which does not exist",
                        self->name, (unsigned long long)message->next);
            return;
        }
        if (!mf_sim_row_passes(row, self->type, self->subject))
            continue;
        if (n >= message->rows.n || !same_row(&message->rows.items[n++], row)) {
            mf_sim_fail(self->world, "I6", "%s misses row %llu of its stream", self->name,
                        (unsigned long long)seq);
            return;
        }
    }
    if (n != message->rows.n || message->next < self->next)
        mf_sim_fail(self->world, "I6", "%s was sent a row twice or out of place", self->name);
    self->next = message->next;
    give_credit(self, n);
}

/* -- the link */

static void link_up(void *owner)
{
    struct mf_sim_client *self = owner;
    subscribe(self);
    if (self->asked)
        send_entry(self, self->asked);
}

static void link_down(void *owner)
{
    struct mf_sim_client *self = owner;
    self->stream++; /* what is still on its way from the old one is nobody's */
}

static void link_message(void *owner, const struct mf_message *message)
{
    struct mf_sim_client *self = owner;
    switch (message->kind) {
    case MF_MSG_ACCEPTED:
        on_accepted(self, &message->accepted);
        break;
    case MF_MSG_ERROR:
        on_error(self, &message->error);
        break;
    case MF_MSG_EVENTS:
        on_events(self, &message->events);
        break;
    case MF_MSG_GROUPS:
        on_list(self, message->groups.seq);
        break;
    case MF_MSG_INSTANCES:
        on_list(self, message->instances.seq);
        break;
    case MF_MSG_NODES:
        on_list(self, message->nodes.seq);
        break;
    default:
        break;
    }
}

static const struct mf_sim_link_calls calls = {link_up, link_down, link_message};

struct mf_sim_client *mf_sim_client_new(struct mf_sim_world *world, uint32_t index)
{
    struct mf_sim_client *self = mf_sim_alloc(sizeof(*self));
    self->world = world;
    self->index = index;
    self->role = index ? MF_ROLE_CLIENT : MF_ROLE_OPERATOR;
    snprintf(self->name, sizeof(self->name), "%s-%u", index ? "client" : "operator", index);
    self->path = mf_sim_weather_path(world->weather);
    self->think.fire = think_fires;
    self->again.fire = again_fires;
    self->next = 1;
    if (index == 1)
        snprintf(self->type, sizeof(self->type), "instance.");
    if (index == 2)
        snprintf(self->subject, sizeof(self->subject), "default/client-2-g0");
    mf_sim_ledger_init(&self->ledger, world, self->role, self->name);
    mf_sim_link_init(&self->link, world, &self->path, self->role, self->name, &calls, self);
    self->passive = world->options.script;
    if (self->passive && index)
        return self; /* until it is told to subscribe */
    mf_sim_link_open(&self->link);
    mf_sim_after(world, &self->think, mf_sim_between(world, 100, index ? 3000 : 500));
    return self;
}

void mf_sim_client_destroy(struct mf_sim_client **self)
{
    if (!*self)
        return;
    mf_sim_ledger_free(&(*self)->ledger);
    free(*self);
    *self = NULL;
}

void mf_sim_client_rest(struct mf_sim_client *self)
{
    self->resting = true;
}

struct mf_sim_link *mf_sim_client_link(struct mf_sim_client *self)
{
    return &self->link;
}

struct mf_sim_path *mf_sim_client_path(struct mf_sim_client *self)
{
    return &self->path;
}

struct mf_sim_entry *mf_sim_client_entry(struct mf_sim_client *self)
{
    return mf_sim_ledger_add(&self->ledger, -1);
}

void mf_sim_client_ask(struct mf_sim_client *self, struct mf_sim_entry *entry)
{
    if (!self->asked)
        ask(self, entry);
    else if (self->n_queue < sizeof(self->queue) / sizeof(self->queue[0]))
        self->queue[self->n_queue++] = entry;
}

bool mf_sim_client_is_idle(const struct mf_sim_client *self)
{
    return self->set_up == SET_UP && !self->asked;
}

void mf_sim_client_subscribe(struct mf_sim_client *self, uint64_t from, bool slow)
{
    self->next = from;
    self->slow = slow;
    self->type[0] = self->subject[0] = 0;
    mf_sim_link_open(&self->link);
}

bool mf_sim_client_was_expired(const struct mf_sim_client *self)
{
    return self->expired;
}

bool mf_sim_client_is_well(const struct mf_sim_client *self, char *ret_why, size_t size)
{
    if (self->passive && self->index)
        return true;
    uint64_t newest = mf_sim_store_newest(mf_sim_broker_store(self->world->broker));
    if (self->asked)
        snprintf(ret_why, size, "%s waits for the answer of %s", self->name, self->asked->request_id);
    else if (self->next != newest + 1 && !self->type[0] && !self->subject[0])
        snprintf(ret_why, size, "%s has read up to row %llu of %llu", self->name,
                 (unsigned long long)self->next - 1, (unsigned long long)newest);
    else
        return true;
    return false;
}

void mf_sim_client_check(struct mf_sim_client *self)
{
    mf_sim_ledger_check(&self->ledger);
}
