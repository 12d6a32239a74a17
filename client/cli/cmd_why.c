/* `mayfly why`: fetches the subject's rows, then the causes one by one, and tells the chain oldest first with
 * the milliseconds of each step. A chain is short (a request or a verdict, a birth, an order, a result), so a
 * fetch for each link is cheap in a log of millions. */
#include "json.h"
#include "output.h"
#include "sentence.h"
#include "story.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    LINKS_MAX = 64,
    QUIET_MS = 30000,
    BEFORE = 5 /* of a node or group, whose newest event often is a root: what led to it */
};

struct fetch {
    struct mf_cli *cli;
    struct mf_story *story;
    const struct mf_uuid *id; /* only the row that created this instance */
    uint64_t left;
    struct mf_rec_event_row found; /* with id */
    struct mayfly_error error;
    bool over, failed;
};

static bool creates(const struct mf_rec_event_row *row, const struct mf_uuid *id)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct mf_decode_error error;
    bool same = mf_str_is(row->type, mf_kind_desc(MF_EV_INSTANCE_CREATED)->wire) &&
                !mf_event_decode(MF_EV_INSTANCE_CREATED, row->data, &arena, &event, &error) &&
                mf_uuid_eq(event.instance_created.id, *id);
    mf_arena_free(&arena);
    return same;
}

static void on_notice(void *arg, const struct mayfly_notice *notice)
{
    struct fetch *fetch = arg;
    if (fetch->over)
        return;
    if (notice->error) {
        fetch->error = *notice->error;
        fetch->failed = fetch->over = true;
    } else if (!notice->row) {
        fetch->over = notice->live;
    } else if (!fetch->id || creates(notice->row, fetch->id)) {
        mf_story_add(fetch->story, notice->row, &fetch->cli->arena);
        fetch->over = !--fetch->left;
    }
}

/* 0, or an exit code, said. Rows go to the story. */
static int fetch_rows(struct fetch *fetch, const struct mayfly_filter *filter, uint64_t max)
{
    fetch->over = fetch->failed = false;
    fetch->left = max;
    uint64_t stream = mayfly_subscribe(fetch->cli->client, filter, on_notice, fetch);
    while (!fetch->over && mayfly_wait(fetch->cli->client, QUIET_MS) > 0)
        ;
    mayfly_unsubscribe(fetch->cli->client, stream);
    if (!fetch->over)
        return mf_cli_fail(fetch->cli, "the broker does not send its events; is it up? (mayfly status)");
    return fetch->failed && fetch->error.code != MF_E_EXPIRED ? mf_cli_error(fetch->cli, &fetch->error) : 0;
}

/* An id is known by the row that created its instance. */
static int resolve_id(struct fetch *fetch, struct mf_target *target)
{
    char text[MF_UUID_TEXT];
    struct mayfly_filter filter = {.type = "instance.created"};
    fetch->id = &target->id;
    int r = fetch_rows(fetch, &filter, 1);
    fetch->id = NULL;
    if (r)
        return r;
    if (!fetch->story->n || !mf_target_of_subject(fetch->story->rows[0].row.subject, target))
        return mf_cli_fail(fetch->cli,
                           "no retained event tells of an instance %s (see: mayfly instances -o json)",
                           mf_uuid_text(target->id, text));
    return 0;
}

/* A bare name is a group if the log knows one, else a node. */
static int fetch_subject(struct fetch *fetch, struct mf_target *target)
{
    struct mayfly_filter filter = {.subject = target->subject};
    int r = fetch_rows(fetch, &filter, UINT64_MAX);
    if (r || fetch->story->n || target->kind != MF_TARGET_NAME)
        return r;
    snprintf(target->subject, sizeof target->subject, "node/%s", target->name);
    target->kind = MF_TARGET_OTHER;
    return fetch_rows(fetch, &filter, UINT64_MAX);
}

/* Of a slot, what happened to its other generations is told too; of a group, its slots' own stories are left
 * out. */
static void keep_subject(struct mf_story *story, const struct mf_target *target)
{
    size_t n = 0;
    for (size_t i = 0; i < story->n; i++)
        if (target->kind != MF_TARGET_NAME || mf_str_is(story->rows[i].row.subject, target->subject))
            story->rows[n++] = story->rows[i];
    story->n = n;
}

