/* counts.c - one walk over the ears; the rest is counted already. */
#include "health_state.h"

#include "check.h"

_Static_assert((int)MF_EAR_STATES <= (int)MF_HEALTH_STATES_MAX,
               "a census has room for every state of ear.def");

void mf_health_count(const struct mf_health *self, struct mf_health_census *ret_census)
{
    MF_MAGIC(self, MF_HEALTH_MAGIC);
    struct mf_health_census census = {.linked = self->linked,
                                      .welcomed = self->welcomed,
                                      .suspended = self->doubt.is_doubting,
                                      .reason = self->doubt.reason,
                                      .known = self->n_known,
                                      .counts = self->counts,
                                      .probes_sent = self->probes.sent,
                                      .probes_answered = self->probes.answered,
                                      .probes_put_off = self->probes.put_off,
                                      .pardoned_ms = self->pardoned_ms,
                                      .guests = mf_map_size(self->checks.guests),
                                      .guests_failing = self->checks.failing,
                                      .looks_out = self->checks.n_out,
                                      .looks_passed = self->checks.passed,
                                      .looks_failed = self->checks.failed,
                                      .looks_void = self->checks.pardoned,
                                      .guests_outside = self->checks.outside,
                                      .guests_beyond = self->checks.beyond};
    struct mf_ear *ear;
    for (unsigned state = 0; state < MF_EAR_STATES; state++)
        census.ears[state].state = mf_ear_state_word(state);
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        if (!ear->known)
            continue;
        census.ears[ear->state].n++;
        census.heard += !mf_ear_is_quiet(ear, &self->limits, self->now);
    }
    *ret_census = census;
}
