/* headroom.h - room that is kept free so that the loss of any one failure domain can be re-placed.
 *
 * Every protected instance has a *backup*: a node outside its domain where it could be born again. Only one
 * domain is lost at a time, so what different domains would need of a node shares the same room: a node
 * keeps free, in each dimension, the most that any one domain's instances would need there. That is the
 * shared reservation of survivable networks (M. Kodialam, T. V. Lakshman: Dynamic routing of bandwidth
 * guaranteed tunnels with restoration, INFOCOM 2000), with nodes for their links and domains for what fails.
 * It is kept one instance at a time: a request costs a few looks at nodes that are backups already, never a
 * look at all.
 *
 * Domains of different levels (hosts, racks) may be asked for at once: what each level needs is kept beside
 * what the others need, for the loss of a host is also the loss of a part of its rack.
 *
 * When a domain is lost, what was on it is placed anew like this, and then all of it finds room:
 *   1. by choice where the room is free (a shape without `reserve`), else
 *   2. at its backup (mf_headroom_backup).
 * For the lost domain, what is used of a node and what the domain still needs there never exceed its
 * capacity: 1 leaves alone all that is kept free, 2 uses up as much as it then needs no more. What has no
 * backup takes what is kept free (a shape with `reserve`) only when nothing lost waits for its own any more.
 *
 * A backup answers for room, class, labels, fences and cells. It does not answer for rules between instances
 * (skew, apart, with, most), nor for a node's instances_max: they may refuse it on the day. */
#ifndef MF_HEADROOM_H
#define MF_HEADROOM_H

#include "pool.h"

enum {
    MF_HEADROOM_LEVELS = 8,
    MF_HEADROOM_DOMAINS = 512
}; /* domains that one node is a backup for, a level */

struct mf_headroom;

struct mf_headroom *mf_headroom_new(struct mf_pool *pool); /* the pool must outlive it */
void mf_headroom_destroy(struct mf_headroom **self);       /* what it kept free is given back */

/* The number of a level: 0 is the host, else of a label (mf_pool_key). UINT32_MAX: too many were asked for. A
 * node without the label is a domain of its own. */
uint32_t mf_headroom_level(struct mf_headroom *self, uint32_t key);

/* An instance of this shape sits at home and is to be protected; it is not yet. Returns its number, from 1
 * on. The shape must stay valid until the drop. */
uint32_t mf_headroom_add(struct mf_headroom *self, uint32_t level, uint32_t shape, uint32_t home);
void mf_headroom_drop(struct mf_headroom *self, uint32_t number);
/* Its home's label may be another by now: then it is in another domain, and needs another backup. */
void mf_headroom_home(struct mf_headroom *self, uint32_t number, uint32_t home);
/* Find it a backup now. */
bool mf_headroom_protect(struct mf_headroom *self, uint32_t number, struct mf_random *random);
/* ... this one: one that it had a moment ago. */
bool mf_headroom_protect_at(struct mf_headroom *self, uint32_t number, struct mf_place backup);
/* Its backup; false: it has none. */
bool mf_headroom_backup(const struct mf_headroom *self, uint32_t number, struct mf_place *ret_place);

/* ... which has room for it just now: to be relied on while no other domain is lost. */
bool mf_headroom_claim(const struct mf_headroom *self, uint32_t number, struct mf_place *ret_place);

/* Something was taken from, given to or changed of the node: it may be no backup any more, or too small a
 * one, or one for those that have none. */
void mf_headroom_node(struct mf_headroom *self, uint32_t node);
/* Its cells, class or labels will be others, or it will be removed: nothing may be kept free there. */
void mf_headroom_leave(struct mf_headroom *self, uint32_t node);

/* Those that lost their backup or are new look for one, with about so many looks at nodes; what found none
 * waits for mf_headroom_retry. True: there are more to do. */
bool mf_headroom_work(struct mf_headroom *self, struct mf_random *random, uint32_t looks);
/* Those that found none are to look again; false: there are none, or nothing changed since they did. */
bool mf_headroom_may_retry(const struct mf_headroom *self);
bool mf_headroom_retry(struct mf_headroom *self);

uint64_t mf_headroom_protected(const struct mf_headroom *self);
uint64_t mf_headroom_unprotected(const struct mf_headroom *self);
/* No more of the shape than this can be born and protected: a bound, for what those that are there need is
 * left out. reserve: the same shape with it. */
uint64_t mf_headroom_bound(const struct mf_headroom *self, uint32_t level, uint32_t shape, uint32_t reserve);
uint64_t mf_headroom_bytes(const struct mf_headroom *self);
/* What is kept free of a node in all, for all levels. */
struct mf_amounts mf_headroom_kept(const struct mf_headroom *self, uint32_t node);
void mf_headroom_check(const struct mf_headroom *self); /* asserts that all sums and maxima are so */

#endif
