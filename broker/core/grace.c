/* grace.c - see grace.h. The loop's punctuality is measured by a beat that is always due soon. */
#include "grace.h"
#include "monitors.h"
#include "votes.h"

enum { BEAT_MS = 500, LATE_MS = 1000, GRACE_MS = 1000 /* beyond silence_ms */ };

static void begin(struct mf_broker *b)
{
    b->grace_until = b->now + b->config.silence_ms + GRACE_MS;
    mf_heap_set(&b->alarms, &b->grace.timer, b->grace_until);
    mf_heap_set(&b->alarms, &b->beat.timer, b->now + BEAT_MS);
}

void mf_grace_begin(struct mf_broker *b)
{
    begin(b);
}

void mf_grace_watch(struct mf_broker *b)
{
    if (!b->beat.timer.place || b->now - b->beat.timer.when <= LATE_MS)
        return;
    begin(b);
    mf_monitors_pardon(b);
}

void mf_grace_beat(struct mf_broker *b)
{
    mf_heap_set(&b->alarms, &b->beat.timer, b->now + BEAT_MS);
}

/* Of a cluster that is frozen all votes are gathered first: judged one by one, the first would fit. */
void mf_grace_over(struct mf_broker *b)
{
    b->breaker.gathering = true;
    mf_votes_judge_all(b);
    b->breaker.gathering = false;
    b->breaker.look = true;
}
