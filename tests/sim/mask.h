/* mask.h - which of a seed's faults happen. A seed draws its list of faults by dice of its own, so that the
 * list stays the same whatever the world does; leaving some out makes a smaller story of the same failure. */
#ifndef MF_SIM_MASK_H
#define MF_SIM_MASK_H

#include <stdbool.h>
#include <stdint.h>

enum { MF_SIM_FAULTS_MOST = 1024 }; /* more than any small world draws; what is beyond always happens */

struct mf_sim_mask { /* zero-initialised leaves nothing out */
    uint64_t words[MF_SIM_FAULTS_MOST / 64];
};

static inline bool mf_sim_mask_has(const struct mf_sim_mask *self, uint32_t i)
{
    return i < MF_SIM_FAULTS_MOST && (self->words[i / 64] >> (i % 64) & 1);
}
static inline void mf_sim_mask_put(struct mf_sim_mask *self, uint32_t i)
{
    if (i < MF_SIM_FAULTS_MOST)
        self->words[i / 64] |= UINT64_C(1) << (i % 64);
}
bool mf_sim_mask_parse(struct mf_sim_mask *self, const char *text); /* "3,7-9" */
void mf_sim_mask_print(const struct mf_sim_mask *self, char *array, unsigned size);

#endif
