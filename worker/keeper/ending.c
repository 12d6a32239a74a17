/* ending.c - the keeper's own end. Told to stop, it first has the node drained, if that was asked for. Where
 * its guests live on without it, there is no more to do. Where they end with it, as those of a container's
 * PID 1 do, it ends them itself, so that their end is a fact that the broker is told and no silence that a
 * monitor must judge: the agent begins nothing more, everything is killed and seen to be gone, the agent says
 * so and is answered. Each step has its limit, and what was not seen is not claimed. Where another process is
 * that PID 1, its end follows ours, and is a matter of the monitors and of the next hello's boot. */
#include "keeper.h"
#include <signal.h>
#include <unistd.h>

enum {
    QUIET_MS = 500, /* for creates under way to end by themselves; then what they make is killed */
    KILL_MS = 2000,
    LOOK_MS = 10,    /* between two looks at what is still there */
    ANSWER_MS = 1500 /* the agent gives the broker a second */
};

static void enter(struct mf_keeper *self, enum mf_keeper_phase phase, mf_ms limit_ms)
{
    self->phase = phase;
    self->phase_until = self->now + limit_ms;
}

static void say(struct mf_keeper *self, enum mf_keeper_packet_kind kind)
{
    struct mf_keeper_packet packet = {.kind = kind, .remaining_ms = self->phase_until - self->now};
    mf_keeper_agent_send(self, &packet);
}

static void stop(struct mf_keeper *self)
{
    enter(self, MF_KEEPER_STOPPING, MF_KEEPER_STOP_MS);
    if (self->agent_pid > 0)
        kill(self->agent_pid, SIGTERM);
}

static void end(struct mf_keeper *self)
{
    mf_lease_end(&self->lease, self->now); /* nobody would end these guests later */
    if (getpid() != 1 || !self->guests_die || !self->agent_ready) {
        stop(self);
        return;
    }
    enter(self, MF_KEEPER_ENDING, QUIET_MS);
    say(self, MF_KEEPER_END);
}

void mf_keeper_end(struct mf_keeper *self)
{
    if (self->phase == MF_KEEPER_KEEPING && self->options.drain_ms && self->in_session) {
        mf_keeper_log(self, "info", "the node is drained first, for at most %lld ms",
                      (long long)self->options.drain_ms);
        enter(self, MF_KEEPER_DRAINING, self->options.drain_ms);
        mf_keeper_say_drain(self);
    } else if (self->phase <= MF_KEEPER_DRAINING) {
        end(self);
    } else { /* told once more: at once, then */
        stop(self);
        self->phase_until = self->now;
    }
}

void mf_keeper_say_drain(struct mf_keeper *self)
{
    if (self->phase == MF_KEEPER_DRAINING)
        say(self, MF_KEEPER_DRAIN);
}

void mf_keeper_quiet(struct mf_keeper *self)
{
    self->quiet = true;
    if (self->phase == MF_KEEPER_ENDING)
        enter(self, MF_KEEPER_KILLING, KILL_MS);
}

void mf_keeper_left(struct mf_keeper *self)
{
    if (self->phase == MF_KEEPER_DRAINING) {
        mf_keeper_log(self, "info", "drained");
        end(self);
    } else if (self->phase == MF_KEEPER_TELLING) {
        stop(self);
    }
}

void mf_keeper_end_without_agent(struct mf_keeper *self)
{
    if (self->phase > MF_KEEPER_DRAINING)
        self->phase = MF_KEEPER_STOPPING;
}

void mf_keeper_give_up(struct mf_keeper *self, int exit_code)
{
    mf_lease_end(&self->lease, self->now); /* of those that the keeper before us held */
    self->phase = MF_KEEPER_STOPPING;
    self->exit_code = exit_code;
}

static void kill_and_look(struct mf_keeper *self)
{
    unsigned left = mf_keeper_kill_all(self);
    if (left == 0 && self->quiet) {
        enter(self, MF_KEEPER_TELLING, ANSWER_MS);
        say(self, MF_KEEPER_ALL_DEAD);
        self->all_dead = true;
    } else if (self->now >= self->phase_until) {
        mf_keeper_log(self, "error", "%u processes are still there%s; the broker is not told of an end", left,
                      self->quiet ? "" : ", or a guest is being born");
        stop(self);
    }
}

void mf_keeper_end_run(struct mf_keeper *self)
{
    bool late = self->now >= self->phase_until;
    switch (self->phase) {
    case MF_KEEPER_KEEPING:
        break;
    case MF_KEEPER_DRAINING:
        if (late) {
            mf_keeper_log(self, "warning", "not drained in time; it ends all the same");
            end(self);
        }
        break;
    case MF_KEEPER_ENDING:
        if (late)
            enter(self, MF_KEEPER_KILLING, KILL_MS);
        break;
    case MF_KEEPER_KILLING:
        kill_and_look(self);
        break;
    case MF_KEEPER_TELLING:
        if (late)
            stop(self);
        break;
    case MF_KEEPER_STOPPING:
        if (late && self->agent_pid > 0)
            kill(self->agent_pid, SIGKILL);
        if (late)
            self->phase_until = INT64_MAX;
        break;
    }
}

mf_ms mf_keeper_end_at(const struct mf_keeper *self)
{
    if (self->phase == MF_KEEPER_KEEPING)
        return INT64_MAX;
    return self->phase == MF_KEEPER_KILLING ? self->now + LOOK_MS : self->phase_until;
}

void mf_keeper_end_last(struct mf_keeper *self)
{
    mf_keeper_log(self, "info",
                  self->guests_die ? "ended, and every guest with it"
                                   : "ended; the guests live on, but at-most ones");
}
