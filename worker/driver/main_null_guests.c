/* main_null_guests.c - see main_null_guests.h. A request that takes time, or for ever, is a task with a
 * timer; a guest is in the table from the moment its create was asked for. */
#include "main_null_guests.h"
#include "main_null_process.h"
#include "check.h"
#include "heap.h"
#include "map.h"
#include "message.h"
#include "null_script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum task_kind { TASK_CREATE, TASK_DESTROY, TASK_LIST, TASK_DIE, TASK_TELL, TASK_READY, TASK_UNWELL };
enum { EVENT_MS = 200 }; /* libvirt's own news of a process that ended comes so late; the keeper's is first */

struct task {
    struct mf_timer timer; /* first: the heap hands it back. Not set: the call hangs */
    enum task_kind kind;
    uint64_t peer;
    struct mf_uuid id; /* zero for a list */
    enum mf_death how;
    struct task *next, **place; /* of all tasks: hung ones are in no heap */
};
struct guest {
    struct mf_uuid id;
    struct task *task; /* its create under way, or its coming death; NULL for neither */
    bool running, at_most;
    bool speaks, ready; /* it is to say that it is well; it did */
    pid_t pid;          /* of an at-most one's own process; 0: none */
    char address[16];
    char name[];
};
struct mf_null_guests {
    mf_null_send *send;
    void *arg;
    struct mf_map *guests;
    struct mf_heap timers;
    struct task *tasks;
    struct mf_null_script script;
    uint32_t addresses; /* given so far */
    struct mf_random random;
};

struct mf_null_guests *mf_null_guests_new(mf_null_send *send, void *arg)
{
    struct mf_null_guests *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->send = send;
    self->arg = arg;
    self->guests = mf_map_new();
    self->script.seed = 1;
    mf_random_seed(&self->random, 1);
    return self;
}

/* ---- tasks */

static struct task *task_new(struct mf_null_guests *self, enum task_kind kind, uint64_t peer,
                             struct mf_uuid id)
{
    struct task *task = calloc(1, sizeof *task);
    MF_CHECK(task);
    task->kind = kind;
    task->peer = peer;
    task->id = id;
    task->next = self->tasks;
    task->place = &self->tasks;
    if (self->tasks)
        self->tasks->place = &task->next;
    self->tasks = task;
    return task;
}

static void task_end(struct mf_null_guests *self, struct task *task)
{
    mf_heap_unset(&self->timers, &task->timer);
    *task->place = task->next;
    if (task->next)
        task->next->place = task->place;
    free(task);
}

void mf_null_guests_destroy(struct mf_null_guests **self)
{
    struct mf_null_guests *guests = *self;
    if (!guests)
        return;
    *self = NULL;
    while (guests->tasks)
        task_end(guests, guests->tasks);
    size_t cursor = 0;
    for (struct guest *guest; mf_map_next(guests->guests, &cursor, (void **)&guest); free(guest))
        if (guest->pid)
            mf_null_process_kill(guest->pid);
    mf_map_destroy(&guests->guests);
    mf_heap_free(&guests->timers);
    free(guests);
}

/* ---- guests */

static struct guest *guest_get(struct mf_null_guests *self, struct mf_uuid id)
{
    return mf_map_get(self->guests, id.bytes, sizeof id.bytes);
}

static void guest_remove(struct mf_null_guests *self, struct guest *guest)
{
    mf_map_del(self->guests, guest->id.bytes, sizeof guest->id.bytes);
    if (guest->task)
        task_end(self, guest->task);
    if (guest->pid)
        mf_null_process_kill(guest->pid);
    free(guest);
}

static void done(struct mf_null_guests *self, uint64_t peer, struct mf_uuid id, int result, const char *text)
{
    struct mf_null_packet packet = {
        .version = MF_NULL_VERSION, .kind = MF_NULL_DONE, .id = id, .result = result};
    self->send(self->arg, peer, &packet, text, strlen(text));
}

