/* health.c - the monitor's talk with the broker, its table of ears, and its own punctuality.
 *
 * Timers are lazy: a pulse moves no timer, a timer that fires finds out whether it is still due. So 10 000
 * nodes at 5 Hz cost a hash look-up and a MAC for each pulse, and a heap step for each node every few hundred
 * milliseconds. */
#include "health_state.h"

#include "check.h"
#include <stdlib.h>
#include <string.h>

enum { SAID_SOON = 3 /* times, before it is said again at a slower pace */ };

void mf_health_config_default(struct mf_health_config *ret_config)
{
    *ret_config = (struct mf_health_config){
        .tick_ms = 10,
        .late_ms = 50,
        .hello_ms = 500,
        .alive_ms = 500,
        .verdict_resend_ms = 300,
        .verdict_slow_ms = 1000,
        .probe = true,
        .ask_ms = 100,
        .ask_slow_ms = 500,
        .check_guests = 10000,
        .check_looks = 256,
    };
}

struct mf_health *mf_health_new(const struct mf_health_config *config)
{
    MF_CHECK(config->pulse_address[0]);
    MF_CHECK(config->tick_ms > 0 && config->hello_ms > 0 && config->alive_ms > 0 &&
             config->verdict_resend_ms > 0 && config->verdict_slow_ms > 0 && config->ask_ms > 0 &&
             config->ask_slow_ms > 0);
    struct mf_health *self = calloc(1, sizeof(*self));
    MF_CHECK(self);
    self->magic = MF_HEALTH_MAGIC;
    self->config = *config;
    self->promised = INT64_MAX;
    self->ears = mf_map_new();
    mf_random_seed(&self->probes.random, config->seed);
    mf_checks_begin(&self->checks, config);
    return self;
}

void mf_health_destroy(struct mf_health **self)
{
    if (!*self)
        return;
    MF_MAGIC(*self, MF_HEALTH_MAGIC);
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next((*self)->ears, &cursor, (void **)&ear);)
        free(ear);
    mf_map_destroy(&(*self)->ears);
    mf_heap_free(&(*self)->timers);
    mf_probes_free(&(*self)->probes);
    mf_checks_free(&(*self)->checks);
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

mf_ms mf_health_due(const struct mf_health *self, const struct mf_ear *ear)
{
    mf_ms due = mf_ear_due(ear, &self->limits, self->now);
    mf_ms ask = self->config.probe ? mf_ear_ask_at(ear, &self->limits) : MF_EAR_NEVER;
    return ask < due ? ask : due;
}

/* After anything that may have changed an ear: say what it concluded, and set its timer if that must fire
 * earlier than it would. */
static void attend(struct mf_health *self, struct mf_ear *ear)
{
    if (ear->say_ms <= self->now)
        queue_ear(self, ear);
    mf_doubt_count(&self->doubt, ear);
    mf_ms due = mf_health_due(self, ear);
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
    mf_probes_forget(&self->probes);
    mf_checks_forget(&self->checks);
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        mf_heap_unset(&self->timers, &ear->timer);
        if (!ear->known) { /* through a whole reign nobody spoke of it */
            mf_map_del(self->ears, ear->name, strlen(ear->name));
            free(ear);
            continue;
        }
        ear->known = ear->counted_open = ear->counted_heard = false;
    }
    mf_doubt_begin(&self->doubt, (unsigned)message->doubt_percent);
    self->n_known = 0;
    self->term = message->term;
    self->limits = (struct mf_ear_limits){.pulse_ms = (mf_ms)message->pulse_ms,
                                          .silence_ms = (mf_ms)message->silence_ms,
                                          .agent_grace_ms = (mf_ms)message->agent_grace_ms,
                                          .ask_ms = self->config.ask_ms,
                                          .ask_slow_ms = self->config.ask_slow_ms};
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
        if (!ear->known) {
            self->n_known++;
            mf_probes_add(&self->probes, ear);
        }
        ear->known = true;
        mf_ear_begin(ear, message, self->now);
    }
    attend(self, ear);
}

static void begin_hello(struct mf_health *self)
{
    self->welcomed = false;
    forget_unsaid(self);
    mf_checks_forget(&self->checks);
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
    case MF_MSG_MONITOR_GUEST:
        if (self->welcomed)
            mf_checks_told(&self->checks, &message->monitor_guest, self->now);
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
    mf_checks_forget(&self->checks);
    if (up)
        begin_hello(self);
}

