/* reports.c - results of orders and facts about guests: kept, and sent again oldest first, until the broker
 * says that they are durable. A report carries the epoch it is sent in. At a hello all of them go, for the
 * inventory says the same; but that a guest is unwell no inventory says, so those stay. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

static struct mf_report **reports_of(const struct mf_worker *self)
{
    return self->reports + self->first_report;
}

static uint64_t id_of(const struct mf_report *report)
{
    switch (report->message.kind) {
    case MF_MSG_FACT_DEATH:
        return report->message.fact_death.report_id;
    case MF_MSG_FACT_READY:
        return report->message.fact_ready.report_id;
    case MF_MSG_FACT_UNWELL:
        return report->message.fact_unwell.report_id;
    default:
        return report->message.order_result.report_id;
    }
}

static void free_report(struct mf_report *report)
{
    free(report->console);
    free(report);
}

static void send_report(struct mf_worker *self, struct mf_report *report)
{
    report->sent_at = self->now;
    struct mf_message *message = mf_outbox_say(self, report->message.kind);
    *message = report->message;
    struct mf_str text = mf_str_dup(&self->arena, mf_str(report->text)),
                  console = mf_str_dup(&self->arena, (struct mf_str){report->console, report->console_len});
    switch (message->kind) {
    case MF_MSG_FACT_DEATH:
        message->fact_death.epoch = self->epoch;
        message->fact_death.text = text;
        message->fact_death.console = console;
        break;
    case MF_MSG_FACT_READY:
        message->fact_ready.epoch = self->epoch;
        break;
    case MF_MSG_FACT_UNWELL:
        message->fact_unwell.epoch = self->epoch;
        message->fact_unwell.text = text;
        message->fact_unwell.console = console;
        break;
    default:
        message->order_result.epoch = self->epoch;
        message->order_result.text = text;
        message->order_result.console = console;
    }
}

static struct mf_report *append(struct mf_worker *self, enum mf_kind kind, struct mf_str text)
{
    if (self->first_report + self->n_reports == self->cap_reports) {
        if (self->first_report > self->cap_reports / 2) {
            memmove(self->reports, reports_of(self), self->n_reports * sizeof *self->reports);
            self->first_report = 0;
        } else {
            self->cap_reports = self->cap_reports ? 2 * self->cap_reports : 16;
            self->reports = realloc(self->reports, self->cap_reports * sizeof *self->reports);
            MF_CHECK(self->reports);
        }
    }
    struct mf_report *report = calloc(1, sizeof *report);
    MF_CHECK(report);
    report->message.kind = kind;
    size_t len = text.len < MF_WORKER_TEXT_MAX ? text.len : MF_WORKER_TEXT_MAX;
    while (len < text.len && len > 0 && ((uint8_t)text.ptr[len] & 0xc0) == 0x80)
        len--; /* never cut a UTF-8 sequence */
    if (len)
        memcpy(report->text, text.ptr, len);
    if (self->n_reports == 0)
        self->resend_at = self->now + self->config.report_ms;
    reports_of(self)[self->n_reports++] = report;
    return report;
}

static void send_new(struct mf_worker *self, struct mf_report *report)
{
    if (self->session == MF_SESSION_WELCOMED && !mf_worker_ends(self))
        send_report(self, report);
}

static void keep_console(struct mf_report *report, struct mf_str console)
{
    if (!console.len)
        return;
    const struct mf_str tail =
        console.len > MF_WORKER_CONSOLE_MAX
            ? (struct mf_str){console.ptr + console.len - MF_WORKER_CONSOLE_MAX, MF_WORKER_CONSOLE_MAX}
            : console;
    report->console = malloc(tail.len);
    MF_CHECK(report->console);
    memcpy(report->console, tail.ptr, tail.len);
    report->console_len = tail.len;
}

void mf_reports_result(struct mf_worker *self, struct mf_guest *guest, struct mf_held *held,
                       enum mf_operation operation, enum mf_errcode code, struct mf_str text,
                       struct mf_str console)
{
    if (held->order_id == 0)
        return; /* its epoch is over: the inventory tells */
    struct mf_report *report = append(self, MF_MSG_ORDER_RESULT, text);
    report->message.order_result = (struct mf_msg_order_result){
        .report_id = ++self->report_id,
        .order_id = held->order_id,
        .id = guest->id,
        .operation = operation,
        .code = mf_str(mf_error_code(code)),
        .took_ms = (uint64_t)(self->now - held->received),
    };
    keep_console(report, console);
    *held = (struct mf_held){0};
    send_new(self, report);
}

