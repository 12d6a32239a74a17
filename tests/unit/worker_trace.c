/* worker_trace.c - see worker_trace.h. After every feed the invariants are checked and the description is
 * made, as a panic would. */
#include "worker_trace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(struct trace *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct trace *self, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mf_buf_append(&self->text, text, (size_t)n);
}

#define LL(n) ((unsigned long long)(n))

struct mf_uuid trace_id(unsigned n)
{
    struct mf_uuid id = {
        {[12] = (uint8_t)(n >> 24), [13] = (uint8_t)(n >> 16), [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n}};
    return id;
}

static unsigned number(struct mf_uuid id)
{
    return (unsigned)id.bytes[12] << 24 | (unsigned)id.bytes[13] << 16 | (unsigned)id.bytes[14] << 8 |
           id.bytes[15];
}

static void say_guests(struct trace *self, const struct mf_rec_guest *guests, uint32_t n)
{
    say(self, " [");
    for (uint32_t i = 0; i < n; i++)
        say(self, "%s%u:%s%s", i ? " " : "", number(guests[i].id), mf_guest_state_word(guests[i].state),
            guests[i].ready ? "+" : "");
    say(self, "]\n");
}

static void say_result(struct trace *self, const struct mf_msg_order_result *result)
{
    say(self, "order-result #%llu order=%llu epoch=%llu %s %u %.*s%s%.*s%s took=%llu\n",
        LL(result->report_id), LL(result->order_id), LL(result->epoch), mf_operation_word(result->operation),
        number(result->id), (int)result->code.len, result->code.ptr, result->text.len ? " (" : "",
        (int)result->text.len, result->text.ptr, result->text.len ? ")" : "", LL(result->took_ms));
}

static void say_message(struct trace *self, const struct mf_message *message)
{
    say(self, "say ");
    switch (message->kind) {
    case MF_MSG_HELLO:
        say(self, "hello term=%llu epoch=%llu", LL(message->hello.term_seen), LL(message->hello.epoch));
        for (uint32_t i = 0; i < message->hello.images.n; i++)
            say(self, " file=%u", message->hello.images.items[i].sha256.bytes[0]);
        for (uint32_t i = 0; i < message->hello.cells.n; i++)
            say(self, " cell=%llu/%llu/%llu", LL(message->hello.cells.items[i].vcpus),
                LL(message->hello.cells.items[i].memory_mib),
                LL(message->hello.cells.items[i].hugepages_mib));
        if (message->hello.cpu_ratio_percent)
            say(self, " ratio=%llu", LL(message->hello.cpu_ratio_percent));
        say_guests(self, message->hello.guests.items, message->hello.guests.n);
        break;
    case MF_MSG_INVENTORY:
        say(self, "inventory ask=%llu", LL(message->inventory.ask_id));
        say_guests(self, message->inventory.guests.items, message->inventory.guests.n);
        break;
    case MF_MSG_ORDER_ACK:
        say(self, "order-ack %llu epoch=%llu\n", LL(message->order_ack.order_id),
            LL(message->order_ack.epoch));
        break;
    case MF_MSG_ORDER_RESULT:
        say_result(self, &message->order_result);
        break;
    case MF_MSG_FACT_DEATH:
        say(self, "fact-death #%llu epoch=%llu %u %s%s%.*s\n", LL(message->fact_death.report_id),
            LL(message->fact_death.epoch), number(message->fact_death.id),
            mf_death_word(message->fact_death.how), message->fact_death.console.len ? " console=" : "",
            (int)message->fact_death.console.len, message->fact_death.console.ptr);
        break;
    case MF_MSG_FACT_READY:
        say(self, "fact-ready #%llu epoch=%llu %u\n", LL(message->fact_ready.report_id),
            LL(message->fact_ready.epoch), number(message->fact_ready.id));
        break;
    case MF_MSG_FACT_UNWELL:
        say(self, "fact-unwell #%llu epoch=%llu %u %s (%.*s) console=%.*s\n",
            LL(message->fact_unwell.report_id), LL(message->fact_unwell.epoch),
            number(message->fact_unwell.id), mf_ailment_word(message->fact_unwell.how),
            (int)message->fact_unwell.text.len, message->fact_unwell.text.ptr,
            (int)message->fact_unwell.console.len, message->fact_unwell.console.ptr);
        break;
    case MF_MSG_GUEST_ADDRESS:
        say(self, "guest-address epoch=%llu %u %.*s\n", LL(message->guest_address.epoch),
            number(message->guest_address.id), (int)message->guest_address.address.len,
            message->guest_address.address.ptr);
        break;
    case MF_MSG_WORKER_ALIVE:
        say(self, "worker-alive epoch=%llu guests=%llu\n", LL(message->worker_alive.epoch),
            LL(message->worker_alive.guests));
        break;
    case MF_MSG_LEASE_ASK:
        say(self, "lease-ask %llu epoch=%llu\n", LL(message->lease_ask.ask_id), LL(message->lease_ask.epoch));
        break;
    case MF_MSG_LEAVING:
        say(self, "leaving epoch=%llu", LL(message->leaving.epoch));
        if (message->leaving.drain)
            say(self, " drain=%llu", LL(message->leaving.remaining_ms));
        say(self, message->leaving.guests_dead ? " dead\n" : "\n");
        break;
    case MF_MSG_FILE_PROGRESS:
        say(self, "file-progress epoch=%llu file=%u %s %llu/%llu\n", LL(message->file_progress.epoch),
            message->file_progress.sha256.bytes[0], mf_image_progress_word(message->file_progress.state),
            LL(message->file_progress.bytes), LL(message->file_progress.size));
        break;
    case MF_MSG_LOG_TAIL:
        say(self, "log-tail ask=%llu %.*s '%.*s'\n", LL(message->log_tail.ask_id),
            (int)message->log_tail.code.len, message->log_tail.code.ptr, (int)message->log_tail.text.len,
            message->log_tail.text.ptr);
        break;
    default:
        fail_msg("a worker never says %s", mf_kind_desc(message->kind)->wire);
    }
}

/* Whatever a core says must pass the table's own bounds. */
static void encode(const struct mf_message *message)
{
    struct mf_buf head = {0}, body = {0};
    mf_message_encode(message, &head, &body);
    mf_buf_free(&head);
    mf_buf_free(&body);
}

static void say_action(struct trace *self, const struct mf_worker_action *action)
{
    say(self, "%lld ", (long long)self->now);
    switch (action->kind) {
    case MF_WORKER_SEND:
        encode(action->message);
        say_message(self, action->message);
        break;
    case MF_WORKER_RECONNECT:
        say(self, "reconnect\n");
        break;
    case MF_WORKER_CREATE:
        assert_int_equal(number(action->order->id), number(action->id));
        say(self, "create %u\n", number(action->id));
        break;
    case MF_WORKER_DESTROY:
        say(self, "destroy %u grace=%lld\n", number(action->id), (long long)action->grace_ms);
        break;
    case MF_WORKER_LIST:
        self->ticket = action->list_ticket;
        say(self, "list %llu\n", LL(action->list_ticket));
        break;
    case MF_WORKER_READ_LOG:
        say(self, "read-log %u ask=%llu bytes=%u\n", number(action->id), LL(action->ask_id), action->bytes);
        break;
    case MF_WORKER_FETCH:
        say(self, "fetch %llu %.*s\n", LL(action->fetch_ticket), (int)action->image.name.len,
            action->image.name.ptr);
        break;
    case MF_WORKER_FETCH_OVER:
        say(self, "fetch-over %llu\n", LL(action->fetch_ticket));
        break;
    case MF_WORKER_LEASE_WANT:
        say(self, "lease-want %u\n", number(action->id));
        break;
    case MF_WORKER_LEASE_OVER:
        say(self, "lease-over %u\n", number(action->id));
        break;
    case MF_WORKER_LEASE_GRANT:
        say(self, "lease-grant %llu epoch=%llu for=%lld\n", LL(action->ask_id), LL(action->epoch),
            (long long)action->lease_ms);
        break;
    case MF_WORKER_QUIET:
        say(self, "quiet\n");
        break;
    case MF_WORKER_LEFT:
        say(self, "left\n");
        break;
    case MF_WORKER_SESSION:
        say(self, "session epoch=%llu term=%llu pulse=%lld monitors=%zu\n", LL(action->epoch),
            LL(action->term), (long long)action->pulse_ms, action->n_monitors);
        break;
    }
}

void trace_feed(struct trace *self, struct mf_worker_event event)
{
    struct mf_worker_action action;
    struct mf_buf description = {0};
    mf_worker_feed(self->worker, self->now, &event);
    mf_worker_check(self->worker);
    while (mf_worker_poll(self->worker, &action))
        say_action(self, &action);
    mf_worker_describe(self->worker, &description);
    assert_true(description.len > 0);
    mf_buf_free(&description);
}

void trace_pass(struct trace *self, mf_ms ms)
{
    mf_ms end = self->now + ms;
    for (mf_ms next; (next = mf_worker_deadline(self->worker)) <= end;) {
        self->now = next > self->now ? next : self->now;
        trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_TICK});
        assert_true(mf_worker_deadline(self->worker) >
                    self->now); /* a deadline that stays is a loop that spins */
    }
    self->now = end;
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_TICK});
}

