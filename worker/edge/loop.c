/* loop.c - the agent's one loop: what the keeper, the threads and the broker say goes into the core; what the
 * core wants is done. */
#include "agent.h"
#include "bus.h"
#include "check.h"
#include "program.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    MF_AGENT_BURST = 256,
    MF_AGENT_LINK_LOG_MS = 10000,
    MF_AGENT_UNLINKED_MS = 3000,
    MF_AGENT_REFUSED_MS = 1000 /* until the next try of a key that was refused */
};

static void feed(struct mf_agent *self, const struct mf_worker_event *event);
static void set_linked(struct mf_agent *self, bool linked);

/* -- the bus */

static void close_bus(struct mf_agent *self)
{
    mf_bus_close(&self->socket, &self->links);
    self->retry_at = 0;
}

static int open_bus(struct mf_agent *self)
{
    char name[32], error[512];
    mf_str_format(name, sizeof name, "agent-link-%u", ++self->n_links);
    int r = mf_bus_connect(self->context, ZMQ_DEALER, self->settings.broker, &self->key, name, &self->socket,
                           &self->links, error);
    if (r < 0)
        mf_log(MF_LOG_ERROR, "the bus cannot be opened", "error=\"%s\"", error);
    return r;
}

/* -- sessions for the keeper */

static bool numeric(const char *address)
{
    char host[101];
    struct in_addr in;
    const char *colon = strrchr(address, ':');
    mf_str_format(host, sizeof host, "%.*s", colon ? (int)(colon - address) : 0, address);
    return address[0] == '[' || inet_pton(AF_INET, host, &in) == 1;
}

static void do_session(struct mf_agent *self, const struct mf_worker_action *action)
{
    struct mf_work *work = mf_work_new(self, MF_WORK_RESOLVE);
    struct mf_keeper_packet *packet = &work->session;
    *packet = (struct mf_keeper_packet){.kind = MF_KEEPER_SESSION,
                                        .epoch = action->epoch,
                                        .term = action->term,
                                        .cluster_id = action->cluster_id,
                                        .pulse_ms = action->pulse_ms,
                                        .renew_ms = action->renew_ms,
                                        .n_monitors = (uint32_t)action->n_monitors};
    memcpy(packet->key, action->pulse_key, sizeof packet->key);
    mf_str_format(packet->node, sizeof packet->node, "%s", self->key.name);
    bool all_numeric = true;
    for (size_t i = 0; i < action->n_monitors; i++) {
        struct mf_str address = action->monitors[i].address;
        mf_str_format(packet->monitors[i], sizeof packet->monitors[i], "%.*s", (int)address.len, address.ptr);
        all_numeric = all_numeric && numeric(packet->monitors[i]);
    }
    mf_keeper_link_send(packet);
    if (all_numeric)
        mf_work_free(work);
    else
        mf_work_start(self->pool, work); /* names take their time; told again when they are numbers */
    char text[64];
    mf_str_format(text, sizeof text, "epoch %llu", (unsigned long long)action->epoch);
    mf_log(MF_LOG_INFO, "welcomed", "epoch=%llu term=%llu monitors=%zu", (unsigned long long)action->epoch,
           (unsigned long long)action->term, action->n_monitors);
    if (!self->announced)
        mf_ready(text);
    self->announced = true;
}

/* -- what the core wants */

static void do_create(struct mf_agent *self, const struct mf_worker_action *action)
{
    struct mf_work *work = mf_work_new(self, MF_WORK_CREATE);
    pthread_mutex_lock(&self->sweep.lock);
    self->sweep.over = true;
    pthread_mutex_unlock(&self->sweep.lock);
    self->shells.births++;
    work->id = action->id;
    work->order = *action->order;
    work->order.user_data.bytes = mf_blobs_find(&self->blobs, action->id);
    mf_work_start(self->pool, work);
}

/* Both threads of the lane hang: what holds the hypervisor up may be in this very process. The keeper starts
 * another, and the guests do not notice. */
