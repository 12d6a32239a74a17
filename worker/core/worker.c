/* worker.c - the three verbs. feed sorts events to the session, the guests and the reports, lets timers fire
 * and begins what free lanes allow; poll hands out what that left in the outbox; deadline is the earliest
 * thing that time alone will change. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

void mf_worker_config_default(struct mf_worker_config *ret_config)
{
    *ret_config = (struct mf_worker_config){
        .class = "standard",
        .create_lanes = 4,
        .destroy_lanes = 4,
        .hello_ms = 500,
        .report_ms = 500,
        .list_ms = 10000,
        .list_limit_ms = 30000,
        .link_ms = 4000,
        .refused_ms = 10000,
        .leaving_ms = 200,
        .left_ms = 1000,
        .retry_ms = 1000,
    };
}

struct mf_worker *mf_worker_new(const struct mf_worker_config *config)
{
    MF_CHECK(config->create_lanes > 0 && config->destroy_lanes > 0);
    MF_CHECK(config->hello_ms > 0 && config->report_ms > 0 && config->list_ms > 0 && config->link_ms > 0);
    MF_CHECK(config->refused_ms > 0 && config->retry_ms > 0 && config->list_limit_ms > 0);
    MF_CHECK(config->leaving_ms > 0 && config->left_ms > 0);
    struct mf_worker *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->config = *config;
    self->config.labels = mf_labels_dup(&self->config_arena, config->labels);
    self->term = config->term;
    self->last_epoch = config->epoch;
    self->cluster_id = config->cluster_id;
    self->n_buckets = 64;
    self->buckets = calloc(self->n_buckets, sizeof *self->buckets);
    MF_CHECK(self->buckets);
    for (unsigned i = 0; i < MF_GUEST_COUNT; i++)
        TAILQ_INIT(&self->lives[i]);
    TAILQ_INIT(&self->needs);
    self->list_wanted = true;
    return self;
}

void mf_worker_destroy(struct mf_worker **self)
{
    if (!*self)
        return;
    mf_guests_free(*self);
    mf_needs_free(*self);
    mf_reports_free(*self);
    free((*self)->actions);
    mf_arena_free(&(*self)->arena);
    mf_arena_free(&(*self)->config_arena);
    free(*self);
    *self = NULL;
}

static void take_listed(struct mf_worker *self, const struct mf_worker_event *event)
{
    if (!self->list_busy || event->list_ticket != self->ticket)
        return;
    self->list_busy = false;
    if (event->code != MF_E_OK) {
        self->list_at = self->now + self->config.retry_ms;
        return;
    }
    self->list_at = self->now + self->config.list_ms;
    self->capacity = event->capacity;
    MF_CHECK(event->n_cells <= MF_WORKER_CELLS_MAX);
    self->n_cells = event->n_cells;
    for (size_t i = 0; i < event->n_cells; i++)
        self->cells[i] = event->cells[i];
    mf_guests_listed(self, event);
    if (event->list_ticket >= self->list_from && !mf_worker_ends(self)) /* no epoch is begun any more */
        mf_session_feed(self, MF_ON_LISTED, NULL);
    struct mf_asks *asks = &self->inventory_asks;
    unsigned kept = 0;
    for (unsigned i = 0; i < asks->n; i++) {
        if (asks->items[i].ticket <= event->list_ticket)
            mf_outbox_inventory(self, asks->items[i].ask_id);
        else
            asks->items[kept++] = asks->items[i];
    }
    asks->n = kept;
}

static void take_log(struct mf_worker *self, const struct mf_worker_event *event)
{
    struct mf_asks *asks = &self->log_asks;
    if (!self->log_busy)
        return;
    self->log_busy = false;
    MF_CHECK(asks->n > 0);
    if (asks->items[0].ask_id != 0) /* 0: its session is over */
        mf_outbox_log_tail(self, asks->items[0].ask_id, event->code, event->log);
    memmove(asks->items, asks->items + 1, --asks->n * sizeof asks->items[0]);
}

static void take_death(struct mf_worker *self, const struct mf_worker_event *event)
{
    struct mf_guest *guest = mf_guests_find(self, event->id);
    if (guest)
        mf_guest_feed(
            self, guest, MF_GUEST_ON_DIED,
            &(struct mf_guest_cause){.how = event->how, .text = event->text, .console = event->console});
}

static void take_ready(struct mf_worker *self, const struct mf_worker_event *event)
{
    struct mf_guest *guest = mf_guests_find(self, event->id);
    if (guest)
        mf_wellbeing_ready(self, guest);
    else
        self->list_wanted = true; /* the first list that shows it is not back yet; the next says it again */
}

static void pump_reads(struct mf_worker *self)
{
    if (self->list_busy && self->now >= self->list_began + self->config.list_limit_ms) {
        self->list_busy = false; /* its answer, should it come, is no longer asked for */
        self->list_at = self->now + self->config.retry_ms;
    }
    if (!self->list_busy && (self->list_wanted || self->now >= self->list_at)) {
        self->list_busy = true;
        self->list_wanted = false;
        self->list_began = self->now;
        mf_outbox_add(self, MF_WORKER_LIST)->list_ticket = ++self->ticket;
    }
    struct mf_asks *asks = &self->log_asks;
    if (!self->log_busy && asks->n > 0) {
        self->log_busy = true;
        struct mf_worker_action *action = mf_outbox_add(self, MF_WORKER_READ_LOG);
        action->id = asks->items[0].id;
        action->ask_id = asks->items[0].ask_id;
        action->bytes = asks->items[0].bytes;
    }
}

