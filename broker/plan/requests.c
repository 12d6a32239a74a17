/* requests.c - see requests.h. */
#include "requests.h"
#include "check.h"
#include "files.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE_MS = 100 }; /* a broker that looks at many together takes a moment */
#define IMAGE "mayfly-plan"

struct run {
    struct mf_rehearsal *rehearsal;
    struct mf_trace *trace;
    struct mf_heap ends;
    struct mf_map *groups; /* name -> the newest row of it */
    mf_ms began;
};

/* ------------------------------------------------------------------ before anything is asked */

/* Of whoever names no group: one that no other has, of another step neither. */
static struct mf_str own_name(const struct run *run, struct mf_trace_row *row)
{
    struct mf_str name;
    uint32_t step = run->rehearsal->step;

    do
        name = mf_str_format(row->name, sizeof(row->name), "plan-%u-line-%zu", step++, row->line);
    while (mf_group_active(run->rehearsal->b, name));
    return name;
}

static int check_row(struct run *run, const char *path, struct mf_trace_row *row, char error[512])
{
    const struct mf_broker *b = run->rehearsal->b;
    struct mf_str name = row->group;
    const struct mf_group *group;
    const struct mf_trace_row *other;

    if (!mf_offering_find(b, row->offering))
        return mf_fail(error, -EINVAL, "%.200s:%zu: there is no offering %.*s in the copy", path, row->line,
                       MF_STR_ARG(row->offering));
    if (!name.len)
        name = own_name(run, row);
    else
        mf_str_format(row->name, sizeof(row->name), "%.*s", MF_STR_ARG(name));
    group = mf_group_active(b, name);
    other = mf_map_get_str(run->groups, name);
    if ((group && !mf_str_eq(group->offering->rec.name, row->offering)) ||
        (other && !mf_str_eq(other->offering, row->offering)))
        return mf_fail(error, -EINVAL, "%.200s:%zu: group %s has another offering than %.*s", path, row->line,
                       row->name, MF_STR_ARG(row->offering));
    mf_map_put_str(run->groups, name, row);
    return 0;
}

static int check_rows(struct run *run, const char *path, char error[512])
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < run->trace->n; i++)
        r = check_row(run, path, &run->trace->rows[i], error);
    mf_map_clear(run->groups);
    return r;
}

/* Nothing need be fetched to boot it: it makes no node better than another. */
static int add_image(struct mf_rehearsal *self, char error[512])
{
    struct mf_message add = {.kind = MF_MSG_IMAGE_ADD,
                             .image_add = {.image = {.name = mf_str(IMAGE),
                                                     .kernel = mf_str("none"),
                                                     .kernel_sha256 = {{1}},
                                                     .initrd = mf_str("none"),
                                                     .initrd_sha256 = {{1}}}}};

    return mf_image_find(self->b, mf_str(IMAGE)) ? 0 : mf_rehearsal_ask(self, add, error);
}

/* ------------------------------------------------------------------ births and ends */

static struct mf_trace_row *row_of(struct run *run, const struct mf_instance *inst)
{
    struct mf_trace_row *row = mf_map_get_str(run->groups, mf_group_of(inst)->name);

    while (row && (inst->slot->index < row->first_slot || inst->slot->index >= row->first_slot + row->count))
        row = row->next_of_group;
    return row;
}

static void placed(void *arg, const struct mf_instance *inst)
{
    struct run *run = arg;
    struct mf_trace_row *row = row_of(run, inst);
    mf_ms now = run->rehearsal->now, waited;

    if (!row || row->placed == row->count)
        return;
    waited = now - run->began - row->at;
    row->placed++;
    row->at_once += waited <= AT_ONCE_MS;
    row->waited_ms += (uint64_t)waited;
    row->longest_ms = waited > row->longest_ms ? waited : row->longest_ms;
    if (row->placed == row->count && row->life)
        mf_heap_set(&run->ends, &row->end, now + row->life);
}

static int ask_count(struct run *run, const struct mf_trace_row *row, uint64_t count, char error[512])
{
    struct mf_message scale = {.kind = MF_MSG_SCALE, .scale = {.group = mf_str(row->name), .count = count}};
    struct mf_message provision = {
        .kind = MF_MSG_PROVISION,
        .provision = {
            .group = mf_str(row->name), .count = count, .image = mf_str(IMAGE), .offering = row->offering}};
    bool there = mf_group_active(run->rehearsal->b, mf_str(row->name)) != NULL;

    return mf_rehearsal_ask(run->rehearsal, there ? scale : provision, error);
}

static void begin(struct run *run, struct mf_trace_row *row)
{
    const struct mf_group *group = mf_group_active(run->rehearsal->b, mf_str(row->name));
    char error[512];

    row->first_slot = group ? group->desired : 0;
    row->next_of_group = mf_map_put_str(run->groups, mf_str(row->name), row);
    if (ask_count(run, row, row->first_slot + row->count, error) == 0)
        return;
    row->refused = (char *)mf_str_dup(&run->rehearsal->arena, mf_str(error)).ptr;
    if (row->next_of_group)
        mf_map_put_str(run->groups, mf_str(row->name), row->next_of_group);
    else
        mf_map_del_str(run->groups, mf_str(row->name));
}

static void end(struct run *run, struct mf_trace_row *row)
{
    struct mf_message destroy = {.kind = MF_MSG_DESTROY, .destroy = {.target = mf_str(row->name)}};
    const struct mf_group *group = mf_group_active(run->rehearsal->b, mf_str(row->name));
    char ignored[512];

    if (!group)
        return;
    if (!row->group.len || group->desired <= row->count)
        mf_rehearsal_ask(run->rehearsal, destroy, ignored);
    else
        ask_count(run, row, group->desired - row->count, ignored);
}

#define ROW_OF(timer) ((struct mf_trace_row *)(void *)((char *)(timer)-offsetof(struct mf_trace_row, end)))

static void end_until(struct run *run, mf_ms then)
{
    struct mf_timer *timer;

    while ((timer = mf_heap_first(&run->ends)) && timer->when <= then) {
        mf_rehearsal_until(run->rehearsal, timer->when);
        timer = mf_heap_take(&run->ends, timer->when);
        end(run, ROW_OF(timer));
    }
}

static void play(struct run *run)
{
    struct mf_rehearsal *self = run->rehearsal;

    for (size_t i = 0; i < run->trace->n; i++) {
        struct mf_trace_row *row = &run->trace->rows[i];
        end_until(run, run->began + row->at);
        if (run->began + row->at > self->now)
            mf_rehearsal_until(self, run->began + row->at);
        begin(run, row);
    }
    do { /* what waited until an end is born, and has an end itself */
        end_until(run, INT64_MAX);
        mf_rehearsal_settle(self);
    } while (mf_heap_first(&run->ends));
}

int mf_requests_run(struct mf_rehearsal *self, const char *path, struct mf_trace *trace, char error[512])
{
    struct run run = {.rehearsal = self, .trace = trace, .groups = mf_map_new(), .began = self->now};
    int r = check_rows(&run, path, error);

    if (r == 0)
        r = add_image(self, error);
    if (r == 0) {
        self->placed = placed;
        self->placed_arg = &run;
        play(&run);
        self->placed = NULL;
    }
    mf_map_destroy(&run.groups);
    mf_heap_free(&run.ends);
    return r;
}
