/* judge.c - the event log against what was seen.
 *
 *   I2  from the log: generations rise, a slot's earlier generation is over before the next one is current,
 * and nothing is replaced twice unless it was reinstated in between I3  at-most groups: two generations of a
 * slot never ran at one moment I5  what is gone, or whose node was told of its end, runs no more I7  what
 * runs is in the log (and was before it ran); what the log says runs is there */
#include "check.h"
#include "checker.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 30, CLOCK_MS = 100 };

struct life { /* one generation, as the log has it */
    struct mf_uuid id, slot;
    char name[256], node[64];
    uint64_t generation;
    mf_ms created_ms;
    mf_ms over_ms; /* it must be gone: proven, or its node was told; 0 while not */
    mf_ms gone_ms; /* proven not to exist */
    mf_ms ends_ms; /* it is not to run any more, whoever knows of it yet */
    mf_ms running_ms, not_running_ms;
    bool running; /* says the log */
    bool current;
    bool at_most;
    struct mf_uuid replaced_by;
};
struct judge {
    const struct mf_watch *watch;
    const struct mf_judge_options *options;
    struct mf_map *lives;     /* by id */
    struct mf_map *order;     /* the same, by their place in the log: numbers */
    struct mf_map *current;   /* struct life by slot */
    struct mf_map *policies;  /* group ids that are at-most: any value */
    struct mf_map *strangers; /* ids told by domain.unknown */
    size_t n;
    uint64_t counts[8], overlaps, events;
    mf_ms doubled_ms; /* longest, in groups that may be doubled */
    json_t *told;
};

__attribute__((format(printf, 3, 4))) static void complain(struct judge *self, int invariant,
                                                           const char *format, ...)
{
    char text[1024];
    va_list args;
    int n = snprintf(text, sizeof text, "I%d: ", invariant);
    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    self->counts[invariant]++;
    if (json_array_size(self->told) < TOLD_MAX)
        json_array_append_new(self->told, json_string(text));
}

/* -- reading the log */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static mf_ms number_of(const json_t *object, const char *key)
{
    return (mf_ms)json_integer_value(json_object_get(object, key));
}

static bool id_of(const json_t *data, const char *key, struct mf_uuid *ret_id)
{
    const char *text = text_of(data, key);
    return mf_uuid_parse(text, strlen(text), ret_id);
}

static struct life *life_of(struct judge *self, const json_t *data)
{
    struct mf_uuid id;
    return id_of(data, "id", &id) ? mf_map_get_uuid(self->lives, id) : NULL;
}

/* A group's id with the slot's number folded in: one key for both. */
static struct mf_uuid slot_key(struct mf_uuid group, uint64_t slot)
{
    for (int i = 0; i < 8; i++)
        group.bytes[i] ^= (uint8_t)((slot + 1) >> (8 * i));
    return group;
}

static bool named(const char *list, const char *group)
{
    size_t len = strlen(group);
    for (const char *at = list; at && (at = strstr(at, group)); at += len)
        if ((at == list || at[-1] == ' ') && (!at[len] || at[len] == ' '))
            return true;
    return false;
}

/* default/web/3#1: web */
static void group_of(const char *subject, char ret_group[64])
{
    const char *first = strchr(subject, '/');
    const char *name = first ? first + 1 : subject;
    snprintf(ret_group, 64, "%.*s", (int)strcspn(name, "/#"), name);
}

static void end_running(struct life *life, mf_ms now)
{
    if (life->running)
        life->not_running_ms = now;
    life->running = false;
}

static void make_current(struct judge *self, struct life *life)
{
    struct life *before = mf_map_get_uuid(self->current, life->slot);
    if (before && before != life && before->current)
        complain(self, 2, "%s is current while %s is", life->name, before->name);
    life->current = true;
    mf_map_put(self->current, life->slot.bytes, sizeof life->slot.bytes, life);
}

static void note_replaced(struct judge *self, const json_t *data, const struct life *life)
{
    struct mf_uuid id;
    struct life *old = id_of(data, "replaces", &id) ? mf_map_get_uuid(self->lives, id) : NULL;
    if (!old)
        return;
    if (!mf_uuid_is_zero(old->replaced_by))
        complain(self, 2, "%s is replaced again, by %s", old->name, life->name);
    old->replaced_by = life->id;
}

