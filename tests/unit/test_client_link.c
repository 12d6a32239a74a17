/* libmayfly against a broker that is played here: answers, time-outs, refusals, a broker that dies in the
 * middle, streams. */
#include "mayfly.h"
#include "transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static struct fixture_server server;
static struct mf_bus_in in;
static struct mf_arena arena;
static struct mf_key admin;

static int begin(void **state)
{
    if (fixture_begin(state))
        return -1;
    fixture_server_open(&server);
    fixture_key(MF_ROLE_OPERATOR, "admin", &admin);
    return 0;
}

static int end(void **state)
{
    mf_bus_in_free(&in);
    mf_arena_free(&arena);
    fixture_server_close(&server);
    return fixture_end(state);
}

static struct mayfly *open_client(int64_t timeout_ms)
{
    char key[FIXTURE_PATH];
    struct mayfly *client;
    struct mayfly_error error;
    struct mayfly_options options = {.endpoint = server.endpoint,
                                     .key_file = fixture_path(key, "keys/admin.cert_secret"),
                                     .timeout_ms = timeout_ms};
    assert_int_equal(mayfly_open(&options, &client, &error), 0);
    return client;
}

/* The next message at the played broker, while the client does its part. */
static struct mf_message next_message(struct mayfly *client)
{
    struct mf_message message;
    struct mf_decode_error error;
    for (int i = 0; mf_bus_recv(server.router, &in) != 1; i++) {
        assert_true(i < 500);
        mayfly_wait(client, 20);
    }
    mf_arena_reset(&arena);
    assert_int_equal(mf_message_decode(in.head, in.body, &arena, &message, &error), 0);
    return message;
}

static void answer(const struct mf_message *reply)
{
    assert_int_equal(mf_bus_send(server.router, in.identity, false, reply), 0);
}

static void answer_accepted(struct mf_str request_id, uint64_t seq)
{
    answer(&(struct mf_message){.kind = MF_MSG_ACCEPTED, .accepted = {.request_id = request_id, .seq = seq}});
}

/* The broker dies, with all it was told; another comes up at the same address. */
static void replace_broker(void)
{
    char path[FIXTURE_PATH], error[512];
    struct mf_key key;
    assert_int_equal(mf_key_load(fixture_path(path, "keys/broker.cert_secret"), &key, error), 0);
    mf_bus_in_free(&in);
    zmq_close(server.router);
    zmq_close(server.links);
    for (int i = 0;
         mf_bus_bind(server.context, ZMQ_ROUTER, server.endpoint, &key, &server.router, NULL, error); i++) {
        assert_true(i < 500); /* the old socket is closed by a thread of ZeroMQ's own */
        poll(NULL, 0, 10);
    }
    assert_int_equal(mf_bus_monitor(server.context, server.router, "server-links-2", &server.links, error),
                     0);
}

struct got { /* what came of a request */
    int replies, errors;
    uint64_t seq;
    struct mayfly_error error;
};

static void on_reply(void *arg, const struct mf_message *reply, const struct mayfly_error *error)
{
    struct got *got = arg;
    if (error) {
        got->errors++;
        got->error = *error;
    } else {
        got->replies++;
        got->seq = reply->accepted.seq;
    }
}

static const struct mf_message *scale(void)
{
    static struct mf_message message;
    message = (struct mf_message){.kind = MF_MSG_SCALE, .scale = {.group = mf_str("web"), .count = 8}};
    return &message;
}

static void submit(struct mayfly *client, struct got *got)
{
    struct mayfly_error error;
    assert_int_equal(mayfly_submit(client, scale(), 0, on_reply, got, &error), 0);
}

static void await(struct mayfly *client, const struct got *got)
{
    for (int i = 0; !got->replies && !got->errors; i++) {
        assert_true(i < 1000);
        mayfly_wait(client, 20);
    }
}

static void a_request_is_answered_once(void **state)
{
    struct mayfly *client = open_client(5000);
    struct got got = {0};
    submit(client, &got);
    struct mf_message asked = next_message(client);
    assert_int_equal(asked.kind, MF_MSG_SCALE);
    assert_int_equal(asked.scale.request_id.len, 32);
    answer_accepted(asked.scale.request_id, 7);
    answer_accepted(asked.scale.request_id, 8);
    await(client, &got);
    mayfly_wait(client, 50);
    assert_int_equal(got.replies, 1);
    assert_int_equal(got.seq, 7);
    mayfly_close(&client);
    assert_null(client);
}