static int fetch_causes(struct fetch *fetch, uint64_t end, uint64_t *ret_missing)
{
    uint64_t missing, last = 0;
    for (int i = 0; i < LINKS_MAX && (missing = mf_story_mark(fetch->story, end)) && missing != last; i++) {
        struct mayfly_filter filter = {.from = missing, .credit = 1};
        int r = fetch_rows(fetch, &filter, 1);
        if (r)
            return r;
        last = missing;
    }
    *ret_missing = mf_story_mark(fetch->story, end);
    return 0;
}

static uint64_t step_ms(const struct mf_story *story, size_t i)
{
    if (!i || story->rows[i].row.time_ms < story->rows[i - 1].row.time_ms)
        return 0;
    return story->rows[i].row.time_ms - story->rows[i - 1].row.time_ms;
}

static void print_json(const struct mf_story *story)
{
    char text[MF_SENTENCE];
    json_t *rows = json_array();
    for (size_t i = 0; i < story->n; i++) {
        const struct mf_rec_event_row *row = &story->rows[i].row;
        json_t *json = mf_json_event(row);
        json_object_set_new(json, "step_ms", mf_json_u64(step_ms(story, i)));
        json_object_set_new(json, "total_ms",
                            json_integer((json_int_t)row->time_ms - (json_int_t)story->rows[0].row.time_ms));
        json_object_set_new(json, "chain", json_boolean(story->rows[i].chain));
        json_object_set_new(json, "text", json_string(mf_sentence(row, text)));
        json_array_append_new(rows, json);
    }
    mf_output_array(rows);
}

static void print_text(const struct mf_story *story, uint64_t missing)
{
    char text[MF_SENTENCE], subject[256];
    if (missing)
        printf("     (its cause, event %" PRIu64 ", is older than what is retained)\n", missing);
    for (size_t i = 0; i < story->n; i++) {
        const struct mf_rec_event_row *row = &story->rows[i].row;
        mf_str_format(subject, sizeof subject, "%.*s", (int)row->subject.len, row->subject.ptr);
        mf_sentence_clean(subject);
        printf("%s %6" PRIu64 "  +%5" PRIu64 " ms  %-20.*s  %-24s  %s\n", story->rows[i].chain ? "*" : " ",
               row->seq, step_ms(story, i), (int)row->type.len, row->type.ptr, subject,
               mf_sentence(row, text));
    }
    if (story->n > 1)
        printf("%" PRId64 " ms from the first to the last; * is the chain of causes\n",
               (int64_t)story->rows[story->n - 1].row.time_ms - (int64_t)story->rows[0].row.time_ms);
}

static int tell(struct mf_cli *cli, struct fetch *fetch, struct mf_target *target)
{
    uint64_t missing = 0;
    int r = target->kind == MF_TARGET_UUID ? resolve_id(fetch, target) : 0;
    if (!r)
        r = fetch_subject(fetch, target);
    if (r)
        return r;
    const struct mf_story_row *newest = mf_story_newest(fetch->story, target);
    if (!newest)
        return mf_cli_fail(cli, "no retained event tells of %s", cli->args[0]);
    uint64_t end = newest->row.seq;
    keep_subject(fetch->story, target);
    r = fetch_causes(fetch, end, &missing);
    if (r)
        return r;
    mf_story_cut(fetch->story,
                 target->kind == MF_TARGET_OTHER || target->kind == MF_TARGET_NAME ? BEFORE : 0);
    if (cli->json)
        print_json(fetch->story);
    else
        print_text(fetch->story, missing);
    return MF_EXIT_OK;
}

static int run_why(struct mf_cli *cli)
{
    struct mf_story story = {0};
    struct fetch fetch = {.cli = cli, .story = &story};
    struct mf_target target;
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_STATUS};
    char error[256];
    if (mf_target_parse(cli->args[0], &target, error))
        return mf_cli_misuse(cli, "%s", error);
    int r = mf_cli_request(cli, &ask, &reply); /* is anybody there? */
    mayfly_reply_free(&reply);
    if (!r)
        r = tell(cli, &fetch, &target);
    mf_story_free(&story);
    return r;
}

const struct mf_cli_command mf_commands_why[] = {
    {"why", "SUBJECT",
     "Why is it so? The chain of causes, from the evidence, with the milliseconds of each step.",
     "SUBJECT is web/3 (its newest generation), web/3#2, an instance's UUID, a group, a node, or a subject "
     "of the event log.",
     NULL, 1, 1, MF_CLI_CONNECTS | MF_CLI_JSON, run_why},
    {0},
};