struct trace *trace_new(void (*configure)(struct mf_worker_config *config))
{
    struct trace *self = calloc(1, sizeof *self);
    struct mf_worker_config config;
    mf_worker_config_default(&config);
    mf_str_format(config.node, sizeof config.node, "node-0");
    mf_str_format(config.machine_id, sizeof config.machine_id, "machine");
    mf_str_format(config.boot_id, sizeof config.boot_id, "boot");
    mf_str_format(config.driver, sizeof config.driver, "null/null");
    config.create_lanes = config.destroy_lanes = 2;
    if (configure)
        configure(&config);
    self->now = 1000;
    self->worker = mf_worker_new(&config);
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_TICK});
    return self;
}

void trace_free(struct trace **self)
{
    mf_worker_destroy(&(*self)->worker);
    mf_buf_free(&(*self)->text);
    free(*self);
    *self = NULL;
}

void trace_skip(struct trace *self)
{
    mf_buf_clear(&self->text);
}

void trace_compare(struct trace *self, const char *expected, const char *file, int line)
{
    mf_buf_append(&self->text, "", 1);
    if (strcmp(self->text.ptr, expected) != 0) {
        print_error("-- did:\n%s-- expected:\n%s", self->text.ptr, expected);
        _fail(file, line);
    }
    mf_buf_clear(&self->text);
}

