/* session.c - the machine of session.def: link, hello, welcome, refusal, silence; and the sorting of what the
 * broker says. */
#include "state.h"
#include <string.h>

typedef void session_act(struct mf_worker *self, const struct mf_message *message);

static void act_none(struct mf_worker *self, const struct mf_message *message)
{
}

static void act_list(struct mf_worker *self, const struct mf_message *message)
{
    self->list_from = self->ticket + 1;
    self->list_wanted = true;
}

static void say_hello(struct mf_worker *self, bool again)
{
    self->hello_at = self->now + self->config.hello_ms;
    mf_outbox_hello(self, again);
}

static void act_repeat(struct mf_worker *self, const struct mf_message *message)
{
    say_hello(self, true);
}

static void act_hello(struct mf_worker *self, const struct mf_message *message)
{
    mf_reports_drop(self, true); /* the inventory that goes with the hello tells all of it */
    mf_lives_epoch(self);
    self->inventory_asks.n = 0;
    if (self->log_asks.n > 0) { /* one may be under way: its answer is nobody's */
        self->log_asks.n = self->log_busy ? 1 : 0;
        self->log_asks.items[0].ask_id = 0;
    }
    self->heard_at = self->now;
    say_hello(self, false);
}

static void set_monitors(struct mf_worker *self, const struct mf_rec_endpoint *monitors, uint32_t n)
{
    self->n_monitors = n < MF_WORKER_MONITORS_MAX ? n : MF_WORKER_MONITORS_MAX;
    for (unsigned i = 0; i < self->n_monitors; i++)
        self->monitors[i].address = mf_str_format(self->monitor_text[i], sizeof self->monitor_text[i], "%.*s",
                                                  (int)monitors[i].address.len, monitors[i].address.ptr);
}

static void act_welcome(struct mf_worker *self, const struct mf_message *message)
{
    const struct mf_msg_welcome *welcome = &message->welcome;
    mf_reports_drop(self, false); /* results of orders of an epoch that a second welcome ended */
    mf_lives_epoch(self);
    self->term = welcome->term;
    self->epoch = self->last_epoch = welcome->epoch;
    self->cluster_id = welcome->cluster_id;
    memcpy(self->pulse_key, welcome->pulse_key.ptr, sizeof self->pulse_key);
    self->pulse_ms = (mf_ms)welcome->pulse_ms;
    self->alive_ms = (mf_ms)welcome->alive_ms;
    self->renew_ms = (mf_ms)welcome->renew_ms;
    self->alive_at = self->now + self->alive_ms;
    set_monitors(self, welcome->monitors.items, welcome->monitors.n);
    mf_outbox_session(self);
    mf_reports_begin(self);
    mf_wellbeing_welcomed(self);
    mf_leaving_feed(self, MF_LEAVING_ON_WELCOME);
}

static void act_refused(struct mf_worker *self, const struct mf_message *message)
{
    const struct mf_msg_error *error = &message->error;
    mf_str_format(self->refusal, sizeof self->refusal, "%.*s: %.*s", (int)error->code.len, error->code.ptr,
                  (int)error->text.len, error->text.ptr);
    self->hello_at = self->now + (error->retry ? self->config.link_ms : self->config.refused_ms);
}

static void act_reconnect(struct mf_worker *self, const struct mf_message *message)
{
    mf_outbox_add(self, MF_WORKER_RECONNECT);
}