void mf_worker_feed(struct mf_worker *self, mf_ms now, const struct mf_worker_event *event)
{
    if (self->first_action == self->n_actions) { /* all was handed out: what it pointed to may go */
        self->first_action = self->n_actions = 0;
        mf_arena_reset(&self->arena);
    }
    self->now = now > self->now ? now : self->now;
    switch (event->kind) {
    case MF_WORKER_TICK:
        break;
    case MF_WORKER_LINK_UP:
        mf_session_feed(self, MF_ON_LINK_UP, NULL);
        break;
    case MF_WORKER_LINK_DOWN:
        mf_session_feed(self, MF_ON_LINK_DOWN, NULL);
        break;
    case MF_WORKER_MESSAGE:
        mf_session_message(self, event->message);
        break;
    case MF_WORKER_LISTED:
        take_listed(self, event);
        break;
    case MF_WORKER_JOB_DONE:
        mf_lives_job_done(self, event);
        break;
    case MF_WORKER_DIED:
        take_death(self, event);
        break;
    case MF_WORKER_READY:
        take_ready(self, event);
        break;
    case MF_WORKER_UNWELL:
        mf_wellbeing_unwell(self, event);
        break;
    case MF_WORKER_ADDRESS:
        mf_wellbeing_address(self, event);
        break;
    case MF_WORKER_LOG:
        take_log(self, event);
        break;
    case MF_WORKER_LEASE_ASK:
        mf_session_lease_ask(self, event->epoch, event->ask_id);
        break;
    case MF_WORKER_LEASE_READY:
        mf_lives_lease_ready(self, event->id);
        break;
    case MF_WORKER_FETCHED:
        mf_needs_fetched(self, event);
        break;
    case MF_WORKER_FILE:
        mf_needs_file(self, event);
        break;
    case MF_WORKER_DRAIN:
        mf_leaving_drain(self, event->remaining_ms);
        break;
    case MF_WORKER_END:
        mf_leaving_feed(self, MF_LEAVING_ON_END);
        break;
    case MF_WORKER_ALL_DEAD:
        mf_leaving_feed(self, MF_LEAVING_ON_ALL_DEAD);
        break;
    case MF_WORKER_GO:
        mf_leaving_feed(self, MF_LEAVING_ON_GO);
        break;
    }
    mf_leaving_timers(self);
    mf_session_timers(self);
    if (mf_worker_ends(self))
        return;
    mf_lives_timers(self);
    mf_reports_timers(self);
    mf_lives_pump(self);
    pump_reads(self);
}

bool mf_worker_poll(struct mf_worker *self, struct mf_worker_action *ret_action)
{
    if (self->first_action == self->n_actions)
        return false;
    *ret_action = self->actions[self->first_action++];
    return true;
}

static void earlier(mf_ms *deadline, mf_ms at)
{
    if (at < *deadline)
        *deadline = at;
}

mf_ms mf_worker_deadline(const struct mf_worker *self)
{
    mf_ms deadline = mf_leaving_deadline(self);
    if ((self->session == MF_SESSION_HELLO || self->session == MF_SESSION_REFUSED) && !mf_worker_ends(self))
        earlier(&deadline, self->hello_at);
    if (self->session == MF_SESSION_HELLO || self->session == MF_SESSION_WELCOMED)
        earlier(&deadline, self->heard_at + self->config.link_ms);
    if (self->session == MF_SESSION_WELCOMED && !mf_worker_ends(self)) {
        earlier(&deadline, self->alive_at);
        if (self->n_reports > 0)
            earlier(&deadline, self->resend_at);
    }
    if (mf_worker_ends(self))
        return deadline;
    if (self->list_busy)
        earlier(&deadline, self->list_began + self->config.list_limit_ms);
    else
        earlier(&deadline, self->list_wanted ? self->now : self->list_at);
    const struct mf_guest *guest;
    TAILQ_FOREACH(guest, &self->lives[MF_GUEST_QUEUED], link)
    earlier(&deadline, guest->create.deadline);
    static const enum mf_guest_life ends[] = {MF_GUEST_DOOMED, MF_GUEST_ENDING, MF_GUEST_DESTROYING};
    for (unsigned i = 0; i < 3; i++)
        TAILQ_FOREACH(guest, &self->lives[ends[i]], link)
    if (guest->destroy.order_id)
        earlier(&deadline, guest->destroy.deadline);
    TAILQ_FOREACH(guest, &self->lives[MF_GUEST_ENDING], link)
    if (guest->not_before > self->now)
        earlier(&deadline, guest->not_before);
    return deadline;
}

bool mf_worker_welcomed(const struct mf_worker *self)
{
    return self->session == MF_SESSION_WELCOMED;
}

bool mf_worker_going(const struct mf_worker *self)
{
    return self->leaving == MF_LEAVING_GOING;
}

const char *mf_worker_leaving(const struct mf_worker *self)
{
    if (self->leaving == MF_LEAVING_STAYING)
        return "";
    return self->leaving == MF_LEAVING_DRAINING ? "draining" : "leaving";
}

uint64_t mf_worker_epoch(const struct mf_worker *self)
{
    return self->session == MF_SESSION_WELCOMED ? self->epoch : 0;
}

const char *mf_worker_refusal(const struct mf_worker *self)
{
    return self->session == MF_SESSION_REFUSED ? self->refusal : "";
}

bool mf_worker_holds(const struct mf_worker *self, struct mf_uuid id)
{
    const struct mf_guest *guest = mf_guests_find(self, id);
    return guest && (guest->life == MF_GUEST_QUEUED || guest->life == MF_GUEST_CREATING ||
                     guest->life == MF_GUEST_DOOMED);
}

size_t mf_worker_guests(const struct mf_worker *self)
{
    return self->n_lives[MF_GUEST_RUNNING];
}

uint64_t mf_worker_ignored(const struct mf_worker *self)
{
    return self->ignored;
}