static void an_error_is_typed(void **state)
{
    struct mayfly *client = open_client(5000);
    struct got got = {0};
    submit(client, &got);
    struct mf_message asked = next_message(client);
    answer(&(struct mf_message){.kind = MF_MSG_ERROR,
                                .error = {.request_id = asked.scale.request_id,
                                          .code = mf_str("unknown"),
                                          .text = mf_str("no group web")}});
    await(client, &got);
    assert_int_equal(got.error.code, MF_E_UNKNOWN);
    assert_false(got.error.local);
    assert_string_equal(got.error.text, "no group web");
    mayfly_close(&client);
}

static void a_broker_that_dies_is_not_noticed(void **state)
{
    struct mayfly *client = open_client(10000);
    struct got got = {0};
    char id[64];
    submit(client, &got);
    struct mf_message asked = next_message(client);
    mf_str_format(id, sizeof id, "%.*s", (int)asked.scale.request_id.len, asked.scale.request_id.ptr);
    replace_broker();
    asked = next_message(client);
    assert_true(mf_str_is(asked.scale.request_id, id)); /* the same request, so it is done once */
    answer_accepted(asked.scale.request_id, 9);
    await(client, &got);
    assert_int_equal(got.seq, 9);
    mayfly_close(&client);
}

static void silence_is_a_time_out_with_a_hint(void **state)
{
    struct mayfly *client = open_client(300);
    struct got got = {0};
    submit(client, &got);
    await(client, &got);
    assert_int_equal(got.error.code, MF_E_UNAVAILABLE);
    assert_true(got.error.local);
    assert_non_null(strstr(got.error.text, "was not answered within 300 ms"));
    mayfly_close(&client);
}

static void nobody_there_is_told_apart(void **state)
{
    char key[FIXTURE_PATH];
    struct mayfly *client;
    struct mayfly_error error;
    struct mayfly_reply reply = {0};
    struct mayfly_options options = {.endpoint = "tcp://127.0.0.1:1",
                                     .key_file = fixture_path(key, "keys/admin.cert_secret"),
                                     .timeout_ms = 200};
    assert_int_equal(mayfly_open(&options, &client, &error), 0);
    assert_int_equal(mayfly_request(client, scale(), 0, &reply, &error), -ETIMEDOUT);
    assert_non_null(strstr(error.text, "nobody answers at tcp://127.0.0.1:1 within 200 ms"));
    mayfly_close(&client);
}

static void a_refused_key_is_told_apart(void **state)
{
    char path[FIXTURE_PATH], aside[FIXTURE_PATH];
    struct mayfly_error error;
    struct mayfly_reply reply = {0};
    struct got got = {0};
    assert_int_equal(rename(fixture_path(path, "keys/clients/admin.cert"), fixture_path(aside, "admin.cert")),
                     0);
    struct mayfly *client = open_client(10000);
    assert_int_equal(mayfly_request(client, scale(), 0, &reply, &error), -EACCES);
    assert_int_equal(error.code, MF_E_FORBIDDEN);
    assert_non_null(strstr(error.text, "refuses the key operator:admin"));
    assert_int_equal(rename(aside, path), 0);
    submit(client, &got); /* on a new socket */
    struct mf_message asked = next_message(client);
    answer_accepted(asked.scale.request_id, 3);
    await(client, &got);
    assert_int_equal(got.seq, 3);
    mayfly_close(&client);
}

static void another_brokers_key_is_told_apart(void **state)
{
    char other[FIXTURE_PATH], key[FIXTURE_PATH], text[512];
    struct mayfly *client;
    struct mayfly_error error;
    struct mayfly_reply reply = {0};
    assert_int_equal(mf_keys_init(fixture_path(other, "other"), text), 0);
    assert_int_equal(mf_keys_create(other, MF_ROLE_CLIENT, "ann", NULL, text), 0);
    struct mayfly_options options = {.endpoint = server.endpoint,
                                     .key_file = fixture_path(key, "other/ann.cert_secret"),
                                     .timeout_ms = 20000};
    assert_int_equal(mayfly_open(&options, &client, &error), 0);
    assert_int_equal(mayfly_request(client, scale(), 0, &reply, &error), -EACCES);
    assert_non_null(strstr(error.text, "drops the handshake"));
    mayfly_close(&client);
}

