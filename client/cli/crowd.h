/* crowd.h - a group's instances as a waiting client sees them: a list, kept up to date by events. Pure;
 * `--wait` decides by it. */
#ifndef MF_CLI_CROWD_H
#define MF_CLI_CROWD_H

#include "message.h"

struct mf_member {
    struct mf_uuid id;
    uint64_t slot, generation;
    enum mf_instance_state state;
    bool current, ready; /* ready: it said that it is well */
    char reason[256];    /* of pending, or of the last failed birth */
};
struct mf_crowd {
    struct mf_member *members; /* those not gone */
    size_t n, cap;
    bool gone;               /* group.gone was seen */
    bool wait_ready;         /* its guests say when they are well: what only runs is not complete */
    uint64_t spares;         /* that may stand above `desired` */
    struct mf_uuid group_id; /* zero: any */
    char trouble[256];       /* the last failed birth, for the one who waits */
};
struct mf_crowd_count {
    uint64_t running, placed, pending,
        ending;     /* current ones below `desired`; ending: whatever else is left, but spares */
    uint64_t ready; /* of running */
};

void mf_crowd_free(struct mf_crowd *self);
void mf_crowd_list(struct mf_crowd *self, const struct mf_rec_instance_row *row); /* a row of a list */
void mf_crowd_event(struct mf_crowd *self,
                    const struct mf_rec_event_row *row); /* a later event about the group */
struct mf_crowd_count mf_crowd_count(const struct mf_crowd *self, uint64_t desired);
/* All of 0..desired-1 run, and are well where they say so, and nothing is left above but spares. */
bool mf_crowd_complete(const struct mf_crowd *self, uint64_t desired);
/* Nothing is left but tombstones, which wait for absent nodes and for which nobody should wait. */
bool mf_crowd_ended(const struct mf_crowd *self);
bool mf_crowd_has(const struct mf_crowd *self, struct mf_uuid id);

#endif
