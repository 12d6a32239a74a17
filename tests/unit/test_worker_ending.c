/* test_worker_ending.c - a keeper's own end: alone, with a drain before, and as PID 1, whose guests end with
 * it. The latter needs the right to make namespaces; without it that is said, and skipped. */
#include "keeper_world.h"
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool carries(const char *pid, const char *uuid)
{
    char path[300], text[512] = "";
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof text, file) : 0;
    if (file)
        fclose(file);
    return memmem(text, len, uuid, strlen(uuid)) != NULL;
}

/* The pid of a guest as this program, outside of its namespace, knows it. */
static pid_t outside(unsigned n)
{
    char uuid[MF_UUID_TEXT];
    pid_t pid = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    mf_uuid_text(guest_id(n), uuid);
    for (const struct dirent *entry; !pid && (entry = readdir(proc));)
        if (atoi(entry->d_name) > 0 && carries(entry->d_name, uuid))
            pid = atoi(entry->d_name);
    closedir(proc);
    return pid;
}

static bool listed(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return access(path, F_OK) == 0;
}

/* What has ended, and was not reaped yet, runs no more. */
static bool runs(pid_t pid)
{
    char path[32], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && !fgets(text, sizeof text, file))
        text[0] = 0;
    if (file)
        fclose(file);
    const char *state = strrchr(text, ')');
    return state && state[2] != 'Z';
}

/* A signal takes its moment; whatever the keeper is told meanwhile, it reaps in the end. */
static void expect_reaped(struct world *w, pid_t pid)
{
    for (int tries = 0; listed(pid); tries++) {
        assert_true(tries < 1000);
        settle(w);
    }
}

static struct mf_keeper_packet expect(struct world *w, enum mf_keeper_packet_kind kind)
{
    struct mf_keeper_packet packet;
    do
        packet = next_news(w);
    while (packet.kind == MF_KEEPER_DEATH);
    assert_int_equal(packet.kind, kind);
    return packet;
}

static void say(struct world *w, enum mf_keeper_packet_kind kind, uint32_t flags)
{
    tell(w, (struct mf_keeper_packet){.kind = kind, .flags = flags});
}

static void tell_to_end(struct world *w)
{
    assert_int_equal(kill(w->keeper, SIGTERM), 0);
}

static void expect_exit(struct world *w)
{
    assert_int_equal(exit_of(w->keeper), 0);
    w->keeper = 0;
}

/* The agent sees nothing more than the end of its socket. */
static void expect_agent_told_nothing(struct world *w)
{
    struct mf_keeper_packet packet;
    ssize_t len;
    do {
        wait_readable(w->agent);
        len = recv(w->agent, &packet, sizeof packet, 0);
        assert_true(len <= 0 || packet.kind == MF_KEEPER_DEATH || packet.kind == MF_KEEPER_LEASE_ASK);
    } while (len > 0);
}

static void expect_end(struct world *w)
{
    expect_agent_told_nothing(w);
    expect_exit(w);
}

/* In a session, ready with these flags, and told to end. */
static void end_when_ready(struct world *w, uint32_t flags)
{
    begin_session(w);
    say(w, MF_KEEPER_READY, flags);
    expect_nothing(w);
    tell_to_end(w);
}

static int setup_drain(void **state)
{
    setup(state);
    struct world *w = *state;
    tell_to_end(w);
    expect_exit(w);
    start_world_keeper(w, "--drain-on-stop", "60000");
    return 0;
}

static int setup_init(void **state)
{
    keeper_is_init = true;
    return setup(state);
}

static int teardown_init(void **state)
{
    keeper_is_init = false;
    return teardown(state);
}

/* ------------------------------------------------------------------ not PID 1 */

static void guests_live_on(void **state)
{
    struct world *w = *state;
    pid_t guest = spawn(w, 1);
    watch(w, 1, guest);
    end_when_ready(w, 0);
    expect_end(w);
    assert_int_equal(kill(guest, 0), 0);
}

static void drained_first(void **state)
{
    struct world *w = *state;
    end_when_ready(w, 0);
    mf_ms left = expect(w, MF_KEEPER_DRAIN).remaining_ms;
    assert_true(left > 0 && left <= 60000);
    kill(w->agent_pid, SIGKILL); /* the next one must know */
    accept_agent(w);
    assert_true(expect(w, MF_KEEPER_DRAIN).remaining_ms <= left);
    say(w, MF_KEEPER_LEFT, 0);
    expect_end(w);
}

static void told_once_more_it_drains_no_longer(void **state)
{
    struct world *w = *state;
    begin_session(w);
    expect_nothing(w);
    tell_to_end(w);
    expect(w, MF_KEEPER_DRAIN);
    tell_to_end(w);
    expect_end(w);
}

