/* broker_talk.c - a hand-made operator, client and worker. */
#include "broker_talk.h"

#include <signal.h>

const char *talk_program;
struct broker_process broker;
struct raw_peer op, alice, bob, node, stray;

int talk_make(void **state)
{
    broker_make(&broker, talk_program);
    return 0;
}

int talk_unmake(void **state)
{
    raw_close(&op);
    raw_close(&alice);
    raw_close(&bob);
    raw_close(&node);
    raw_close(&stray);
    broker_remove(&broker);
    return 0;
}

void talk_start(const char *const extra[])
{
    broker_start(&broker, extra);
    raw_connect(&op, &broker, "op", broker.client);
    raw_connect(&alice, &broker, "alice", broker.client);
}

void talk_restart(void)
{
    broker_stop(&broker, SIGKILL);
    raw_close(&op);
    raw_close(&alice);
    raw_close(&node);
    talk_start(NULL);
}

void talk_assert_str(struct mf_str s, const char *expected)
{
    char text[2048];

    mf_str_format(text, sizeof(text), "%.*s", (int)s.len, s.ptr);
    assert_string_equal(text, expected);
}

const struct mf_msg_error *talk_await_error(struct raw_peer *peer, const char *code)
{
    const struct mf_message *message = raw_await(peer, MF_MSG_ERROR);

    talk_assert_str(message->error.code, code);
    assert_true(message->error.text.len > 0);
    return &message->error;
}

/* -- requests */

struct mf_message talk_status_request(void)
{
    return (struct mf_message){.kind = MF_MSG_STATUS, .status = {.request_id = mf_str("how")}};
}

struct mf_msg_status_reply talk_ask_status(struct raw_peer *peer)
{
    struct mf_message request = talk_status_request();

    raw_send(peer, &request);
    return raw_await(peer, MF_MSG_STATUS_REPLY)->status_reply;
}

uint64_t talk_add_offering(const char *request_id, const char *name)
{
    struct mf_message request = {
        .kind = MF_MSG_OFFERING_ADD,
        .offering_add = {.request_id = mf_str(request_id),
                         .offering = {.name = mf_str(name), .vcpus = 1, .memory_mib = 64, .disk_mib = 64}}};

    raw_send(&op, &request);
    return raw_await(&op, MF_MSG_ACCEPTED)->accepted.seq;
}

void talk_add_image(void)
{
    struct mf_message request = {.kind = MF_MSG_IMAGE_ADD, .image_add = {.request_id = mf_str("image")}};

    request.image_add.image = (struct mf_rec_image){.name = mf_str("tiny"),
                                                    .kernel = mf_str("k"),
                                                    .kernel_sha256 = mf_digest_make("k", 1),
                                                    .initrd = mf_str("i"),
                                                    .initrd_sha256 = mf_digest_make("i", 1)};
    raw_send(&op, &request);
    raw_await(&op, MF_MSG_ACCEPTED);
}

struct mf_message talk_provision_request(const char *request_id, const char *group, uint64_t count)
{
    struct mf_message request = {.kind = MF_MSG_PROVISION,
                                 .provision = {.request_id = mf_str(request_id),
                                               .group = mf_str(group),
                                               .count = count,
                                               .image = mf_str("tiny"),
                                               .offering = mf_str("small")}};

    request.provision.user_data.bytes = mf_str("#!/bin/sh\necho born\n");
    return request;
}

struct mf_msg_accepted talk_provision(const char *request_id, const char *group, uint64_t count)
{
    struct mf_message request = talk_provision_request(request_id, group, count);

    raw_send(&alice, &request);
    return raw_await(&alice, MF_MSG_ACCEPTED)->accepted;
}

/* -- the worker */

void talk_send_hello(struct raw_peer *peer, const struct mf_rec_guest *guests, uint32_t n,
                     uint64_t started_ms)
{
    struct mf_message request = {.kind = MF_MSG_HELLO};

    request.hello = (struct mf_msg_hello){.machine_id = mf_str("machine-1"),
                                          .boot_id = mf_str("boot-1"),
                                          .started_ms = started_ms,
                                          .capacity = {.vcpus = 8, .memory_mib = 8192, .disk_mib = 8192},
                                          .class = mf_str("standard"),
                                          .driver = mf_str("null/none"),
                                          .guests = {(struct mf_rec_guest *)guests, n}};
    raw_send(peer, &request);
}

struct mf_msg_welcome talk_hello(const struct mf_rec_guest *guests, uint32_t n, uint64_t started_ms)
{
    raw_connect(&node, &broker, "node-1", broker.worker);
    talk_send_hello(&node, guests, n, started_ms);
    return raw_await(&node, MF_MSG_WELCOME)->welcome;
}

struct mf_msg_order_create talk_take_order(void)
{
    struct mf_message reply = {.kind = MF_MSG_ORDER_ACK};
    struct mf_msg_order_create order = raw_await(&node, MF_MSG_ORDER_CREATE)->order_create;

    reply.order_ack = (struct mf_msg_order_ack){.order_id = order.order_id, .epoch = order.epoch};
    raw_send(&node, &reply);
    return order;
}

void talk_report_done(const struct mf_msg_order_create *order, uint64_t report_id)
{
    struct mf_message reply = {.kind = MF_MSG_ORDER_RESULT};

    reply.order_result = (struct mf_msg_order_result){.report_id = report_id,
                                                      .order_id = order->order_id,
                                                      .epoch = order->epoch,
                                                      .id = order->id,
                                                      .operation = MF_OPERATION_CREATE,
                                                      .code = mf_str("ok")};
    raw_send(&node, &reply);
    assert_int_equal(raw_await(&node, MF_MSG_REPORT_ACK)->report_ack.report_id, report_id);
}

/* -- streams */

void talk_subscribe(struct raw_peer *peer, uint64_t stream, uint64_t from, uint64_t credit, const char *type,
                    const char *subject)
{
    struct mf_message request = {.kind = MF_MSG_SUBSCRIBE,
                                 .subscribe = {.request_id = mf_str("sub"),
                                               .stream = stream,
                                               .from = from,
                                               .type = mf_str(type),
                                               .subject = mf_str(subject),
                                               .credit = credit}};

    raw_send(peer, &request);
}

uint64_t talk_read_stream(struct raw_peer *peer, uint64_t *next, uint64_t until)
{
    uint64_t n = 0;

    for (;;) {
        const struct mf_msg_events *events = &raw_await(peer, MF_MSG_EVENTS)->events;

        for (uint32_t i = 0; i < events->rows.n; i++, n++)
            assert_int_equal(events->rows.items[i].seq, (*next)++);
        if (*next > until)
            return n;
    }
}

uint64_t talk_await_row(struct raw_peer *peer, const char *type)
{
    for (;;) {
        const struct mf_msg_events *events = &raw_await(peer, MF_MSG_EVENTS)->events;

        for (uint32_t i = 0; i < events->rows.n; i++)
            if (mf_str_is(events->rows.items[i].type, type))
                return events->rows.items[i].seq;
    }
}