static void on_born(struct judge *self, const json_t *event, const json_t *data, mf_ms now)
{
    struct mf_uuid group, id;
    char group_name[64];
    if (!id_of(data, "id", &id) || !id_of(data, "group_id", &group) || mf_map_get_uuid(self->lives, id))
        return;
    struct life *life = calloc(1, sizeof *life);
    MF_CHECK(life);
    life->id = id;
    life->slot = slot_key(group, (uint64_t)number_of(data, "slot"));
    life->generation = (uint64_t)number_of(data, "generation");
    life->created_ms = now;
    snprintf(life->name, sizeof life->name, "%s", text_of(event, "subject"));
    group_of(life->name, group_name);
    life->at_most = mf_map_get_uuid(self->policies, group) || named(self->options->single, group_name);
    struct life *before = mf_map_get_uuid(self->current, life->slot);
    if (before && before->generation >= life->generation)
        complain(self, 2, "%s is born after %s", life->name, before->name);
    mf_map_put(self->lives, id.bytes, sizeof id.bytes, life);
    self->n++;
    mf_map_put(self->order, &self->n, sizeof self->n, life);
    note_replaced(self, data, life);
    make_current(self, life);
}

static void on_running(struct judge *self, const json_t *data, mf_ms now)
{
    struct life *life = life_of(self, data);
    if (!life)
        return;
    snprintf(life->node, sizeof life->node, "%s", text_of(data, "node"));
    life->running = true;
    life->running_ms = now;
    life->ends_ms = 0;
}

static void on_reinstated(struct judge *self, const json_t *data, mf_ms now)
{
    struct life *life = life_of(self, data);
    if (!life)
        return;
    struct life *successor = mf_map_get_uuid(self->current, life->slot);
    if (successor && successor != life)
        successor->current = false; /* its tombstone or its end is in the same commit */
    life->replaced_by = (struct mf_uuid){0};
    make_current(self, life);
    on_running(self, data, now);
}

/* It ended, or is to end. `proven`: it does not exist; `told`: its node was told so. */
static void on_end(struct judge *self, const json_t *data, mf_ms now, bool proven, bool told)
{
    struct life *life = life_of(self, data);
    if (!life)
        return;
    life->current = false;
    end_running(life, now);
    if (!life->ends_ms)
        life->ends_ms = now;
    if (proven && !life->gone_ms)
        life->gone_ms = now;
    if ((proven || told) && !life->over_ms)
        life->over_ms = now + number_of(data, "grace_ms");
    if (*text_of(data, "node"))
        snprintf(life->node, sizeof life->node, "%s", text_of(data, "node"));
}

/* A node is ready once nothing that must not run is left on it: it was told of all that ended before. */
static void on_node_ready(struct judge *self, const json_t *data, mf_ms now)
{
    const char *node = text_of(data, "node");
    for (size_t i = 1; i <= self->n; i++) {
        struct life *life = mf_map_get(self->order, &i, sizeof i);
        if (life->ends_ms && !life->over_ms && !strcmp(life->node, node))
            life->over_ms = now;
    }
}

/* Orders die with their epoch: what the node had not carried out yet, it must be told again. */
static void on_epoch_over(struct judge *self, const json_t *data)
{
    const char *node = text_of(data, "node");
    for (size_t i = 1; i <= self->n; i++) {
        struct life *life = mf_map_get(self->order, &i, sizeof i);
        if (!life->gone_ms && !strcmp(life->node, node))
            life->over_ms = 0;
    }
}

static void note_group(struct judge *self, const json_t *data)
{
    struct mf_uuid id;
    if (!strcmp(text_of(data, "policy"), "at-most") && id_of(data, "group_id", &id))
        mf_map_put(self->policies, id.bytes, sizeof id.bytes, self);
}

static void note_stranger(struct judge *self, const json_t *data)
{
    struct mf_uuid id;
    if (id_of(data, "id", &id))
        mf_map_put(self->strangers, id.bytes, sizeof id.bytes, self);
}

static void note_node(struct judge *self, const json_t *data)
{
    struct life *life = life_of(self, data);
    if (life)
        snprintf(life->node, sizeof life->node, "%s", text_of(data, "node"));
}

