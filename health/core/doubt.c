/* doubt.c - counting who is heard. */
#include "doubt.h"

void mf_doubt_begin(struct mf_doubt *self, unsigned percent)
{
    *self = (struct mf_doubt){.percent = percent ? percent : MF_DOUBT_PERCENT};
}

void mf_doubt_count(struct mf_doubt *self, struct mf_ear *ear)
{
    bool open =
        ear->known && ear->heard && ear->closed_ms == MF_EAR_NEVER && ear->told != MF_NODE_STATE_FAILED;
    bool heard = open && ear->audible;
    self->open += (size_t)open - (size_t)ear->counted_open;
    self->heard += (size_t)heard - (size_t)ear->counted_heard;
    ear->counted_open = open;
    ear->counted_heard = heard;
}

void mf_doubt_late(struct mf_doubt *self, mf_ms lateness, mf_ms until)
{
    if (lateness <= MF_DOUBT_LATE_MS)
        return;
    self->late_ms = lateness;
    self->late_until = until;
}

static bool is_deaf(const struct mf_doubt *self)
{
    return self->open - self->heard >= MF_DOUBT_MISSED && self->heard * 100 < self->open * self->percent;
}

bool mf_doubt_look(struct mf_doubt *self, mf_ms now)
{
    bool before = self->is_doubting, late = now < self->late_until;
    self->is_doubting = late || is_deaf(self);
    if (self->is_doubting == before)
        return false;
    if (late)
        mf_str_format(self->reason, sizeof(self->reason), "its own loop stood still for %lld ms",
                      (long long)self->late_ms);
    else
        mf_str_format(self->reason, sizeof(self->reason),
                      "it hears %zu of %zu nodes whose connection is open, less than %u percent", self->heard,
                      self->open, self->percent);
    return true;
}
