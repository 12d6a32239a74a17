/* hypervisor.h - one node's simulated hypervisor: the guests that physically exist there. It outlives agent
 * and keeper, as QEMU does, and holds the world's truth against which the broker's belief is checked. */
#ifndef MF_SIM_HYPERVISOR_H
#define MF_SIM_HYPERVISOR_H

#include "world.h"

struct mf_sim_node;
struct mf_sim_guest {
    struct mf_uuid id;
    char name[200]; /* empty: foreign, nobody's */
    struct mf_rec_resources size;
    mf_ms born;
    bool watched;            /* the keeper holds its pidfd */
    struct mf_sim_event end; /* when it dies by itself, if it does */
    struct mf_sim_node *node;
};
struct mf_sim_hypervisor {
    struct mf_sim_node *node;
    struct mf_rec_resources capacity;
    struct mf_sim_guest **guests;
    size_t n, cap;
};

void mf_sim_hypervisor_init(struct mf_sim_hypervisor *self, struct mf_sim_node *node,
                            struct mf_rec_resources capacity);
void mf_sim_hypervisor_free(struct mf_sim_hypervisor *self);
struct mf_sim_guest *mf_sim_hypervisor_find(const struct mf_sim_hypervisor *self, struct mf_uuid id);
/* A guest begins to exist: nothing happens if it does already. Checks that it may (I4, I7). */
void mf_sim_hypervisor_appear(struct mf_sim_hypervisor *self, struct mf_uuid id, const char *name,
                              struct mf_rec_resources size);
void mf_sim_hypervisor_vanish(struct mf_sim_hypervisor *self,
                              struct mf_uuid id); /* ended by us or with the host: no news */
void mf_sim_hypervisor_vanish_all(struct mf_sim_hypervisor *self);
void mf_sim_hypervisor_kill(struct mf_sim_hypervisor *self,
                            struct mf_uuid id); /* dies by itself: the keeper notices */

#endif