static void do_list(struct mf_agent *self, const struct mf_worker_action *action)
{
    if (self->lists_out == MF_AGENT_LISTS) {
        mf_log(MF_LOG_ERROR, "the hypervisor does not answer; starting over", "lists=%u", self->lists_out);
        self->stopping = self->failed = true;
        return;
    }
    struct mf_work *work = mf_work_new(self, MF_WORK_LIST);
    work->ticket = action->list_ticket;
    work->sweep = !self->watched;
    self->lists_out++;
    mf_work_start(self->pool, work);
}

static void do_grant(struct mf_agent *self, const struct mf_worker_action *action)
{
    struct mf_keeper_packet packet = {.kind = MF_KEEPER_LEASE_GRANT,
                                      .epoch = action->epoch,
                                      .ask_id = action->ask_id,
                                      .lease_ms = action->lease_ms};
    mf_keeper_link_send(&packet);
    if (action->ask_id == self->tally.lease_ask)
        self->tally.lease_until = self->tally.lease_asked_at + action->lease_ms;
}

static void do_action(struct mf_agent *self, const struct mf_worker_action *action)
{
    struct mf_work *work;
    switch (action->kind) {
    case MF_WORKER_SEND: /* what a full or closed link loses, the core or the broker sends again */
        (void)mf_bus_send(self->socket, (struct mf_str){0}, false, action->message);
        break;
    case MF_WORKER_RECONNECT:
        mf_log(MF_LOG_WARNING, "the broker is silent; connecting anew", "broker=%s", self->settings.broker);
        set_linked(self, false);
        close_bus(self);
        if (open_bus(self) < 0)
            self->stopping = true; /* the keeper starts another */
        break;
    case MF_WORKER_CREATE:
        do_create(self, action);
        break;
    case MF_WORKER_DESTROY:
        work = mf_work_new(self, MF_WORK_DESTROY);
        work->id = action->id;
        work->grace_ms = (uint64_t)action->grace_ms;
        work->bytes = action->evidence ? MF_EVIDENCE_MAX : 0;
        mf_work_start(self->pool, work);
        break;
    case MF_WORKER_LIST:
        do_list(self, action);
        break;
    case MF_WORKER_READ_LOG:
        work = mf_work_new(self, MF_WORK_READ_LOG);
        work->id = action->id;
        work->ask_id = action->ask_id;
        work->bytes = action->bytes;
        mf_work_start(self->pool, work);
        break;
    case MF_WORKER_SESSION:
        do_session(self, action);
        break;
    case MF_WORKER_FETCH:
    case MF_WORKER_FETCH_OVER:
        mf_agent_stock_do(self, action);
        break;
    case MF_WORKER_LEASE_WANT:
        mf_keeper_link_tell(MF_KEEPER_INTENT, action->id);
        break;
    case MF_WORKER_LEASE_OVER:
        mf_keeper_link_tell(MF_KEEPER_INTENT_OVER, action->id);
        break;
    case MF_WORKER_LEASE_GRANT:
        do_grant(self, action);
        break;
    case MF_WORKER_QUIET:
        mf_keeper_link_tell(MF_KEEPER_QUIET, (struct mf_uuid){0});
        break;
    case MF_WORKER_LEFT:
        mf_log(MF_LOG_INFO, "left", NULL);
        mf_keeper_link_tell(MF_KEEPER_LEFT, (struct mf_uuid){0});
        break;
    }
}

static void say_refusal(struct mf_agent *self)
{
    const char *refusal = mf_worker_refusal(self->worker);
    if (!strcmp(refusal, self->refusal))
        return;
    mf_str_format(self->refusal, sizeof self->refusal, "%s", refusal);
    char quoted[512];
    if (*refusal)
        mf_log(MF_LOG_ERROR, "the broker refuses this worker", "reason=%s", mf_log_quote(refusal, quoted));
}

static bool held(const void *arg, struct mf_uuid id)
{
    return mf_worker_holds(arg, id);
}

