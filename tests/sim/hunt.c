/* Running worlds: one, one apart, a hunt over many. What failed says its invariant, its seed, the faults that
 * it takes, the last lines of its trace, and the command that replays it. */
#include "hunt.h"
#include "check.h"
#include "faults.h"
#include "rows.h"
#include "sim_broker.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MOST = 64, SHRUNK_MOST = 3, FAILURES_MOST = 30 };

struct board { /* shared with the children */
    _Atomic uint64_t taken, tried, clean, events, virtual_ms, shrunk;
    struct mf_sim_verdict verdicts[JOBS_MOST];
};

/* -- one world */

static struct mf_sim_world *running; /* for the hook, which has no argument */
static struct mf_sim_verdict *running_verdict;
static bool running_tells;

void mf_sim_say_command(const struct mf_sim_options *options)
{
    static const char *const profiles[] = {"small", "medium", "large"};
    char without[4096];
    mf_sim_mask_print(&options->without, without, sizeof(without));
    printf("replay: mayfly-sim --seed %llu --trace", (unsigned long long)options->seed);
    if (options->profile)
        printf(" --profile %s", profiles[options->profile]);
    if (options->nodes)
        printf(" --nodes %u", options->nodes);
    if (options->span_ms)
        printf(" --span %lld", (long long)options->span_ms);
    printf("%s%s\n", *without ? " --without " : "", without);
}

static void tell_story(const struct mf_sim_world *world)
{
    printf("what went wrong in this world, in order:\n");
    mf_sim_faults_print(world->faults);
    if (world->options.trace)
        mf_sim_broker_print(world->broker);
    else {
        printf("its last steps:\n");
        mf_sim_trace_tail(world);
    }
    mf_sim_say_command(&world->options);
}

static void note_failure(const struct mf_sim_world *world, const char *invariant)
{
    running_verdict->clean = false;
    running_verdict->faults = world->faults ? mf_sim_faults_count(world->faults) : 0;
    mf_str_format(running_verdict->invariant, sizeof(running_verdict->invariant), "%s", invariant);
}

static void on_panic(void)
{
    if (!running)
        return;
    note_failure(running, "panic");
    if (running_tells && running->faults) {
        printf("seed %llu: a core's own check failed at %lld ms (see above)\n",
               (unsigned long long)running->options.seed, (long long)running->now);
        tell_story(running);
    }
    fflush(stdout);
}

void mf_sim_run(const struct mf_sim_options *options, bool tells, struct mf_sim_verdict *ret_verdict)
{
    *ret_verdict = (struct mf_sim_verdict){.invariant = "died"};
    running_verdict = ret_verdict;
    running_tells = tells;
    mf_panic_hook = on_panic;
    struct mf_sim_world *world = running = mf_sim_world_new(options);
    ret_verdict->clean = mf_sim_world_run(world);
    if (!ret_verdict->clean)
        note_failure(world, world->invariant);
    if (!ret_verdict->clean && tells) {
        printf("seed %llu: %s broken at %lld ms: %s\n", (unsigned long long)options->seed, world->invariant,
               (long long)world->now, world->failure);
        tell_story(world);
    }
    ret_verdict->hash = world->trace_hash;
    ret_verdict->faults = mf_sim_faults_count(world->faults);
    ret_verdict->virtual_ms = world->now;
    ret_verdict->events = world->fired;
    ret_verdict->over = true;
    running = NULL;
    mf_sim_world_destroy(&world);
}

static void wait_for(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void mf_sim_run_apart(const struct mf_sim_options *options, bool tells, struct mf_sim_verdict *shared)
{
    *shared = (struct mf_sim_verdict){.invariant = "died"};
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("mayfly-sim: fork");
        return;
    }
    if (pid > 0) {
        wait_for(pid);
        return;
    }
    int nowhere = tells ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) {
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
    }
    mf_sim_run(options, tells, shared);
    fflush(stdout);
    _exit(0);
}

/* -- the hunt */

/* Enough was seen: the time is over, or so much fails that more of it would say nothing. */
static bool is_enough(const struct mf_sim_hunt *hunt, const struct board *board, time_t began)
{
    return board->tried - board->clean > FAILURES_MOST ||
           (hunt->limit_s && board->tried && time(NULL) - began >= hunt->limit_s);
}

