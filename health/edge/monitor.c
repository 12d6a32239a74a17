/* monitor.c - each turn: links, messages, then every datagram that waits, and only then the time. The order
 * matters: a pulse that lies in the socket's buffer was heard, so it is fed before anybody's silence is
 * judged. */
#include "monitor_private.h"

#include "check.h"
#include "program.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    MONITOR_MAGIC = 0x6d6f6e69,
    WARN_MS = 5000,    /* between two words about a broker that does not answer */
    REFUSED_MS = 1000, /* until the next try of a key that was refused */
    DRAIN_MS = 50      /* a flood of datagrams holds up the clock at most this long in a turn */
};

static void feed(struct mf_monitor *self, const struct mf_health_event *event)
{
    mf_health_feed(self->core, mf_now(), event);
}

static void looked(void *arg, uint64_t number, enum mf_look_end how, const char *text)
{
    feed(arg, &(struct mf_health_event){.kind = MF_HEALTH_LOOKED, .look = number, .how = how, .text = text});
}

int mf_monitor_open(const struct mf_health_config *config, const char *broker, const struct mf_key *key,
                    struct mf_pulse_socket *pulses, int signals, struct mf_monitor **ret_monitor,
                    char error[512])
{
    struct mf_monitor *self = calloc(1, sizeof(*self));
    MF_CHECK(self);
    self->magic = MONITOR_MAGIC;
    self->pulses = pulses;
    self->signals = signals;
    self->warn_ms = mf_now() + WARN_MS;
    mf_str_format(self->broker, sizeof(self->broker), "%s", broker);
    self->core = mf_health_new(config);
    self->context = zmq_ctx_new();
    MF_CHECK(self->context);
    int r = mf_looker_open(looked, self, &self->looker, error);
    if (r == 0)
        r = mf_bus_connect(self->context, ZMQ_DEALER, broker, key, "broker-link", &self->socket, &self->pair,
                           error);
    if (r < 0)
        mf_monitor_close(&self);
    else
        *ret_monitor = self;
    return r;
}

void mf_monitor_close(struct mf_monitor **self)
{
    struct mf_monitor *m = *self;
    if (!m)
        return;
    MF_MAGIC(m, MONITOR_MAGIC);
    mf_http_close(&m->http);
    mf_bus_in_free(&m->in);
    mf_bus_close(&m->socket, &m->pair);
    zmq_ctx_term(m->context);
    mf_pulse_socket_close(&m->pulses);
    mf_looker_close(&m->looker);
    mf_health_destroy(&m->core);
    mf_arena_free(&m->arena);
    free(m);
    *self = NULL;
}

void mf_monitor_dump(const struct mf_monitor *self)
{
    struct mf_buf buf = {0};
    mf_health_describe(self->core, &buf);
    fwrite(buf.ptr, 1, buf.len, stderr);
    mf_buf_free(&buf);
}

static void feed_kind(struct mf_monitor *self, enum mf_health_event_kind kind)
{
    feed(self, &(struct mf_health_event){.kind = kind});
}

/* -- in */

static void link_changed(struct mf_monitor *self, enum mf_bus_link link)
{
    switch (link) {
    case MF_BUS_LINK_UP:
        mf_log(MF_LOG_INFO, "connected to the broker", "broker=%s", self->broker);
        self->refused = false;
        self->linked = true;
        feed_kind(self, MF_HEALTH_LINK_UP);
        break;
    case MF_BUS_LINK_DOWN:
        if (!self->refused)
            mf_log(MF_LOG_WARNING, "connection to the broker lost; trying again", "broker=%s", self->broker);
        self->linked = false;
        self->warn_ms = mf_now() + WARN_MS;
        feed_kind(self, MF_HEALTH_LINK_DOWN);
        break;
    case MF_BUS_LINK_REFUSED:
        if (!self->refused)
            mf_log(MF_LOG_ERROR,
                   "the broker refuses this key; it comes in once clients/NAME.cert is in the broker's key "
                   "directory",
                   "broker=%s", self->broker);
        self->refused = true;
        self->retry_ms = mf_now() + REFUSED_MS;
        break;
    case MF_BUS_LINK_ACCEPTED: /* a server's only */
        break;
    }
}

static void drain_links(struct mf_monitor *self)
{
    enum mf_bus_link link;
    int fd;
    while (mf_bus_monitor_recv(self->pair, &link, &fd) == 1)
        link_changed(self, link);
    if (self->retry_ms == 0 || mf_now() < self->retry_ms)
        return;
    self->retry_ms = 0;
    mf_bus_retry(self->socket, self->broker);
}