struct cell {
    enum mf_session_state next;
    session_act *act; /* NULL: refused */
};
#define MF_STATE(ID, word, doc)
#define MF_TRIGGER(ID, word, doc)
#define MF_MOVE(state, event, to, function, why)                                                             \
    [MF_SESSION_##state][MF_ON_##event] = {MF_SESSION_##to, function},
#define MF_REFUSE(state, event, why) [MF_SESSION_##state][MF_ON_##event] = {MF_SESSION_##state, NULL},
static const struct cell table[MF_SESSION_COUNT][MF_ON_COUNT] = {
#include "session.def"
};
#undef MF_STATE
#undef MF_TRIGGER
#undef MF_MOVE
#undef MF_REFUSE

void mf_session_feed(struct mf_worker *self, enum mf_session_event event, const struct mf_message *message)
{
    const struct cell *cell = &table[self->session][event];
    mf_move_taken("session", self->session, event);
    if (!cell->act)
        return;
    self->session = cell->next;
    cell->act(self, message);
}

/* -- messages */

static void take_welcome(struct mf_worker *self, const struct mf_message *message)
{
    const struct mf_msg_welcome *welcome = &message->welcome;
    bool newer = self->session != MF_SESSION_WELCOMED || welcome->epoch > self->epoch;
    if (welcome->term < self->term || !newer || welcome->pulse_key.len != sizeof self->pulse_key) {
        self->ignored++;
        return;
    }
    mf_session_feed(self, MF_ON_WELCOME, message);
}

static bool of_session(struct mf_worker *self, uint64_t epoch)
{
    bool ours = self->session == MF_SESSION_WELCOMED && epoch == self->epoch;
    self->ignored += !ours;
    return ours;
}

static void take_inventory_ask(struct mf_worker *self, const struct mf_msg_inventory_ask *ask)
{
    struct mf_asks *asks = &self->inventory_asks;
    if (!of_session(self, ask->epoch) || asks->n == MF_WORKER_ASKS_MAX)
        return;
    asks->items[asks->n++] = (struct mf_ask){.ask_id = ask->ask_id, .ticket = self->ticket + 1};
    self->list_wanted = true;
}

static void take_log_ask(struct mf_worker *self, const struct mf_msg_log_ask *ask)
{
    struct mf_asks *asks = &self->log_asks;
    if (!of_session(self, ask->epoch))
        return;
    if (asks->n == MF_WORKER_ASKS_MAX) {
        mf_outbox_log_tail(self, ask->ask_id, MF_E_UNAVAILABLE, mf_str(""));
        return;
    }
    asks->items[asks->n++] =
        (struct mf_ask){.ask_id = ask->ask_id, .id = ask->id, .bytes = (uint32_t)ask->bytes};
}

static void take_targets(struct mf_worker *self, const struct mf_msg_pulse_targets *targets)
{
    if (!of_session(self, targets->epoch))
        return;
    set_monitors(self, targets->monitors.items, targets->monitors.n);
    mf_outbox_session(self);
}

static void take_alive_ack(struct mf_worker *self, const struct mf_msg_alive_ack *ack)
{
    if (of_session(self, ack->epoch) && ack->term > self->term)
        self->term = ack->term;
}

/* It is the keeper that knows its asks: what is stale or unknown, it ignores. */
static void take_lease_grant(struct mf_worker *self, const struct mf_msg_lease_grant *grant)
{
    if (grant->term < self->term || !of_session(self, grant->epoch)) {
        self->ignored += grant->term < self->term;
        return;
    }
    self->term = grant->term;
    struct mf_worker_action *action = mf_outbox_add(self, MF_WORKER_LEASE_GRANT);
    action->epoch = grant->epoch;
    action->ask_id = grant->ask_id;
    action->lease_ms = (mf_ms)grant->lease_ms;
}

void mf_session_lease_ask(struct mf_worker *self, uint64_t epoch, uint64_t ask_id)
{
    if (self->session != MF_SESSION_WELCOMED || epoch != self->epoch)
        return; /* the keeper asks anew in the next session */
    struct mf_msg_lease_ask *ask = &mf_outbox_say(self, MF_MSG_LEASE_ASK)->lease_ask;
    ask->epoch = epoch;
    ask->ask_id = ask_id;
}

static void say_alive(struct mf_worker *self)
{
    struct mf_msg_worker_alive *alive = &mf_outbox_say(self, MF_MSG_WORKER_ALIVE)->worker_alive;
    alive->epoch = self->epoch;
    alive->guests = alive->running = mf_worker_guests(self);
    alive->digest = mf_guests_digest(self);
    alive->capacity = self->capacity;
    self->alive_at = self->now + self->alive_ms;
}

void mf_session_message(struct mf_worker *self, const struct mf_message *message)
{
    self->heard_at = self->now;
    switch (message->kind) {
    case MF_MSG_WELCOME:
        take_welcome(self, message);
        break;
    case MF_MSG_HELLO_AGAIN:
        mf_session_feed(self, MF_ON_AGAIN, message);
        break;
    case MF_MSG_ERROR:
        mf_session_feed(self, MF_ON_ERROR, message);
        break;
    case MF_MSG_PULSE_TARGETS:
        take_targets(self, &message->pulse_targets);
        break;
    case MF_MSG_ORDER_CREATE:
        mf_orders_create(self, &message->order_create);
        break;
    case MF_MSG_ORDER_DESTROY:
        mf_orders_destroy(self, &message->order_destroy);
        break;
    case MF_MSG_REPORT_ACK:
        if (of_session(self, message->report_ack.epoch))
            mf_reports_ack(self, message->report_ack.report_id);
        break;
    case MF_MSG_ALIVE_ACK:
        take_alive_ack(self, &message->alive_ack);
        break;
    case MF_MSG_ALIVE_ASK:
        if (of_session(self, message->alive_ask.epoch))
            say_alive(self);
        break;
    case MF_MSG_LEASE_GRANT:
        take_lease_grant(self, &message->lease_grant);
        break;
    case MF_MSG_LEFT:
        if (of_session(self, message->left.epoch))
            mf_leaving_answer(self, &message->left);
        break;
    case MF_MSG_IMAGE_FETCH:
        if (of_session(self, message->image_fetch.epoch))
            mf_needs_warm(self, &message->image_fetch);
        break;
    case MF_MSG_INVENTORY_ASK:
        take_inventory_ask(self, &message->inventory_ask);
        break;
    case MF_MSG_LOG_ASK:
        take_log_ask(self, &message->log_ask);
        break;
    default:
        self->ignored++;
        break;
    }
}

void mf_session_timers(struct mf_worker *self)
{
    bool listening = self->session == MF_SESSION_HELLO || self->session == MF_SESSION_WELCOMED;
    if (listening && self->now >= self->heard_at + self->config.link_ms)
        mf_session_feed(self, MF_ON_SILENT, NULL);
    if (mf_worker_ends(self))
        return;
    if ((self->session == MF_SESSION_HELLO || self->session == MF_SESSION_REFUSED) &&
        self->now >= self->hello_at)
        mf_session_feed(self, MF_ON_DUE, NULL);
    if (self->session == MF_SESSION_WELCOMED && self->now >= self->alive_at)
        say_alive(self);
}
