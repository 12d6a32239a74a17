/* counts.c - all of it is counted already. */
#include "counts.h"
#include "state.h"

_Static_assert((int)MF_GUEST_COUNT <= (int)MF_WORKER_STATES_MAX,
               "there is room for every state of guest.def");

void mf_worker_count(const struct mf_worker *self, struct mf_worker_counts *ret_counts)
{
    struct mf_worker_counts counts = {.session = mf_session_word(self->session),
                                      .foreign = self->n_lives[MF_GUEST_FOREIGN],
                                      .reports = self->n_reports,
                                      .ignored = self->ignored,
                                      .capacity = self->capacity,
                                      .cells = self->n_cells};

    for (unsigned life = 0; life < MF_GUEST_COUNT; life++) {
        counts.guests[life].state = mf_guest_life_word(life);
        counts.guests[life].n = self->n_lives[life];
    }
    *ret_counts = counts;
}
