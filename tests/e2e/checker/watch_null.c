/* watch_null.c - simulated guests: the stand-in of each node is the machine they run on, so its table is what
 * truly runs. One that is stopped (SIGSTOP) runs nothing. */
#include "check.h"
#include "checker.h"
#include "null_connect.h"
#include "null_wire.h"
#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 10, NODES_MAX = 1000 };

struct stand_in {
    char node[64], root[1400];
    int fd;
};
struct mf_stand_ins {
    char nodes[1024];
    struct stand_in items[NODES_MAX];
    size_t n;
    uint64_t sweep;
};

struct mf_stand_ins *mf_stand_ins_new(const char *state_dir)
{
    struct mf_stand_ins *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    snprintf(self->nodes, sizeof self->nodes, "%s/nodes", state_dir);
    return self;
}

static void disconnect(struct stand_in *stand_in)
{
    if (stand_in->fd >= 0)
        close(stand_in->fd);
    stand_in->fd = -1;
}

void mf_stand_ins_destroy(struct mf_stand_ins **self)
{
    for (size_t i = 0; *self && i < (*self)->n; i++)
        disconnect(&(*self)->items[i]);
    free(*self);
    *self = NULL;
}

static void find_nodes(struct mf_stand_ins *self)
{
    DIR *nodes = opendir(self->nodes);
    self->n = 0;
    for (struct dirent *entry; nodes && self->n < NODES_MAX && (entry = readdir(nodes));) {
        struct stand_in found = {.fd = -1};
        if (entry->d_name[0] == '.')
            continue;
        snprintf(found.node, sizeof found.node, "%.63s", entry->d_name);
        snprintf(found.root, sizeof found.root, "%s/%s/null", self->nodes, found.node);
        if (access(found.root, F_OK) == 0)
            self->items[self->n++] = found;
    }
    if (nodes)
        closedir(nodes);
}

static char state_of(const struct stand_in *stand_in)
{
    char path[1500], text[32];
    snprintf(path, sizeof path, "%s/%s", stand_in->root, MF_NULL_PID);
    pid_t pid = mf_read_text(path, text, sizeof text) ? (pid_t)atoi(text) : 0;
    return pid > 0 ? mf_process_state(pid) : 'Z';
}

union any_packet {
    struct mf_null_packet packet;
    char bytes[MF_NULL_PACKET];
};

/* One packet; 0 if none came in time. */
static size_t receive(struct stand_in *stand_in, union any_packet *packet)
{
    struct pollfd poll_fd = {.fd = stand_in->fd, .events = POLLIN};
    if (poll(&poll_fd, 1, ANSWER_MS) <= 0)
        return 0;
    ssize_t n = recv(stand_in->fd, packet->bytes, sizeof packet->bytes, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static bool take_rows(struct stand_in *stand_in, const union any_packet *packet, size_t len,
                      struct mf_watch *watch)
{
    uint32_t n = packet->packet.n;
    if (packet->packet.kind != MF_NULL_LISTED ||
        len < sizeof packet->packet + n * sizeof(struct mf_null_guest_row))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct mf_null_guest_row row;
        memcpy(&row, packet->bytes + sizeof packet->packet + i * sizeof row, sizeof row);
        struct mf_seen *seen = mf_watch_saw(watch, row.id, stand_in->node);
        if (row.running)
            mf_watch_runs(watch, seen);
    }
    return true;
}

static bool ask(struct stand_in *stand_in, struct mf_watch *watch)
{
    union any_packet packet = {.packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_LIST}};
    if (stand_in->fd < 0)
        stand_in->fd = mf_null_connect(stand_in->root);
    if (stand_in->fd < 0 ||
        send(stand_in->fd, &packet, sizeof packet.packet, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return false;
    do {
        size_t len = receive(stand_in, &packet);
        if (len < sizeof packet.packet || !take_rows(stand_in, &packet, len, watch))
            return false;
    } while (packet.packet.more);
    return true;
}

static void look_at(struct stand_in *stand_in, struct mf_watch *watch)
{
    char state = state_of(stand_in);
    if (strchr("ZXx", state)) {
        disconnect(stand_in);
        return;
    }
    bool stopped = state == 'T' || state == 't';
    if (!stopped && ask(stand_in, watch))
        return;
    disconnect(stand_in); /* a late answer would be to an old question */
    mf_watch_blind(watch, stand_in->node);
}

void mf_stand_ins_sweep(struct mf_stand_ins *self, struct mf_watch *watch)
{
    if (self->sweep++ % 50 == 0 && !self->n) /* a cluster that is just being made has none yet */
        find_nodes(self);
    for (size_t i = 0; i < self->n; i++)
        look_at(&self->items[i], watch);
}
