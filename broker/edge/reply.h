/* reply.h - errors that the edge itself tells a peer, and what it must know of a message to do so. */
#ifndef MF_REPLY_H
#define MF_REPLY_H

#include "message.h"

struct mf_message mf_reply_error(struct mf_str request_id, enum mf_errcode code,
                                 struct mf_str text); /* views of both */
/* The request_id of a message, empty if its kind has none. */
struct mf_str mf_request_id(const struct mf_message *message);
/* The request_id of a body that could not be decoded whole; empty if that can't be read either. */
struct mf_str mf_request_id_guess(struct mf_str body, struct mf_arena *arena);
/* BLAKE2b of the canonical encoding of the message but for its request_id: the same for every way to write
 * the same request. */
struct mf_digest mf_body_digest(const struct mf_message *message, struct mf_buf *scratch);

#endif