static void take_event(struct judge *self, const json_t *event)
{
    const char *type = text_of(event, "type");
    const json_t *data = json_object_get(event, "data");
    mf_ms now = number_of(event, "time_ms");
#define IS(word) (!strcmp(type, word))
    if (IS("group.created"))
        note_group(self, data);
    else if (IS("instance.created") || IS("instance.adopted"))
        on_born(self, event, data, now);
    else if (IS("instance.placed"))
        note_node(self, data);
    else if (IS("instance.running"))
        on_running(self, data, now);
    else if (IS("instance.reinstated"))
        on_reinstated(self, data, now);
    else if (IS("instance.lost") || IS("instance.tombstoned") || IS("instance.failed"))
        on_end(self, data, now, false, false);
    else if (IS("instance.superseded")) {
        struct life *life = life_of(self, data);
        if (life)
            life->current = false;
    } else if (IS("instance.destroying"))
        on_end(self, data, now, false, true);
    else if (IS("order.expired") && !strcmp(text_of(data, "operation"), "create"))
        on_end(self, data, now, false, false);
    else if (IS("instance.died") || IS("instance.gone"))
        on_end(self, data, now, true, true);
    else if (IS("node.ready"))
        on_node_ready(self, data, now);
    else if (IS("node.failed") || IS("node.joined"))
        on_epoch_over(self, data);
    else if (IS("domain.unknown"))
        note_stranger(self, data);
#undef IS
    self->events++;
}

static int read_events(struct judge *self, FILE *events, char error[512])
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int r = 0;
    while (r == 0 && (len = getline(&line, &size, events)) > 0) {
        json_error_t wrong;
        json_t *event = json_loadb(line, (size_t)len, 0, &wrong);
        if (event)
            take_event(self, event);
        else
            r = -EINVAL;
        if (r < 0)
            snprintf(error, 512, "event %" PRIu64 " is no JSON: %s: %.200s", self->events + 1, wrong.text,
                     line);
        json_decref(event);
    }
    free(line);
    return r;
}

/* -- comparing */

static mf_ms last_of(const struct mf_spans *spans)
{
    return spans->n ? spans->items[spans->n - 1].to : 0;
}

/* How long both certainly went on at once; 0 if they did not. */
static mf_ms overlap(const struct mf_spans *a, const struct mf_spans *b)
{
    mf_ms longest = 0;
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++) {
            mf_ms from = a->items[i].from > b->items[k].from ? a->items[i].from : b->items[k].from;
            mf_ms to = a->items[i].to < b->items[k].to ? a->items[i].to : b->items[k].to;
            if (to - from > longest)
                longest = to - from;
        }
    return longest;
}

static void check_pair(struct judge *self, const struct life *a, const struct mf_seen *seen_a,
                       const struct life *b, const struct mf_seen *seen_b)
{
    mf_ms runs = overlap(&seen_a->runs, &seen_b->runs), beats = overlap(&seen_a->beats, &seen_b->beats);
    mf_ms longest = runs > beats ? runs : beats;
    if (a->at_most && longest > self->options->allow_ms) {
        self->overlaps++;
        complain(self, 3, "%s on %s and %s on %s ran at once for %lld ms%s", a->name, seen_a->node, b->name,
                 seen_b->node, (long long)longest, beats > runs ? ", as their consoles show" : "");
    }
    if (!a->at_most && longest > self->doubled_ms)
        self->doubled_ms = longest;
}

/* All pairs of a slot: its generations that were seen, chained as they come. */
struct chain {
    const struct life *life;
    const struct mf_seen *seen;
    struct chain *next;
};

static void check_overlaps(struct judge *self)
{
    struct mf_map *slots = mf_map_new();
    struct chain *links = calloc(self->n + 1, sizeof *links);
    MF_CHECK(links);
    for (size_t i = 1; i <= self->n; i++) {
        const struct life *life = mf_map_get(self->order, &i, sizeof i);
        const struct mf_seen *seen = mf_map_get_uuid(mf_watch_seen(self->watch), life->id);
        if (!seen)
            continue;
        struct chain *before = mf_map_get_uuid(slots, life->slot);
        for (const struct chain *other = before; other; other = other->next)
            check_pair(self, other->life, other->seen, life, seen);
        links[i] = (struct chain){.life = life, .seen = seen, .next = before};
        mf_map_put(slots, life->slot.bytes, sizeof life->slot.bytes, &links[i]);
    }
    mf_map_destroy(&slots);
    free(links);
}

static void check_ended(struct judge *self, const struct life *life, const struct mf_seen *seen)
{
    mf_ms last = last_of(&seen->runs);
    if (life->gone_ms && last > life->gone_ms + CLOCK_MS)
        complain(self, 5, "%s ran %lld ms after it was proven gone", life->name,
                 (long long)(last - life->gone_ms));
    else if (life->over_ms && last > life->over_ms + self->options->told_ms)
        complain(self, 5, "%s ran %lld ms after its node was told of its end", life->name,
                 (long long)(last - life->over_ms));
}

