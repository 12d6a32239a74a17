/* Waiting by events: a list says how things are up to a seq, the stream goes on at the next, so nothing is
 * missed and nothing polled. */
#include "wait.h"
#include "crowd.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 300, REASONS = 5, TICK_MS = 100 };

struct vigil {
    struct mf_cli *cli;
    struct mf_crowd crowd;
    bool (*done)(const struct vigil *vigil);
    void (*show)(const struct vigil *vigil, char *text, size_t size);
    uint64_t count;
    struct mf_uuid id;
    bool drained;  /* node.drained was seen */
    bool id_gone;  /* or nobody needs to wait for it: */
    bool id_waits; /* its node is away */
    int64_t began_ms;
    bool tty, shown;
    struct mayfly_error error;
    bool failed;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void note_gone(struct vigil *vigil, const struct mf_rec_event_row *row)
{
    struct mf_arena arena = {0};
    struct mf_event event;
    struct mf_decode_error error;
    if (mf_str_is(row->type, mf_kind_desc(MF_EV_INSTANCE_GONE)->wire) &&
        !mf_event_decode(MF_EV_INSTANCE_GONE, row->data, &arena, &event, &error) &&
        mf_uuid_eq(event.instance_gone.id, vigil->id))
        vigil->id_gone = true;
    if (mf_str_is(row->type, mf_kind_desc(MF_EV_INSTANCE_TOMBSTONED)->wire) &&
        !mf_event_decode(MF_EV_INSTANCE_TOMBSTONED, row->data, &arena, &event, &error) &&
        mf_uuid_eq(event.instance_tombstoned.id, vigil->id))
        vigil->id_gone = vigil->id_waits = true;
    mf_arena_free(&arena);
}

static void on_notice(void *arg, const struct mayfly_notice *notice)
{
    struct vigil *vigil = arg;
    if (notice->error) {
        vigil->error = *notice->error;
        vigil->failed = true;
    } else if (notice->row) {
        mf_crowd_event(&vigil->crowd, notice->row);
        note_gone(vigil, notice->row);
        vigil->drained |= mf_str_is(notice->row->type, mf_kind_desc(MF_EV_NODE_DRAINED)->wire);
    }
}

static void show(struct vigil *vigil, bool last)
{
    char text[128];
    if (!vigil->tty || (last && !vigil->shown))
        return;
    vigil->show(vigil, text, sizeof text);
    fprintf(stderr, "\r\033[K%s, %.1f s", text, (double)(now_ms() - vigil->began_ms) / 1000);
    if (last)
        fprintf(stderr, "\r\033[K");
    vigil->shown = true;
    fflush(stderr);
}

static int timed_out(struct vigil *vigil, uint64_t seconds)
{
    char text[128];
    int told = 0;
    vigil->show(vigil, text, sizeof text);
    int r = mf_cli_fail(vigil->cli,
                        "not done within %" PRIu64 " s: %s; it goes on without you (mayfly events --follow)",
                        seconds, text);
    for (size_t i = 0; i < vigil->crowd.n && told < REASONS; i++) {
        const struct mf_member *member = &vigil->crowd.members[i];
        if (member->current && member->state == MF_INSTANCE_STATE_PENDING && *member->reason) {
            fprintf(stderr, "  slot %" PRIu64 " is pending: %s\n", member->slot, member->reason);
            told++;
        }
    }
    if (*vigil->crowd.trouble)
        fprintf(stderr, "  a birth or a guest failed: %s\n", vigil->crowd.trouble);
    return r;
}

static int keep_vigil(struct vigil *vigil, const struct mayfly_filter *filter)
{
    struct mf_cli *cli = vigil->cli;
    uint64_t seconds = TIMEOUT_S;
    if (mf_cli_number(cli, "timeout", 1, 31536000, &seconds))
        return MF_EXIT_MISUSE;
    vigil->began_ms = now_ms();
    vigil->tty = isatty(STDERR_FILENO);
    uint64_t stream = mayfly_subscribe(cli->client, filter, on_notice, vigil);
    while (!vigil->done(vigil) && !vigil->failed) {
        int64_t left = vigil->began_ms + (int64_t)seconds * 1000 - now_ms();
        show(vigil, left <= 0);
        if (left <= 0)
            return timed_out(vigil, seconds);
        if (mayfly_wait(cli->client, vigil->tty && left > TICK_MS ? TICK_MS : left) < 0)
            return mf_cli_fail(cli, "the connection broke");
    }
    show(vigil, true);
    if (vigil->failed)
        return mf_cli_error(cli, &vigil->error);
    mayfly_unsubscribe(cli->client, stream);
    return MF_EXIT_OK;
}

int mf_list_instances(struct mf_cli *cli, struct mf_str group,
                      void (*page)(void *arg, const struct mf_msg_instances *page), void *arg,
                      uint64_t *ret_seq)
{
    char after[201] = "";
    bool first = true;
    do {
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_LIST_INSTANCES,
                                 .list_instances = {.group = group, .after = mf_str(after)}};
        int r = mf_cli_request(cli, &ask, &reply);
        if (r)
            return r;
        const struct mf_msg_instances *instances = &reply.message.instances;
        page(arg, instances);
        if (first)
            *ret_seq = instances->seq;
        first = false;
        mf_str_format(after, sizeof after, "%.*s", (int)instances->next.len,
                      instances->next.ptr ? instances->next.ptr : "");
        mayfly_reply_free(&reply);
    } while (*after);
    return 0;
}

