/* out.h - what waits to be sent. A message is kept encoded, so that it owns what it says and costs what it
 * weighs. */
#ifndef MF_BROKER_OUT_H
#define MF_BROKER_OUT_H

#include "state.h"

enum {
    MF_OUT_MAX = 16384
}; /* messages that may wait for a commit; beyond it queries are told to come again */

void mf_send(struct mf_broker *b, uint64_t peer,
             const struct mf_message *message); /* once all that was made so far is durable */
void mf_send_now(struct mf_broker *b, uint64_t peer,
                 const struct mf_message *message); /* it shows nothing that is not durable */
void mf_send_error(struct mf_broker *b, uint64_t peer, struct mf_str request_id, enum mf_errcode code,
                   const char *text);
void mf_send_error_now(struct mf_broker *b, uint64_t peer, struct mf_str request_id, enum mf_errcode code,
                       const char *text);
void mf_close(struct mf_broker *b, uint64_t peer);

/* For poll: the next that may leave. */
bool mf_out_row(struct mf_broker *b, struct mf_broker_row *ret_row);
bool mf_out_close(struct mf_broker *b, uint64_t *ret_peer);
bool mf_out_message(struct mf_broker *b, uint64_t *ret_peer, const struct mf_message **ret_message);
void mf_out_release(struct mf_broker *b); /* at the next feed: what was handed out */
void mf_out_free(struct mf_broker *b);

#endif