void mf_reports_ready(struct mf_worker *self, struct mf_uuid id)
{
    struct mf_report *report = append(self, MF_MSG_FACT_READY, (struct mf_str){0});
    report->message.fact_ready = (struct mf_msg_fact_ready){.report_id = ++self->report_id, .id = id};
    send_new(self, report);
}

void mf_reports_unwell(struct mf_worker *self, struct mf_uuid id, enum mf_ailment how, struct mf_str text,
                       struct mf_str console)
{
    struct mf_report *report = append(self, MF_MSG_FACT_UNWELL, text);
    report->message.fact_unwell =
        (struct mf_msg_fact_unwell){.report_id = ++self->report_id, .id = id, .how = how};
    keep_console(report, console);
    send_new(self, report);
}

void mf_reports_death(struct mf_worker *self, struct mf_uuid id, enum mf_death how, struct mf_str text,
                      struct mf_str console)
{
    struct mf_report *report = append(self, MF_MSG_FACT_DEATH, text);
    keep_console(report, console);
    report->message.fact_death = (struct mf_msg_fact_death){
        .report_id = ++self->report_id, .id = id, .how = how ? how : MF_DEATH_EXITED};
    send_new(self, report);
}

bool mf_reports_answers(const struct mf_worker *self, uint64_t order_id)
{
    for (size_t i = 0; i < self->n_reports; i++) {
        const struct mf_message *message = &reports_of(self)[i]->message;
        if (message->kind == MF_MSG_ORDER_RESULT && message->order_result.order_id == order_id)
            return true;
    }
    return false;
}

bool mf_reports_mourns(const struct mf_worker *self, struct mf_uuid id)
{
    for (size_t i = 0; i < self->n_reports; i++) {
        const struct mf_message *message = &reports_of(self)[i]->message;
        if (message->kind == MF_MSG_FACT_DEATH && mf_uuid_eq(message->fact_death.id, id))
            return true;
    }
    return false;
}

void mf_reports_ack(struct mf_worker *self, uint64_t report_id)
{
    size_t low = 0, high = self->n_reports;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (id_of(reports_of(self)[middle]) < report_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == self->n_reports || id_of(reports_of(self)[low]) != report_id)
        return;
    struct mf_report **at = reports_of(self);
    free_report(at[low]);
    if (low == 0)
        self->first_report++;
    else
        memmove(at + low, at + low + 1, (self->n_reports - low - 1) * sizeof *at);
    if (--self->n_reports == 0)
        self->first_report = 0;
}

void mf_reports_drop(struct mf_worker *self, bool facts_too)
{
    size_t kept = 0;
    struct mf_report **at = reports_of(self);
    for (size_t i = 0; i < self->n_reports; i++) {
        enum mf_kind kind = at[i]->message.kind;
        bool stays = facts_too ? kind == MF_MSG_FACT_UNWELL : kind != MF_MSG_ORDER_RESULT;
        if (stays)
            at[kept++] = at[i];
        else
            free_report(at[i]);
    }
    self->n_reports = kept;
    if (kept == 0)
        self->first_report = 0;
}

void mf_reports_begin(struct mf_worker *self)
{
    if (mf_worker_ends(self))
        return;
    for (size_t i = 0; i < self->n_reports; i++)
        send_report(self, reports_of(self)[i]);
    self->resend_at = self->now + self->config.report_ms;
}

void mf_reports_timers(struct mf_worker *self)
{
    if (self->session != MF_SESSION_WELCOMED || self->n_reports == 0 || self->now < self->resend_at)
        return;
    for (size_t i = 0; i < self->n_reports && i < MF_WORKER_RESEND_MAX; i++)
        if (reports_of(self)[i]->sent_at + self->config.report_ms <= self->now)
            send_report(self, reports_of(self)[i]);
    self->resend_at = self->now + self->config.report_ms;
}

void mf_reports_free(struct mf_worker *self)
{
    for (size_t i = 0; i < self->n_reports; i++)
        free_report(reports_of(self)[i]);
    free(self->reports);
}
