/* client_ledger.h - what one simulated client asked, what it was promised, and so what must be in the log. */
#ifndef MF_SIM_CLIENT_LEDGER_H
#define MF_SIM_CLIENT_LEDGER_H

#include "message.h"
#include "world.h"

enum { MF_SIM_GROUPS = 10 }; /* of one client, at most */

enum mf_sim_answer { MF_SIM_UNANSWERED, MF_SIM_ACCEPTED, MF_SIM_REFUSED };
struct mf_sim_entry { /* one request; its message owns its bytes */
    char request_id[65];
    struct mf_message message;
    struct mf_arena arena;
    int group; /* of the client's, -1 for none */
    uint64_t spec;
    enum mf_sim_answer answer;
    uint64_t seq;         /* accepted */
    enum mf_errcode code; /* refused */
};
struct mf_sim_intent { /* what a group is after all that was accepted */
    char name[64];
    bool active;
    uint64_t desired, spec;
};
struct mf_sim_ledger {
    struct mf_sim_world *world;
    char key[96]; /* "client:alice", as the log writes it */
    struct mf_sim_entry **entries;
    size_t n, cap;
    struct mf_sim_intent groups[MF_SIM_GROUPS];
};

void mf_sim_ledger_init(struct mf_sim_ledger *self, struct mf_sim_world *world, enum mf_role role,
                        const char *name);
void mf_sim_ledger_free(struct mf_sim_ledger *self);
struct mf_sim_entry *mf_sim_ledger_add(struct mf_sim_ledger *self, int group);
struct mf_sim_entry *mf_sim_ledger_find(const struct mf_sim_ledger *self, struct mf_str request_id);
/* An answer came, perhaps again: it must be the one that was given before. */
void mf_sim_ledger_accepted(struct mf_sim_ledger *self, struct mf_sim_entry *entry,
                            const struct mf_msg_accepted *message);
void mf_sim_ledger_refused(struct mf_sim_ledger *self, struct mf_sim_entry *entry,
                           const struct mf_msg_error *message);
void mf_sim_ledger_check(const struct mf_sim_ledger *self); /* I1, at the end */

#endif