static void feed(struct mf_agent *self, const struct mf_worker_event *event)
{
    struct mf_worker_action action;
    mf_worker_feed(self->worker, mf_now(), event);
    while (mf_worker_poll(self->worker, &action))
        do_action(self, &action);
    mf_blobs_sweep(&self->blobs, held, self->worker);
    say_refusal(self);
}

/* -- what the threads bring back */

static void log_work(const struct mf_work *work, const char *done, const char *failed)
{
    char id[MF_UUID_TEXT], quoted[512];
    long long took = (long long)(mf_now() - work->began_at);
    if (work->code == MF_E_OK)
        mf_log(MF_LOG_INFO, done, "id=%s took_ms=%lld", mf_uuid_text(work->id, id), took);
    else
        mf_log(MF_LOG_WARNING, failed, "id=%s took_ms=%lld code=%s error=%s", mf_uuid_text(work->id, id),
               took, mf_error_code(work->code), mf_log_quote(work->text, quoted));
}

static void count_job(struct mf_agent_operation *operation, const struct mf_work *work)
{
    operation->done += work->code == MF_E_OK;
    operation->failed += work->code != MF_E_OK;
    if (work->code == MF_E_OK)
        mf_histogram_add(&operation->took, (uint64_t)(mf_now() - work->began_at) * 1000);
}

static void take_job(struct mf_agent *self, struct mf_work *work)
{
    bool create = work->kind == MF_WORK_CREATE;
    count_job(create ? &self->tally.creates : &self->tally.destroys, work);
    log_work(work, create ? "guest runs" : "guest gone", create ? "create failed" : "destroy failed");
    if (create)
        mf_shell_born(self, work);
    feed(self, &(struct mf_worker_event){.kind = MF_WORKER_JOB_DONE,
                                         .id = work->id,
                                         .operation = create ? MF_OPERATION_CREATE : MF_OPERATION_DESTROY,
                                         .code = work->code,
                                         .text = mf_str(work->text),
                                         .console = {work->log, (uint32_t)work->bytes}});
    if (create && work->code == MF_E_OK && work->pid > 0)
        mf_keeper_link_watch(work->id, work->pid, work->order.policy == MF_POLICY_AT_MOST);
    if (!create && work->code == MF_E_OK)
        mf_keeper_link_tell(MF_KEEPER_UNWATCH, work->id);
}

static void watch_all(struct mf_agent *self, const struct mf_work *work)
{
    if (self->watched)
        return;
    self->watched = true;
    for (size_t i = 0; i < work->n_guests; i++)
        if (work->guests[i].running && work->guests[i].pid > 0)
            mf_keeper_link_watch(work->guests[i].id, work->guests[i].pid, work->guests[i].at_most);
    mf_keeper_link_ready(self->guests_die);
    mf_log(MF_LOG_INFO, "guests found", "n=%zu", work->n_guests);
}

static void take_list(struct mf_agent *self, struct mf_work *work)
{
    char quoted[512];
    struct mf_worker_guest *guests = calloc(work->n_guests + 1, sizeof *guests);
    MF_CHECK(guests);
    for (size_t i = 0; i < work->n_guests; i++) {
        guests[i].id = work->guests[i].id;
        guests[i].running = work->guests[i].running;
        guests[i].ready = work->guests[i].ready;
        mf_str_format(guests[i].name, sizeof guests[i].name, "%s", work->guests[i].name);
        mf_str_format(guests[i].address, sizeof guests[i].address, "%s", work->guests[i].address);
    }
    if (work->code == MF_E_OK)
        watch_all(self, work);
    else
        mf_log(MF_LOG_ERROR, "the hypervisor cannot be listed", "error=%s", mf_log_quote(work->text, quoted));
    self->tally.lists_failed += work->code != MF_E_OK;
    feed(self, &(struct mf_worker_event){.kind = MF_WORKER_LISTED,
                                         .code = work->code,
                                         .text = mf_str(work->text),
                                         .capacity = work->capacity.all,
                                         .cells = work->capacity.cells,
                                         .n_cells = work->capacity.n_cells,
                                         .guests = guests,
                                         .n_guests = work->n_guests,
                                         .list_ticket = work->ticket});
    free(guests);
}

