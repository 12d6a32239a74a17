/* inquiry.c - the numbers of probes. */
#include "inquiry.h"

#include "check.h"

_Static_assert(MF_INQUIRY_KEPT *MF_INQUIRY_ROUND == 32, "a bit for each");

static uint32_t bit(uint64_t number)
{
    return UINT32_C(1) << number % (MF_INQUIRY_KEPT * MF_INQUIRY_ROUND);
}

void mf_inquiry_begin_round(struct mf_inquiry *self, struct mf_random *random, mf_ms now)
{
    if (self->rounds == 0)
        self->first = mf_random_next(random);
    for (unsigned i = 0; i < MF_INQUIRY_ROUND; i++)
        self->answered &= ~bit(self->rounds * MF_INQUIRY_ROUND + i);
    self->asked[self->rounds % MF_INQUIRY_KEPT] = 0;
    self->sent_ms[self->rounds++ % MF_INQUIRY_KEPT] = self->round_ms = now;
    self->n_peers = self->next = 0;
}

uint64_t mf_inquiry_ask(struct mf_inquiry *self, unsigned i)
{
    MF_CHECK(self->rounds > 0 && i < MF_INQUIRY_ROUND);
    self->asked[(self->rounds - 1) % MF_INQUIRY_KEPT] += i > 0;
    return self->first + (self->rounds - 1) * MF_INQUIRY_ROUND + i;
}

bool mf_inquiry_answered(struct mf_inquiry *self, uint64_t nonce, mf_ms *ret_sent_ms)
{
    uint64_t number = nonce - self->first, round = number / MF_INQUIRY_ROUND;
    if (round >= self->rounds || self->rounds - round > MF_INQUIRY_KEPT || self->answered & bit(number))
        return false;
    self->answered |= bit(number);
    *ret_sent_ms = self->sent_ms[round % MF_INQUIRY_KEPT];
    return true;
}

static unsigned count_echoes(const struct mf_inquiry *self, uint64_t round)
{
    unsigned n = 0;
    for (unsigned i = 1; i < MF_INQUIRY_ROUND; i++)
        n += (self->answered & bit(round * MF_INQUIRY_ROUND + i)) != 0;
    return n;
}

void mf_inquiry_opinion(const struct mf_inquiry *self, uint64_t *ret_asked, uint64_t *ret_echoes)
{
    *ret_asked = *ret_echoes = 0;
    for (uint64_t round = self->rounds; round > self->quiet_from && round + 2 > self->rounds;) {
        unsigned asked = self->asked[--round % MF_INQUIRY_KEPT], echoes = count_echoes(self, round);
        if (echoes > *ret_echoes || (echoes == *ret_echoes && asked > *ret_asked)) {
            *ret_asked = asked;
            *ret_echoes = echoes;
        }
    }
}

mf_ms mf_inquiry_next(const struct mf_inquiry *self, mf_ms pause)
{
    mf_ms next = self->rounds ? self->round_ms + pause : 0;
    return next > self->not_before ? next : self->not_before;
}

void mf_inquiry_end(struct mf_inquiry *self)
{
    self->quiet_from = self->rounds;
}
