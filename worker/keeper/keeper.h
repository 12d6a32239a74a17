/* keeper.h - the tiny process that must not fail: parent of the agent, child subreaper and the only one that
 * reaps, holder of the guests' pidfds. It pulses, answers probes, tells deaths, and fences: it ends at-most
 * guests when their lease is over, whether the agent is dead, hung or cut off. One thread, one epoll loop,
 * tables of fixed size, no allocation after the start, memory locked; it links neither libvirt nor ZeroMQ. If
 * it dies its guests live on; a new keeper's agent finds them and watches them again. Ended in order, it ends
 * its at-most guests first, for nobody would later; where all guests end with it, all of them (ending.c).
 * As PID 1 of a container it is the init of that: whatever is orphaned there is reaped. */
#ifndef MF_KEEPER_H
#define MF_KEEPER_H

#include "keeper_wire.h"
#include "lease.h"
#include "log_line.h"
#include <netinet/in.h>
#include <sys/types.h>

enum {
    MF_KEEPER_GUESTS_MAX = 4096,
    MF_KEEPER_CALM_MS = 2000,  /* an agent that lived this long was no crash at start */
    MF_KEEPER_BACKOFF_MS = 50, /* first delay before a new agent, doubled up to the next */
    MF_KEEPER_BACKOFF_MAX_MS = 5000,
    MF_KEEPER_STOP_MS = 3000, /* the agent's time to end after SIGTERM, before SIGKILL */
    MF_KEEPER_TELL_MS = 200,  /* a death is told again until it is seen */
    MF_KEEPER_LEASES_MAX = MF_KEEPER_GUESTS_MAX + 256, /* at-most guests and intents */
    MF_KEEPER_LEASE_MAX_MS = 3600000,                  /* no lease is longer, as the message table says */
    MF_KEEPER_WATCHDOG_MS = 500,                       /* between two kicks */
    MF_KEEPER_WATCHDOG_S = 5,  /* without one the device resets the machine, if it can be told */
    MF_KEEPER_RELAYS = 64,     /* second opinions under way */
    MF_KEEPER_RELAY_MS = 1000, /* an echo that comes later is not passed on */
    MF_KEEPER_EXIT_MISUSE =
        2 /* an agent that ends so before it was ever ready will not do better next time */
};

struct mf_keeper_options {
    char node[MF_NAME_MAX + 1]; /* may be empty: then the agent's key says it */
    char boot_id[65];           /* of the host, or as a test says */
    char probe_bind[101];       /* HOST:PORT, numeric */
    char probe_host[64];  /* where peers reach the probe socket if it is bound to any address; may be empty */
    const char *pid_file; /* or NULL */
    const char *watchdog; /* device, or NULL */
    mf_ms drain_ms;       /* told to stop, the node is drained first, for at most so long; 0: it is not */
    enum mf_log_format log_format;
    const char *agent; /* program */
    char **agent_args; /* NULL-terminated, after the program's name */
};
/* The command line: 0; 1 when --help or --version was answered; -EINVAL with the sentence in error. */
int mf_keeper_options_parse(int argc, char **argv, struct mf_keeper_options *ret_options, char error[512]);

/* Run until told to stop (SIGTERM, SIGINT); the exit code. */
int mf_keeper_run(const struct mf_keeper_options *options);

/* ---- inside: what the keeper's files share */

struct mf_keeper_guest {
    struct mf_uuid id;
    pid_t pid;  /* 0: free place */
    int pidfd;  /* -1: dead, or another guest of the same process holds it */
    int status; /* of waitpid, if known */
    bool dead, known;
    bool at_most, fenced; /* fenced: we killed it */
    mf_ms told_at;        /* when its death was last told; 0 never */
};

enum mf_keeper_phase { /* of its own end, in this order; ending.c */
                       MF_KEEPER_KEEPING,
                       MF_KEEPER_DRAINING,
                       MF_KEEPER_ENDING,  /* what is being born is waited for */
                       MF_KEEPER_KILLING, /* all that lives is killed, until nothing does */
                       MF_KEEPER_TELLING, /* the broker is told */
                       MF_KEEPER_STOPPING /* the agent is ended */
};

struct mf_keeper_relay { /* somebody waits for an echo of this nonce */
    uint64_t nonce;
    mf_ms expires;
    struct sockaddr_storage monitor;
};

struct mf_keeper {
    struct mf_keeper_options options;
    mf_ms now, started_ms;
    int epoll, signals, timer, probe, sender4, sender6, ready_fd;
    uint32_t probe_port;
    sa_family_t probe_family;
    char probe_address[101];
    int exit_code;
    enum mf_keeper_phase phase;
    mf_ms phase_until;
    bool guests_die; /* with us, or the PID 1 of our namespace: the agent says so */
    bool quiet;      /* nothing is being born any more */
    bool all_dead;   /* and the agent was told so */

    pid_t agent_pid; /* 0: none */
    int agent_fd;    /* -1: none */
    bool agent_ready, ever_ready;
    mf_ms agent_since, agent_at, backoff_ms; /* agent_at: when the next one is due */

    bool in_session;
    char node[MF_NAME_MAX + 1];
    uint8_t boot[16], key[MF_PULSE_KEY];
    uint64_t epoch, term, counter;
    struct mf_uuid cluster_id;
    mf_ms pulse_ms;
    struct sockaddr_storage monitors[MF_KEEPER_MONITORS];
    unsigned n_monitors;

