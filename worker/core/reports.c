/* reports.c - results of orders and facts of death: kept, and sent again oldest first, until the broker says
 * that they are durable. A report carries the epoch it is sent in. At a hello all of them go: the inventory
 * says the same. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

static struct mf_report **reports_of(const struct mf_worker *self)
{
    return self->reports + self->first_report;
}

static uint64_t id_of(const struct mf_report *report)
{
    return report->message.kind == MF_MSG_FACT_DEATH ? report->message.fact_death.report_id
                                                     : report->message.order_result.report_id;
}

static void send_report(struct mf_worker *self, struct mf_report *report)
{
    report->sent_at = self->now;
    struct mf_message *message = mf_outbox_say(self, report->message.kind);
    *message = report->message;
    struct mf_str text = mf_str_dup(&self->arena, mf_str(report->text));
    if (message->kind == MF_MSG_FACT_DEATH) {
        message->fact_death.epoch = self->epoch;
        message->fact_death.text = text;
    } else {
        message->order_result.epoch = self->epoch;
        message->order_result.text = text;
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

void mf_reports_result(struct mf_worker *self, struct mf_guest *guest, struct mf_held *held,
                       enum mf_operation operation, enum mf_errcode code, struct mf_str text)
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
    *held = (struct mf_held){0};
    send_new(self, report);
}

void mf_reports_death(struct mf_worker *self, struct mf_uuid id, enum mf_death how, struct mf_str text)
{
    struct mf_report *report = append(self, MF_MSG_FACT_DEATH, text);
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
    free(at[low]);
    if (low == 0)
        self->first_report++;
    else
        memmove(at + low, at + low + 1, (self->n_reports - low - 1) * sizeof *at);
    if (--self->n_reports == 0)
        self->first_report = 0;
}

void mf_reports_drop(struct mf_worker *self, bool deaths_too)
{
    size_t kept = 0;
    struct mf_report **at = reports_of(self);
    for (size_t i = 0; i < self->n_reports; i++) {
        if (!deaths_too && at[i]->message.kind == MF_MSG_FACT_DEATH)
            at[kept++] = at[i];
        else
            free(at[i]);
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
    mf_reports_drop(self, true);
    free(self->reports);
}
