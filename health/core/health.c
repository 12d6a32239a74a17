/* health.c - the monitor's talk with the broker, its table of ears, and its own punctuality.
 *
 * Timers are lazy: a pulse moves no timer, a timer that fires finds out whether it is still due. So 10 000
 * nodes at 5 Hz cost a hash look-up and a MAC for each pulse, and a heap step for each node every few hundred
 * milliseconds. */
#include "health.h"

#include "arena.h"
#include "check.h"
#include "ear.h"
#include "heap.h"
#include "map.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEALTH_MAGIC = 0x6d666865 };

struct counts { /* of datagrams, by what became of them */
    uint64_t heard, malformed, unknown, stale, replayed, forged;
};

struct mf_health {
    unsigned magic;
    struct mf_health_config config;
    mf_ms now;      /* of the last feed */
    mf_ms promised; /* the deadline that was given out after it */
    bool started, linked, welcomed;
    mf_ms hello_ms, alive_ms; /* when each is due */
    bool say_hello, say_alive;
    struct mf_ear_limits limits;
    uint64_t term;
    struct mf_map *ears; /* by name */
    struct mf_heap timers;
    struct mf_ear *first_to_say, *last_to_say;
    size_t n_known;
    struct counts counts;
    mf_ms pardoned_ms;     /* lateness in all, for the operator */
    struct mf_arena arena; /* of what poll handed out since the last feed */
};

void mf_health_config_default(struct mf_health_config *ret_config)
{
    *ret_config = (struct mf_health_config){
        .tick_ms = 10, .late_ms = 50, .hello_ms = 500, .alive_ms = 500, .verdict_resend_ms = 300};
}

struct mf_health *mf_health_new(const struct mf_health_config *config)
{
    MF_CHECK(config->pulse_address[0]);
    MF_CHECK(config->tick_ms > 0 && config->hello_ms > 0 && config->alive_ms > 0 &&
             config->verdict_resend_ms > 0);
    struct mf_health *self = calloc(1, sizeof(*self));
    MF_CHECK(self);
    self->magic = HEALTH_MAGIC;
    self->config = *config;
    self->promised = INT64_MAX;
    self->ears = mf_map_new();
    return self;
}

void mf_health_destroy(struct mf_health **self)
{
    if (!*self)
        return;
    MF_MAGIC(*self, HEALTH_MAGIC);
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next((*self)->ears, &cursor, (void **)&ear);)
        free(ear);
    mf_map_destroy(&(*self)->ears);
    mf_heap_free(&(*self)->timers);
    mf_arena_free(&(*self)->arena);
    free(*self);
    *self = NULL;
}

/* -- what is to be said */

static void queue_ear(struct mf_health *self, struct mf_ear *ear)
{
    ear->say_ms = MF_EAR_NEVER;
    if (ear->to_say)
        return;
    ear->to_say = true;
    ear->next_to_say = NULL;
    if (self->last_to_say)
        self->last_to_say->next_to_say = ear;
    else
        self->first_to_say = ear;
    self->last_to_say = ear;
}

static struct mf_ear *unqueue_ear(struct mf_health *self)
{
    struct mf_ear *ear = self->first_to_say;
    if (!ear)
        return NULL;
    self->first_to_say = ear->next_to_say;
    if (!self->first_to_say)
        self->last_to_say = NULL;
    ear->to_say = false;
    return ear;
}

static void forget_unsaid(struct mf_health *self)
{
    while (unqueue_ear(self))
        ;
    self->say_hello = self->say_alive = false;
}

/* After anything that may have changed an ear: say what it concluded, and set its timer if that must fire
 * earlier than it would. */
static void attend(struct mf_health *self, struct mf_ear *ear)
{
    if (ear->say_ms <= self->now)
        queue_ear(self, ear);
    mf_ms due = mf_ear_due(ear, &self->limits);
    if (due == MF_EAR_NEVER)
        return;
    if (!ear->timer.place || due < ear->timer.when)
        mf_heap_set(&self->timers, &ear->timer, due);
}

/* -- from the broker */

static void welcome(struct mf_health *self, const struct mf_msg_monitor_welcome *message)
{
    struct mf_ear *ear;
    forget_unsaid(self);
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        mf_heap_unset(&self->timers, &ear->timer);
        if (!ear->known) { /* through a whole reign nobody spoke of it */
            mf_map_del(self->ears, ear->name, strlen(ear->name));
            free(ear);
            continue;
        }
        ear->known = false;
    }
    self->n_known = 0;
    self->term = message->term;
    self->limits = (struct mf_ear_limits){.pulse_ms = (mf_ms)message->pulse_ms,
                                          .silence_ms = (mf_ms)message->silence_ms,
                                          .agent_grace_ms = (mf_ms)message->agent_grace_ms};
    self->welcomed = true;
    self->say_alive = true;
    self->alive_ms = self->now + self->config.alive_ms;
}

static struct mf_ear *find_ear(struct mf_health *self, struct mf_str name)
{
    struct mf_ear *ear = mf_map_get_str(self->ears, name);
    if (ear)
        return ear;
    ear = calloc(1, sizeof(*ear));
    MF_CHECK(ear);
    mf_str_format(ear->name, sizeof(ear->name), "%.*s", (int)name.len, name.ptr);
    mf_map_put_str(self->ears, name, ear);
    return ear;
}

