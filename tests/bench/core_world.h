/* core_world.h - the broker's core with nodes and a client played by hand, and a store that commits at once.
 */
#ifndef CORE_WORLD_H
#define CORE_WORLD_H

#include "broker.h"

enum { CORE_ORDERS = 1 << 20 };

struct core_answer {
    uint64_t peer, epoch, order_id;
    struct mf_uuid id;
};
struct core_world {
    struct mf_broker *b;
    mf_ms now;
    uint64_t seq;                /* newest row that was handed out */
    uint64_t epochs[1 << 17];    /* by the node's peer - 1 */
    struct core_answer *answers; /* orders that were not answered yet */
    size_t n_answers;
    uint64_t next_report;
};

struct core_world *core_world_new(const struct mf_broker_config *config);
void core_world_free(struct core_world **self);
void core_feed(struct core_world *self, struct mf_broker_event event);
void core_say(struct core_world *self, uint64_t peer, enum mf_role role, const char *name,
              struct mf_message m);
void core_client(struct core_world *self, struct mf_message m);
const char *core_node(uint64_t peer, char text[32]);
/* Node `peer`, counted from 1. */
void core_join(struct core_world *self, uint64_t peer, struct mf_rec_resources capacity, const char *rack);
void core_answer_all(struct core_world *self);  /* every order is done */
void core_name_things(struct core_world *self); /* image tiny, offering small: 1 vcpu, 1 GiB, 4 GiB of disk */

#endif