void trace_up(struct trace *self)
{
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_LINK_UP});
}

void trace_down(struct trace *self)
{
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_LINK_DOWN});
}

void trace_listed_of(struct trace *self, uint64_t ticket, const char *guests)
{
    struct mf_worker_guest rows[64] = {0};
    size_t n = 0;
    for (char *at = (char *)guests; *at;) {
        unsigned id = (unsigned)strtoul(at, &at, 10);
        bool stopped = *at == '-', nameless = *at == '?';
        rows[n].ready = *at == '+';
        rows[n].id = trace_id(id);
        rows[n].running = !stopped;
        if (!nameless)
            mf_str_format(rows[n].name, sizeof rows[n].name, "default/web/%u#1", id);
        at += strspn(at, "-?+ ");
        n++;
    }
    trace_feed(self, (struct mf_worker_event){
                         .kind = MF_WORKER_LISTED, .guests = rows, .n_guests = n, .list_ticket = ticket});
}

void trace_listed(struct trace *self, const char *guests)
{
    trace_listed_of(self, self->ticket, guests);
}

void trace_list_failed(struct trace *self)
{
    trace_feed(self, (struct mf_worker_event){
                         .kind = MF_WORKER_LISTED, .code = MF_E_DRIVER, .list_ticket = self->ticket});
}

static void message(struct trace *self, const struct mf_message *m)
{
    encode(m);
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_MESSAGE, .message = m});
}

void trace_welcome(struct trace *self, uint64_t epoch, uint64_t term)
{
    struct mf_rec_endpoint monitor = {.address = mf_str("127.0.0.1:9")};
    struct mf_message m = {.kind = MF_MSG_WELCOME,
                           .welcome = {.epoch = epoch,
                                       .term = term,
                                       .pulse_key = mf_str("0123456789abcdef0123456789abcdef"),
                                       .pulse_ms = 200,
                                       .alive_ms = 1000,
                                       .monitors = {&monitor, 1}}};
    self->epoch = epoch;
    self->term = term;
    message(self, &m);
}

void trace_hello_again(struct trace *self)
{
    message(self, &(struct mf_message){.kind = MF_MSG_HELLO_AGAIN});
}

void trace_error(struct trace *self, enum mf_errcode code, const char *text)
{
    message(self, &(struct mf_message){.kind = MF_MSG_ERROR,
                                       .error = {.code = mf_str(mf_error_code(code)),
                                                 .text = mf_str(text),
                                                 .retry = mf_error_retry(code)}});
}

void trace_create(struct trace *self, uint64_t order, unsigned id, uint64_t remaining_ms)
{
    trace_create_as(self, order, id, remaining_ms, MF_POLICY_UNSET, 0);
}