static void take_page(void *arg, const struct mf_msg_instances *page)
{
    for (uint32_t i = 0; i < page->rows.n; i++)
        mf_crowd_list(arg, &page->rows.items[i]);
}

/* -- complete */

static bool complete(const struct vigil *vigil)
{
    return mf_crowd_complete(&vigil->crowd, vigil->count) || vigil->crowd.gone;
}

static void show_counts(const struct vigil *vigil, char *text, size_t size)
{
    struct mf_crowd_count count = mf_crowd_count(&vigil->crowd, vigil->count);
    int n = 0;
    if (vigil->crowd.wait_ready)
        n = snprintf(text, size, "%" PRIu64 " of %" PRIu64 " ready, ", count.ready, vigil->count);
    snprintf(text + n, size - (size_t)n,
             "%" PRIu64 " of %" PRIu64 " running, %" PRIu64 " placed, %" PRIu64 " pending, %" PRIu64
             " ending",
             count.running, vigil->count, count.placed, count.pending, count.ending);
}

static const char *group_subject(char text[256], struct mf_str group)
{
    snprintf(text, 256, "default/%.*s", (int)group.len, group.ptr);
    return text;
}

int mf_wait_complete(struct mf_cli *cli, struct mf_str group, struct mf_uuid group_id,
                     struct mf_wait_for what)
{
    char subject[256];
    struct vigil vigil = {.cli = cli,
                          .count = what.count,
                          .done = complete,
                          .show = show_counts,
                          .crowd = {.group_id = group_id, .spares = what.spares, .wait_ready = what.ready}};
    uint64_t seq = 0;
    int64_t began = now_ms();
    int r = mf_list_instances(cli, group, take_page, &vigil.crowd, &seq);
    if (!r) {
        struct mayfly_filter filter = {.from = seq + 1, .subject = group_subject(subject, group)};
        r = keep_vigil(&vigil, &filter);
    }
    if (!r && vigil.crowd.gone)
        r = mf_cli_fail(cli, "%.*s was destroyed meanwhile", (int)group.len, group.ptr);
    if (!r && !cli->json)
        printf("%.*s: %" PRIu64 " of %" PRIu64 " %s after %" PRId64 " ms\n", (int)group.len, group.ptr,
               what.count, what.count, vigil.crowd.wait_ready ? "ready" : "running", now_ms() - began);
    mf_crowd_free(&vigil.crowd);
    return r;
}