static void warn_unanswered(struct mf_monitor *self)
{
    if (self->linked || self->refused || mf_now() < self->warn_ms)
        return;
    self->warn_ms = mf_now() + WARN_MS;
    mf_log(MF_LOG_WARNING,
           "the broker does not answer; still trying. Is it running, is --broker its client endpoint, is the "
           "key of its cluster?",
           "broker=%s", self->broker);
}

static void message_came(struct mf_monitor *self, const struct mf_message *message)
{
    feed(self, &(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = message});
    if (message->kind == MF_MSG_MONITOR_WELCOME) {
        const struct mf_msg_monitor_welcome *w = &message->monitor_welcome;
        mf_log(MF_LOG_INFO, "welcomed", "term=%llu pulse_ms=%llu silence_ms=%llu",
               (unsigned long long)w->term, (unsigned long long)w->pulse_ms,
               (unsigned long long)w->silence_ms);
        mf_clock_compare(w->clock_ms);
        if (!self->ready)
            mf_ready("health");
        self->ready = true;
    } else if (message->kind == MF_MSG_ERROR) {
        char text[1100], quoted[512];
        mf_str_format(text, sizeof(text), "%.*s", (int)message->error.text.len, message->error.text.ptr);
        mf_log(MF_LOG_WARNING, "the broker refused a message", "code=%.*s text=%s",
               (int)message->error.code.len, message->error.code.ptr, mf_log_quote(text, quoted));
    }
}

static void drain_messages(struct mf_monitor *self)
{
    while (mf_bus_recv(self->socket, &self->in) == 1) {
        struct mf_message message;
        struct mf_decode_error error = {.text = "not two frames"};
        char quoted[512];
        mf_arena_reset(&self->arena);
        if (self->in.malformed ||
            mf_message_decode(self->in.head, self->in.body, &self->arena, &message, &error) < 0)
            mf_log(MF_LOG_WARNING, "a message of the broker cannot be read", "error=%s",
                   mf_log_quote(error.text, quoted));
        else if (!mf_may_send(MF_ROLE_BROKER, message.kind))
            mf_log(MF_LOG_WARNING, "a message that no broker may send", "kind=%s",
                   mf_kind_desc(message.kind)->wire);
        else
            message_came(self, &message);
    }
}

static void feed_datagrams(struct mf_monitor *self, size_t n)
{
    struct mf_health_event event = {.kind = MF_HEALTH_PULSE};
    for (size_t i = 0; i < n; i++) {
        event.bytes = mf_pulse_socket_bytes(self->pulses, i, &event.len);
        feed(self, &event);
    }
}

static void drain_pulses(struct mf_monitor *self)
{
    size_t n;
    mf_ms stop = mf_now() + DRAIN_MS;
    do {
        n = mf_pulse_socket_read(self->pulses);
        feed_datagrams(self, n);
    } while (n == MF_PULSE_SOCKET_BATCH && mf_now() < stop);
    uint32_t dropped = mf_pulse_socket_dropped(self->pulses);
    if (dropped != self->dropped)
        mf_log(MF_LOG_WARNING, "the kernel dropped datagrams before they were read; raise net.core.rmem_max",
               "dropped=%u", dropped - self->dropped);
    self->dropped = dropped;
}

static void drain_signals(struct mf_monitor *self)
{
    int signal;
    while ((signal = mf_signals_read(self->signals)))
        if (signal == SIGHUP)
            mf_monitor_dump(self);
        else
            self->stop = true;
}

/* -- out */

static bool can_send(struct mf_monitor *self)
{
    int events = 0;
    size_t size = sizeof(events);
    return zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLOUT);
}

static void log_verdict(const struct mf_msg_monitor_verdict *v)
{
    mf_log(v->verdict == MF_VERDICT_RECOVERED ? MF_LOG_INFO : MF_LOG_WARNING, "verdict",
           "node=%.*s epoch=%llu verdict=%s evidence=%s silent_ms=%llu closed_ms=%llu agent_dead_ms=%llu",
           (int)v->node.len, v->node.ptr, (unsigned long long)v->epoch, mf_verdict_word(v->verdict),
           mf_evidence_word(v->evidence), (unsigned long long)v->silent_ms, (unsigned long long)v->closed_ms,
           (unsigned long long)v->agent_dead_ms);
}

