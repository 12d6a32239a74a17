/* What guests write to their serial ports: `mayfly logs`, its end; `mayfly console`, as it grows. Of one that
 * is gone the log of events kept the last few KiB. */
#include "cli.h"
#include "overlap.h"
#include "target.h"
#include "wait.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_BYTES = 65536, LOOK_MS = 500, QUIET_MS = 30000 };

/* On a terminal a guest's bytes may not move the cursor; in a pipe they go as they came. */
static void print_log(struct mf_str text)
{
    bool tty = isatty(STDOUT_FILENO);
    for (uint32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool c1 = c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] >= 0x80 &&
                  (unsigned char)text.ptr[i + 1] < 0xa0;
        bool moves = (c < 0x20 || c == 0x7f) && c != '\n' && c != '\t' && c != '\r';
        putchar(tty && (moves || c1) ? '?' : c);
    }
}

static void end_line(struct mf_str text)
{
    if (isatty(STDOUT_FILENO) && text.len && text.ptr[text.len - 1] != '\n')
        putchar('\n');
}

/* -- what was kept of one that is gone */

struct search {
    struct mf_cli *cli;
    const struct mf_target *target;
    bool over, failed;
    struct mayfly_error error;
    uint64_t seq; /* of the newest that was found; 0: none */
    char subject[256], node[MF_NAME_MAX + 1];
    const char *how;
    struct mf_str console; /* in the arena */
};

static void keep(struct search *search, const struct mf_rec_event_row *row, struct mf_uuid id,
                 struct mf_str node, const char *how, struct mf_str console)
{
    struct mf_target of;
    if (search->target->kind == MF_TARGET_UUID && !mf_uuid_eq(id, search->target->id))
        return;
    if (!console.len || !mf_target_of_subject(row->subject, &of) || row->seq < search->seq)
        return;
    search->seq = row->seq;
    search->how = how;
    search->console = mf_str_dup(&search->cli->arena, console);
    mf_str_format(search->node, sizeof search->node, "%.*s", (int)node.len, node.ptr);
    snprintf(search->subject, sizeof search->subject, "%s/%" PRIu64 "#%" PRIu64, of.name, of.slot,
             of.generation);
}

static void take_row(struct search *search, const struct mf_rec_event_row *row)
{
    const struct mf_desc *desc = mf_desc_by_wire(row->type);
    struct mf_arena arena = {0};
    struct mf_event event;
    struct mf_decode_error error;
    if (desc && desc->kind > MF_MSG_COUNT &&
        !mf_event_decode(desc->kind, row->data, &arena, &event, &error)) {
        if (event.kind == MF_EV_INSTANCE_DIED)
            keep(search, row, event.instance_died.id, event.instance_died.node,
                 mf_death_word(event.instance_died.how), event.instance_died.console);
        else if (event.kind == MF_EV_INSTANCE_UNWELL)
            keep(search, row, event.instance_unwell.id, event.instance_unwell.node, "unwell",
                 event.instance_unwell.console);
        else if (event.kind == MF_EV_INSTANCE_GONE)
            keep(search, row, event.instance_gone.id, (struct mf_str){0}, "ended",
                 event.instance_gone.console);
    }
    mf_arena_free(&arena);
}

static void on_notice(void *arg, const struct mayfly_notice *notice)
{
    struct search *search = arg;
    if (search->over)
        return;
    if (notice->error) {
        search->error = *notice->error;
        search->failed = search->over = true;
    } else if (notice->row) {
        take_row(search, notice->row);
    } else {
        search->over = notice->live;
    }
}

static int look_for(struct search *search, const char *type)
{
    struct mayfly_filter filter = {.type = type};
    if (search->target->kind != MF_TARGET_UUID)
        filter.subject = search->target->subject;
    search->over = search->failed = false;
    uint64_t stream = mayfly_subscribe(search->cli->client, &filter, on_notice, search);
    while (!search->over && mayfly_wait(search->cli->client, QUIET_MS) > 0)
        ;
    mayfly_unsubscribe(search->cli->client, stream);
    if (!search->over)
        return mf_cli_fail(search->cli, "the broker does not send its events; is it up? (mayfly status)");
    return search->failed && search->error.code != MF_E_EXPIRED ? mf_cli_error(search->cli, &search->error)
                                                                : 0;
}