/* To the create's answer belongs what came of it. */
static void made(struct mf_null_guests *self, uint64_t peer, const struct guest *guest)
{
    struct mf_null_packet packet = {.version = MF_NULL_VERSION,
                                    .kind = MF_NULL_DONE,
                                    .id = guest->id,
                                    .running = guest->running,
                                    .pid = guest->pid};
    self->send(self->arg, peer, &packet, "", 0);
}

static void tell_death(struct mf_null_guests *self, struct mf_uuid id, enum mf_death how)
{
    static const char *const words[] = {[MF_DEATH_EXITED] = "the simulated guest ended",
                                        [MF_DEATH_POWEROFF] = "the simulated guest powered itself off",
                                        [MF_DEATH_CRASHED] = "the simulated guest crashed"};
    struct mf_null_packet packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_DIED, .id = id, .how = how};
    self->send(self->arg, 0, &packet, words[how], strlen(words[how]));
}

static void die(struct mf_null_guests *self, struct guest *guest, enum mf_death how)
{
    struct mf_uuid id = guest->id;
    guest_remove(self, guest);
    tell_death(self, id, how);
}

static void tell_address(struct mf_null_guests *self, const struct guest *guest)
{
    struct mf_null_packet packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_ADDRESS, .id = guest->id};
    if (guest->address[0])
        self->send(self->arg, 0, &packet, guest->address, strlen(guest->address));
}

static void give_address(struct mf_null_guests *self, struct guest *guest)
{
    uint32_t a = self->script.address + self->addresses;
    if (!self->script.address)
        return;
    self->addresses++;
    mf_str_format(guest->address, sizeof guest->address, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255,
                  a & 255);
    tell_address(self, guest);
}

static bool chance(struct mf_null_guests *self, double share)
{
    return share > 0 && (double)mf_random_below(&self->random, 1u << 30) < share * (1u << 30);
}

static void tell_ready(struct mf_null_guests *self, struct guest *guest)
{
    struct mf_null_packet packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_READY, .id = guest->id};
    guest->ready = true;
    self->send(self->arg, 0, &packet, "", 0);
}

static void tell_unwell(struct mf_null_guests *self, const struct guest *guest)
{
    static const char text[] = "the simulated guest hangs";
    struct mf_null_packet packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_UNWELL, .id = guest->id};
    self->send(self->arg, 0, &packet, text, sizeof text - 1);
}

/* Whoever ends before its time to speak says nothing. */
static void be_heard(struct mf_null_guests *self, mf_ms now, struct guest *guest)
{
    if (guest->speaks && !chance(self, self->script.ready_fail)) {
        if (self->script.ready_ms)
            mf_heap_set(&self->timers, &task_new(self, TASK_READY, 0, guest->id)->timer,
                        now + (mf_ms)self->script.ready_ms);
        else
            tell_ready(self, guest);
    }
    if (self->script.unwell_ms)
        mf_heap_set(&self->timers, &task_new(self, TASK_UNWELL, 0, guest->id)->timer,
                    now + (mf_ms)self->script.unwell_ms);
}

static void run_guest(struct mf_null_guests *self, mf_ms now, struct guest *guest)
{
    guest->running = true;
    give_address(self, guest);
    be_heard(self, now, guest);
    bool fails = chance(self, self->script.boot_fail);
    if (!fails && !self->script.die_after_ms)
        return;
    guest->task = task_new(self, TASK_DIE, 0, guest->id);
    guest->task->how = fails ? MF_DEATH_CRASHED : MF_DEATH_POWEROFF;
    mf_heap_set(&self->timers, &guest->task->timer, now + (fails ? 1 : (mf_ms)self->script.die_after_ms));
}

static void finish_create(struct mf_null_guests *self, mf_ms now, struct guest *guest, uint64_t peer)
{
    struct mf_uuid id = guest->id;
    if (chance(self, self->script.create_fail)) {
        guest_remove(self, guest);
        done(self, peer, id, -EIO, "the script says that this create fails");
        return;
    }
    int r = guest->at_most ? mf_null_process_start(id, &guest->pid) : 0;
    if (r < 0) {
        guest_remove(self, guest);
        done(self, peer, id, r, "the guest's process cannot be started");
        return;
    }
    if (!guest->at_most)
        run_guest(self, now, guest);
    made(self, peer, guest);
}