/* -- from the nodes */

/* One pulse more of a node that is heard anyway: its timer fires before anything that now may come. Not so
 * after an echo, which had put a death off for longer than a pulse does. */
static void pulse_heard(struct mf_health *self, struct mf_ear *ear, const struct mf_pulse *pulse,
                        const void *bytes)
{
    if (pulse->counter <= ear->counter)
        self->counts.replayed++;
    else if (!mf_pulse_verify(bytes, ear->key))
        self->counts.forged++;
    else {
        self->counts.heard++;
        bool as_ever = ear->audible && ear->timer.place && ear->echo_ms == MF_EAR_LONG_AGO;
        mf_ear_pulse(ear, &self->limits, pulse, self->now);
        if (!as_ever || ear->say_ms != MF_EAR_NEVER || ear->dead_ms != MF_EAR_NEVER)
            attend(self, ear);
    }
}

/* Whoever brought it: it carries the nonce of a probe of ours and the MAC of the node itself. */
static void echo_heard(struct mf_health *self, struct mf_ear *ear, const struct mf_pulse *echo,
                       const void *bytes)
{
    mf_ms sent_ms;
    if (!mf_pulse_verify(bytes, ear->key))
        self->counts.forged++;
    else if (!mf_inquiry_answered(&ear->inquiry, echo->nonce, &sent_ms))
        self->counts.unasked++;
    else {
        self->probes.answered++;
        mf_ear_echo(ear, echo, sent_ms, self->now);
        attend(self, ear);
    }
}

static void datagram_came(struct mf_health *self, const void *bytes, size_t len)
{
    struct mf_pulse pulse;
    if (mf_pulse_peek(bytes, len, &pulse) < 0 || pulse.kind == MF_PULSE_PROBE) {
        self->counts.malformed++;
        return;
    }
    struct mf_ear *ear = self->welcomed ? mf_map_get(self->ears, pulse.node, strlen(pulse.node)) : NULL;
    if (!ear || !ear->known)
        self->counts.unknown++;
    else if (pulse.epoch != ear->epoch)
        self->counts.stale++;
    else if (pulse.kind == MF_PULSE_BEAT)
        pulse_heard(self, ear, &pulse, bytes);
    else
        echo_heard(self, ear, &pulse, bytes);
}

/* -- time */

/* A loop that was held up did not listen: nobody may be blamed for what it did not hear. The pause counts as
 * heard time; after a long one the monitor first listens for a while. */
static void pardon_lateness(struct mf_health *self, mf_ms now)
{
    if (self->promised == INT64_MAX || now - self->promised <= self->config.late_ms)
        return;
    mf_ms lateness = now - self->promised;
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);)
        mf_ear_pardon(ear, lateness);
    mf_checks_pardon(&self->checks);
    self->pardoned_ms += lateness;
    if (self->welcomed)
        mf_doubt_late(&self->doubt, lateness, now + MF_EAR_QUIET_INTERVALS * self->limits.pulse_ms);
}

/* Trust is back: who was not heard meanwhile has a whole grace, for it may have been our fault. */
static void end_doubt(struct mf_health *self)
{
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        if (!ear->known)
            continue;
        if (!ear->audible)
            ear->grace_ms = self->now;
        if (ear->verdict == MF_VERDICT_SUSPECT || ear->verdict == MF_VERDICT_FAILED)
            ear->say_ms = self->now; /* in doubt, our words did not count */
        attend(self, ear);
    }
}

static void look_at_doubt(struct mf_health *self)
{
    if (!mf_doubt_look(&self->doubt, self->now))
        return;
    self->limits.doubting = self->doubt.is_doubting;
    mf_checks_rest(&self->checks, self->doubt.is_doubting, self->now);
    self->say_alive = true;
    if (!self->limits.doubting)
        end_doubt(self);
}

static void fire(struct mf_health *self, struct mf_ear *ear)
{
    mf_ear_listen(ear, &self->limits, self->now);
    mf_doubt_count(&self->doubt, ear);
    look_at_doubt(self);
    mf_ear_judge(ear, &self->limits, self->now);
    if (self->config.probe)
        mf_probes_attend(&self->probes, ear, &self->limits, self->now);
    attend(self, ear);
}