/* refused: what the broker said of the living one. */
static int show_kept(struct mf_cli *cli, const struct mf_target *target, const struct mayfly_error *refused)
{
    struct search search = {.cli = cli, .target = target};
    int r = look_for(&search, mf_kind_desc(MF_EV_INSTANCE_DIED)->wire);
    if (!r)
        r = look_for(&search, mf_kind_desc(MF_EV_INSTANCE_UNWELL)->wire);
    if (!r)
        r = look_for(&search, mf_kind_desc(MF_EV_INSTANCE_GONE)->wire);
    if (r)
        return r;
    if (!search.seq)
        return refused ? mf_cli_error(cli, refused)
                       : mf_cli_fail(cli, "there is no instance %s, and no event kept the end of its output",
                                     cli->args[0]);
    fflush(stdout);
    fprintf(stderr,
            "mayfly %s: %s is gone (%s%s%s); this is the end of its output, kept with event %" PRIu64 "\n",
            cli->command->name, search.subject, search.how, search.node[0] ? " on " : "", search.node,
            search.seq);
    print_log(search.console);
    end_line(search.console);
    return MF_EXIT_OK;
}

/* -- the living one */

struct lookup {
    const struct mf_target *target;
    struct mf_uuid id; /* zero: there is none */
};

static void take_page(void *arg, const struct mf_msg_instances *page)
{
    struct lookup *lookup = arg;
    const struct mf_target *target = lookup->target;
    for (uint32_t i = 0; i < page->rows.n; i++) {
        const struct mf_rec_instance_row *row = &page->rows.items[i];
        bool is = target->kind == MF_TARGET_UUID
                      ? mf_uuid_eq(row->id, target->id)
                      : mf_str_is(row->group, target->name) && row->slot == target->slot;
        if (target->kind == MF_TARGET_GENERATION)
            is = is && row->generation == target->generation;
        if (target->kind == MF_TARGET_SLOT)
            is = is && row->current;
        if (is)
            lookup->id = row->id;
    }
}

/* Of all groups: that there is none of its name is no error here. */
static int look_up(struct mf_cli *cli, const struct mf_target *target, struct mf_uuid *ret_id)
{
    struct lookup lookup = {.target = target};
    uint64_t seq;
    int r = mf_list_instances(cli, (struct mf_str){0}, take_page, &lookup, &seq);
    *ret_id = lookup.id;
    return r;
}

/* What the broker calls it; empty: it has no instance of this generation. */
static int name_it(struct mf_cli *cli, const struct mf_target *target, char name[128])
{
    struct mf_uuid id;
    char uuid[MF_UUID_TEXT];
    int r = 0;
    *name = 0;
    if (target->kind == MF_TARGET_UUID)
        snprintf(name, 128, "%s", cli->args[0]);
    else if (target->kind == MF_TARGET_SLOT)
        snprintf(name, 128, "%s/%" PRIu64, target->name, target->slot);
    else if (!(r = look_up(cli, target, &id)) && !mf_uuid_is_zero(id))
        snprintf(name, 128, "%s", mf_uuid_text(id, uuid));
    return r;
}

static int parse_target(const struct mf_cli *cli, struct mf_target *ret_target)
{
    char error[256];
    if (mf_target_parse(cli->args[0], ret_target, error))
        return mf_cli_misuse(cli, "%s", error);
    if (ret_target->kind == MF_TARGET_NAME || ret_target->kind == MF_TARGET_OTHER)
        return mf_cli_misuse(cli, "%s: name one instance, as web/3, web/3#2 or its UUID", cli->args[0]);
    return 0;
}

/* The first question says, with everything that can be said, that nobody is there. */
static int meet_broker(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_STATUS};
    struct mayfly_reply reply = {0};
    int r = mf_cli_request(cli, &ask, &reply);
    mayfly_reply_free(&reply);
    return r;
}

static bool is_gone(const struct mayfly_error *error)
{
    return !error->local && error->code == MF_E_UNKNOWN;
}

static int run_logs(struct mf_cli *cli)
{
    struct mf_target target;
    struct mayfly_reply reply = {0};
    struct mayfly_error error;
    char name[128];
    struct mf_message ask = {.kind = MF_MSG_LOGS, .logs = {.bytes = LOG_BYTES}};
    int r = parse_target(cli, &target);
    if (!r)
        r = mf_cli_number(cli, "bytes", 1, 262144, &ask.logs.bytes);
    if (!r)
        r = meet_broker(cli);
    if (!r)
        r = name_it(cli, &target, name);
    if (r)
        return r;
    if (!*name)
        return show_kept(cli, &target, NULL);
    ask.logs.target = mf_str(name);
    if (mayfly_request(cli->client, &ask, 0, &reply, &error))
        return is_gone(&error) ? show_kept(cli, &target, &error) : mf_cli_error(cli, &error);
    print_log(reply.message.logs_reply.text);
    end_line(reply.message.logs_reply.text);
    mayfly_reply_free(&reply);
    return MF_EXIT_OK;
}

