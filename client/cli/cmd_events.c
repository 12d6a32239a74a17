/* `mayfly events`: the log, as it is retained and, with --follow, as it grows. */
#include "output.h"
#include "json.h"
#include "sentence.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { QUIET_MS = 30000 }; /* a replay that stands still for this long has failed */

struct tail { /* what is being printed */
    const struct mf_cli *cli;
    bool follow, over;
    uint64_t left; /* rows still wanted; UINT64_MAX: all */
    int64_t heard_ms;
    struct mayfly_error error;
    bool failed;
};

static void print_row(const struct mf_rec_event_row *row)
{
    char text[MF_SENTENCE], subject[256], when[32], type[64];
    time_t seconds = (time_t)(row->time_ms / 1000);
    struct tm local;
    localtime_r(&seconds, &local);
    strftime(when, sizeof when, "%H:%M:%S", &local);
    mf_str_format(subject, sizeof subject, "%.*s", (int)row->subject.len, row->subject.ptr);
    mf_str_format(type, sizeof type, "%.*s", (int)row->type.len, row->type.ptr);
    mf_sentence_clean(subject);
    mf_sentence_clean(type);
    printf("%6" PRIu64 "  %s.%03d  %-20s  %-24s  %s", row->seq, when, (int)(row->time_ms % 1000), type,
           subject, mf_sentence(row, text));
    if (row->cause)
        printf("  (cause %" PRIu64 ")", row->cause);
    putchar('\n');
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void on_notice(void *arg, const struct mayfly_notice *notice)
{
    struct tail *tail = arg;
    tail->heard_ms = now_ms();
    if (tail->over)
        return;
    if (notice->error) {
        tail->error = *notice->error;
        tail->failed = tail->over = true;
        return;
    }
    if (!notice->row) {
        fflush(stdout);
        tail->over = notice->live && !tail->follow;
        return;
    }
    if (tail->cli->json) {
        json_t *json = mf_json_event(notice->row);
        mf_output_line(json);
        json_decref(json);
    } else {
        print_row(notice->row);
    }
    if ((tail->left != UINT64_MAX && !--tail->left) || ferror(stdout))
        tail->over = true;
}

static int run_tail(struct mf_cli *cli, struct tail *tail, const struct mayfly_filter *filter,
                    int64_t limit_ms)
{
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_STATUS};
    int64_t end = now_ms() + limit_ms;
    int r = mf_cli_request(cli, &ask, &reply); /* is anybody there? A stream alone would wait for ever */
    mayfly_reply_free(&reply);
    if (r)
        return r;
    if (!mayfly_subscribe(cli->client, filter, on_notice, tail))
        return mf_cli_misuse(cli, "the filter is longer than any event's type or subject");
    tail->heard_ms = now_ms();
    while (!tail->over) {
        int64_t left = limit_ms ? end - now_ms() : tail->follow ? -1 : QUIET_MS;
        if (!tail->follow && now_ms() - tail->heard_ms >= QUIET_MS)
            return mf_cli_fail(cli, "the broker stopped sending what is retained; see its log");
        if (limit_ms && left <= 0)
            return mf_cli_fail(cli, "not seen within %" PRId64 " s", limit_ms / 1000);
        if (mayfly_wait(cli->client, left) < 0)
            return mf_cli_fail(cli, "the connection broke");
    }
    if (!tail->failed)
        return MF_EXIT_OK;
    if (tail->error.code == MF_E_EXPIRED)
        return mf_cli_fail(cli, "event %" PRIu64 " is older than what is retained; begin at --from %" PRIu64,
                           filter->from, tail->error.oldest_seq);
    return mf_cli_error(cli, &tail->error);
}

static int run_events(struct mf_cli *cli)
{
    struct mayfly_filter filter = {.type = mf_cli_get(cli, "filter"), .subject = mf_cli_get(cli, "subject")};
    struct tail tail = {.cli = cli, .follow = mf_cli_get(cli, "follow"), .left = UINT64_MAX};
    uint64_t seconds = 0;
    if (mf_cli_number(cli, "from", 0, UINT64_MAX, &filter.from) ||
        mf_cli_number(cli, "count", 1, INT64_MAX, &tail.left) ||
        mf_cli_number(cli, "timeout", 1, 31536000, &seconds))
        return MF_EXIT_MISUSE;
    return run_tail(cli, &tail, &filter, (int64_t)seconds * 1000);
}

static const struct mf_cli_option options[] = {
    {"follow", NULL, "Go on with what happens next, across broker restarts.", 'f'},
    {"from", "SEQ", "Begin at this event (default: the oldest that is retained).", 0},
    {"filter", "TYPE", "Only types that begin so, as instance. or node.failed.", 0},
    {"subject", "SUBJECT", "Only this subject and what is below it, as default/web or node/node-1.", 0},
    {"count", "N", "End after this many.", 'n'},
    {"timeout", "SECONDS", "With --follow: give up after this long (exit 1).", 0},
    {0},
};

const struct mf_cli_command mf_commands_events[] = {
    {"events", "", "Show the event log: what happened, and what caused it.",
     "JSON is one object a line: seq, time_ms, type, subject, cause (0 for a root), data.", options, 0, 0,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_events},
    {0},
};
