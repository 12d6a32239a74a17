/* Shrinking: of a seed's list of faults, halves, quarters and in the end single ones are left out, as long as
 * the same invariant breaks. Bounded by time, not by hope. */
#include "hunt.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct shrinking {
    struct mf_sim_options *options;
    const struct mf_sim_verdict *first;
    struct mf_sim_verdict *trial; /* shared with the children */
    time_t until;
    uint32_t n;
};

static bool still_breaks(struct shrinking *self, const struct mf_sim_mask *without)
{
    struct mf_sim_options options = *self->options;
    options.without = *without;
    options.trace = false;
    mf_sim_run_apart(&options, false, self->trial);
    return !self->trial->clean && strcmp(self->trial->invariant, self->first->invariant) == 0;
}

static bool leave_out(struct shrinking *self, uint32_t from, uint32_t to)
{
    struct mf_sim_mask without = self->options->without;
    bool any = false;
    for (uint32_t i = from; i < to; i++) {
        any |= !mf_sim_mask_has(&without, i);
        mf_sim_mask_put(&without, i);
    }
    if (!any || !still_breaks(self, &without))
        return false;
    self->options->without = without;
    return true;
}

/* From the end: what happens after the failure can go at once. */
static void pass(struct shrinking *self, uint32_t chunk)
{
    for (uint32_t end = self->n; end > 0 && time(NULL) < self->until; end = end > chunk ? end - chunk : 0)
        leave_out(self, end > chunk ? end - chunk : 0, end);
}

void mf_sim_shrink(struct mf_sim_options *options, const struct mf_sim_verdict *first, long seconds)
{
    struct shrinking self = {.options = options,
                             .first = first,
                             .until = time(NULL) + seconds,
                             .n = first->faults < MF_SIM_FAULTS_MOST ? first->faults : MF_SIM_FAULTS_MOST};
    self.trial = mmap(NULL, sizeof(*self.trial), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (self.trial == MAP_FAILED)
        return;
    for (uint32_t chunk = (self.n + 1) / 2; chunk > 0 && time(NULL) < self.until; chunk /= 2)
        pass(&self, chunk);
    munmap(self.trial, sizeof(*self.trial));
}
