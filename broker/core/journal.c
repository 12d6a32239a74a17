/* journal.c - from a decision to a row: number it, apply it, encode it, queue it for the store. */
#include "journal.h"
#include "check.h"
#include "fold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t mf_journal(struct mf_broker *b, uint64_t cause, const struct mf_event *event, struct mf_str subject)
{
    struct mf_fold_row place = {.seq = b->seq + 1, .cause = cause, .time_ms = b->wall_ms};
    struct mf_buf data = {0};
    struct mf_out_row *row;
    char text[256];

    mf_event_encode(event, &data); /* before the fold: it may free what the event points into */
    row = mf_calloc(sizeof(*row) + subject.len + data.len);
    memcpy(row->bytes, subject.ptr, subject.len);
    memcpy(row->bytes + subject.len, data.ptr, data.len);
    row->row = (struct mf_broker_row){.seq = place.seq,
                                      .cause = cause,
                                      .time_ms = place.time_ms,
                                      .kind = event->kind,
                                      .subject = {row->bytes, subject.len},
                                      .data = {row->bytes + subject.len, (uint32_t)data.len}};
    mf_buf_free(&data);
    if (mf_fold(b, &place, event, text)) {
        fprintf(stderr, "broker core: %s\n", text);
        MF_CHECK(!"a row of our own making fits the state");
    }
    *(b->rows_last ? &b->rows_last->next : &b->rows) = row;
    b->rows_last = row;
    return place.seq;
}
