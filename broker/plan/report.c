/* report.c - what changed between two censuses, and every birth on the way. What did not change is left out:
 * of ten thousand nodes a plan touches a few. */
#include "report.h"
#include "check.h"

static json_int_t number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

/* ------------------------------------------------------------------ births */

static json_t *placement(const struct mf_move *move)
{
    json_t *row = json_pack("{sI sI ss sI sI ss}", "step", (json_int_t)move->step, "at_ms",
                            (json_int_t)move->at, "group", move->group, "slot", (json_int_t)move->slot,
                            "generation", (json_int_t)move->generation, "node", move->node);

    if (move->from)
        json_object_set_new(row, "from", json_string(move->from));
    if (move->born)
        json_object_set_new(row, "born", json_string(mf_birth_reason_word(move->born)));
    return row;
}

static json_t *placements(const struct mf_rehearsal *rehearsal)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < rehearsal->n_moves; i++)
        json_array_append_new(rows, placement(&rehearsal->moves[i]));
    return rows;
}

static void count(json_t *counts, const char *name)
{
    json_object_set_new(counts, name, json_integer(number(counts, name) + 1));
}

/* ------------------------------------------------------------------ groups */

static json_t *group_row(const char *name, const json_t *before, const json_t *after, json_int_t moved,
                         json_int_t placed)
{
    json_t *row = json_pack("{ss sI sI sI sI sI}", "group", name, "running_before", number(before, "running"),
                            "running", number(after, "running"), "pending", number(after, "pending"), "moved",
                            moved, "placed", placed);

    if (json_object_get(after, "reason"))
        json_object_set(row, "reason", json_object_get(after, "reason"));
    if (!after)
        json_object_set_new(row, "ended", json_true());
    return row;
}

static void add_group(json_t *rows, const char *name, const json_t *before, const json_t *after,
                      const json_t *moved, const json_t *placed)
{
    json_int_t m = number(moved, name), p = number(placed, name);

    if (m || p || number(after, "pending") || number(before, "running") != number(after, "running"))
        json_array_append_new(rows, group_row(name, before, after, m, p));
}

/* moved: it had a node, and has another; placed: it had none. */
static json_t *groups(const struct mf_plan_report *report)
{
    json_t *rows = json_array(), *moved = json_object(), *placed = json_object(), *value;
    const json_t *before = json_object_get(report->before, "groups");
    json_t *after = json_object_get(report->after, "groups");
    const char *name;

    for (size_t i = 0; i < report->rehearsal->n_moves; i++) {
        const struct mf_move *move = &report->rehearsal->moves[i];
        count(move->from ? moved : placed, move->group);
    }
    json_object_foreach(after, name, value)
        add_group(rows, name, json_object_get(before, name), value, moved, placed);
    json_object_foreach((json_t *)before, name, value)
    {
        if (!json_object_get(after, name))
            add_group(rows, name, value, NULL, moved, placed);
    }
    json_decref(moved);
    json_decref(placed);
    return rows;
}

/* ------------------------------------------------------------------ nodes */

static bool same(const json_t *before, const json_t *after)
{
    return before && json_equal((json_t *)before, (json_t *)after);
}

/* before is absent of one that was added, after of one that was removed. */
static json_t *nodes(const struct mf_plan_report *report)
{
    json_t *rows = json_array(), *before = json_object_get(report->before, "nodes");
    json_t *after = json_object_get(report->after, "nodes"), *value;
    const char *name;

    json_object_foreach(after, name, value)
    {
        json_t *was = json_object_get(before, name);
        if (!same(was, value))
            json_array_append_new(rows,
                                  json_pack("{ss sO* sO}", "node", name, "before", was, "after", value));
    }
    json_object_foreach(before, name, value)
    {
        if (!json_object_get(after, name))
            json_array_append_new(rows, json_pack("{ss sO}", "node", name, "before", value));
    }
    return rows;
}

