/* worker_trace.h - a worker core in virtual time: what is fed to it, and all that it did as text, one line
 * each, nothing else. Ids are small numbers. A test feeds, then compares the whole text: what is not expected
 * fails as much as what is missing. */
#ifndef MF_WORKER_TRACE_H
#define MF_WORKER_TRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker.h"

struct trace {
    struct mf_worker *worker;
    struct mf_buf text;
    mf_ms now;
    uint64_t epoch, term, ticket;
};

struct trace *trace_new(void (*configure)(struct mf_worker_config *config));
void trace_free(struct trace **self);
/* The text since the last call must be this. */
#define trace_expect(self, expected) trace_compare(self, expected, __FILE__, __LINE__)
void trace_compare(struct trace *self, const char *expected, const char *file, int line);
void trace_skip(struct trace *self); /* whatever it was */

struct mf_uuid trace_id(unsigned n);
void trace_feed(struct trace *self, struct mf_worker_event event);
void trace_pass(struct trace *self, mf_ms ms); /* stops at every deadline on the way, as an edge does */
void trace_up(struct trace *self);
void trace_down(struct trace *self);
/* The driver lists: "1 2" run, "3-" is stopped, "4?" is nameless, "5+" runs and is ready; of the newest
 * ticket, or of an older one.
 */
void trace_listed(struct trace *self, const char *guests);
void trace_listed_of(struct trace *self, uint64_t ticket, const char *guests);
void trace_list_failed(struct trace *self);
void trace_welcome(struct trace *self, uint64_t epoch, uint64_t term);
void trace_hello_again(struct trace *self);
void trace_error(struct trace *self, enum mf_errcode code, const char *text);
void trace_create(struct trace *self, uint64_t order, unsigned id, uint64_t remaining_ms);
void trace_create_as(struct trace *self, uint64_t order, unsigned id, uint64_t remaining_ms,
                     enum mf_policy policy, uint64_t need);
/* Of an image whose one file, of this number, comes from a URL. */
struct mf_rec_image trace_image(unsigned file, char url[64]);
void trace_create_of(struct trace *self, uint64_t order, unsigned id, uint64_t remaining_ms, unsigned file,
                     enum mf_policy policy);
void trace_warm(struct trace *self, unsigned file);
void trace_fetched(struct trace *self, uint64_t ticket, enum mf_errcode code);
void trace_file(struct trace *self, unsigned file, enum mf_image_progress state, const char *text, bool tell);
void trace_lease_ready(struct trace *self, unsigned id);
void trace_lease_ask(struct trace *self, uint64_t epoch, uint64_t ask);
void trace_lease_grant(struct trace *self, uint64_t epoch, uint64_t term, uint64_t ask);
void trace_destroy(struct trace *self, uint64_t order, unsigned id);
void trace_done(struct trace *self, enum mf_operation operation, unsigned id, enum mf_errcode code);
void trace_died(struct trace *self, unsigned id);
void trace_ack(struct trace *self, uint64_t report);
/* Up, listed, welcomed in epoch 1 of term 5, with these guests; all that forgotten from the text. */
struct trace *trace_welcomed(const char *guests);

#endif
