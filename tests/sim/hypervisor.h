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
    bool at_most;                     /* of such a group: runs only while its keeper holds a lease */
    bool paused;                      /* made, and not begun to run */
    bool running;                     /* its processors really run */
    bool unguarded;                   /* its keeper is dead: nobody ends it when its lease is over */
    bool watched;                     /* the keeper holds its pidfd */
    struct mf_sim_instance *instance; /* whose it is; NULL for a stranger */
    struct mf_sim_event end;          /* when it dies by itself, if it does */
    bool ready, ailing;               /* it said that it is well; it is so no more */
    struct mf_sim_event says, ails;   /* when */
    struct mf_sim_node *node;
};
struct mf_sim_hypervisor {
    struct mf_sim_node *node;
    struct mf_rec_resources capacity;
    struct mf_sim_guest **guests;
    size_t n, cap;
    bool crowded; /* an operator adopted what runs here, be there room or not: I4 is not asked any more */
    struct mf_sim_event woken; /* a host that goes on after a pause has a moment to end what must not run */
    mf_ms excused;             /* that moment */
};

void mf_sim_hypervisor_init(struct mf_sim_hypervisor *self, struct mf_sim_node *node,
                            struct mf_rec_resources capacity);
void mf_sim_hypervisor_free(struct mf_sim_hypervisor *self);
struct mf_sim_guest *mf_sim_hypervisor_find(const struct mf_sim_hypervisor *self, struct mf_uuid id);
/* A guest begins to exist, paused if it is at-most: nothing happens if it does already. Checks that it may
 * (I4, I7). */
struct mf_sim_guest *mf_sim_hypervisor_appear(struct mf_sim_hypervisor *self, struct mf_uuid id,
                                              const char *name, struct mf_rec_resources size, bool at_most);
void mf_sim_hypervisor_resume(struct mf_sim_hypervisor *self, struct mf_uuid id); /* it is paused no more */
void mf_sim_hypervisor_freeze(struct mf_sim_hypervisor *self, bool frozen);       /* with its host */
/* A domain of our name space that the broker does not know. */
void mf_sim_hypervisor_plant(struct mf_sim_hypervisor *self, struct mf_uuid id, const char *name);
void mf_sim_hypervisor_vanish(struct mf_sim_hypervisor *self,
                              struct mf_uuid id); /* ended by us or with the host: no news */
void mf_sim_hypervisor_vanish_all(struct mf_sim_hypervisor *self);
void mf_sim_hypervisor_kill(struct mf_sim_hypervisor *self,
                            struct mf_uuid id); /* dies by itself: the keeper notices */

#endif
