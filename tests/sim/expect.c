/* What a scenario expects, read from the log and from what really runs. */
#include "model.h"
#include "play.h"
#include "sim_broker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- the mark */

static void each_slot(struct play *self,
                      bool (*what)(struct play *self, const char *name, const struct mf_sim_slot *slot))
{
    size_t groups = 0;
    char name[128];
    for (void *value; mf_map_next(self->world->model->groups, &groups, &value);) {
        const struct mf_sim_group *group = value;
        size_t slots = 0;
        for (void *slot; group->state == MF_GROUP_STATE_ACTIVE && mf_map_next(group->slots, &slots, &slot);) {
            snprintf(name, sizeof(name), "%s/%llu", group->name,
                     (unsigned long long)((struct mf_sim_slot *)slot)->number);
            if (!what(self, name, slot))
                return;
        }
    }
}

static bool remember(struct play *self, const char *name, const struct mf_sim_slot *slot)
{
    if (slot->current)
        mf_map_put_str(self->generations, mf_str(name), slot->current);
    return true;
}

bool mf_sim_play_mark(struct play *self)
{
    self->mark = mf_sim_model_seq(self->world->model);
    mf_map_clear(self->generations);
    each_slot(self, remember);
    return true;
}

/* -- expectations */

static bool below(struct mf_str subject, const char *wanted)
{
    size_t len = strlen(wanted);
    return subject.len >= len && memcmp(subject.ptr, wanted, len) == 0 &&
           (subject.len == len || subject.ptr[len] == '/' || subject.ptr[len] == '#');
}

/* As a person names it: node-1 for node/node-1, web or web/3 for default/web/3#1, or the whole. */
static bool is_subject(struct mf_str subject, const char *wanted)
{
    const char *slash = memchr(subject.ptr, '/', subject.len);
    struct mf_str rest = subject;
    if (slash)
        rest = (struct mf_str){slash + 1, subject.len - (uint32_t)(slash + 1 - subject.ptr)};
    return !*wanted || below(subject, wanted) || below(rest, wanted);
}

/* `expect [no] event TYPE [SUBJECT] [count=N] within|for T` */
struct events {
    const char *type, *subject;
    uint64_t count;
    mf_ms time;
    bool no;
};

static bool read_events(const struct play *self, struct events *ret)
{
    unsigned i = mf_sim_play_is(self, 1, "no") ? 3 : 2;
    *ret = (struct events){.no = i == 3, .type = mf_sim_play_word(self, i), .subject = "", .count = 1};
    const char *last = mf_sim_play_word(self, self->at->n - 1),
               *count = mf_sim_statement_option(self->at, "count");
    if (count)
        ret->count = strtoull(count, NULL, 10);
    const char *next = mf_sim_play_word(self, ++i);
    if (*next && strncmp(next, "count=", 6) != 0 && strcmp(next, "within") != 0 && strcmp(next, "for") != 0)
        ret->subject = next;
    return mf_sim_script_time(last, &ret->time);
}

static uint64_t count_events(const struct play *self, const struct events *what)
{
    const struct mf_sim_store *store = mf_sim_broker_store(self->world->broker);
    uint64_t n = 0;
    for (uint64_t seq = self->mark + 1; seq <= mf_sim_store_newest(store); seq++) {
        const struct mf_sim_row *row = mf_sim_store_row(store, seq);
        n +=
            strcmp(mf_kind_desc(row->kind)->wire, what->type) == 0 && is_subject(row->subject, what->subject);
    }
    return n;
}

static bool events_came(struct play *self)
{
    struct events what;
    read_events(self, &what);
    return count_events(self, &what) >= what.count;
}

static bool expect_events(struct play *self)
{
    struct events what;
    if (!read_events(self, &what))
        return mf_sim_play_unreadable(self);
    bool came = mf_sim_play_wait(self, events_came, what.time);
    if (what.no && came)
        return mf_sim_play_unmet(self, "there is a %s", what.type);
    if (!what.no && !came)
        return mf_sim_play_unmet(self, "%llu of %llu such events",
                                 (unsigned long long)count_events(self, &what),
                                 (unsigned long long)what.count);
    return true;
}

static uint64_t count_running(const struct play *self, const char *group)
{
    uint64_t n = 0;
    for (const struct mf_sim_instance *i = self->world->model->living; i; i = i->next) {
        bool only = i->state == MF_INSTANCE_STATE_RETIRING &&
                    !(i->slot->current && i->slot->current->state == MF_INSTANCE_STATE_RUNNING);
        n += (i->state == MF_INSTANCE_STATE_RUNNING || only) && strcmp(i->group->name, group) == 0;
    }
    return n;
}

static bool enough_run(struct play *self)
{
    return count_running(self, mf_sim_play_word(self, 2)) == strtoull(mf_sim_play_word(self, 3), NULL, 10);
}

static bool is_gone(struct play *self)
{
    size_t cursor = 0;
    for (void *value; mf_map_next(self->world->model->groups, &cursor, &value);)
        if (strcmp(((struct mf_sim_group *)value)->name, mf_sim_play_word(self, 2)) == 0 &&
            ((struct mf_sim_group *)value)->state != MF_GROUP_STATE_GONE)
            return false;
    return true;
}

static bool same_generation(struct play *self, const char *name, const struct mf_sim_slot *slot)
{
    size_t len = strlen(mf_sim_play_word(self, 2));
    if (strncmp(name, mf_sim_play_word(self, 2), len) == 0 && name[len] == '/' &&
        mf_map_get_str(self->generations, mf_str(name)) != slot->current)
        return mf_sim_play_unmet(self, "%s has another generation", name);
    return true;
}

static bool expect_same(struct play *self)
{
    self->why[0] = 0;
    each_slot(self, same_generation);
    return !self->why[0];
}

static bool expect_single(struct play *self)
{
    self->world->model->watched = mf_sim_model_active_group(self->world->model, mf_sim_play_word(self, 2));
    return self->world->model->watched ||
           mf_sim_play_unmet(self, "there is no group %s", mf_sim_play_word(self, 2));
}

bool mf_sim_play_expect(struct play *self)
{
    mf_ms time = 0;
    bool timed = mf_sim_script_time(mf_sim_play_word(self, self->at->n - 1), &time);
    if (mf_sim_play_is(self, 1, "event") || mf_sim_play_is(self, 1, "no"))
        return expect_events(self);
    if (mf_sim_play_is(self, 1, "same"))
        return expect_same(self);
    if (mf_sim_play_is(self, 1, "single"))
        return expect_single(self);
    if (mf_sim_play_is(self, 1, "running") && timed)
        return mf_sim_play_wait(self, enough_run, time) ||
               mf_sim_play_unmet(self, "%llu of %s run",
                                 (unsigned long long)count_running(self, mf_sim_play_word(self, 2)),
                                 mf_sim_play_word(self, 2));
    if (mf_sim_play_is(self, 1, "gone") && timed)
        return mf_sim_play_wait(self, is_gone, time) || mf_sim_play_unmet(self, "it is not");
    return mf_sim_play_unreadable(self);
}