/* ------------------------------------------------------------------ capacity */

static json_t *capacity(const struct mf_plan_report *report)
{
    json_t *rows = json_array(), *before = json_object_get(report->before, "capacity"), *value;
    const char *name;

    json_object_foreach(json_object_get(report->after, "capacity"), name, value)
        json_array_append_new(rows, json_pack("{ss sO? sO}", "offering", name, "before",
                                              json_object_get(before, name), "after", value));
    return rows;
}

/* ------------------------------------------------------------------ requests */

static json_t *trace_row(const struct mf_trace_row *row)
{
    json_t *json = json_pack("{sI ss ss# sI sf sI sI}", "line", (json_int_t)row->line, "group", row->name,
                             "offering", row->offering.ptr, (int)row->offering.len, "count",
                             (json_int_t)row->count, "at_s", (double)row->at / 1000, "placed",
                             (json_int_t)row->placed, "at_once", (json_int_t)row->at_once);

    if (row->longest_ms)
        json_object_set_new(json, "wait_s", json_real((double)row->longest_ms / 1000));
    if (row->refused)
        json_object_set_new(json, "refused", json_string(row->refused));
    return json;
}

json_t *mf_report_step(const struct mf_rehearsal *rehearsal, const char *what)
{
    json_int_t births = 0;

    for (size_t i = rehearsal->n_moves; i > 0 && rehearsal->moves[i - 1].step == rehearsal->step; i--)
        births++;
    return json_pack("{ss sI sf}", "what", what, "births", births, "seconds",
                     (double)(rehearsal->last_at - rehearsal->step_at) / 1000);
}

struct sums {
    uint64_t asked, placed, at_once, refused, waited_ms;
    mf_ms longest_ms;
};

static void add_sums(struct sums *sums, const struct mf_trace_row *row)
{
    sums->asked += row->count;
    sums->placed += row->placed;
    sums->at_once += row->at_once;
    sums->refused += row->refused ? row->count : 0;
    sums->waited_ms += row->waited_ms;
    sums->longest_ms = row->longest_ms > sums->longest_ms ? row->longest_ms : sums->longest_ms;
}

void mf_report_trace(json_t *requests, const char *path, const struct mf_trace *trace)
{
    json_t *rows = json_array();
    struct sums s = {0};

    for (size_t i = 0; i < trace->n; i++) {
        json_array_append_new(rows, trace_row(&trace->rows[i]));
        add_sums(&s, &trace->rows[i]);
    }
    json_array_append_new(requests,
                          json_pack("{ss sI sI sI sI sI sI sf sf so}", "file", path, "requests",
                                    (json_int_t)trace->n, "instances", (json_int_t)s.asked, "placed_at_once",
                                    (json_int_t)s.at_once, "placed_later", (json_int_t)(s.placed - s.at_once),
                                    "refused", (json_int_t)s.refused, "never_placed",
                                    (json_int_t)(s.asked - s.placed - s.refused), "mean_wait_s",
                                    s.placed ? (double)s.waited_ms / 1000 / (double)s.placed : 0.0,
                                    "longest_wait_s", (double)s.longest_ms / 1000, "rows", rows));
}

json_t *mf_report(const struct mf_plan_report *report)
{
    const struct mf_rehearsal *rehearsal = report->rehearsal;
    json_t *json =
        json_pack("{sI sI so sO sO so so so so}", "seq", (json_int_t)report->seq, "copied_ms",
                  (json_int_t)rehearsal->wall, "steps", report->steps, "before",
                  json_object_get(report->before, "totals"), "after",
                  json_object_get(report->after, "totals"), "groups", groups(report), "nodes", nodes(report),
                  "capacity", capacity(report), "placements", placements(rehearsal));

    MF_CHECK(json);
    if (report->requests)
        json_object_set_new(json, "requests", report->requests);
    json_decref(report->before);
    json_decref(report->after);
    return json;
}
