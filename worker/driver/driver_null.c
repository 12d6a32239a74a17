/* driver_null.c - simulated guests, kept by a stand-in process per node (mayfly-null), which this driver
 * starts if it does not run. Each call has a connection of its own while it lasts, so a hung one blocks
 * nobody and a call costs two wake-ups. One more connection is told of deaths; its end is the death of all
 * guests, as a hypervisor's would be. */
#include "check.h"
#include "driver.h"
#include "map.h"
#include "null_connect.h"
#include "null_size.h"
#include "null_wire.h"
#include "process.h"
#include "topology.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAGIC = 0x6e756c6c, IDLE_MAX = 16, START_LIMIT_MS = 10000, AGAIN_MS = 2 };

struct mf_driver {
    unsigned magic;
    struct mf_driver_config config;
    char *root, *program, *script;
    struct mf_driver_capacity capacity;
    uint32_t n_cells;
    pthread_mutex_t lock;  /* the fields below */
    pthread_mutex_t start; /* one starts the stand-in at a time */
    pthread_cond_t changed;
    int idle[IDLE_MAX];
    unsigned n_idle;
    int watch_fd;   /* -1 while there is no stand-in */
    uint64_t watch; /* counts the stand-ins watched so far */
    pid_t pid;
    bool closing;
    pthread_t watcher;
    struct mf_map *known; /* ids of guests, to be told dead when the stand-in dies; the values are the keys */
};

/* ---- guests that we know of */

/* False if there is no stand-in any more, and so no guest. */
static bool know(struct mf_driver *self, struct mf_uuid id)
{
    struct mf_uuid *copy = malloc(sizeof *copy);
    MF_CHECK(copy);
    *copy = id;
    pthread_mutex_lock(&self->lock);
    bool there = self->watch_fd >= 0;
    if (there)
        copy = mf_map_put(self->known, id.bytes, sizeof id.bytes, copy);
    pthread_mutex_unlock(&self->lock);
    free(copy);
    return there;
}

static void forget(struct mf_driver *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    void *copy = mf_map_del(self->known, id.bytes, sizeof id.bytes);
    pthread_mutex_unlock(&self->lock);
    free(copy);
}

static void died(struct mf_driver *self, struct mf_uuid id, enum mf_death how, const char *text)
{
    forget(self, id);
    if (self->config.died)
        self->config.died(self->config.arg, id, how, text);
}

static void all_died(struct mf_driver *self, struct mf_map *gone)
{
    size_t cursor = 0;
    for (struct mf_uuid *id; mf_map_next(gone, &cursor, (void **)&id); free(id))
        if (self->config.died)
            self->config.died(self->config.arg, *id, MF_DEATH_EXITED, "the stand-in process ended");
    mf_map_destroy(&gone);
}

/* ---- the watching connection */

static void watch(struct mf_driver *self, int fd)
{
    char bytes[sizeof(struct mf_null_packet) + MF_NULL_TEXT];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes - 1, 0)) > 0;) {
        struct mf_null_packet packet;
        if (n < (ssize_t)sizeof packet)
            return;
        memcpy(&packet, bytes, sizeof packet);
        bytes[n] = 0;
        if (packet.kind == MF_NULL_DIED)
            died(self, packet.id, (enum mf_death)packet.how, bytes + sizeof packet);
        else if (packet.kind == MF_NULL_ADDRESS && self->config.address)
            self->config.address(self->config.arg, packet.id, bytes + sizeof packet);
        else if (packet.kind == MF_NULL_READY && self->config.ready)
            self->config.ready(self->config.arg, packet.id);
        else if (packet.kind == MF_NULL_UNWELL && self->config.unwell)
            self->config.unwell(self->config.arg, packet.id, MF_AILMENT_AGENT, bytes + sizeof packet);
    }
}

