/* mayfly-sim: run seeds, stop at nothing. Each batch of seeds runs in a child, so that a core's panic costs
 * one seed and not the hunt; what failed says its invariant, its seed, the command that replays it, and the
 * last lines of its trace. */
#include "check.h"
#include "world.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct progress { /* shared with the children */
    uint64_t tried, clean, fired;
};
struct hunt {
    struct mf_sim_options options;
    uint64_t start, count;
    bool one, twice, fresh;
    long limit_s; /* stop in time, 0 for never; at least one seed is run */
    struct progress *progress;
};
static struct mf_sim_world *panicking; /* for the hook, which has no argument */

static void say_command(const struct mf_sim_options *options, uint64_t seed)
{
    printf("replay: mayfly-sim --seed %llu --nodes %u --steps %llu --trace\n", (unsigned long long)seed,
           options->nodes, (unsigned long long)options->steps);
}

static void say_replay(const struct mf_sim_world *world)
{
    say_command(&world->options, world->options.seed);
    if (!world->options.trace)
        mf_sim_trace_tail(world);
    fflush(stdout);
}

static void on_panic(void)
{
    if (!panicking)
        return;
    printf("seed %llu: a core's own check failed at %lld ms (see above)\n",
           (unsigned long long)panicking->options.seed, (long long)panicking->now);
    say_replay(panicking);
}

static bool run_world(const struct hunt *hunt, uint64_t seed, uint64_t *ret_hash)
{
    struct mf_sim_options options = hunt->options;
    options.seed = seed;
    struct mf_sim_world *world = panicking = mf_sim_world_new(&options);
    bool ok = mf_sim_world_run(world);
    if (!ok) {
        printf("seed %llu: %s broken at %lld ms: %s\n", (unsigned long long)seed, world->invariant,
               (long long)world->now, world->failure);
        say_replay(world);
    }
    *ret_hash = world->trace_hash;
    hunt->progress->fired += world->fired;
    panicking = NULL;
    mf_sim_world_destroy(&world);
    return ok;
}

static bool run_seed(const struct hunt *hunt, uint64_t seed)
{
    uint64_t first, second;
    if (!run_world(hunt, seed, &first))
        return false;
    if (!hunt->twice)
        return true;
    if (!run_world(hunt, seed, &second))
        return false;
    if (first != second)
        printf("seed %llu: two runs made two traces\n", (unsigned long long)seed);
    return first == second;
}

static bool out_of_time(const struct hunt *hunt, time_t began)
{
    return hunt->limit_s && time(NULL) - began >= hunt->limit_s && hunt->progress->tried;
}

static int run_batch(const struct hunt *hunt, time_t began)
{
    struct progress *progress = hunt->progress;
    while (progress->tried < hunt->count && !out_of_time(hunt, began)) {
        uint64_t seed = hunt->start + progress->tried++;
        if (run_seed(hunt, seed))
            progress->clean++;
        fflush(stdout);
    }
    return 0;
}

/* Returns when all seeds were tried; a child that died has counted its seed as tried. */
static int run_hunt(const struct hunt *hunt)
{
    time_t began = time(NULL);
    struct progress *progress = hunt->progress;
    while (progress->tried < hunt->count && !out_of_time(hunt, began)) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
            return perror("mayfly-sim: fork"), 1;
        if (pid == 0)
            exit(run_batch(hunt, began));
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        printf("seed %llu: the simulator died (%s %d)\n",
               (unsigned long long)(hunt->start + progress->tried - 1),
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        say_command(&hunt->options, hunt->start + progress->tried - 1);
    }
    if (!hunt->one) /* a replay is the same to the byte, however long it takes */
        printf("%llu events in %lld s\n", (unsigned long long)progress->fired,
               (long long)(time(NULL) - began));
    printf("seeds %llu clean %llu\n", (unsigned long long)progress->tried,
           (unsigned long long)progress->clean);
    return progress->clean == progress->tried ? 0 : 1;
}

static int usage(void)
{
    fputs("usage: mayfly-sim --seeds COUNT [--start SEED] [--nodes N] [--steps N] [--twice] [--fresh] "
          "[--limit SECONDS]\n"
          "       mayfly-sim --seed SEED [--trace] [--nodes N] [--steps N]\n",
          stderr);
    return 2;
}

static bool number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_value)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || !*text || *text == '-' || value < low || value > high) {
        fprintf(stderr, "mayfly-sim: \"%s\" is not a number from %llu to %llu\n", text,
                (unsigned long long)low, (unsigned long long)high);
        return false;
    }
    *ret_value = value;
    return true;
}

static const struct option options[] = {
    {"seeds", required_argument, NULL, 'c'}, {"seed", required_argument, NULL, 's'},
    {"start", required_argument, NULL, 'b'}, {"nodes", required_argument, NULL, 'n'},
    {"steps", required_argument, NULL, 'e'}, {"limit", required_argument, NULL, 'l'},
    {"trace", no_argument, NULL, 't'},       {"twice", no_argument, NULL, '2'},
    {"fresh", no_argument, NULL, 'f'},       {0}};

static bool parse(int argc, char **argv, struct hunt *hunt)
{
    uint64_t value;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?')
            return false;
        if (c == 't')
            hunt->options.trace = true;
        else if (c == '2')
            hunt->twice = true;
        else if (c == 'f')
            hunt->fresh = true;
        else if (!number(optarg, c == 's' || c == 'b' || c == 'l' ? 0 : 1, c == 'n' ? 1000 : UINT64_MAX / 2,
                         &value))
            return false;
        else if (c == 'c')
            hunt->count = value;
        else if (c == 's')
            hunt->start = value, hunt->one = true;
        else if (c == 'b')
            hunt->start = value;
        else if (c == 'n')
            hunt->options.nodes = (uint32_t)value;
        else if (c == 'e')
            hunt->options.steps = value;
        else
            hunt->limit_s = (long)value;
    }
    return optind == argc && (hunt->one || hunt->count);
}

int main(int argc, char **argv)
{
    struct hunt hunt = {.options = {.nodes = 5, .clients = 3, .steps = 12000}, .start = 1};
    if (!parse(argc, argv, &hunt))
        return usage();
    hunt.progress =
        mmap(NULL, sizeof(*hunt.progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (hunt.progress == MAP_FAILED)
        return perror("mayfly-sim: mmap"), 1;
    mf_panic_hook = on_panic;
    if (hunt.fresh)
        hunt.start = (uint64_t)time(NULL) * 1000 % 1000000000000u;
    if (hunt.one)
        hunt.count = 1;
    else
        printf("seeds from %llu\n", (unsigned long long)hunt.start);
    return run_hunt(&hunt);
}
