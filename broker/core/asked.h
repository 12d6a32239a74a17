/* asked.h - a request on its way through: whoever carries it out accepts or refuses it in a row of its own,
 * writes what follows behind that row, and answers. */
#ifndef MF_BROKER_ASKED_H
#define MF_BROKER_ASKED_H

#include "state.h"

struct mf_asked {
    struct mf_broker *b;
    const struct mf_peer *peer;
    const struct mf_message *message;
    struct mf_digest body;
    struct mf_str request_id;
    char key[81];
    char subject[MF_SUBJECT_MAX];
};

extern const struct mf_uuid mf_nobody;

/* The row of a request that will be carried out; returns its seq, the cause of what follows. */
uint64_t mf_asked_accept(struct mf_asked *a, struct mf_uuid group_id, struct mf_uuid id, uint64_t count,
                         uint64_t grace_ms);
/* Its answer, once all that was written so far is durable. */
void mf_asked_answer(struct mf_asked *a);
/* The same, with what to mind just now; not remembered. */
void mf_asked_answer_saying(struct mf_asked *a, struct mf_str text);
/* Both at once, of one that is not. */
__attribute__((format(printf, 3, 4))) void mf_asked_refuse(struct mf_asked *a, enum mf_errcode code,
                                                           const char *format, ...);
/* The node of this name; NULL and the request refused if there is none. */
struct mf_node *mf_asked_node(struct mf_asked *a, struct mf_str name);
/* The answer again, to one that was asked before. */
void mf_asked_repeat(struct mf_broker *b, uint64_t peer, const struct mf_request *request);

#endif
