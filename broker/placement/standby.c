/* standby.c - see standby.h. The most only grows when needs come, and is counted anew when so many went that
 * the look at all domains costs each of them little; until then too much is kept, never too little. */
#include "standby.h"
#include "check.h"
#include "headroom.h"

#include <stdlib.h>
#include <string.h>

enum { SLOT_DOMAIN, SLOT_INSTANCES, SLOT_NEEDS, SLOTS_MIN = 8, STALE_FREELY = 4 };
enum { LINE = 64 / sizeof(uint32_t) }; /* of the cache */

/* A slot that is nearly a line of the cache is one: a look at it is most of what a request costs. */
static uint32_t stride_of(uint32_t wide)
{
    uint32_t n = SLOT_NEEDS + wide, rest = n % LINE;

    return rest >= LINE * 3 / 4 ? n - rest + LINE : n;
}

static uint32_t *slot_at(const struct mf_standby *self, uint32_t i)
{
    return self->slots + (size_t)i * self->stride;
}

static uint32_t home_of(const struct mf_standby *self, uint32_t domain)
{
    return (domain * 2654435761U >> 7) & (self->n_slots - 1);
}

/* The domain's slot, or the empty one where it would go. */
static uint32_t *slot_of(const struct mf_standby *self, uint32_t domain)
{
    uint32_t i = home_of(self, domain);

    while (slot_at(self, i)[SLOT_DOMAIN] && slot_at(self, i)[SLOT_DOMAIN] != domain)
        i = (i + 1) & (self->n_slots - 1);
    return slot_at(self, i);
}

static uint32_t *new_slots(uint32_t n, uint32_t stride)
{
    size_t bytes = (size_t)n * stride * sizeof(uint32_t), lines = (bytes + 63) / 64;
    uint32_t *slots = aligned_alloc(64, lines * 64);

    MF_CHECK(slots != NULL);
    return memset(slots, 0, bytes);
}

struct mf_standby *mf_standby_new(uint32_t node, const struct mf_standing *standing)
{
    struct mf_standby *self = calloc(1, sizeof(*self) + standing->wide * sizeof(uint32_t));

    MF_CHECK(self != NULL);
    self->node = node;
    self->class = standing->class;
    self->ground = standing->ground;
    self->wide = standing->wide;
    self->place = UINT32_MAX;
    self->n_slots = SLOTS_MIN;
    self->stride = stride_of(self->wide);
    self->slots = new_slots(SLOTS_MIN, self->stride);
    return self;
}

void mf_standby_free(struct mf_pool *pool, struct mf_standby *self)
{
    mf_standing_keep(pool, self->node, self->kept, self->ground.n_cells, false);
    free(self->slots);
    free(self);
}

static void grow(struct mf_standby *self)
{
    uint32_t *old = self->slots, n = self->n_slots, step = self->stride;

    self->n_slots = n * 2;
    self->slots = new_slots(self->n_slots, step);
    for (uint32_t i = 0; i < n; i++)
        if (old[i * step + SLOT_DOMAIN])
            memcpy(slot_of(self, old[i * step + SLOT_DOMAIN]), old + i * step, step * sizeof(*old));
    free(old);
}

/* Backward-shift deletion: what was pushed past the hole moves into it. */
static void remove_slot(struct mf_standby *self, uint32_t *slot)
{
    uint32_t hole = (uint32_t)((size_t)(slot - self->slots) / self->stride), last = self->n_slots - 1;

    for (uint32_t i = (hole + 1) & last; slot_at(self, i)[SLOT_DOMAIN]; i = (i + 1) & last)
        if (((i - home_of(self, slot_at(self, i)[SLOT_DOMAIN])) & last) >= ((i - hole) & last)) {
            memcpy(slot_at(self, hole), slot_at(self, i), self->stride * sizeof(*slot));
            hole = i;
        }
    memset(slot_at(self, hole), 0, self->stride * sizeof(*slot));
    self->n_domains--;
}

void mf_standby_expect(const struct mf_standby *self, uint32_t domain)
{
    __builtin_prefetch(slot_at(self, home_of(self, domain)));
}

enum mf_offer mf_standby_offer(const struct mf_standby *self, const struct mf_standing *standing,
                               uint32_t domain, const uint32_t *needs)
{
    static const uint32_t nothing[MF_WIDE];
    const uint32_t *kept = self ? self->kept : nothing, *has = nothing;
    uint64_t growth = 0;
    bool beyond = false;

    if (standing->over)
        return MF_OFFER_NONE;
    if (self && slot_of(self, domain)[SLOT_DOMAIN])
        has = slot_of(self, domain) + SLOT_NEEDS;
    else if (self && self->n_domains >= MF_HEADROOM_DOMAINS)
        return MF_OFFER_NONE;
    for (uint32_t i = 0; i < standing->wide; i++) {
        uint64_t most = (uint64_t)has[i] + needs[i], more = most > kept[i] ? most - kept[i] : 0;
        beyond |= (int64_t)more > standing->slack[i];
        growth |= more;
    }
    return beyond ? MF_OFFER_NONE : growth ? MF_OFFER_GROWS : MF_OFFER_FREE;
}