static void take_news(struct mf_agent *self, struct mf_work *work, const char *source)
{
    struct mf_worker_event event = mf_agent_news(self, work, source);
    feed(self, &event);
}

/* The keeper's word has no work of its own. */
static void take_death(struct mf_agent *self, const struct mf_keeper_packet *packet)
{
    struct mf_work *work = mf_work_new(self, MF_WORK_DIED);
    work->id = packet->id;
    work->how = packet->flags & MF_KEEPER_FENCED ? MF_DEATH_FENCED : MF_DEATH_EXITED;
    mf_str_format(work->text, sizeof work->text, "%s", packet->text);
    take_news(self, work, "keeper");
    mf_work_free(work);
}

static void take_stock(struct mf_agent *self, const struct mf_work *work)
{
    struct mf_worker_event event = mf_agent_stock_event(work);
    feed(self, &event);
}

static void take_work(struct mf_agent *self, struct mf_work *work)
{
    switch (work->kind) {
    case MF_WORK_CREATE:
    case MF_WORK_DESTROY:
        take_job(self, work);
        break;
    case MF_WORK_LIST:
        self->lists_out--;
        take_list(self, work);
        break;
    case MF_WORK_READ_LOG:
        feed(self, &(struct mf_worker_event){.kind = MF_WORKER_LOG,
                                             .ask_id = work->ask_id,
                                             .code = work->code,
                                             .log = {work->log, (uint32_t)work->bytes}});
        break;
    case MF_WORK_RESOLVE:
        if (work->session.epoch == mf_worker_epoch(self->worker))
            mf_keeper_link_send(&work->session);
        break;
    case MF_WORK_SHELL:
        mf_shell_tended(self, work);
        break;
    case MF_WORK_FETCHED:
    case MF_WORK_FILE:
        take_stock(self, work);
        break;
    case MF_WORK_DIED:
    case MF_WORK_READY:
    case MF_WORK_UNWELL:
    case MF_WORK_ADDRESS:
        take_news(self, work, "driver");
        break;
    }
    mf_work_free(work);
}

/* -- what comes in */

static void read_pool(struct mf_agent *self)
{
    for (struct mf_job *job; (job = mf_pool_take(self->pool));)
        take_work(self, (struct mf_work *)job);
}

static void take_packet(struct mf_agent *self, const struct mf_keeper_packet *packet)
{
    switch (packet->kind) {
    case MF_KEEPER_DEATH:
        take_death(self, packet);
        mf_keeper_link_tell(MF_KEEPER_DEATH_SEEN, packet->id);
        break;
    case MF_KEEPER_WATCHED:
        mf_holds_answer(&self->holds, packet->id, packet->flags & MF_KEEPER_HELD);
        break;
    case MF_KEEPER_INTENT_OK:
        feed(self, &(struct mf_worker_event){.kind = MF_WORKER_LEASE_READY, .id = packet->id});
        break;
    case MF_KEEPER_LEASE_ASK:
        self->tally.lease_ask = packet->ask_id;
        self->tally.lease_asked_at = mf_now();
        feed(self, &(struct mf_worker_event){
                       .kind = MF_WORKER_LEASE_ASK, .epoch = packet->epoch, .ask_id = packet->ask_id});
        break;
    case MF_KEEPER_DRAIN:
        mf_log(MF_LOG_INFO, "this node is to be drained", "remaining_ms=%lld",
               (long long)packet->remaining_ms);
        feed(self, &(struct mf_worker_event){.kind = MF_WORKER_DRAIN, .remaining_ms = packet->remaining_ms});
        break;
    case MF_KEEPER_END:
        mf_log(MF_LOG_INFO, "this worker ends, and its guests with it", NULL);
        feed(self, &(struct mf_worker_event){.kind = MF_WORKER_END});
        break;
    case MF_KEEPER_ALL_DEAD:
        feed(self, &(struct mf_worker_event){.kind = MF_WORKER_ALL_DEAD});
        break;
    default:
        break;
    }
}