void trace_create_as(struct trace *self, uint64_t order, unsigned id, uint64_t remaining_ms,
                     enum mf_policy policy, uint64_t need)
{
    message(self, &(struct mf_message){
                      .kind = MF_MSG_ORDER_CREATE,
                      .order_create = {
                          .order_id = order,
                          .epoch = self->epoch,
                          .term = self->term,
                          .remaining_ms = remaining_ms,
                          .id = trace_id(id),
                          .tenant = mf_str("default"),
                          .group = mf_str("web"),
                          .slot = id,
                          .generation = 1,
                          .policy = policy,
                          .need = need,
                          .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 64, .disk_mib = 64},
                          .image = {.name = mf_str("tiny"), .kernel = mf_str("k"), .initrd = mf_str("i")}}});
}

struct mf_rec_image trace_image(unsigned file, char url[64])
{
    mf_str_format(url, 64, "http://origin/%u", file);
    return (struct mf_rec_image){
        .name = mf_str(url + 14), .disk = mf_str(url), .disk_sha256 = {{(uint8_t)file}}};
}

void trace_create_of(struct trace *self, uint64_t order, unsigned id, uint64_t remaining_ms, unsigned file,
                     enum mf_policy policy)
{
    char url[64];
    message(self, &(struct mf_message){
                      .kind = MF_MSG_ORDER_CREATE,
                      .order_create = {
                          .order_id = order,
                          .epoch = self->epoch,
                          .term = self->term,
                          .remaining_ms = remaining_ms,
                          .id = trace_id(id),
                          .tenant = mf_str("default"),
                          .group = mf_str("web"),
                          .slot = id,
                          .generation = 1,
                          .policy = policy,
                          .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 64, .disk_mib = 64},
                          .image = trace_image(file, url)}});
}

void trace_warm(struct trace *self, unsigned file)
{
    char url[64];
    message(self,
            &(struct mf_message){.kind = MF_MSG_IMAGE_FETCH,
                                 .image_fetch = {.epoch = self->epoch, .image = trace_image(file, url)}});
}

void trace_fetched(struct trace *self, uint64_t ticket, enum mf_errcode code)
{
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_FETCHED,
                                              .fetch_ticket = ticket,
                                              .code = code,
                                              .text = mf_str(code == MF_E_OK ? "" : "HTTP 404")});
}

void trace_file(struct trace *self, unsigned file, enum mf_image_progress state, const char *text, bool tell)
{
    trace_feed(
        self,
        (struct mf_worker_event){
            .kind = MF_WORKER_FILE,
            .tell = tell,
            .file = {
                .sha256 = {{(uint8_t)file}}, .state = state, .bytes = 5, .size = 9, .text = mf_str(text)}});
}

void trace_lease_ready(struct trace *self, unsigned id)
{
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_LEASE_READY, .id = trace_id(id)});
}

void trace_lease_ask(struct trace *self, uint64_t epoch, uint64_t ask)
{
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_LEASE_ASK, .epoch = epoch, .ask_id = ask});
}

void trace_lease_grant(struct trace *self, uint64_t epoch, uint64_t term, uint64_t ask)
{
    message(self, &(struct mf_message){
                      .kind = MF_MSG_LEASE_GRANT,
                      .lease_grant = {.epoch = epoch, .term = term, .ask_id = ask, .lease_ms = 10000}});
}

void trace_destroy(struct trace *self, uint64_t order, unsigned id)
{
    message(self, &(struct mf_message){.kind = MF_MSG_ORDER_DESTROY,
                                       .order_destroy = {.order_id = order,
                                                         .epoch = self->epoch,
                                                         .term = self->term,
                                                         .remaining_ms = 60000,
                                                         .id = trace_id(id)}});
}

void trace_done(struct trace *self, enum mf_operation operation, unsigned id, enum mf_errcode code)
{
    trace_feed(self, (struct mf_worker_event){.kind = MF_WORKER_JOB_DONE,
                                              .operation = operation,
                                              .id = trace_id(id),
                                              .code = code,
                                              .text = code == MF_E_OK ? mf_str("") : mf_str("it broke")});
}

void trace_died(struct trace *self, unsigned id)
{
    trace_feed(self,
               (struct mf_worker_event){.kind = MF_WORKER_DIED, .id = trace_id(id), .how = MF_DEATH_EXITED});
}

void trace_ack(struct trace *self, uint64_t report)
{
    message(self, &(struct mf_message){.kind = MF_MSG_REPORT_ACK,
                                       .report_ack = {.report_id = report, .epoch = self->epoch}});
}

struct trace *trace_welcomed(const char *guests)
{
    struct trace *self = trace_new(NULL);
    trace_listed(self, guests);
    trace_up(self);
    trace_listed(self, guests);
    trace_welcome(self, 1, 5);
    trace_skip(self);
    return self;
}