static void a_bad_field_is_not_sent(void **state)
{
    struct mayfly *client = open_client(1000);
    struct mayfly_error error;
    struct mf_message bad[] = {
        {.kind = MF_MSG_SCALE, .scale = {.group = mf_str("Web"), .count = 1}},
        {.kind = MF_MSG_SCALE, .scale = {.group = mf_str("web"), .count = 10001}},
        {.kind = MF_MSG_PROVISION, .provision = {.group = mf_str("web"), .count = 1, .image = mf_str("i")}},
        {.kind = MF_MSG_DESTROY, .destroy = {.target = mf_str("\xff")}},
        {.kind = MF_MSG_CREDIT, .credit = {.stream = 1, .credit = 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mayfly_submit(client, &bad[i], 0, on_reply, NULL, &error), -EINVAL);
        assert_int_equal(error.code, MF_E_INVALID);
    }
    mayfly_close(&client);
}

/* -- streams */

struct heard {
    uint64_t seqs[64];
    size_t n;
    int live, errors;
    struct mayfly_error error;
};

static void on_notice(void *arg, const struct mayfly_notice *notice)
{
    struct heard *heard = arg;
    if (notice->error) {
        heard->errors++;
        heard->error = *notice->error;
    } else if (notice->row) {
        heard->seqs[heard->n++] = notice->row->seq;
    } else {
        heard->live++;
    }
}

static void send_rows(uint64_t stream, uint64_t from, uint32_t n, bool live)
{
    struct mf_rec_event_row rows[16];
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (struct mf_rec_event_row){.seq = from + i,
                                            .time_ms = 1,
                                            .type = mf_str("node.ready"),
                                            .subject = mf_str("node/a"),
                                            .data = mf_str("\x80")};
    answer(&(struct mf_message){
        .kind = MF_MSG_EVENTS,
        .events = {.stream = stream, .rows = {rows, n}, .next = from + n, .live = live}});
}

static void await_rows(struct mayfly *client, const struct heard *heard, size_t n)
{
    for (int i = 0; heard->n < n; i++) {
        assert_true(i < 500);
        mayfly_wait(client, 20);
    }
}

static void a_stream_resumes_and_gives_credit(void **state)
{
    struct mayfly *client = open_client(5000);
    struct heard heard = {0};
    struct mayfly_filter filter = {.from = 5, .credit = 8, .type = "node."};
    uint64_t stream = mayfly_subscribe(client, &filter, on_notice, &heard);
    struct mf_message asked = next_message(client);
    assert_int_equal(asked.kind, MF_MSG_SUBSCRIBE);
    assert_int_equal(asked.subscribe.from, 5);
    assert_int_equal(asked.subscribe.credit, 8);
    assert_true(mf_str_is(asked.subscribe.type, "node."));
    send_rows(stream, 5, 4, true);
    asked = next_message(client);
    assert_int_equal(asked.kind, MF_MSG_CREDIT);
    assert_int_equal(asked.credit.credit, 4);
    assert_int_equal(heard.n, 4);
    assert_int_equal(heard.live, 1);
    replace_broker();
    do
        asked = next_message(client);
    while (asked.kind != MF_MSG_SUBSCRIBE);
    assert_int_equal(asked.subscribe.from, 9);
    send_rows(stream, 8, 3, false); /* 8 was told before */
    await_rows(client, &heard, 6);
    for (size_t i = 0; i < heard.n; i++)
        assert_int_equal(heard.seqs[i], 5 + i);
    mayfly_unsubscribe(client, stream);
    do
        asked = next_message(client);
    while (asked.kind != MF_MSG_UNSUBSCRIBE);
    mayfly_close(&client);
}

static void an_expired_cursor_is_told(void **state)
{
    struct mayfly *client = open_client(5000);
    struct heard heard = {0};
    uint64_t stream = mayfly_subscribe(client, &(struct mayfly_filter){.from = 1}, on_notice, &heard);
    next_message(client);
    answer(&(struct mf_message){
        .kind = MF_MSG_ERROR,
        .error = {.code = mf_str("expired"), .text = mf_str("too old"), .oldest_seq = 50, .stream = stream}});
    for (int i = 0; !heard.errors; i++) {
        assert_true(i < 500);
        mayfly_wait(client, 20);
    }
    assert_int_equal(heard.error.code, MF_E_EXPIRED);
    assert_int_equal(heard.error.oldest_seq, 50);
    mayfly_close(&client);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_once),        TEST(an_error_is_typed),
        TEST(a_broker_that_dies_is_not_noticed), TEST(silence_is_a_time_out_with_a_hint),
        TEST(nobody_there_is_told_apart),        TEST(a_refused_key_is_told_apart),
        TEST(another_brokers_key_is_told_apart), TEST(a_bad_field_is_not_sent),
        TEST(a_stream_resumes_and_gives_credit), TEST(an_expired_cursor_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
