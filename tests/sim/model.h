/* model.h - the checkers' own fold of the durable log, made from the words of the message table alone: what
 * the broker has said, in order. It is written apart from the broker's fold on purpose: two readings of one
 * log must agree. */
#ifndef MF_SIM_MODEL_H
#define MF_SIM_MODEL_H

#include "hypervisor.h"
#include "map.h"
#include "sim_store.h"
#include "world.h"

struct mf_sim_group {
    const struct mf_sim_world *world;
    struct mf_uuid id;
    char name[64];
    enum mf_group_state state;
    enum mf_policy policy;
    bool crashes, bad; /* what its image does: dies at once, is never born */
    uint64_t desired, min, spares;
    bool waits_ready; /* its guests say when they are well */
    mf_ms no_room;    /* when it was last found that no node has room for one of it */
    mf_ms changed;    /* its number of slots, on the world's clock */
    struct mf_rec_resources size;
    char zone[64];        /* required label zone=, or empty */
    char never[64];       /* forbidden label zone=, or empty */
    char apart[64];       /* group in whose zones it must not be, or empty */
    uint64_t node_max;    /* of it on one node; 0: any number */
    bool picky;           /* room alone is not enough for it */
    struct mf_map *slots; /* by number */
};
struct mf_sim_instance {
    struct mf_uuid id;
    struct mf_sim_group *group;
    struct mf_sim_slot *slot;
    uint64_t generation;
    enum mf_instance_state state; /* GONE: gone or died; TOMBSTONE: also failed at birth */
    struct mf_sim_nodeview *view; /* where; NULL before it was placed */
    mf_ms since, grace_ms;        /* in this state, on the world's clock */
    mf_ms ended;                  /* when its guest physically ended; 0 while it has not */
    bool ready;                   /* it said that it is well */
    bool forgotten;               /* its node was; what it does nobody knows */
    struct mf_sim_instance *next; /* among those that are not gone */
    struct mf_sim_instance **of_list;
    struct mf_sim_instance *before; /* adopted: what its domain was before its node was forgotten */
};
enum { MF_SIM_RUNS = 4 }; /* guests of one slot that run at once and are told apart; more are only counted */
struct mf_sim_slot {
    uint64_t number, last_generation, last_cause;
    struct mf_sim_instance *current;
    struct mf_sim_guest *runs[MF_SIM_RUNS];
    uint32_t n_runs;
};
struct mf_sim_nodeview {
    char name[64];
    struct mf_sim_node *host; /* NULL if no such host exists */
    uint32_t must_go;         /* instances on it that must not be */
    bool cordoned, draining, quarantined;
    bool leaving;  /* the draining is its worker's wish */
    mf_ms delayed; /* until then it may be kept from being ready */
    uint64_t epoch;
    enum mf_node_state state;
    struct mf_rec_resources capacity;
    char zone[64];
};
struct mf_sim_request {
    uint64_t seq;
    bool accepted;
};
struct mf_sim_model {
    struct mf_sim_world *world;
    uint64_t seq, epoch;
    struct mf_map *groups, *instances, *nodes, *requests, *offerings, *strangers;
    struct mf_sim_instance *living; /* not gone */
    struct mf_sim_group *watched;   /* a scenario wants it to be single, whatever its policy */
    bool frozen;                    /* cluster.frozen */
    bool headroom;                  /* room is kept for failures */
    uint32_t doubting;              /* monitors that doubt their own hearing */
    mf_ms thawed, doubted;          /* the last time either changed */
    struct mf_map *halted;          /* images, by name */
    struct mf_arena arena;          /* of the row at hand */
    struct mf_sim_event sweep;
    void (*on_row)(void *owner, const struct mf_sim_row *row, const struct mf_event *event);
    void *owner;
};

struct mf_sim_model *mf_sim_model_new(struct mf_sim_world *world);
void mf_sim_model_destroy(struct mf_sim_model **self);
void mf_sim_model_row(struct mf_sim_model *self,
                      const struct mf_sim_row *row); /* durable now: I2, I6, I7 are checked */
uint64_t mf_sim_model_seq(const struct mf_sim_model *self);
bool mf_sim_model_epoch_known(const struct mf_sim_model *self, uint64_t epoch);
/* A guest begins to exist on a node (may it?), or ceases to; whose it is. */
struct mf_sim_instance *mf_sim_model_guest_begins(struct mf_sim_model *self, const char *node,
                                                  struct mf_uuid id, const char *name);
void mf_sim_model_guest_ends(struct mf_sim_model *self, struct mf_uuid id);
/* I3: its processors begin to run (may they?), or cease to. */
void mf_sim_model_guest_runs(struct mf_sim_model *self, struct mf_sim_guest *guest);
void mf_sim_model_guest_rests(struct mf_sim_model *self, struct mf_sim_guest *guest);
/* The same guest, in another slot from now on. */
void mf_sim_model_guest_moves(struct mf_sim_model *self, struct mf_sim_instance *instance,
                              struct mf_sim_slot *slot);
void mf_sim_model_check_i3(struct mf_sim_model *self, const struct mf_sim_guest *guest);
bool mf_sim_model_well(
    const struct mf_sim_instance *instance); /* it runs, and has said so if it is to say so */
bool mf_sim_model_crashes(const struct mf_sim_instance *instance); /* its image dies right after birth */
struct mf_sim_group *mf_sim_model_active_group(const struct mf_sim_model *self,
                                               const char *name); /* NULL if none */
const struct mf_sim_request *mf_sim_model_request(const struct mf_sim_model *self, const char *key,
                                                  const char *request_id);
bool mf_sim_must_end(enum mf_instance_state state);             /* what is in it must not run for long */
bool mf_sim_is_current(const struct mf_sim_instance *instance); /* of its slot, and not over */
const char *mf_sim_instance_name(const struct mf_sim_instance *instance, char text[200]);

#endif