static void without_a_session_nobody_could_drain(void **state)
{
    struct world *w = *state;
    tell_to_end(w);
    expect_end(w);
}

static void a_hung_agent_does_not_hold_it_up(void **state)
{
    struct world *w = *state;
    kill(w->agent_pid, SIGSTOP);
    tell_to_end(w);
    tell_to_end(w); /* at once, then: SIGKILL for the agent */
    expect_exit(w);
}

/* ------------------------------------------------------------------ PID 1 */

static void orphans_are_reaped(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->start.pid, 1);
    spawn(w, 1);
    spawn(w, 2); /* nobody has it watched */
    pid_t watched = outside(1), other = outside(2);
    watch(w, 1, w->guests[0]);
    expect_nothing(w);
    kill(other, SIGKILL);
    kill(watched, SIGKILL);
    assert_non_null(strstr(expect_death(w, 1).text, "killed by signal 9")); /* it was PID 1's to reap */
    seen(w, 1);
    expect_reaped(w, watched);
    expect_reaped(w, other);
    w->n_guests = 0;
}

static void all_die_and_are_told_of(void **state)
{
    struct world *w = *state;
    watch(w, 1, spawn(w, 1));
    spawn(w, 2); /* as of a create whose pid nobody has told */
    pid_t watched = outside(1), other = outside(2);
    assert_true(watched > 0 && other > 0);
    end_when_ready(w, MF_KEEPER_GUESTS_DIE);
    expect(w, MF_KEEPER_END);
    assert_true(runs(watched)); /* the agent has not stopped making guests */
    say(w, MF_KEEPER_QUIET, 0);
    expect(w, MF_KEEPER_ALL_DEAD);
    assert_false(runs(watched));
    assert_false(runs(other));
    say(w, MF_KEEPER_LEFT, 0);
    expect_end(w);
    w->n_guests = 0;
}

/* A birth that does not come to its end: killed all the same, and nothing is claimed. */
static void what_was_not_seen_is_not_claimed(void **state)
{
    struct world *w = *state;
    watch(w, 1, spawn(w, 1));
    pid_t guest = outside(1);
    end_when_ready(w, MF_KEEPER_GUESTS_DIE);
    expect(w, MF_KEEPER_END);
    wait_until_dead(guest);
    expect_end(w);
    w->n_guests = 0;
}

static void a_broker_that_is_away_does_not_hold_it_up(void **state)
{
    struct world *w = *state;
    end_when_ready(w, MF_KEEPER_GUESTS_DIE);
    expect(w, MF_KEEPER_END);
    say(w, MF_KEEPER_QUIET, 0);
    expect(w, MF_KEEPER_ALL_DEAD);
    expect_end(w);
}

/* As those of the host's libvirt. */
static void guests_that_are_not_its_own_are_let_be(void **state)
{
    struct world *w = *state;
    end_when_ready(w, 0);
    expect_end(w);
}

static bool may_make_namespaces(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWPID | CLONE_NEWNS) < 0);
    return exit_of(pid) == 0;
}

static int run(void)
{
    const struct CMUnitTest anyhow[] = {
        cmocka_unit_test_setup_teardown(guests_live_on, setup, teardown),
        cmocka_unit_test_setup_teardown(drained_first, setup_drain, teardown),
        cmocka_unit_test_setup_teardown(told_once_more_it_drains_no_longer, setup_drain, teardown),
        cmocka_unit_test_setup_teardown(without_a_session_nobody_could_drain, setup_drain, teardown),
        cmocka_unit_test_setup_teardown(a_hung_agent_does_not_hold_it_up, setup, teardown),
    };
    const struct CMUnitTest as_init[] = {
        cmocka_unit_test_setup_teardown(orphans_are_reaped, setup_init, teardown_init),
        cmocka_unit_test_setup_teardown(all_die_and_are_told_of, setup_init, teardown_init),
        cmocka_unit_test_setup_teardown(what_was_not_seen_is_not_claimed, setup_init, teardown_init),
        cmocka_unit_test_setup_teardown(a_broker_that_is_away_does_not_hold_it_up, setup_init, teardown_init),
        cmocka_unit_test_setup_teardown(guests_that_are_not_its_own_are_let_be, setup_init, teardown_init),
    };
    int failed = cmocka_run_group_tests(anyhow, NULL, NULL);
    if (may_make_namespaces())
        return failed + cmocka_run_group_tests(as_init, NULL, NULL);
    printf("SKIPPED: no right to make namespaces here, so no keeper is PID 1 of one\n");
    return failed ? failed : 77;
}

int main(int argc, char **argv)
{
    return world_main(argc, argv, run);
}
