/* What the benchmarks share; see bench.h. */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

double bench_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_percentile(double *values, size_t n, double p)
{
    qsort(values, n, sizeof *values, ascending);
    size_t at = (size_t)(p * (double)n);
    return values[at < n ? at : n - 1];
}

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void bench_client_open(struct bench_client *self, const char *endpoint, const char *key_file)
{
    char error[512];
    struct mf_key key;
    memset(self, 0, sizeof *self);
    if (mf_key_load(key_file, &key, error) < 0)
        bench_die("%s", error);
    self->context = zmq_ctx_new();
    if (mf_bus_connect(self->context, ZMQ_DEALER, endpoint, &key, NULL, &self->socket, NULL, error) < 0)
        bench_die("%s", error);
}

void bench_client_close(struct bench_client *self)
{
    mf_bus_in_free(&self->in);
    mf_arena_free(&self->arena);
    zmq_close(self->socket);
    zmq_ctx_term(self->context);
}

void bench_client_send(struct bench_client *self, const struct mf_message *message)
{
    int r = mf_bus_send(self->socket, (struct mf_str){0}, false, message);
    if (r < 0)
        bench_die("send: %s", strerror(-r));
}

void bench_client_recv(struct bench_client *self, struct mf_message *ret_message, int timeout_ms)
{
    for (;;) {
        int r = mf_bus_recv(self->socket, &self->in);
        if (r < 0)
            bench_die("receive: %s", strerror(-r));
        if (r > 0) {
            struct mf_decode_error error;
            mf_arena_reset(&self->arena);
            if (mf_message_decode(self->in.head, self->in.body, &self->arena, ret_message, &error) < 0)
                bench_die("decode: %s", error.text);
            return;
        }
        zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, timeout_ms) == 0)
            bench_die("nothing came within %d ms", timeout_ms);
    }
}

void bench_client_accepted(struct bench_client *self, struct mf_msg_accepted *ret_accepted)
{
    struct mf_message message;
    for (;;) {
        bench_client_recv(self, &message, 30000);
        if (message.kind == MF_MSG_ERROR)
            bench_die("refused: %.*s", (int)message.error.text.len, message.error.text.ptr);
        if (message.kind == MF_MSG_ACCEPTED) {
            *ret_accepted = message.accepted;
            return;
        }
    }
}

void bench_client_follow(struct bench_client *self, uint64_t stream, const char *type)
{
    struct mf_message message = {.kind = MF_MSG_STATUS};
    message.status.request_id = mf_str("bench-status");
    bench_client_send(self, &message);
    do
        bench_client_recv(self, &message, 10000);
    while (message.kind != MF_MSG_STATUS_REPLY);
    uint64_t from = message.status_reply.seq + 1;
    message = (struct mf_message){.kind = MF_MSG_SUBSCRIBE};
    message.subscribe.request_id = mf_str("bench-subscribe");
    message.subscribe.stream = stream;
    message.subscribe.from = from;
    message.subscribe.type = mf_str(type);
    message.subscribe.credit = 1000000;
    bench_client_send(self, &message);
    do
        bench_client_recv(self, &message, 10000);
    while (message.kind != MF_MSG_EVENTS);
}

void bench_client_await(struct bench_client *self, const char *type, struct mf_rec_event_row *ret_row,
                        int timeout_ms)
{
    struct mf_message message;
    for (;;) {
        bench_client_recv(self, &message, timeout_ms);
        if (message.kind == MF_MSG_ERROR)
            bench_die("refused: %.*s", (int)message.error.text.len, message.error.text.ptr);
        if (message.kind != MF_MSG_EVENTS)
            continue;
        for (uint32_t i = 0; i < message.events.rows.n; i++)
            if (mf_str_is(message.events.rows.items[i].type, type)) {
                *ret_row = message.events.rows.items[i];
                return;
            }
    }
}

double bench_client_birth(struct bench_client *self, unsigned long run, int round, struct mf_str user_data)
{
    char group[32], id[64];
    struct mf_rec_event_row row;
    struct mf_message message = {.kind = MF_MSG_PROVISION};
    message.provision.request_id = mf_str_format(id, sizeof id, "p-%lx-%d", run, round);
    message.provision.group = mf_str_format(group, sizeof group, "b%lx-%d", run, round);
    message.provision.count = 1;
    message.provision.image = mf_str("tiny");
    message.provision.offering = mf_str("small");
    message.provision.user_data.bytes = user_data;
    double began = bench_us();
    bench_client_send(self, &message);
    bench_client_await(self, "instance.running", &row, 120000);
    double took = bench_us() - began;

    message = (struct mf_message){.kind = MF_MSG_DESTROY};
    message.destroy.request_id = mf_str_format(id, sizeof id, "d-%lx-%d", run, round);
    message.destroy.target = mf_str(group);
    bench_client_send(self, &message);
    bench_client_await(self, "instance.gone", &row, 120000);
    return took;
}