static void fire_timers(struct mf_health *self)
{
    struct mf_timer *timer;
    while ((timer = mf_heap_take(&self->timers, self->now))) {
        struct mf_ear *ear = (struct mf_ear *)timer;
        mf_ms calm = mf_ear_calm_until(ear, &self->limits);
        if (calm > self->now) /* it pulsed meanwhile */
            mf_heap_set(&self->timers, timer, calm);
        else
            fire(self, ear);
    }
}

static void tick(struct mf_health *self)
{
    if (self->linked && !self->welcomed && self->hello_ms <= self->now)
        begin_hello(self);
    if (!self->welcomed)
        return;
    look_at_doubt(self);
    fire_timers(self);
    if (self->alive_ms <= self->now) {
        self->say_alive = true;
        self->alive_ms = self->now + self->config.alive_ms;
    }
}

/* -- the three verbs */

void mf_health_feed(struct mf_health *self, mf_ms now, const struct mf_health_event *event)
{
    MF_MAGIC(self, MF_HEALTH_MAGIC);
    MF_CHECK(!self->started || now >= self->now);
    mf_arena_reset(&self->arena);
    mf_checks_turn(&self->checks);
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
        datagram_came(self, event->bytes, event->len);
        break;
    case MF_HEALTH_LOOKED:
        mf_checks_done(&self->checks, event->look, event->how, event->text, now);
        break;
    }
}

mf_ms mf_health_deadline(const struct mf_health *self)
{
    MF_MAGIC(self, MF_HEALTH_MAGIC);
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
    mf_inquiry_opinion(&ear->inquiry, &message->monitor_verdict.asked, &message->monitor_verdict.echoes);
}

/* Said, it is due to be said again unless the broker shows its effect already. With several monitors the
 * effect may never come: the word stands in the broker until it is taken back. */
static bool poll_verdict(struct mf_health *self, struct mf_message *message)
{
    struct mf_ear *ear;
    while ((ear = unqueue_ear(self))) {
        if (!ear->known || ear->verdict == MF_VERDICT_UNSET)
            continue;
        if (self->limits.doubting && ear->verdict != MF_VERDICT_RECOVERED)
            continue; /* said when the doubt is over */
        make_verdict(self, ear, message);
        bool soon = ++ear->said < SAID_SOON;
        self->counts.verdicts[ear->verdict] += ear->said == 1;
        if (!mf_ear_is_settled(ear))
            ear->say_ms = self->now + (soon ? self->config.verdict_resend_ms : self->config.verdict_slow_ms);
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
    if (mf_checks_say(&self->checks, self->now, &self->arena, &message->monitor_checked)) {
        message->kind = MF_MSG_MONITOR_CHECKED;
        return true;
    }
    if (self->say_alive) {
        self->say_alive = false;
        message->kind = MF_MSG_MONITOR_ALIVE;
        message->monitor_alive.nodes_heard = count_heard(self);
        message->monitor_alive.nodes_known = self->n_known;
        message->monitor_alive.suspended = self->doubt.is_doubting;
        if (self->doubt.is_doubting)
            message->monitor_alive.reason = mf_str(self->doubt.reason);
        return true;
    }
    return false;
}

static bool poll_datagram(struct mf_health *self, struct mf_health_action *ret_action)
{
    if (!self->probes.first)
        return false;
    struct mf_probes_datagram *datagram = mf_arena_alloc(&self->arena, sizeof(*datagram));
    if (!mf_probes_poll(&self->probes, datagram))
        return false;
    *ret_action = (struct mf_health_action){.kind = MF_HEALTH_DATAGRAM,
                                            .address = datagram->address,
                                            .bytes = datagram->bytes,
                                            .len = datagram->len};
    return true;
}

bool mf_health_poll(struct mf_health *self, struct mf_health_action *ret_action)
{
    MF_MAGIC(self, MF_HEALTH_MAGIC);
    struct mf_message *message = mf_arena_alloc(&self->arena, sizeof(*message));
    struct mf_health_look look;
    if (poll_message(self, message))
        *ret_action = (struct mf_health_action){.kind = MF_HEALTH_SEND, .message = message};
    else if (mf_checks_poll(&self->checks, self->now, &look))
        *ret_action = (struct mf_health_action){.kind = MF_HEALTH_LOOK, .look = look};
    else
        return poll_datagram(self, ret_action);
    return true;
}
