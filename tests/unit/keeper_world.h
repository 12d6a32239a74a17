/* keeper_world.h - a real keeper with a made-up agent: the test program itself, which only relays packets
 * between the keeper and the test, so that each test speaks as the agent. Guests are this program too,
 * asleep, with
 * "-uuid ID" in their command line. Nothing here sleeps to win a race: it waits for what must come. */
#ifndef MF_KEEPER_WORLD_H
#define MF_KEEPER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "keeper_wire.h"
#include <sys/types.h>

enum { MARKERS = 200 }; /* ids from here on only mark a place in the order of packets */

struct world {
    char dir[64], control_path[128], pid_path[128], lease_path[160];
    int listener, agent, monitor;
    pid_t keeper, agent_pid;
    struct mf_keeper_packet start;
    uint8_t key[MF_PULSE_KEY];
    pid_t guests[16];
    unsigned n_guests, marker;
    bool marking; /* the marker's death is waited for */
};

int setup(void **state);
int teardown(void **state);
/* Plays the part that the command line says, or runs the tests on the keeper it names. */
int world_main(int argc, char **argv, int (*run)(void));

pid_t start_keeper(const char *const *args);
void start_world_keeper(struct world *w, const char *flag, const char *value); /* NULL: no such flag */
extern bool keeper_is_init; /* the next ones are PID 1 of a namespace of their own, with its own /proc */
void accept_agent(struct world *w); /* the next one the keeper starts */
void expect_agent_ended(struct world *w);
int exit_of(pid_t pid);
int open_monitor(void);
void begin_session(struct world *w); /* epoch 42, term 3, renewals every 100 ms */

struct mf_uuid guest_id(unsigned n);
pid_t spawn(struct world *w, unsigned n); /* nobody's child but the keeper's, as a daemonized one is */
pid_t spawn_stranger(struct world *w, unsigned n,
                     const char *name); /* the test's child, as after a keeper's restart */
void wait_until_dead(pid_t pid);

void tell(struct world *w, struct mf_keeper_packet packet);
void watch(struct world *w, unsigned n, pid_t pid);
void seen(struct world *w, unsigned n);
void wait_readable(int fd);
struct mf_keeper_packet receive(struct world *w);
struct mf_keeper_packet next_news(struct world *w);
struct mf_keeper_packet expect_death(struct world *w, unsigned n);
void expect_nothing(struct world *w);
void settle(struct world *w); /* likewise, where a death may have been told again meanwhile */
struct mf_pulse next_pulse(struct world *w);
int64_t now_us(void);

#endif