/* -- gone */

static bool group_gone(const struct vigil *vigil)
{
    return vigil->crowd.gone || mf_crowd_ended(&vigil->crowd);
}

static void show_left(const struct vigil *vigil, char *text, size_t size)
{
    snprintf(text, size, "%zu instances left", vigil->crowd.n);
}

/* The group may be gone already: then there is nothing to list, and the event says so. */
static void list_what_is_left(struct mf_cli *cli, struct vigil *vigil, const char *group)
{
    char after[201] = "";
    do {
        struct mayfly_error error;
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_LIST_INSTANCES,
                                 .list_instances = {.group = mf_str(group), .after = mf_str(after)}};
        if (mayfly_request(cli->client, &ask, 0, &reply, &error))
            return;
        take_page(&vigil->crowd, &reply.message.instances);
        mf_str_format(after, sizeof after, "%.*s", (int)reply.message.instances.next.len,
                      reply.message.instances.next.ptr ? reply.message.instances.next.ptr : "");
        mayfly_reply_free(&reply);
    } while (*after);
}

int mf_wait_group_gone(struct mf_cli *cli, const char *group, struct mf_uuid group_id, uint64_t from)
{
    char subject[256];
    struct mayfly_filter filter = {.from = from, .subject = group_subject(subject, mf_str(group))};
    struct vigil vigil = {.cli = cli, .done = group_gone, .show = show_left, .crowd.group_id = group_id};
    int64_t began = now_ms();
    list_what_is_left(cli, &vigil, group);
    int r = keep_vigil(&vigil, &filter);
    if (!r && !cli->json)
        printf("%s: gone after %" PRId64 " ms\n", group, now_ms() - began);
    if (!r && !cli->json && vigil.crowd.n && !vigil.crowd.gone)
        printf(
            "%zu tombstones wait for their nodes to come back and prove them gone (mayfly instances --all)\n",
            vigil.crowd.n);
    mf_crowd_free(&vigil.crowd);
    return r;
}

static bool instance_gone(const struct vigil *vigil)
{
    return vigil->id_gone;
}

static void show_instance(const struct vigil *vigil, char *text, size_t size)
{
    snprintf(text, size, "it is not proven gone yet");
}

int mf_wait_instance_gone(struct mf_cli *cli, struct mf_uuid id, uint64_t from)
{
    char text[MF_UUID_TEXT];
    struct mayfly_filter filter = {.from = from, .type = "instance."};
    struct vigil vigil = {.cli = cli, .done = instance_gone, .show = show_instance, .id = id};
    int64_t began = now_ms();
    int r = keep_vigil(&vigil, &filter);
    if (!r && !cli->json)
        printf("%s: %s after %" PRId64 " ms\n", mf_uuid_text(id, text),
               vigil.id_waits ? "a tombstone until its node comes back," : "gone", now_ms() - began);
    mf_crowd_free(&vigil.crowd);
    return r;
}

/* -- drained */

static bool node_drained(const struct vigil *vigil)
{
    return vigil->drained;
}

static void show_draining(const struct vigil *vigil, char *text, size_t size)
{
    snprintf(text, size, "it has instances still");
}

int mf_wait_node_drained(struct mf_cli *cli, const char *node, uint64_t from)
{
    char subject[256];
    struct mayfly_filter filter = {.from = from, .subject = subject};
    struct vigil vigil = {.cli = cli, .done = node_drained, .show = show_draining};
    int64_t began = now_ms();
    snprintf(subject, sizeof subject, "node/%s", node);
    int r = keep_vigil(&vigil, &filter);
    if (!r && !cli->json)
        printf("%s: drained after %" PRId64 " ms\n", node, now_ms() - began);
    mf_crowd_free(&vigil.crowd);
    return r;
}