static void node_told(struct mf_health *self, const struct mf_msg_monitor_node *message)
{
    if (!self->welcomed)
        return;
    struct mf_ear *ear = find_ear(self, message->node);
    if (ear->known && ear->epoch == message->epoch) {
        mf_ear_told(ear, message, self->now);
    } else {
        self->n_known += !ear->known;
        ear->known = true;
        mf_ear_begin(ear, message, self->now);
    }
    attend(self, ear);
}

static void begin_hello(struct mf_health *self)
{
    self->welcomed = false;
    forget_unsaid(self);
    self->say_hello = true;
    self->hello_ms = self->now + self->config.hello_ms;
}

/* The broker does not know this session (any more). Other errors are about single messages and change
 * nothing. */
static void error_told(struct mf_health *self, const struct mf_msg_error *message)
{
    enum mf_errcode code = mf_error_value(message->code);
    if (self->welcomed && code == MF_E_STALE)
        begin_hello(self);
}

static void message_told(struct mf_health *self, const struct mf_message *message)
{
    if (!self->linked)
        return;
    switch (message->kind) {
    case MF_MSG_MONITOR_WELCOME:
        welcome(self, &message->monitor_welcome);
        break;
    case MF_MSG_MONITOR_NODE:
        node_told(self, &message->monitor_node);
        break;
    case MF_MSG_ERROR:
        error_told(self, &message->error);
        break;
    default: /* a newer broker may say what we need not know */
        break;
    }
}

static void link_changed(struct mf_health *self, bool up)
{
    self->linked = up;
    self->welcomed = false;
    forget_unsaid(self);
    if (up)
        begin_hello(self);
}

/* -- from the nodes */

static void pulse_heard(struct mf_health *self, const void *bytes, size_t len)
{
    struct mf_pulse pulse;
    if (mf_pulse_peek(bytes, len, &pulse) < 0 || pulse.kind != MF_PULSE_BEAT) {
        self->counts.malformed++;
        return;
    }
    struct mf_ear *ear = self->welcomed ? mf_map_get(self->ears, pulse.node, strlen(pulse.node)) : NULL;
    if (!ear || !ear->known)
        self->counts.unknown++;
    else if (pulse.epoch != ear->epoch)
        self->counts.stale++;
    else if (pulse.counter <= ear->counter)
        self->counts.replayed++;
    else if (!mf_pulse_verify(bytes, ear->key))
        self->counts.forged++;
    else {
        self->counts.heard++;
        mf_ear_pulse(ear, &self->limits, &pulse, self->now);
        attend(self, ear);
    }
}

/* -- time */

/* A loop that was held up did not listen: nobody may be blamed for what it did not hear. The pause counts as
 * heard time. */
static void pardon_lateness(struct mf_health *self, mf_ms now)
{
    if (self->promised == INT64_MAX || now - self->promised <= self->config.late_ms)
        return;
    mf_ms lateness = now - self->promised;
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);)
        mf_ear_pardon(ear, lateness);
    self->pardoned_ms += lateness;
}

static void fire_timers(struct mf_health *self)
{
    struct mf_timer *timer;
    while ((timer = mf_heap_take(&self->timers, self->now))) {
        struct mf_ear *ear = (struct mf_ear *)timer;
        mf_ear_judge(ear, &self->limits, self->now);
        attend(self, ear);
    }
}

static void tick(struct mf_health *self)
{
    if (self->linked && !self->welcomed && self->hello_ms <= self->now)
        begin_hello(self);
    if (!self->welcomed)
        return;
    fire_timers(self);
    if (self->alive_ms <= self->now) {
        self->say_alive = true;
        self->alive_ms = self->now + self->config.alive_ms;
    }
}

/* -- the three verbs */

void mf_health_feed(struct mf_health *self, mf_ms now, const struct mf_health_event *event)
{
    MF_MAGIC(self, HEALTH_MAGIC);
    MF_CHECK(!self->started || now >= self->now);
    mf_arena_reset(&self->arena);
    pardon_lateness(self, now);
    self->started = true;
    self->now = now;
    self->promised = now + self->config.tick_ms;
    switch (event->kind) {
    case MF_HEALTH_TICK:
        tick(self);
        break;
    case MF_HEALTH_LINK_UP:
        link_changed(self, true);
        break;
    case MF_HEALTH_LINK_DOWN:
        link_changed(self, false);
        break;
    case MF_HEALTH_MESSAGE:
        message_told(self, event->message);
        break;
    case MF_HEALTH_PULSE:
        pulse_heard(self, event->bytes, event->len);
        break;
    }
}

mf_ms mf_health_deadline(const struct mf_health *self)
{
    MF_MAGIC(self, HEALTH_MAGIC);
    return self->promised;
}

static uint64_t count_heard(const struct mf_health *self)
{
    uint64_t n = 0;
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);)
        n += ear->known && !mf_ear_is_quiet(ear, &self->limits, self->now);
    return n;
}

