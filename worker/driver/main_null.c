/* main_null.c - mayfly-null, the stand-in for a hypervisor: it holds a node's simulated guests, so that they
 * outlive the agent as real ones do, and dies as they do when it is killed. Also the tool that makes one of
 * them die. */
#include "ids.h"
#include "main_null_process.h"
#include "main_null_server.h"
#include "message.h"
#include "null_connect.h"
#include "null_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char usage[] =
    "usage: mayfly-null --root DIR [--daemon]              serve simulated guests on DIR/null.sock\n"
    "       mayfly-null --root DIR --list                  print them: id, running or creating, name\n"
    "       mayfly-null --root DIR --die ID [--how HOW]    one ends by itself: exited (default), poweroff or "
    "crashed\n"
    "       mayfly-null --root DIR --script TEXT           delays and faults from now on, e.g. "
    "create=10,hang-create=1\n";

struct options {
    const char *root, *die, *script;
    enum mf_death how;
    bool daemon, list;
};

static int fail(const char *root, int r, const char *what)
{
    fprintf(stderr, "mayfly-null: %s: %s: %s\n", root, what, strerror(-r));
    return 1;
}

/* ---- server */

/* Orphaned on purpose: whoever is the subreaper above (the keeper) becomes its parent. The caller's process
 * ends when it serves. */
static int daemonize(void)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        char r = 1;
        close(ready[1]);
        if (read(ready[0], &r, 1) != 1)
            r = 1;
        _exit(r);
    }
    setsid();
    close(ready[0]);
    return ready[1];
}

static void detach(int ready, char r)
{
    if (write(ready, &r, 1) != 1)
        r = 1;
    close(ready);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd);
    if (chdir("/") < 0)
        r = 1;
}

static int serve(const struct options *options)
{
    char error[512];
    int listener, ready = -1;
    if (options->daemon) {
        close_range(3, ~0u, 0); /* nothing of whoever started us is held open */
        ready = daemonize();
        if (ready < 0)
            return fail(options->root, -errno, "cannot fork");
    }
    int r = mf_null_server_open(options->root, &listener, error);
    if (r < 0)
        fprintf(stderr, "mayfly-null: %s\n", error);
    bool served =
        r == -EEXIST && options->daemon; /* another was quicker: there is one, which is what was asked for */
    if (ready >= 0)
        detach(ready, r == 0 || served ? 0 : 1);
    if (r < 0)
        return served ? 0 : 1;
    return mf_null_server_run(options->root, listener);
}

/* ---- client */

static int ask(const char *root, const struct mf_null_packet *packet, const char *text, int *ret_fd)
{
    char bytes[sizeof *packet + MF_NULL_TEXT];
    size_t len = strlen(text);
    if (len >= MF_NULL_TEXT)
        return -E2BIG;
    int fd = mf_null_connect(root);
    if (fd < 0)
        return fd;
    memcpy(bytes, packet, sizeof *packet);
    memcpy(bytes + sizeof *packet, text, len);
    if (send(fd, bytes, sizeof *packet + len, MSG_NOSIGNAL) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int one_request(const char *root, const struct mf_null_packet *packet, const char *text)
{
    char bytes[MF_NULL_PACKET + 1];
    struct mf_null_packet reply;
    int fd = -1, r = ask(root, packet, text, &fd);
    if (r < 0)
        return fail(root, r, "no stand-in answers");
    ssize_t n = recv(fd, bytes, sizeof bytes - 1, 0);
    close(fd);
    if (n < (ssize_t)sizeof reply)
        return fail(root, -EPIPE, "the stand-in went away");
    memcpy(&reply, bytes, sizeof reply);
    bytes[n] = 0;
    if (reply.result < 0)
        fprintf(stderr, "mayfly-null: %s\n", bytes + sizeof reply);
    return reply.result < 0;
}

static int list(const char *root)
{
    struct mf_null_packet packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_LIST};
    int fd = -1, r = ask(root, &packet, "", &fd);
    if (r < 0)
        return fail(root, r, "no stand-in answers");
    do {
        char bytes[MF_NULL_PACKET];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < (ssize_t)sizeof packet)
            return fail(root, -EPIPE, "the stand-in went away");
        memcpy(&packet, bytes, sizeof packet);
        if (packet.n > ((size_t)n - sizeof packet) / sizeof(struct mf_null_guest_row))
            return fail(root, -EPROTO, "the stand-in's list is cut short");
        for (uint32_t i = 0; i < packet.n; i++) {
            struct mf_null_guest_row row;
            char id[MF_UUID_TEXT];
            memcpy(&row, bytes + sizeof packet + i * sizeof row, sizeof row);
            printf("%s %s %s\n", mf_uuid_text(row.id, id),
                   row.running ? "running"
                   : row.pid   ? "paused"
                               : "creating",
                   row.name);
        }
    } while (packet.more);
    close(fd);
    return 0;
}

static int client(const struct options *options)
{
    struct mf_null_packet packet = {.version = MF_NULL_VERSION};
    if (options->list)
        return list(options->root);
    if (options->script) {
        packet.kind = MF_NULL_SCRIPT;
        return one_request(options->root, &packet, options->script);
    }
    packet.kind = MF_NULL_DIE;
    packet.how = options->how;
    if (!mf_uuid_parse(options->die, strlen(options->die), &packet.id)) {
        fprintf(stderr, "mayfly-null: --die %s: not a UUID\n", options->die);
        return 2;
    }
    return one_request(options->root, &packet, "");
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"root", 1, NULL, 'r'},    {"daemon", 0, NULL, 'd'}, {"list", 0, NULL, 'l'},
        {"die", 1, NULL, 'x'},     {"how", 1, NULL, 'w'},    {"script", 1, NULL, 's'},
        {"version", 0, NULL, 'V'}, {"help", 0, NULL, 'h'},   {NULL}};
    struct options options = {.how = MF_DEATH_EXITED};
    if (argc > 1 && !strcmp(argv[1], "--guest"))
        mf_null_process_be();
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'r':
            options.root = optarg;
            break;
        case 'd':
            options.daemon = true;
            break;
        case 'l':
            options.list = true;
            break;
        case 'x':
            options.die = optarg;
            break;
        case 'w':
            options.how = mf_death_value(mf_str(optarg));
            break;
        case 's':
            options.script = optarg;
            break;
        case 'V':
            puts("mayfly-null " MAYFLY_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (!options.root || optind != argc || !options.how) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.list || options.die || options.script)
        return client(&options);
    char *root = realpath(options.root, NULL); /* a daemon changes its folder */
    if (!root)
        return fail(options.root, -errno, "cannot serve it");
    options.root = root;
    int r = serve(&options);
    free(root);
    return r;
}