/* The failure is told from a run of its own, after it was made small. */
static void tell_failure(const struct mf_sim_hunt *hunt, struct board *board,
                         const struct mf_sim_options *options, struct mf_sim_verdict *verdict)
{
    struct mf_sim_options small = *options;
    struct mf_sim_verdict first = *verdict;
    if (hunt->shrink_s && board->shrunk++ < SHRUNK_MOST)
        mf_sim_shrink(&small, &first, hunt->shrink_s);
    mf_sim_run_apart(&small, true, verdict);
    if (!verdict->over && strcmp(verdict->invariant, "died") == 0) {
        printf("seed %llu: the simulator died\n", (unsigned long long)options->seed);
        mf_sim_say_command(&small);
    }
    fflush(stdout);
}

static bool run_again(const struct mf_sim_options *options, uint64_t hash, struct mf_sim_verdict *verdict)
{
    mf_sim_run(options, false, verdict);
    if (verdict->hash == hash)
        return verdict->clean;
    printf("seed %llu: two runs made two traces\n", (unsigned long long)options->seed);
    return false;
}

/* Seeds until one fails or none is left; the parent tells of a failure and starts another batch. */
static void run_batch(const struct mf_sim_hunt *hunt, struct board *board, struct mf_sim_verdict *verdict,
                      uint64_t *seed, time_t began)
{
    struct mf_sim_options options = hunt->options;
    while (!is_enough(hunt, board, began)) {
        uint64_t taken = board->taken++;
        if (taken >= hunt->count)
            return;
        options.seed = *seed = hunt->start + taken;
        board->tried++;
        mf_sim_run(&options, false, verdict);
        board->events += verdict->events;
        board->virtual_ms += (uint64_t)verdict->virtual_ms;
        if (!verdict->clean || (hunt->twice && !run_again(&options, verdict->hash, verdict)))
            return;
        board->clean++;
    }
}

/* One of the hunt's processes: it lives as long as the hunt, its children until a seed fails. */
static void work(const struct mf_sim_hunt *hunt, struct board *board, uint32_t job, time_t began)
{
    struct mf_sim_verdict *verdict = &board->verdicts[job];
    uint64_t *seed = mmap(NULL, sizeof(*seed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MF_CHECK(seed != MAP_FAILED);
    while (board->taken < hunt->count && !is_enough(hunt, board, began)) {
        *verdict = (struct mf_sim_verdict){.clean = true};
        fflush(stdout);
        pid_t pid = fork();
        MF_CHECK(pid >= 0);
        if (pid == 0) {
            run_batch(hunt, board, verdict, seed, began);
            fflush(stdout);
            _exit(0);
        }
        wait_for(pid);
        if (verdict->clean)
            continue;
        struct mf_sim_options options = hunt->options;
        options.seed = *seed;
        tell_failure(hunt, board, &options, verdict);
    }
}

static void run_jobs(const struct mf_sim_hunt *hunt, struct board *board, time_t began)
{
    pid_t pids[JOBS_MOST];
    for (uint32_t i = 1; i < hunt->jobs; i++)
        if ((pids[i] = fork()) == 0) {
            work(hunt, board, i, began);
            fflush(stdout);
            _exit(0);
        }
    work(hunt, board, 0, began);
    for (uint32_t i = 1; i < hunt->jobs; i++)
        if (pids[i] > 0)
            wait_for(pids[i]);
}

static int say_sum(const struct mf_sim_hunt *hunt, const struct board *board, time_t began)
{
    if (hunt->rows)
        mf_sim_rows_print();
    if (!hunt->one) /* a replay is the same to the byte, however long it takes */
        printf("%llu events, %llu s of the worlds' time, in %lld s\n", (unsigned long long)board->events,
               (unsigned long long)board->virtual_ms / 1000, (long long)(time(NULL) - began));
    printf("seeds %llu clean %llu\n", (unsigned long long)board->tried, (unsigned long long)board->clean);
    return board->clean == board->tried ? 0 : 1;
}

int mf_sim_hunt(const struct mf_sim_hunt *hunt)
{
    time_t began = time(NULL);
    fflush(stdout);
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || hunt->jobs > JOBS_MOST)
        return perror("mayfly-sim"), 1;
    mf_sim_rows_watch();
    if (hunt->one) {
        struct mf_sim_options options = hunt->options;
        options.seed = hunt->start;
        board->tried = 1;
        mf_sim_run_apart(&options, true, &board->verdicts[0]);
        board->clean = board->verdicts[0].clean;
    } else
        run_jobs(hunt, board, began);
    return say_sum(hunt, board, began);
}
