/* bench.h - what the benchmarks share: a clock, percentiles, and a minimal client of the bus that adds
 * nothing to what is measured. */
#ifndef MF_BENCH_H
#define MF_BENCH_H

#include "bus.h"
#include "message.h"

double bench_us(void);                                       /* CLOCK_MONOTONIC, microseconds */
double bench_percentile(double *values, size_t n, double p); /* sorts; p in 0..1 */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct bench_client {
    void *context, *socket;
    struct mf_bus_in in;
    struct mf_arena arena;
};
void bench_client_open(struct bench_client *self, const char *endpoint, const char *key_file);
void bench_client_close(struct bench_client *self);
void bench_client_send(struct bench_client *self, const struct mf_message *message);
/* The next message; dies after timeout_ms. Valid until the next call. */
void bench_client_recv(struct bench_client *self, struct mf_message *ret_message, int timeout_ms);
/* Receive until an `accepted`; dies on `error`. */
void bench_client_accepted(struct bench_client *self, struct mf_msg_accepted *ret_accepted);
/* Open a stream from the newest seq for types that start with `type`. */
void bench_client_follow(struct bench_client *self, uint64_t stream, const char *type);
/* Receive until a row of exactly this type comes on a stream; gives credit back. */
void bench_client_await(struct bench_client *self, const char *type, struct mf_rec_event_row *ret_row,
                        int timeout_ms);

/* One instance of a new group asked for, seen running, and destroyed again: microseconds from the request
 * sent to instance.running received. Streams of both types must be open. run and round make the names. */
double bench_client_birth(struct bench_client *self, unsigned long run, int round, struct mf_str user_data);

#endif