void mf_standby_add(struct mf_standby *self, struct mf_pool *pool, uint32_t domain, const uint32_t *needs)
{
    uint32_t *slot = slot_of(self, domain), more[MF_WIDE], growth = 0;

    if (!slot[SLOT_DOMAIN]) {
        if (++self->n_domains * 4 > self->n_slots * 3)
            grow(self);
        slot = slot_of(self, domain);
        slot[SLOT_DOMAIN] = domain;
    }
    slot[SLOT_INSTANCES]++;
    for (uint32_t i = 0; i < self->wide; i++) {
        uint32_t most = slot[SLOT_NEEDS + i] += needs[i];
        more[i] = most > self->kept[i] ? most - self->kept[i] : 0;
        self->kept[i] += more[i];
        growth |= more[i];
    }
    if (growth)
        mf_standing_keep(pool, self->node, more, self->ground.n_cells, true);
}

void mf_standby_sub(struct mf_standby *self, struct mf_pool *pool, uint32_t domain, const uint32_t *needs)
{
    uint32_t *slot = slot_of(self, domain), most = 0;

    MF_CHECK(slot[SLOT_DOMAIN] == domain && slot[SLOT_INSTANCES] > 0);
    for (uint32_t i = 0; i < self->wide; i++) {
        MF_CHECK(slot[SLOT_NEEDS + i] >= needs[i]);
        most |= needs[i] && slot[SLOT_NEEDS + i] == self->kept[i];
        slot[SLOT_NEEDS + i] -= needs[i];
    }
    if (--slot[SLOT_INSTANCES] == 0)
        remove_slot(self, slot);
    self->stale += most; /* it may have been the one that needed most */
    if (self->stale > STALE_FREELY + self->n_domains / 4)
        mf_standby_count(self, pool);
}

bool mf_standby_count(struct mf_standby *self, struct mf_pool *pool)
{
    uint32_t most[MF_WIDE] = {0}, less[MF_WIDE], shrunk = 0;

    if (!self->stale)
        return false;
    self->stale = 0;
    for (uint32_t s = 0; s < self->n_slots; s++) /* an empty slot needs nothing */
        for (uint32_t i = 0; i < self->wide; i++)
            if (slot_at(self, s)[SLOT_NEEDS + i] > most[i])
                most[i] = slot_at(self, s)[SLOT_NEEDS + i];
    for (uint32_t i = 0; i < self->wide; i++) {
        less[i] = self->kept[i] - most[i];
        self->kept[i] = most[i];
        shrunk |= less[i];
    }
    if (shrunk)
        mf_standing_keep(pool, self->node, less, self->ground.n_cells, false);
    return shrunk != 0;
}

/* What is kept and what is slack are what all but the others' use leaves: also while slack is below nothing.
 */
bool mf_standby_exceeds(const struct mf_standby *self, const struct mf_standing *standing, uint32_t domain)
{
    const uint32_t *needs = mf_standby_needs(self, domain);

    for (uint32_t i = 0; i < self->wide; i++)
        if (needs[i] && needs[i] > self->kept[i] + standing->slack[i])
            return true;
    return false;
}

const uint32_t *mf_standby_needs(const struct mf_standby *self, uint32_t domain)
{
    const uint32_t *slot = slot_of(self, domain);

    return slot[SLOT_DOMAIN] ? slot + SLOT_NEEDS : NULL;
}

uint64_t mf_standby_bytes(const struct mf_standby *self)
{
    return sizeof(*self) + (self->wide + (uint64_t)self->n_slots * self->stride) * sizeof(uint32_t);
}

/* The sums less what each of its instances needs, one by one, must be nothing at the end. */
uint32_t *mf_standby_check_begin(const struct mf_standby *self)
{
    uint32_t *left = new_slots(self->n_slots, self->stride), n = 0, instances = 0;

    memcpy(left, self->slots, (size_t)self->n_slots * self->stride * sizeof(*left));
    for (uint32_t s = 0; s < self->n_slots; s++) {
        const uint32_t *slot = slot_at(self, s);
        if (!slot[SLOT_DOMAIN])
            continue;
        MF_CHECK(slot_of(self, slot[SLOT_DOMAIN]) == slot && slot[SLOT_INSTANCES] > 0);
        n++;
        instances += slot[SLOT_INSTANCES];
        for (uint32_t i = 0; i < self->wide; i++)
            MF_CHECK(slot[SLOT_NEEDS + i] <= self->kept[i]);
    }
    MF_CHECK(n == self->n_domains && n <= MF_HEADROOM_DOMAINS && instances == self->n_promises);
    return left;
}

void mf_standby_check_one(const struct mf_standby *self, uint32_t *left, uint32_t domain,
                          const uint32_t *needs)
{
    uint32_t *slot = left + (slot_of(self, domain) - self->slots);

    MF_CHECK(slot[SLOT_DOMAIN] == domain && slot[SLOT_INSTANCES]-- > 0);
    for (uint32_t i = 0; i < self->wide; i++) {
        MF_CHECK(slot[SLOT_NEEDS + i] >= needs[i]);
        slot[SLOT_NEEDS + i] -= needs[i];
    }
}

void mf_standby_check_end(const struct mf_standby *self, uint32_t *left)
{
    for (uint32_t s = 0; s < self->n_slots; s++)
        for (uint32_t i = SLOT_INSTANCES; i < SLOT_NEEDS + self->wide; i++)
            MF_CHECK(left[(size_t)s * self->stride + i] == 0);
    free(left);
}