    struct mf_keeper_guest guests[MF_KEEPER_GUESTS_MAX];
    unsigned n_places, n_alive; /* places ever used; guests alive */

    struct mf_lease lease;
    struct mf_lease_entry lease_entries[MF_KEEPER_LEASES_MAX];
    int lease_timer, lease_file, proc; /* lease_file: -1 without a pid file to stand beside */
    mf_ms lease_at;                    /* when the timer rings; INT64_MAX never */
    bool fences;
    char fences_not[128];
    int watchdog; /* -1 while closed */
    bool watchdog_failed;
    mf_ms watchdog_at; /* next kick; INT64_MAX: none is due */
    struct mf_keeper_relay relays[MF_KEEPER_RELAYS];
};

enum mf_keeper_source {
    MF_KEEPER_SIGNALS = 1,
    MF_KEEPER_TIMER,
    MF_KEEPER_PROBE,
    MF_KEEPER_AGENT,
    MF_KEEPER_GUEST,
    MF_KEEPER_LEASE
};
int mf_keeper_poll(struct mf_keeper *self, int fd, enum mf_keeper_source source,
                   uint32_t index); /* add to the loop */

/* agent.c */
void mf_keeper_agent_start(struct mf_keeper *self);
void mf_keeper_agent_ended(struct mf_keeper *self, int status);
void mf_keeper_agent_read(struct mf_keeper *self);
bool mf_keeper_agent_send(struct mf_keeper *self,
                          struct mf_keeper_packet *packet); /* fills in the version; false if it is behind */

/* ending.c */
void mf_keeper_end(struct mf_keeper *self); /* told to: once more, and it ends at once */
void mf_keeper_say_drain(struct mf_keeper *self);
void mf_keeper_quiet(struct mf_keeper *self); /* the agent says so */
void mf_keeper_left(struct mf_keeper *self);  /* likewise */
void mf_keeper_end_without_agent(struct mf_keeper *self);
void mf_keeper_give_up(struct mf_keeper *self, int exit_code);
void mf_keeper_end_run(struct mf_keeper *self);
mf_ms mf_keeper_end_at(const struct mf_keeper *self);
void mf_keeper_end_last(struct mf_keeper *self);

/* guests.c */
void mf_keeper_watch(struct mf_keeper *self, struct mf_uuid id, pid_t pid, bool at_most);
void mf_keeper_fence(struct mf_keeper *self, struct mf_uuid id); /* kill it, now */
void mf_keeper_unwatch(struct mf_keeper *self, struct mf_uuid id);
void mf_keeper_guest_readable(struct mf_keeper *self, uint32_t index);
void mf_keeper_reaped(struct mf_keeper *self, pid_t pid, int status);
void mf_keeper_tell(struct mf_keeper *self, bool all); /* deaths not told yet, or due again */
mf_ms mf_keeper_tell_at(const struct mf_keeper *self);

/* pulses.c */
int mf_keeper_pulses_open(struct mf_keeper *self, char error[512]);
void mf_keeper_session(struct mf_keeper *self, const struct mf_keeper_packet *packet);
void mf_keeper_beat(struct mf_keeper *self);
void mf_keeper_pulse_fill(struct mf_keeper *self, enum mf_pulse_kind kind, struct mf_pulse *ret_pulse);

/* leases.c */
int mf_keeper_leases_open(struct mf_keeper *self, char error[512]);
void mf_keeper_intent(struct mf_keeper *self, struct mf_uuid id);
void mf_keeper_lease_granted(struct mf_keeper *self, const struct mf_keeper_packet *packet);
void mf_keeper_lease_run(struct mf_keeper *self); /* after whatever may have moved the lease */
/* Write down who is held in this place of the table of guests; a zero id: nobody. */
void mf_keeper_lease_note(struct mf_keeper *self, unsigned index, struct mf_uuid id);
void mf_keeper_lease_rings(struct mf_keeper *self);

/* scan.c */
int mf_keeper_scan_open(struct mf_keeper *self, char error[512]);
void mf_keeper_scan(struct mf_keeper *self); /* kill every process of a guest that is fenced */
/* Kill every process of our namespace, whose PID 1 we are, but the agent: how many live. */
unsigned mf_keeper_kill_all(struct mf_keeper *self);

/* harden.c */
void mf_keeper_harden(struct mf_keeper *self);
bool mf_keeper_can_fence(char why_not[128]);

/* watchdog.c: open, kick or close, as the time and the guests want */
void mf_keeper_watchdog(struct mf_keeper *self);

/* relay.c */
void mf_keeper_relay(struct mf_keeper *self, const uint8_t *bytes, size_t len,
                     const struct sockaddr_storage *from);
void mf_keeper_relay_echo(struct mf_keeper *self, const uint8_t bytes[MF_PULSE_SIZE],
                          const struct mf_pulse *echo);

/* probe.c */
int mf_keeper_probe_open(struct mf_keeper *self, char error[512]);
void mf_keeper_probe_read(struct mf_keeper *self);

/* tools.c */
int mf_keeper_address(const char *text,
                      struct sockaddr_storage *ret_address); /* HOST:PORT, numeric; -EINVAL */
socklen_t mf_keeper_address_size(const struct sockaddr_storage *address);
int mf_keeper_pid_file(const char *path, char error[512]);
mf_ms mf_keeper_now(void);
mf_ms mf_keeper_wall(void);
void mf_keeper_log(const struct mf_keeper *self, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
