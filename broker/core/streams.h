/* streams.h - exact streams of events: the core owns cursor, filter and credit; the edge reads the rows and
 * sends them. */
#ifndef MF_BROKER_STREAMS_H
#define MF_BROKER_STREAMS_H

#include "state.h"

void mf_stream_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *message);
void mf_stream_sent(struct mf_broker *b, uint64_t peer, uint64_t stream, uint64_t next, uint32_t rows);
void mf_stream_expired(struct mf_broker *b, uint64_t peer, uint64_t stream, uint64_t oldest);
void mf_stream_peer_gone(struct mf_broker *b, uint64_t peer);
bool mf_stream_next(struct mf_broker *b, struct mf_broker_action *ret_action);
void mf_streams_free(struct mf_broker *b);

#endif
