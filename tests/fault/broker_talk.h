/* broker_talk.h - what tests say to a real broker: requests as operator or client, the part of a worker,
 * streams. One broker at a time, with the peers that the tests need; each answer is awaited, and asserted to
 * be of its kind. */
#ifndef BROKER_TALK_H
#define BROKER_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker_process.h"

extern const char *talk_program; /* mayfly-broker; the test's main() says it */
extern struct broker_process broker;
extern struct raw_peer op, alice, bob, node, stray;

/* cmocka set-up and tear-down: a broker that is not started yet, its directory and keys */
int talk_make(void **state);
int talk_unmake(void **state);
/* Start it, and connect op and alice. Kill it, and start it again. */
void talk_start(const char *const extra[]);
void talk_restart(void);

void talk_assert_str(struct mf_str s, const char *expected);
const struct mf_msg_error *talk_await_error(struct raw_peer *peer, const char *code);

/* requests */
struct mf_message talk_status_request(void);
struct mf_msg_status_reply talk_ask_status(struct raw_peer *peer);
uint64_t talk_add_offering(const char *request_id, const char *name);
void talk_add_image(void);
struct mf_message talk_provision_request(const char *request_id, const char *group, uint64_t count);
struct mf_msg_accepted talk_provision(const char *request_id, const char *group, uint64_t count);

/* the worker: what an agent would say as node-1 */
void talk_send_hello(struct raw_peer *peer, const struct mf_rec_guest *guests, uint32_t n,
                     uint64_t started_ms);
struct mf_msg_welcome talk_hello(const struct mf_rec_guest *guests, uint32_t n, uint64_t started_ms);
struct mf_msg_order_create talk_take_order(void);
void talk_report_done(const struct mf_msg_order_create *order, uint64_t report_id);

/* streams */
void talk_subscribe(struct raw_peer *peer, uint64_t stream, uint64_t from, uint64_t credit, const char *type,
                    const char *subject);
/* Read rows until `until` has come or the stream is live; they must follow one another. The number read. */
uint64_t talk_read_stream(struct raw_peer *peer, uint64_t *next, uint64_t until);
/* The next row of this type on the stream. */
uint64_t talk_await_row(struct raw_peer *peer, const char *type);

#endif