static void check_known(struct judge *self, const struct mf_seen *seen)
{
    char id[MF_UUID_TEXT];
    const struct life *life = mf_map_get_uuid(self->lives, seen->id);
    const char *beats = seen->beat_name[0] ? seen->beat_name : NULL;
    if (!life && !mf_map_get_uuid(self->strangers, seen->id))
        complain(self, 7, "%s ran on %s and the log does not know it", mf_uuid_text(seen->id, id),
                 seen->node);
    if (!life)
        return;
    if (seen->exists.items[0].from < life->created_ms - CLOCK_MS)
        complain(self, 7, "%s was there %lld ms before the log had it", life->name,
                 (long long)(life->created_ms - seen->exists.items[0].from));
    if (beats && !strstr(life->name, beats))
        complain(self, 7, "%s calls itself %s", life->name, beats);
}

/* The log says that it runs: from when to when, in the time that was watched. */
static void check_there(struct judge *self, const struct life *life, const struct mf_seen *seen)
{
    struct mf_watch_report report = mf_watch_report(self->watch);
    mf_ms last = seen ? last_of(&seen->exists) : 0, report_ms = self->options->report_ms;
    if (life->running && life->running_ms + self->options->settle_ms < report.last_ms &&
        last + self->options->settle_ms < report.last_ms)
        complain(self, 7, "%s runs on %s says the log, but it was not there for %lld ms", life->name,
                 life->node, (long long)(report.last_ms - (last ? last : life->running_ms)));
    if (life->running && seen && strcmp(seen->node, life->node) != 0)
        complain(self, 7, "%s runs on %s says the log, but it is on %s", life->name, life->node, seen->node);
    if (report_ms && last && life->not_running_ms > last + report_ms)
        complain(self, 7, "%s was gone for %lld ms before the log had it", life->name,
                 (long long)(life->not_running_ms - last));
}

static void compare(struct judge *self)
{
    size_t cursor = 0;
    for (void *seen; mf_map_next(mf_watch_seen(self->watch), &cursor, &seen);)
        check_known(self, seen);
    for (size_t i = 1; i <= self->n; i++) {
        const struct life *life = mf_map_get(self->order, &i, sizeof i);
        const struct mf_seen *seen = mf_map_get_uuid(mf_watch_seen(self->watch), life->id);
        if (seen)
            check_ended(self, life, seen);
        check_there(self, life, seen);
    }
    check_overlaps(self);
}

/* -- the verdict */

static size_t count_beating(const struct judge *self)
{
    size_t n = 0, cursor = 0;
    for (void *item; mf_map_next(mf_watch_seen(self->watch), &cursor, &item);)
        n += ((const struct mf_seen *)item)->beat > 0;
    return n;
}

static json_t *verdict(const struct judge *self)
{
    struct mf_watch_report report = mf_watch_report(self->watch);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "sweeps",
        (json_int_t)report.sweeps, "watched_ms", (json_int_t)(report.last_ms - report.first_ms),
        "longest_gap_ms", (json_int_t)report.longest_ms, "events", (json_int_t)self->events, "generations",
        (json_int_t)self->n, "seen", (json_int_t)mf_map_size(mf_watch_seen(self->watch)), "beating",
        (json_int_t)count_beating(self), "overlaps", (json_int_t)self->overlaps, "doubled_ms",
        (json_int_t)self->doubled_ms, "I2", (json_int_t)self->counts[2], "I3", (json_int_t)self->counts[3],
        "I5", (json_int_t)self->counts[5], "I7", (json_int_t)self->counts[7], "told", self->told);
}

static void free_all(struct judge *self)
{
    size_t cursor = 0;
    for (void *life; mf_map_next(self->lives, &cursor, &life);)
        free(life);
    mf_map_destroy(&self->lives);
    mf_map_destroy(&self->order);
    mf_map_destroy(&self->current);
    mf_map_destroy(&self->policies);
    mf_map_destroy(&self->strangers);
    json_decref(self->told);
}

json_t *mf_judge(const struct mf_watch *watch, const struct mf_judge_options *options, FILE *events,
                 char error[512])
{
    struct judge judge = {.watch = watch,
                          .options = options,
                          .lives = mf_map_new(),
                          .order = mf_map_new(),
                          .current = mf_map_new(),
                          .policies = mf_map_new(),
                          .strangers = mf_map_new(),
                          .told = json_array()};
    json_t *result = NULL;
    if (read_events(&judge, events, error) == 0) {
        compare(&judge);
        result = verdict(&judge);
    }
    free_all(&judge);
    return result;
}