static void read_keeper(struct mf_agent *self)
{
    struct mf_keeper_packet packet;
    int r;
    while ((r = mf_keeper_link_receive(&packet)) > 0)
        take_packet(self, &packet);
    if (r < 0) {
        mf_log(MF_LOG_WARNING, "the keeper is gone", NULL);
        self->stopping = true;
    }
}

static void log_refused_link(struct mf_agent *self)
{
    if (self->link_logged_at && mf_now() - self->link_logged_at < MF_AGENT_LINK_LOG_MS)
        return;
    self->link_logged_at = mf_now();
    mf_log(
        MF_LOG_ERROR,
        "the broker's door stays shut: it does not know this key, or is another broker than the key expects",
        "broker=%s key=%s", self->settings.broker, self->settings.key);
}

static void set_linked(struct mf_agent *self, bool linked)
{
    if (self->linked && !linked)
        mf_log(MF_LOG_WARNING, "the connection to the broker is gone; the guests run on", "broker=%s",
               self->settings.broker);
    self->linked = linked;
    self->unlinked_at = mf_now();
}

/* Once after a while, then ever more rarely: an address that nobody answers must not look like a hang. */
static void complain_if_alone(struct mf_agent *self)
{
    if (self->linked || mf_now() - self->unlinked_at < MF_AGENT_UNLINKED_MS)
        return;
    mf_log(MF_LOG_WARNING, "no broker answers; is it running, and is this its worker endpoint?", "broker=%s",
           self->settings.broker);
    self->unlinked_at = mf_now() + 10 * MF_AGENT_UNLINKED_MS;
}

static void read_links(struct mf_agent *self)
{
    enum mf_bus_link link;
    int fd;
    while (self->links && mf_bus_monitor_recv(self->links, &link, &fd) > 0) {
        if (link == MF_BUS_LINK_REFUSED) {
            log_refused_link(self);
            self->retry_at = mf_now() + MF_AGENT_REFUSED_MS;
            continue;
        }
        set_linked(self, link == MF_BUS_LINK_UP);
        feed(self, &(struct mf_worker_event){.kind = link == MF_BUS_LINK_UP ? MF_WORKER_LINK_UP
                                                                            : MF_WORKER_LINK_DOWN});
    }
}

/* A refusal is final to libzmq; but the key may be put into the broker's ring at any time. */
static void retry_if_refused(struct mf_agent *self)
{
    if (!self->retry_at || mf_now() < self->retry_at)
        return;
    self->retry_at = 0;
    if (self->socket)
        mf_bus_retry(self->socket, self->settings.broker);
}

/* An operator finds here when an order arrived; its order_id is the seq of the event that made it. */
static void log_order(const struct mf_message *message)
{
    char uuid[MF_UUID_TEXT];
    if (message->kind == MF_MSG_ORDER_CREATE)
        mf_log(MF_LOG_INFO, "order-create", "id=%s order_id=%llu",
               mf_uuid_text(message->order_create.id, uuid),
               (unsigned long long)message->order_create.order_id);
    else if (message->kind == MF_MSG_ORDER_DESTROY)
        mf_log(MF_LOG_INFO, "order-destroy", "id=%s order_id=%llu",
               mf_uuid_text(message->order_destroy.id, uuid),
               (unsigned long long)message->order_destroy.order_id);
}