static void create(struct mf_null_guests *self, mf_ms now, uint64_t peer,
                   const struct mf_null_packet *request, const char *name)
{
    struct mf_uuid id = request->id;
    struct guest *guest = guest_get(self, id);
    if (guest && (guest->running || guest->pid)) {
        made(self, peer, guest);
        return;
    }
    if (guest) {
        done(self, peer, id, -EBUSY, "a create of this guest is under way");
        return;
    }
    size_t len = strnlen(name, sizeof((struct mf_null_guest_row *)0)->name - 1);
    guest = calloc(1, sizeof *guest + len + 1);
    MF_CHECK(guest);
    guest->id = id;
    guest->at_most = request->at_most;
    guest->speaks = request->speaks;
    memcpy(guest->name, name, len);
    mf_map_put(self->guests, id.bytes, sizeof id.bytes, guest);
    bool hangs = self->script.hang_create > 0;
    if (!hangs && !self->script.create_ms) {
        finish_create(self, now, guest, peer);
        return;
    }
    guest->task = task_new(self, TASK_CREATE, peer, id);
    if (hangs)
        self->script.hang_create--;
    else
        mf_heap_set(&self->timers, &guest->task->timer, now + (mf_ms)self->script.create_ms);
}

static void resume(struct mf_null_guests *self, mf_ms now, uint64_t peer, struct mf_uuid id)
{
    struct guest *guest = guest_get(self, id);
    if (!guest || !guest->pid) {
        done(self, peer, id, -ENOENT, "no such guest is paused here");
        return;
    }
    mf_null_process_resume(guest->pid);
    if (!guest->running)
        run_guest(self, now, guest);
    made(self, peer, guest);
}

void mf_null_guests_process_ended(struct mf_null_guests *self, mf_ms now, int64_t pid)
{
    size_t cursor = 0;
    struct guest *guest;
    while (mf_map_next(self->guests, &cursor, (void **)&guest))
        if (guest->pid == pid) {
            struct task *task = task_new(self, TASK_TELL, 0, guest->id);
            task->how = MF_DEATH_EXITED;
            mf_heap_set(&self->timers, &task->timer, now + EVENT_MS);
            guest->pid = 0; /* reaped */
            guest_remove(self, guest);
            return;
        }
}

static void finish_destroy(struct mf_null_guests *self, uint64_t peer, struct mf_uuid id)
{
    struct guest *guest = guest_get(self, id);
    if (guest && chance(self, self->script.destroy_fail)) {
        done(self, peer, id, -EIO, "the script says that this destroy fails");
        return;
    }
    if (guest && guest->task && guest->task->kind == TASK_CREATE)
        done(self, guest->task->peer, id, -ECANCELED, "the guest was destroyed while it was being made");
    if (guest)
        guest_remove(self, guest);
    done(self, peer, id, 0, "");
}

static void destroy(struct mf_null_guests *self, mf_ms now, uint64_t peer, struct mf_uuid id)
{
    bool hangs = self->script.hang_destroy > 0;
    if (!hangs && !self->script.destroy_ms) {
        finish_destroy(self, peer, id);
        return;
    }
    struct task *task = task_new(self, TASK_DESTROY, peer, id);
    if (hangs)
        self->script.hang_destroy--;
    else
        mf_heap_set(&self->timers, &task->timer, now + (mf_ms)self->script.destroy_ms);
}

static void finish_list(struct mf_null_guests *self, uint64_t peer)
{
    struct mf_null_guest_row rows[MF_NULL_LIST_BATCH];
    struct mf_null_packet packet = {.version = MF_NULL_VERSION, .kind = MF_NULL_LISTED};
    size_t cursor = 0, left = mf_map_size(self->guests);
    struct guest *guest;
    do {
        memset(rows, 0, sizeof rows);
        packet.n = 0;
        while (packet.n < MF_NULL_LIST_BATCH && left && mf_map_next(self->guests, &cursor, (void **)&guest)) {
            struct mf_null_guest_row *row = &rows[packet.n++];
            row->id = guest->id;
            row->running = guest->running;
            row->at_most = guest->at_most;
            row->ready = guest->ready;
            row->pid = guest->pid;
            memcpy(row->address, guest->address, sizeof row->address);
            memcpy(row->name, guest->name, strlen(guest->name));
            left--;
        }
        packet.more = left > 0;
        self->send(self->arg, peer, &packet, rows, packet.n * sizeof *rows);
    } while (left);
}