static void *run_watcher(void *arg)
{
    struct mf_driver *self = arg;
    pthread_mutex_lock(&self->lock);
    while (!self->closing) {
        if (self->watch_fd < 0) {
            pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        int fd = self->watch_fd;
        pthread_mutex_unlock(&self->lock);
        watch(self, fd);
        pthread_mutex_lock(&self->lock);
        struct mf_map *gone = self->closing ? NULL : self->known;
        if (gone)
            self->known = mf_map_new();
        self->watch_fd = -1;
        self->pid = 0;
        pthread_cond_broadcast(&self->changed);
        pthread_mutex_unlock(&self->lock);
        close(fd);
        if (gone)
            all_died(self, gone);
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* ---- packets */

/* 0 and a reply with its rest, or negative errno when the stand-in is gone. */
static int exchange(int fd, const struct mf_null_packet *request, const char *text,
                    struct mf_null_packet *ret_reply, char ret_rest[MF_NULL_PACKET])
{
    char bytes[sizeof *request + MF_NULL_TEXT];
    size_t len = strlen(text);
    MF_CHECK(len < MF_NULL_TEXT);
    memcpy(bytes, request, sizeof *request);
    memcpy(bytes + sizeof *request, text, len);
    if (send(fd, bytes, sizeof *request + len, MSG_NOSIGNAL) < 0)
        return -errno;
    struct iovec parts[2] = {{ret_reply, sizeof *ret_reply}, {ret_rest, MF_NULL_PACKET - 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n;
    while ((n = recvmsg(fd, &message, 0)) < 0 && errno == EINTR)
        ;
    if (n < (ssize_t)sizeof *ret_reply)
        return n < 0 ? -errno : -EPIPE;
    ret_rest[n - (ssize_t)sizeof *ret_reply] = 0;
    return ret_reply->version == MF_NULL_VERSION ? 0 : -EPROTO;
}

static int simple(int fd, enum mf_null_kind kind, const char *text)
{
    struct mf_null_packet request = {.version = MF_NULL_VERSION, .kind = kind}, reply;
    char rest[MF_NULL_PACKET];
    int r = exchange(fd, &request, text, &reply, rest);
    return r < 0 ? r : reply.result;
}

/* ---- connections */

static int start_program(struct mf_driver *self, char error[512])
{
    char said[256];
    int status = 0;
    const char *const argv[] = {self->program, "--root", self->root, "--daemon", NULL};
    int r = mf_process_run(argv, START_LIMIT_MS, &status, said, sizeof said);
    if (r == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    mf_str_format(error, 512, "cannot start the stand-in %.200s: %s", self->program,
                  r < 0 ? strerror(-r) : said);
    return r < 0 ? r : -EIO;
}

static bool watched(struct mf_driver *self)
{
    pthread_mutex_lock(&self->lock);
    bool is = self->watch_fd >= 0;
    pthread_mutex_unlock(&self->lock);
    return is;
}

/* A connection that plays our script and is told of deaths, or why not. */
static int introduce(struct mf_driver *self, char error[512])
{
    int r = 0, fd = mf_null_connect(self->root);
    if (fd < 0)
        r = fd;
    else if ((self->script && (r = simple(fd, MF_NULL_SCRIPT, self->script)) < 0) ||
             (r = simple(fd, MF_NULL_WATCH, "")) < 0)
        close(fd);
    if (r < 0)
        mf_str_format(error, 512, "the stand-in of %.300s does not answer: %s", self->root, strerror(-r));
    return r < 0 ? r : fd;
}

static void install(struct mf_driver *self, int fd)
{
    struct ucred who = {0};
    socklen_t len = sizeof who;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    pthread_mutex_lock(&self->lock);
    while (self->watch_fd >= 0) /* the watcher is still burying the last one */
        pthread_cond_wait(&self->changed, &self->lock);
    self->watch_fd = fd;
    self->watch++;
    self->pid = who.pid;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

/* A stand-in that serves us, started if there is none. One that was just killed may hold its socket and its
 * lock a moment longer, so this is tried again until the limit. */
static int ensure(struct mf_driver *self, char error[512])
{
    mf_ms limit = mf_monotonic_ms() + START_LIMIT_MS;
    pthread_mutex_lock(&self->start);
    int r = 0;
    while (!watched(self)) {
        r = introduce(self, error);
        if (r >= 0) {
            install(self, r);
            r = 0;
            break;
        }
        r = start_program(self, error);
        if (r < 0 || mf_monotonic_ms() >= limit)
            break;
        (void)poll(NULL, 0, AGAIN_MS);
    }
    pthread_mutex_unlock(&self->start);
    return r;
}

/* The stand-in we watched as number `watch` does not answer: it is dead, whether its last connection was
 * closed yet or not. */
static void give_up(struct mf_driver *self, uint64_t watch)
{
    pthread_mutex_lock(&self->lock);
    if (self->watch_fd >= 0 && self->watch == watch)
        shutdown(self->watch_fd, SHUT_RDWR);
    while (self->watch_fd >= 0 && self->watch == watch)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

static int take_idle(struct mf_driver *self)
{
    pthread_mutex_lock(&self->lock);
    int fd = self->n_idle ? self->idle[--self->n_idle] : -1;
    pthread_mutex_unlock(&self->lock);
    return fd;
}

/* A connection for one call: an idle one at the first attempt, a new one at the second, one to a stand-in
 * started anew at the third. */
static int take(struct mf_driver *self, int attempt, char error[512])
{
    pthread_mutex_lock(&self->lock);
    uint64_t watch = self->watch;
    pthread_mutex_unlock(&self->lock);
    int fd = take_idle(self);
    if (fd >= 0 && attempt == 0)
        return fd;
    for (; fd >= 0; fd = take_idle(self))
        close(fd); /* all that idle are as old as the one that broke */
    if (attempt < 2 && watched(self) && (fd = mf_null_connect(self->root)) >= 0)
        return fd;
    give_up(self, watch);
    int r = ensure(self, error);
    if (r == 0 && (r = fd = mf_null_connect(self->root)) < 0)
        mf_str_format(error, 512, "the stand-in of %.300s does not answer: %s", self->root, strerror(-r));
    return r < 0 ? r : fd;
}

static void give_back(struct mf_driver *self, int fd)
{
    pthread_mutex_lock(&self->lock);
    bool room = self->n_idle < IDLE_MAX;
    if (room)
        self->idle[self->n_idle++] = fd;
    pthread_mutex_unlock(&self->lock);
    if (!room)
        close(fd);
}

/* One request and its first reply; *ret_fd stays taken. All requests are idempotent, so one that broke is
 * tried again: on a connection of its own, and then on a stand-in that was surely heard. */
static int call(struct mf_driver *self, const struct mf_null_packet *request, const char *text, int *ret_fd,
                struct mf_null_packet *ret_reply, char rest[MF_NULL_PACKET], char error[512])
{
    int r = -EPIPE;
    for (int attempt = 0; attempt < 3; attempt++) {
        int fd = take(self, attempt, error);
        if (fd < 0)
            return fd;
        r = exchange(fd, request, text, ret_reply, rest);
        if (r == 0) {
            *ret_fd = fd;
            return 0;
        }
        close(fd);
    }
    mf_str_format(error, 512, "the stand-in of %.300s went away: %s", self->root, strerror(-r));
    return r;
}

static int call_simple(struct mf_driver *self, const struct mf_null_packet *request, const char *text,
                       struct mf_null_packet *ret_reply, char error[512])
{
    char rest[MF_NULL_PACKET];
    int fd, r = call(self, request, text, &fd, ret_reply, rest, error);
    if (r < 0)
        return r;
    give_back(self, fd);
    if (ret_reply->result < 0)
        mf_str_format(error, 512, "%s", rest);
    return ret_reply->result;
}

/* ---- slots */

static char *text_dup(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    MF_CHECK(copy || !text);
    return copy;
}

static void release(struct mf_driver *self)
{
    size_t cursor = 0;
    for (void *id; mf_map_next(self->known, &cursor, &id);)
        free(id);
    mf_map_destroy(&self->known);
    while (self->n_idle)
        close(self->idle[--self->n_idle]);
    if (self->watch_fd >= 0)
        close(self->watch_fd);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->start);
    pthread_cond_destroy(&self->changed);
    free(self->root);
    free(self->program);
    free(self->script);
    self->magic = 0;
    free(self);
}

static int check_config(const struct mf_driver_config *config, struct mf_driver_capacity *ret_capacity,
                        uint32_t *ret_cells, char error[512])
{
    if (!config->root || config->root[0] != '/') {
        mf_str_format(error, 512, "the driver's root must be an absolute path");
        return -EINVAL;
    }
    if (config->script && strlen(config->script) >= MF_NULL_TEXT) {
        mf_str_format(error, 512, "script: at most %d bytes", MF_NULL_TEXT - 1);
        return -EINVAL;
    }
    int r = mf_null_size(config, ret_capacity, ret_cells, error);
    if (r == 0 && mkdir(config->root, 0755) < 0 && errno != EEXIST) {
        r = -errno;
        mf_str_format(error, 512, "cannot make the folder %.300s: %s", config->root, strerror(-r));
    }
    return r;
}

static int list(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n, char error[512]);
static int destroy(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512]);

/* Those that are there will be told dead too; those that an earlier agent did not resume are nobody's. */
static void adopt(struct mf_driver *self)
{
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    char ignored[512];
    if (list(self, &guests, &n, ignored) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (guests[i].at_most && !guests[i].running)
            (void)destroy(self, guests[i].id, 0, ignored);
    free(guests);
}

static int open_(const struct mf_driver_config *config, struct mf_driver **ret_driver, char error[512])
{
    error[0] = 0;
    struct mf_driver_capacity capacity;
    uint32_t n_cells;
    int r = check_config(config, &capacity, &n_cells, error);
    if (r < 0)
        return r;
    struct mf_driver *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MAGIC;
    self->config = *config;
    self->root = text_dup(config->root);
    self->program = text_dup(config->null_program ? config->null_program : "mayfly-null");
    self->script = text_dup(config->script);
    self->capacity = capacity;
    self->n_cells = n_cells;
    self->watch_fd = -1;
    self->known = mf_map_new();
    pthread_mutex_init(&self->lock, NULL);
    pthread_mutex_init(&self->start, NULL);
    pthread_cond_init(&self->changed, NULL);
    r = ensure(self, error);
    if (r == 0 && (r = -pthread_create(&self->watcher, NULL, run_watcher, self)) < 0)
        mf_str_format(error, 512, "cannot start a thread: %s", strerror(-r));
    if (r < 0) {
        release(self);
        return r;
    }
    error[0] = 0; /* that the stand-in did not answer before it was started is no news */
    adopt(self);
    *ret_driver = self;
    return 0;
}

static void close_(struct mf_driver *self)
{
    MF_MAGIC(self, MAGIC);
    pthread_mutex_lock(&self->lock);
    self->closing = true;
    if (self->watch_fd >= 0)
        shutdown(self->watch_fd, SHUT_RDWR);
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->watcher, NULL);
    release(self);
}

static unsigned caps(const struct mf_driver *self)
{
    return MF_DRIVER_HAS_PID | MF_DRIVER_HAS_EVENTS | MF_DRIVER_SURVIVES | MF_DRIVER_FENCEABLE |
           MF_DRIVER_OWN;
}

static const char *type(const struct mf_driver *self)
{
    return "null";
}

static int capacity(struct mf_driver *self, struct mf_driver_capacity *ret_capacity, char error[512])
{
    *ret_capacity = self->capacity;
    return 0;
}

static int64_t stand_in(struct mf_driver *self)
{
    pthread_mutex_lock(&self->lock);
    int64_t pid = self->pid;
    pthread_mutex_unlock(&self->lock);
    return pid;
}

/* Paused it is; whether it may run is not ours to say. */
static int resume(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t pid, char error[512])
{
    struct mf_null_packet request = {.version = MF_NULL_VERSION, .kind = MF_NULL_RESUME, .id = spec->id},
                          reply;
    char ignored[512];
    int r = -ECANCELED;
    if (spec->hold(spec->hold_arg, spec->id, pid))
        r = call_simple(self, &request, "", &reply, error);
    else
        mf_str_format(error, 512, "its keeper does not let it run: the lease is over");
    if (r < 0)
        (void)destroy(self, spec->id, 0, ignored);
    return r;
}

static int create(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t *ret_pid,
                  char error[512])
{
    MF_MAGIC(self, MAGIC);
    struct mf_null_packet reply, request = {.version = MF_NULL_VERSION,
                                            .kind = MF_NULL_CREATE,
                                            .at_most = spec->at_most,
                                            .speaks = spec->health && spec->health->ready > MF_READINESS_NONE,
                                            .id = spec->id,
                                            .epoch = spec->epoch,
                                            .vcpus = spec->vcpus,
                                            .memory_mib = spec->memory_mib,
                                            .disk_mib = spec->disk_mib};
    error[0] = 0;
    if (!mf_driver_network_find(&self->config, spec->network, error))
        return -ENODEV;
    if (mf_topology_check(self->n_cells, spec->cells, error) < 0)
        return -EINVAL;
    int r = call_simple(self, &request, spec->name, &reply, error);
    if (r == 0 && spec->at_most && !reply.running)
        r = resume(self, spec, reply.pid, error);
    if (r < 0)
        return r;
    *ret_pid = reply.pid ? reply.pid : stand_in(self);
    if (!know(self, spec->id))
        died(self, spec->id, MF_DEATH_EXITED, "the stand-in process ended");
    return 0;
}

static int destroy(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512])
{
    MF_MAGIC(self, MAGIC);
    struct mf_null_packet request = {.version = MF_NULL_VERSION, .kind = MF_NULL_DESTROY, .id = id}, reply;
    error[0] = 0;
    int r = call_simple(self, &request, "", &reply, error);
    if (r == 0)
        forget(self, id);
    return r;
}

static int take_rows(struct mf_driver *self, const struct mf_null_packet *reply, const char *rest,
                     struct mf_driver_guest **guests, size_t *n)
{
    if (reply->kind != MF_NULL_LISTED || reply->n > MF_NULL_LIST_BATCH)
        return -EPROTO;
    struct mf_driver_guest *all = realloc(*guests, (*n + reply->n + 1) * sizeof *all);
    MF_CHECK(all);
    for (uint32_t i = 0; i < reply->n; i++) {
        struct mf_null_guest_row row;
        memcpy(&row, rest + i * sizeof row, sizeof row);
        struct mf_driver_guest *guest = &all[(*n)++];
        *guest = (struct mf_driver_guest){.id = row.id,
                                          .running = row.running,
                                          .at_most = row.at_most,
                                          .pid = row.pid       ? row.pid
                                                 : row.running ? stand_in(self)
                                                               : 0};
        mf_str_format(guest->name, sizeof guest->name, "%s", row.name);
        guest->ready = row.ready;
        mf_str_format(guest->address, sizeof guest->address, "%s", row.address);
        if (row.running)
            (void)know(self, row.id);
    }
    *guests = all;
    return 0;
}

static int list(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n, char error[512])
{
    MF_MAGIC(self, MAGIC);
    struct mf_null_packet request = {.version = MF_NULL_VERSION, .kind = MF_NULL_LIST}, reply;
    struct mf_driver_guest *guests = NULL;
    size_t n = 0;
    char rest[MF_NULL_PACKET];
    int fd, r = call(self, &request, "", &fd, &reply, rest, error);
    if (r < 0)
        return r;
    r = take_rows(self, &reply, rest, &guests, &n);
    while (r == 0 && reply.more) {
        struct iovec parts[2] = {{&reply, sizeof reply}, {rest, sizeof rest}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t len = recvmsg(fd, &message, 0);
        r = len < (ssize_t)sizeof reply ? -EPIPE : take_rows(self, &reply, rest, &guests, &n);
    }
    if (r < 0) {
        mf_str_format(error, 512, "the stand-in of %.300s broke off its list", self->root);
        free(guests);
        close(fd);
        return r;
    }
    give_back(self, fd);
    *ret_guests = guests;
    *ret_n = n;
    return 0;
}

const struct mf_driver_ops mf_driver_null = {.name = "null",
                                             .open = open_,
                                             .close = close_,
                                             .caps = caps,
                                             .type = type,
                                             .capacity = capacity,
                                             .create = create,
                                             .destroy = destroy,
                                             .list = list};
