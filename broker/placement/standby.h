/* standby.h - a node that is a backup, at one level: what each domain's instances would need of it if that
 * domain were lost, and the most that any one of them would, which it keeps free. */
#ifndef MF_STANDBY_H
#define MF_STANDBY_H

#include "standing.h"

struct mf_standby {
    struct mf_ground ground;
    uint32_t node, class, wide;
    uint32_t n_domains, n_slots, stride; /* slots: a power of two; stride: of one */
    uint32_t n_promises, first;          /* what it is the backup of (headroom.c) */
    uint32_t place;                      /* among those that may take another domain */
    uint32_t stale;  /* since the most was counted so many needs went: it may be less by now */
    bool over;       /* it is on the list of those that keep too much */
    uint32_t *slots; /* by domain, with linear probing: domain (0: empty), instances, needs */
    uint32_t kept[]; /* the most */
};

enum mf_offer { MF_OFFER_NONE, MF_OFFER_GROWS, MF_OFFER_FREE };

struct mf_standby *mf_standby_new(uint32_t node, const struct mf_standing *standing);
void mf_standby_free(struct mf_pool *pool, struct mf_standby *self); /* what it kept is free again */
/* It will be asked about the domain in a moment. */
void mf_standby_expect(const struct mf_standby *self, uint32_t domain);
/* Could it take what needs so much of it when the domain is lost? self may be NULL: a node that is none yet.
 */
enum mf_offer mf_standby_offer(const struct mf_standby *self, const struct mf_standing *standing,
                               uint32_t domain, const uint32_t *needs);
void mf_standby_add(struct mf_standby *self, struct mf_pool *pool, uint32_t domain, const uint32_t *needs);
void mf_standby_sub(struct mf_standby *self, struct mf_pool *pool, uint32_t domain, const uint32_t *needs);
/* Count the most anew, if it may be less. True: it is. */
bool mf_standby_count(struct mf_standby *self, struct mf_pool *pool);
/* Does the domain need more of it than there is? */
bool mf_standby_exceeds(const struct mf_standby *self, const struct mf_standing *standing, uint32_t domain);
/* What the domain's instances would need of it; NULL: none has it as its backup. */
const uint32_t *mf_standby_needs(const struct mf_standby *self, uint32_t domain);
uint64_t mf_standby_bytes(const struct mf_standby *self);
/* Asserts its sums: begin, tell it of each instance, end. */
uint32_t *mf_standby_check_begin(const struct mf_standby *self);
void mf_standby_check_one(const struct mf_standby *self, uint32_t *left, uint32_t domain,
                          const uint32_t *needs);
void mf_standby_check_end(const struct mf_standby *self, uint32_t *left);

#endif