static void set_script(struct mf_null_guests *self, uint64_t peer, const char *text)
{
    char error[512];
    struct mf_uuid none = {0};
    int r = mf_null_script_parse(text, &self->script, error);
    if (r == 0)
        mf_random_seed(&self->random, self->script.seed);
    done(self, peer, none, r, r < 0 ? error : "");
}

static void kill_guest(struct mf_null_guests *self, uint64_t peer, struct mf_uuid id, uint32_t how)
{
    struct guest *guest = guest_get(self, id);
    bool known = how == MF_DEATH_EXITED || how == MF_DEATH_POWEROFF || how == MF_DEATH_CRASHED;
    if (!known || !guest || !guest->running) {
        done(self, peer, id, known ? -ENOENT : -EINVAL,
             known ? "no such guest runs here" : "a guest cannot end in this way");
        return;
    }
    die(self, guest, how);
    done(self, peer, id, 0, "");
}

/* ---- what comes in */

void mf_null_guests_handle(struct mf_null_guests *self, mf_ms now, uint64_t peer,
                           const struct mf_null_packet *request, const char *text)
{
    struct mf_uuid none = {0};
    switch (request->kind) {
    case MF_NULL_CREATE:
        create(self, now, peer, request, text);
        break;
    case MF_NULL_RESUME:
        resume(self, now, peer, request->id);
        break;
    case MF_NULL_DESTROY:
        destroy(self, now, peer, request->id);
        break;
    case MF_NULL_LIST:
        if (self->script.list_ms)
            mf_heap_set(&self->timers, &task_new(self, TASK_LIST, peer, none)->timer,
                        now + (mf_ms)self->script.list_ms);
        else
            finish_list(self, peer);
        break;
    case MF_NULL_SCRIPT:
        set_script(self, peer, text);
        break;
    case MF_NULL_DIE:
        kill_guest(self, peer, request->id, request->how);
        break;
    default:
        done(self, peer, none, -EINVAL, "unknown request");
    }
}

void mf_null_guests_peer_gone(struct mf_null_guests *self, uint64_t peer)
{
    for (struct task *task = self->tasks, *next; task; task = next) {
        next = task->next;
        if (task->peer != peer)
            continue;
        if (task->kind == TASK_CREATE)
            guest_remove(self, guest_get(self, task->id));
        else
            task_end(self, task);
    }
}

mf_ms mf_null_guests_deadline(const struct mf_null_guests *self)
{
    struct mf_timer *first = mf_heap_first(&self->timers);
    return first ? first->when : INT64_MAX;
}

void mf_null_guests_tick(struct mf_null_guests *self, mf_ms now)
{
    for (struct mf_timer *timer; (timer = mf_heap_take(&self->timers, now));) {
        struct task *task = (struct task *)timer, copy = *task;
        struct guest *guest = guest_get(self, copy.id);
        if (guest && guest->task == task)
            guest->task = NULL;
        task_end(self, task);
        switch (copy.kind) {
        case TASK_CREATE:
            MF_CHECK(guest); /* a guest takes its task with it */
            finish_create(self, now, guest, copy.peer);
            break;
        case TASK_DESTROY:
            finish_destroy(self, copy.peer, copy.id);
            break;
        case TASK_LIST:
            finish_list(self, copy.peer);
            break;
        case TASK_DIE:
            MF_CHECK(guest);
            die(self, guest, copy.how);
            break;
        case TASK_TELL:
            tell_death(self, copy.id, copy.how);
            break;
        case TASK_READY:
            if (guest)
                tell_ready(self, guest);
            break;
        case TASK_UNWELL:
            if (guest)
                tell_unwell(self, guest);
        }
    }
}