/* -- as it grows */

struct console {
    struct mf_uuid id;
    char seen[LOG_BYTES];
    uint32_t n;
};

static void show_new(struct mf_cli *cli, struct console *console, const struct mf_msg_logs_reply *reply)
{
    uint32_t same = mf_overlap((struct mf_str){console->seen, console->n}, reply->text);
    bool other = !mf_uuid_is_zero(console->id) && !mf_uuid_eq(console->id, reply->id);
    fflush(stdout);
    if (other)
        fprintf(stderr, "mayfly console: %s is another instance now\n", cli->args[0]);
    else if (console->n && !same && reply->text.len)
        fprintf(stderr, "mayfly console: it wrote faster than it was read; some of it is not shown\n");
    same = other ? 0 : same;
    print_log((struct mf_str){reply->text.ptr + same, reply->text.len - same});
    fflush(stdout);
    console->id = reply->id;
    console->n = reply->text.len < sizeof console->seen ? reply->text.len : sizeof console->seen;
    memcpy(console->seen, reply->text.ptr, console->n);
}

/* It waits for room, its node is away, or it has written nothing yet: that passes. */
static int judge(struct mf_cli *cli, const struct mf_target *target, const struct mayfly_error *error,
                 bool *ret_passes)
{
    struct mf_uuid id = {{0}};
    *ret_passes = error->code == MF_E_UNAVAILABLE || error->code == MF_E_DEADLINE;
    if (!is_gone(error))
        return *ret_passes ? 0 : mf_cli_error(cli, error);
    int r = look_up(cli, target, &id);
    *ret_passes = !r && !mf_uuid_is_zero(id);
    return r || *ret_passes ? r : show_kept(cli, target, error);
}

static int follow(struct mf_cli *cli, const struct mf_target *target, const char *name,
                  struct console *console)
{
    struct mf_message ask = {.kind = MF_MSG_LOGS, .logs = {.target = mf_str(name), .bytes = LOG_BYTES}};
    bool told = false;
    while (!ferror(stdout)) {
        struct mayfly_reply reply = {0};
        struct mayfly_error error;
        bool passes = true;
        int r = mayfly_request(cli->client, &ask, 0, &reply, &error);
        if (!r)
            show_new(cli, console, &reply.message.logs_reply);
        mayfly_reply_free(&reply);
        if (r) {
            r = judge(cli, target, &error, &passes);
            if (!told && passes)
                fprintf(stderr, "mayfly console: %s\n", error.text);
            told = true;
        }
        if (r || !passes)
            return r;
        if (mayfly_wait(cli->client, LOOK_MS) < 0)
            return mf_cli_fail(cli, "the connection broke");
    }
    return MF_EXIT_FAILED;
}

static int run_console(struct mf_cli *cli)
{
    struct mf_target target;
    char name[128];
    int r = parse_target(cli, &target);
    if (!r)
        r = meet_broker(cli);
    if (!r)
        r = name_it(cli, &target, name);
    if (r)
        return r;
    if (!*name)
        return show_kept(cli, &target, NULL);
    struct console *console = calloc(1, sizeof *console);
    if (!console)
        return mf_cli_fail(cli, "no memory");
    r = follow(cli, &target, name, console);
    free(console);
    return r;
}

static const struct mf_cli_option logs_options[] = {
    {"bytes", "N", "At most this much of its end (default 65536).", 'n'}, {0}};

const struct mf_cli_command mf_commands_logs[] = {
    {"logs", "GROUP/SLOT | GROUP/SLOT#GENERATION | UUID", "Show the end of a guest's serial output.",
     "Of one that is gone, what the event of its end kept: the last 4 KiB.", logs_options, 1, 1,
     MF_CLI_CONNECTS, run_logs},
    {"console", "GROUP/SLOT | UUID", "Show a guest's serial output as it grows, until Ctrl-C.", NULL, NULL, 1,
     1, MF_CLI_CONNECTS, run_console},
    {0},
};