static void take_message(struct mf_agent *self, const struct mf_bus_in *in)
{
    struct mf_message message;
    struct mf_decode_error error;
    mf_arena_reset(&self->arena);
    if (in->malformed || mf_message_decode(in->head, in->body, &self->arena, &message, &error) < 0) {
        mf_log(MF_LOG_ERROR, "the broker said what we do not understand", "error=\"%s\"",
               in->malformed ? "malformed" : error.text);
        return;
    }
    if (!mf_may_send(MF_ROLE_BROKER, message.kind))
        return;
    if (message.kind == MF_MSG_ORDER_CREATE)
        mf_blobs_keep(&self->blobs, message.order_create.id, message.order_create.user_data.bytes);
    if (message.kind == MF_MSG_ERROR)
        mf_log(MF_LOG_WARNING, "the broker answers with an error", "code=%.*s text=\"%.*s\"",
               (int)message.error.code.len, message.error.code.ptr, (int)message.error.text.len,
               message.error.text.ptr);
    if (message.kind == MF_MSG_WELCOME)
        mf_clock_compare(message.welcome.clock_ms);
    feed(self, &(struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = &message});
    log_order(&message);
}

static void read_bus(struct mf_agent *self)
{
    struct mf_bus_in in = {0};
    void *socket = self->socket; /* a message may make us connect anew */
    for (int i = 0; i < MF_AGENT_BURST && self->socket == socket && mf_bus_recv(socket, &in) > 0; i++)
        take_message(self, &in);
    mf_bus_in_free(&in);
}

static void read_signals(struct mf_agent *self)
{
    for (int signal; (signal = mf_signals_read(self->signals));)
        if (signal != SIGHUP)
            self->stopping = self->told_to_stop = true;
}

static long wait_ms(struct mf_agent *self)
{
    mf_ms left = mf_worker_deadline(self->worker) - mf_now();
    if (!self->linked && left > MF_AGENT_UNLINKED_MS)
        left = MF_AGENT_UNLINKED_MS;
    if (self->retry_at && left > self->retry_at - mf_now())
        left = self->retry_at - mf_now();
    return mf_http_wait(self->http, left < 0 ? 0 : left > 60000 ? 60000 : (long)left);
}

static bool turn(struct mf_agent *self)
{
    zmq_pollitem_t items[] = {
        {NULL, MF_KEEPER_FD, ZMQ_POLLIN, 0},
        {NULL, mf_pool_fd(self->pool), ZMQ_POLLIN, 0},
        {NULL, self->signals, ZMQ_POLLIN, 0},
        {NULL, self->links ? mf_bus_fd(self->links) : -1, ZMQ_POLLIN, 0},
        {self->socket, 0, ZMQ_POLLIN, 0},
        {NULL, mf_http_fd(self->http), ZMQ_POLLIN, 0},
    };
    if (zmq_poll(items, 6, wait_ms(self)) < 0 && errno != EINTR) {
        mf_log(MF_LOG_ERROR, "poll failed", "error=\"%s\"", zmq_strerror(errno));
        return false;
    }
    uint64_t began_us = mf_metric_clock_us();
    read_signals(self);
    read_keeper(self);
    read_pool(self);
    read_links(self);
    retry_if_refused(self);
    if (self->socket)
        read_bus(self);
    complain_if_alone(self);
    feed(self, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
    mf_shell_tend(self);
    mf_http_serve(self->http, items[5].revents, mf_now());
    mf_histogram_add(&self->tally.turns, mf_metric_clock_us() - began_us);
    return true;
}

/* Told once more, it is no sooner gone: a runtime tells every process of a container, and so does the keeper.
 */
static void go(struct mf_agent *self)
{
    feed(self, &(struct mf_worker_event){.kind = MF_WORKER_GO});
    while (mf_worker_going(self->worker) && turn(self))
        ;
}

int mf_agent_run(struct mf_agent *self)
{
    if (open_bus(self) < 0)
        return 1;
    self->unlinked_at = mf_now();
    feed(self, &(struct mf_worker_event){.kind = MF_WORKER_TICK});
    while (!self->stopping && turn(self))
        ;
    if (self->told_to_stop && !self->guests_die)
        go(self);
    close_bus(self);
    return self->failed ? 1 : 0;
}