static uint64_t since(mf_ms now, mf_ms then)
{
    return then == MF_EAR_NEVER || then > now ? 0 : (uint64_t)(now - then);
}

static void make_verdict(const struct mf_health *self, const struct mf_ear *ear, struct mf_message *message)
{
    message->kind = MF_MSG_MONITOR_VERDICT;
    message->monitor_verdict = (struct mf_msg_monitor_verdict){
        .node = mf_str(ear->name),
        .epoch = ear->epoch,
        .verdict = ear->verdict,
        .evidence = ear->evidence,
        .silent_ms = since(self->now, ear->heard_ms),
        .closed_ms = since(self->now, ear->closed_ms),
        .agent_dead_ms = since(self->now, ear->dead_ms),
    };
}

/* Said, it is due to be said again unless the broker shows its effect already. */
static bool poll_verdict(struct mf_health *self, struct mf_message *message)
{
    struct mf_ear *ear;
    while ((ear = unqueue_ear(self))) {
        if (!ear->known || ear->verdict == MF_VERDICT_UNSET)
            continue;
        make_verdict(self, ear, message);
        if (!mf_ear_is_settled(ear))
            ear->say_ms = self->now + self->config.verdict_resend_ms;
        attend(self, ear);
        return true;
    }
    return false;
}

static bool poll_message(struct mf_health *self, struct mf_message *message)
{
    if (self->say_hello) {
        self->say_hello = false;
        message->kind = MF_MSG_MONITOR_HELLO;
        message->monitor_hello.pulse_address = mf_str(self->config.pulse_address);
        return true;
    }
    if (poll_verdict(self, message))
        return true;
    if (self->say_alive) {
        self->say_alive = false;
        message->kind = MF_MSG_MONITOR_ALIVE;
        message->monitor_alive.nodes_heard = count_heard(self);
        message->monitor_alive.nodes_known = self->n_known;
        return true;
    }
    return false;
}

bool mf_health_poll(struct mf_health *self, struct mf_health_action *ret_action)
{
    MF_MAGIC(self, HEALTH_MAGIC);
    struct mf_message *message = mf_arena_alloc(&self->arena, sizeof(*message));
    if (!poll_message(self, message))
        return false;
    *ret_action = (struct mf_health_action){.kind = MF_HEALTH_SEND, .message = message};
    return true;
}

/* -- looking in */

void mf_health_check(const struct mf_health *self)
{
    MF_MAGIC(self, HEALTH_MAGIC);
    MF_CHECK(!self->welcomed || self->linked);
    MF_CHECK(!self->first_to_say == !self->last_to_say);
    size_t known = 0;
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        if (!ear->known)
            continue;
        known++;
        MF_CHECK(ear->state < MF_EAR_STATES && ear->epoch > 0);
        MF_CHECK(ear->heard_ms <= self->now);
        MF_CHECK(ear->closed_ms == MF_EAR_NEVER || ear->closed_ms <= self->now);
        MF_CHECK(!self->welcomed || mf_ear_due(ear, &self->limits) == MF_EAR_NEVER || ear->timer.place);
        MF_CHECK(!ear->timer.place || !self->welcomed || ear->timer.when <= mf_ear_due(ear, &self->limits) ||
                 mf_ear_due(ear, &self->limits) == MF_EAR_NEVER);
    }
    MF_CHECK(known == self->n_known);
}

static void print(struct mf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(struct mf_buf *buf, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0)
        mf_buf_append(buf, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void print_since(struct mf_buf *buf, const char *what, mf_ms now, mf_ms then)
{
    if (then != MF_EAR_NEVER)
        print(buf, " %s=%lld", what, (long long)(now - then));
}

void mf_health_describe(const struct mf_health *self, struct mf_buf *buf)
{
    const struct counts *c = &self->counts;
    print(
        buf, "monitor %s: %s term %llu, pulse %lld silence %lld grace %lld ms, %zu nodes, pardoned %lld ms\n",
        self->config.name,
        self->welcomed ? "welcomed,"
        : self->linked ? "not welcomed,"
                       : "no link,",
        (unsigned long long)self->term, (long long)self->limits.pulse_ms, (long long)self->limits.silence_ms,
        (long long)self->limits.agent_grace_ms, self->n_known, (long long)self->pardoned_ms);
    print(buf, "datagrams: heard %llu malformed %llu unknown %llu stale %llu replayed %llu forged %llu\n",
          (unsigned long long)c->heard, (unsigned long long)c->malformed, (unsigned long long)c->unknown,
          (unsigned long long)c->stale, (unsigned long long)c->replayed, (unsigned long long)c->forged);
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        if (!ear->known)
            continue;
        print(buf, "node %s epoch %llu %s, told %s, %s", ear->name, (unsigned long long)ear->epoch,
              mf_ear_state_word(ear->state), mf_node_state_word(ear->told),
              ear->heard ? "heard" : "not heard");
        print_since(buf, "silent_ms", self->now, ear->heard_ms);
        print_since(buf, "closed_ms", self->now, ear->closed_ms);
        print_since(buf, "agent_dead_ms", self->now, ear->dead_ms);
        print(buf, "\n");
    }
}