/* Said again and again; the broker's events tell what came of it. */
static void log_checked(const struct mf_msg_monitor_checked *c)
{
    char id[MF_UUID_TEXT], text[256], quoted[512];
    mf_str_format(text, sizeof(text), "%.*s", (int)c->text.len, c->text.len ? c->text.ptr : "");
    mf_log(MF_LOG_DEBUG, c->failed ? "a guest's check fails" : "a guest's check passes",
           "id=%s known=%llu passing=%llu text=%s", mf_uuid_text(c->id, id), (unsigned long long)c->known,
           (unsigned long long)c->passing, mf_log_quote(text, quoted));
}

/* A host that no route leads to says so at every probe. */
static void warn_unsent(struct mf_monitor *self)
{
    uint64_t unsent = mf_pulse_socket_unsent(self->pulses);
    if (unsent == self->unsent || mf_now() < self->unsent_ms)
        return;
    mf_log(MF_LOG_WARNING,
           "probes cannot be sent; do the nodes' probe addresses fit --pulse-bind, and is there a route?",
           "unsent=%llu", (unsigned long long)(unsent - self->unsent));
    self->unsent = unsent;
    self->unsent_ms = mf_now() + WARN_MS;
}

/* What does not fit stays in the core. */
static void send_all(struct mf_monitor *self)
{
    struct mf_health_action action;
    while (can_send(self) && mf_health_poll(self->core, &action)) {
        if (action.kind == MF_HEALTH_DATAGRAM) {
            mf_pulse_socket_send(self->pulses, action.address, action.bytes, action.len);
            continue;
        }
        if (action.kind == MF_HEALTH_LOOK) {
            mf_looker_begin(self->looker, &action.look);
            continue;
        }
        if (action.message->kind == MF_MSG_MONITOR_VERDICT)
            log_verdict(&action.message->monitor_verdict);
        else if (action.message->kind == MF_MSG_MONITOR_CHECKED)
            log_checked(&action.message->monitor_checked);
        int r = mf_bus_send(self->socket, (struct mf_str){0}, false, action.message);
        if (r < 0)
            mf_log(MF_LOG_WARNING, "a message could not be sent", "error=\"%s\"", strerror(-r));
    }
    warn_unsent(self);
}

int mf_monitor_serve(struct mf_monitor *self, const char *http, const char *http_file, char error[512])
{
    struct mf_http_pages pages = {.ready = mf_monitor_ready, .metrics = mf_monitor_metrics, .arg = self};
    return mf_http_open(http, http_file, &pages, &self->http, error);
}

static long wait_ms(struct mf_monitor *self)
{
    mf_ms now = mf_now(), at = mf_health_deadline(self->core), beat = mf_notify_beat(now);
    mf_ms look = mf_looker_deadline(self->looker);
    at = look < at ? look : at;
    mf_ms left = (at < beat ? at : beat) - now;
    return mf_http_wait(self->http, left < 0 ? 0 : (long)left);
}

int mf_monitor_run(struct mf_monitor *self)
{
    MF_MAGIC(self, MONITOR_MAGIC);
    feed_kind(self, MF_HEALTH_TICK);
    while (!self->stop) {
        zmq_pollitem_t items[] = {{.socket = self->socket, .events = ZMQ_POLLIN},
                                  {.socket = self->pair, .events = ZMQ_POLLIN},
                                  {.fd = mf_pulse_socket_fd(self->pulses), .events = ZMQ_POLLIN},
                                  {.fd = self->signals, .events = ZMQ_POLLIN},
                                  {.fd = mf_http_fd(self->http), .events = ZMQ_POLLIN},
                                  {.fd = mf_looker_fd(self->looker), .events = ZMQ_POLLIN}};
        if (zmq_poll(items, 6, wait_ms(self)) < 0 && zmq_errno() != EINTR)
            return -zmq_errno();
        uint64_t began_us = mf_metric_clock_us();
        drain_signals(self);
        drain_links(self);
        drain_messages(self);
        drain_pulses(self);
        mf_looker_turn(self->looker, mf_now());
        feed_kind(self, MF_HEALTH_TICK);
        warn_unanswered(self);
        send_all(self);
        mf_http_serve(self->http, items[4].revents, mf_now());
        mf_histogram_add(&self->turns, mf_metric_clock_us() - began_us);
    }
    mf_notify_stopping();
    return 0;
}
