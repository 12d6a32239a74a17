/* status, backup. */
#include "copy.h"
#include "json.h"
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- status */

static void print_status(const struct mf_msg_status_reply *status)
{
    char text[MF_UUID_TEXT];
    bool color = mf_output_color();
    if (!status->heard)
        printf("%sNO MONITOR IS HEARD: a silent death would not be noticed. Start mayfly-health (dev "
               "cluster: mayfly dev start health-0)%s\n",
               color ? "\033[1;31m" : "", color ? "\033[0m" : "");
    if (status->full)
        printf("%sTHE STORE IS FULL: nothing is accepted, and %" PRIu64
               " events wait to be written. Make room on the "
               "broker's disk%s\n",
               color ? "\033[1;31m" : "", status->uncommitted, color ? "\033[0m" : "");
    if (status->frozen)
        printf("%sFROZEN: %.*s; %" PRIu64 " nodes are held for dead and not replaced (mayfly thaw)%s\n",
               color ? "\033[1;33m" : "", (int)status->frozen_reason.len, status->frozen_reason.ptr,
               status->held, color ? "\033[0m" : "");
    printf("cluster    %s\n", mf_uuid_text(status->cluster_id, text));
    printf("broker     %.*s, term %" PRIu64 ", up %" PRIu64 " s\n", (int)status->version.len,
           status->version.ptr, status->term, status->up_ms / 1000);
    printf("events     %" PRIu64 " to %" PRIu64 " retained, log %s\n", status->oldest_seq, status->seq,
           mf_uuid_text(status->log_id, text));
    printf("nodes      %" PRIu64 " of %" PRIu64 " ready\n", status->nodes_ready, status->nodes);
    printf("groups     %" PRIu64 "\n", status->groups);
    printf("instances  %" PRIu64 " running, %" PRIu64 " placed, %" PRIu64 " pending, %" PRIu64 " ending\n",
           status->running, status->placed, status->pending, status->ending);
    if (status->headroom.len || status->unprotected)
        printf("headroom   %s%.*s, %" PRIu64 " instances unprotected\n",
               status->headroom.len ? "any one " : "of some groups", (int)status->headroom.len,
               status->headroom.ptr ? status->headroom.ptr : "", status->unprotected);
    if (status->images_halted || status->unknown_domains || status->drifts)
        printf("trouble    %" PRIu64 " images halted, %" PRIu64 " unknown domains (mayfly domains), %" PRIu64
               " drifts healed\n",
               status->images_halted, status->unknown_domains, status->drifts);
    for (uint32_t i = 0; i < status->monitors.n; i++) {
        const struct mf_rec_monitor_row *monitor = &status->monitors.items[i];
        printf("monitor    %.*s, %s %" PRIu64 " ms ago, hears %" PRIu64 " of %" PRIu64 " nodes%s\n",
               (int)monitor->monitor.len, monitor->monitor.ptr, monitor->heard ? "heard" : "LAST HEARD",
               monitor->age_ms, monitor->nodes_heard, monitor->nodes_known,
               monitor->suspended ? ", DOUBTS ITS OWN HEARING" : "");
    }
}

static int run_status(struct mf_cli *cli)
{
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_STATUS};
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    const struct mf_msg_status_reply *status = &reply.message.status_reply;
    if (cli->json)
        mf_output_object(mf_json_struct(mf_kind_desc(MF_MSG_STATUS_REPLY), status));
    else
        print_status(status);
    r = status->heard && !status->full ? MF_EXIT_OK : MF_EXIT_FAILED;
    if (r && cli->json)
        mf_cli_fail(cli, status->full ? "the store is full: nothing is accepted"
                                      : "no monitor is heard: a silent death would not be noticed");
    mayfly_reply_free(&reply);
    return r;
}

/* -- backup */

static int write_all(int fd, struct mf_str bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes.ptr += n;
        bytes.len -= (uint32_t)n;
    }
    return 0;
}

int mf_cli_copy_store(struct mf_cli *cli, int fd, const char *path, uint64_t *ret_size)
{
    uint64_t offset = 0, size = 0;
    do {
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_BACKUP, .backup = {.offset = offset}};
        int r = mf_cli_request(cli, &ask, &reply);
        if (r)
            return r;
        const struct mf_msg_backup_reply *piece = &reply.message.backup_reply;
        bool whole = piece->offset == offset && (!offset || piece->size == size) &&
                     (piece->bytes.len || offset == piece->size);
        size = piece->size;
        offset += piece->bytes.len;
        int code = whole ? write_all(fd, piece->bytes) : 0;
        mayfly_reply_free(&reply);
        if (!whole)
            return mf_cli_fail(
                cli, "the broker's copy changed under way (did it restart?); nothing was written, try again");
        if (code)
            return mf_cli_fail(cli, "%s: %s", path, strerror(-code));
    } while (offset < size);
    *ret_size = size;
    return 0;
}

static int finish_backup(const struct mf_cli *cli, int fd, const char *tmp, const char *path, bool force)
{
    if (fsync(fd))
        return mf_cli_fail(cli, "%s: %s", tmp, strerror(errno));
    if (force ? rename(tmp, path) : link(tmp, path))
        return mf_cli_fail(cli,
                           errno == EEXIST ? "%s: exists; name another file, or say --force%s" : "%s: %s",
                           path, errno == EEXIST ? "" : strerror(errno));
    if (!force)
        unlink(tmp);
    return MF_EXIT_OK;
}

static int run_backup(struct mf_cli *cli)
{
    char tmp[4096];
    const char *path = cli->args[0];
    bool force = mf_cli_get(cli, "force");
    uint64_t size = 0;
    if (!force && !access(path, F_OK))
        return mf_cli_fail(cli, "%s: exists; name another file, or say --force", path);
    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int)sizeof tmp)
        return mf_cli_misuse(cli, "the path is too long");
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return mf_cli_fail(cli, "%s: %s", tmp, strerror(errno));
    int r = fchmod(fd, 0600) ? mf_cli_fail(cli, "%s: %s", tmp, strerror(errno))
                             : mf_cli_copy_store(cli, fd, tmp, &size);
    if (!r)
        r = finish_backup(cli, fd, tmp, path, force);
    if (r)
        unlink(tmp);
    close(fd);
    if (!r)
        printf("%s: %" PRIu64
               " bytes; it holds the whole history, keep it as safe as the broker's own store\n",
               path, size);
    return r;
}

static const struct mf_cli_option backup_options[] = {{"force", NULL, "Replace the file if it exists.", 0},
                                                      {0}};

const struct mf_cli_command mf_commands_misc[] = {
    {"status", "", "How the cluster is; exit 1 when no monitor is heard.", NULL, NULL, 0, 0,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_status},
    {"backup", "FILE", "Copy the broker's store, consistent, while it runs.", NULL, backup_options, 1, 1,
     MF_CLI_CONNECTS, run_backup},
    {0},
};
