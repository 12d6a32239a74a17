/* describe.c - looking into a monitor's core: its invariants, and its state as text. */
#include "health_state.h"

#include "check.h"
#include <stdarg.h>
#include <stdio.h>

void mf_health_check(const struct mf_health *self)
{
    MF_MAGIC(self, MF_HEALTH_MAGIC);
    MF_CHECK(!self->welcomed || self->linked);
    MF_CHECK(!self->first_to_say == !self->last_to_say);
    size_t known = 0, open = 0, heard = 0;
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        if (!ear->known)
            continue;
        known++;
        MF_CHECK(ear->state < MF_EAR_STATES && ear->epoch > 0);
        MF_CHECK(ear->heard_ms <= self->now && ear->echo_ms <= self->now && ear->grace_ms <= self->now);
        MF_CHECK(ear->closed_ms == MF_EAR_NEVER || ear->closed_ms <= self->now);
        open += ear->counted_open;
        heard += ear->counted_heard;
        if (!self->welcomed || mf_health_due(self, ear) == MF_EAR_NEVER)
            continue;
        MF_CHECK(ear->timer.place && ear->timer.when <= mf_health_due(self, ear));
    }
    MF_CHECK(known == self->n_known && known == self->probes.n);
    mf_checks_check(&self->checks);
    MF_CHECK(open == self->doubt.open && heard == self->doubt.heard && heard <= open);
}

static void print(struct mf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(struct mf_buf *buf, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0)
        mf_buf_append(buf, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void print_since(struct mf_buf *buf, const char *what, mf_ms now, mf_ms then)
{
    if (then != MF_EAR_NEVER)
        print(buf, " %s=%lld", what, (long long)(now - then));
}

void mf_health_describe(const struct mf_health *self, struct mf_buf *buf)
{
    const struct mf_health_counts *c = &self->counts;
    print(
        buf, "monitor %s: %s term %llu, pulse %lld silence %lld grace %lld ms, %zu nodes, pardoned %lld ms\n",
        self->config.name,
        self->welcomed ? "welcomed,"
        : self->linked ? "not welcomed,"
                       : "no link,",
        (unsigned long long)self->term, (long long)self->limits.pulse_ms, (long long)self->limits.silence_ms,
        (long long)self->limits.agent_grace_ms, self->n_known, (long long)self->pardoned_ms);
    print(buf,
          "datagrams: heard %llu malformed %llu unknown %llu stale %llu replayed %llu forged %llu unasked "
          "%llu\n",
          (unsigned long long)c->heard, (unsigned long long)c->malformed, (unsigned long long)c->unknown,
          (unsigned long long)c->stale, (unsigned long long)c->replayed, (unsigned long long)c->forged,
          (unsigned long long)c->unasked);
    print(buf, "probes: sent %llu answered %llu rounds put off %llu; hears %zu of %zu open%s%s\n",
          (unsigned long long)self->probes.sent, (unsigned long long)self->probes.answered,
          (unsigned long long)self->probes.put_off, self->doubt.heard, self->doubt.open,
          self->doubt.is_doubting ? "; judges nobody: " : "",
          self->doubt.is_doubting ? self->doubt.reason : "");
    print(buf, "guests: %zu looked at, %zu of %zu pass, %zu fail, %zu looks out; outside %llu beyond %llu\n",
          mf_map_size(self->checks.guests), self->checks.now, self->checks.once, self->checks.failing,
          self->checks.n_out, (unsigned long long)self->checks.outside,
          (unsigned long long)self->checks.beyond);
    struct mf_ear *ear;
    for (size_t cursor = 0; mf_map_next(self->ears, &cursor, (void **)&ear);) {
        if (!ear->known)
            continue;
        print(buf, "node %s epoch %llu %s, told %s, %s", ear->name, (unsigned long long)ear->epoch,
              mf_ear_state_word(ear->state), mf_node_state_word(ear->told),
              ear->heard ? "heard" : "not heard");
        print_since(buf, "silent_ms", self->now, ear->heard_ms);
        if (ear->echo_ms != MF_EAR_LONG_AGO)
            print_since(buf, "echo_ms", self->now, ear->echo_ms);
        print_since(buf, "closed_ms", self->now, ear->closed_ms);
        print_since(buf, "agent_dead_ms", self->now, ear->dead_ms);
        print(buf, "\n");
    }
}
