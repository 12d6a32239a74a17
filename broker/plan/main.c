/* main.c - mayfly-plan: what would be if. Reads a store or a backup, plays the steps on it one after the
 * other, and prints one JSON object. Nothing is written, and no broker hears of it. `mayfly plan` fetches a
 * copy of the live state, runs this, and shows the answer as tables. */
#include "census.h"
#include "check.h"
#include "codec.h"
#include "files.h"
#include "loading.h"
#include "policy_settings.h"
#include "program.h"
#include "report.h"
#include "requests.h"
#include "steps.h"
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS_MAX = 256, MISUSE = 2, OTHERS = 4 };

typedef int step_fn(struct mf_rehearsal *self, const char *what, char error[512]);

static const struct kind {
    const char *name, *arg, *help;
    step_fn *run; /* NULL: a trace of requests */
} kinds[] = {
    {"drain", "NODE[,NODE...]", "Empty these nodes by births elsewhere.", mf_step_drain},
    {"remove", "NODE[,NODE...]", "Empty these nodes, and take them away for good.", mf_step_remove},
    {"lose", "LABEL=VALUE", "Every node with this label fails at once (rack=r1).", mf_step_lose},
    {"lose-node", "NODE[,NODE...]", "These nodes fail at once.", mf_step_lose_nodes},
    {"ratio", "CLASS=PERCENT", "Every node of the class has so many vcpus for each CPU.", mf_step_ratio},
    {"add", "N:NODE[:K=V...]", "So many more nodes like that one, with other labels.", mf_step_add},
    {"requests", "FILE.csv", "Ask for all of this: offering,count,at_s,life_s and perhaps group.", NULL},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

struct step {
    const struct kind *kind;
    const char *what;
};
struct plan {
    const char *store, *policy, *weights;
    struct mf_place_policy placement;
    struct step steps[STEPS_MAX];
    size_t n;
    json_t *requests;
};

static void usage(FILE *to)
{
    fprintf(
        to,
        "mayfly-plan - what would be if, on a copy of a broker's state\n\n"
        "mayfly-plan --store FILE STEP...\n\n"
        "  --store FILE                 A backup (mayfly backup), or the store of a broker that is stopped.\n"
        "  --placement-policy WORD      As the broker has it, where that is not the default; likewise\n"
        "  --placement-weights N,...\n"
        "Steps, done in the order they are given:\n");
    for (size_t i = 0; i < KINDS; i++)
        fprintf(to, "  --%-9s %-16s %s\n", kinds[i].name, kinds[i].arg, kinds[i].help);
}

/* ------------------------------------------------------------------ the copy */

static int newest_time(void *arg, const struct mf_store_row *row)
{
    *(mf_ms *)arg = row->time_ms;
    return 0;
}

/* What was recorded is played at its own time: what was to end an hour after it had an hour left. */
static int time_of(struct mf_store *store, mf_ms *ret_wall, char error[512])
{
    uint64_t oldest, newest;
    int r = mf_store_sqlite.range(store, &oldest, &newest, error);

    *ret_wall = mf_wall();
    if (r == 0 && newest && oldest <= newest)
        r = mf_store_sqlite.read(store, newest, newest, 1, newest_time, ret_wall, error);
    return r == 0 && !newest ? mf_fail(error, -EINVAL, "the store is empty") : r;
}

static int load(struct mf_rehearsal *self, const char *path, mf_ms *ret_wall, char error[512])
{
    struct mf_store *store = NULL;
    int r = access(path, R_OK) ? mf_fail(error, -errno, "%.300s: %s", path, strerror(errno))
                               : mf_store_sqlite.open(path, &store, error);

    if (r == 0)
        r = mf_loading_run(&mf_store_sqlite, store, self->b, error);
    if (r == 0)
        r = time_of(store, ret_wall, error);
    if (store)
        mf_store_sqlite.close(store);
    return r;
}

/* ------------------------------------------------------------------ the plan */

static int run_trace(struct plan *plan, struct mf_rehearsal *self, const char *path, char error[512])
{
    struct mf_trace trace;
    int r = mf_trace_read(path, &self->arena, &trace, error);

    if (r < 0)
        return r;
    r = mf_requests_run(self, path, &trace, error);
    if (r == 0) {
        plan->requests = plan->requests ? plan->requests : json_array();
        mf_report_trace(plan->requests, path, &trace);
    }
    free(trace.rows);
    return r;
}

static int run_steps(struct plan *plan, struct mf_rehearsal *self, json_t *ret_said, char error[512])
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < plan->n; i++) {
        const struct step *step = &plan->steps[i];
        size_t size = strlen(step->kind->name) + strlen(step->what) + 2;
        char *what = mf_arena_alloc(&self->arena, size); /* whole: half a letter is no JSON */
        mf_str_format(what, size, "%s %s", step->kind->name, step->what);
        mf_rehearsal_step(self);
        r = step->kind->run ? step->kind->run(self, step->what, error)
                            : run_trace(plan, self, step->what, error);
        json_array_append_new(ret_said, mf_report_step(self, what));
    }
    return r;
}

static int rehearse(struct plan *plan, struct mf_rehearsal *self, char error[512])
{
    struct mf_plan_report report = {.rehearsal = self, .steps = json_array()};
    mf_ms wall = 0;
    int r = load(self, plan->store, &wall, error);

    if (r == 0) {
        report.seq = mf_broker_seq(self->b);
        mf_rehearsal_begin(self, wall);
        report.before = mf_census(self);
        r = run_steps(plan, self, report.steps, error);
    }
    if (r < 0) {
        json_decref(report.steps);
        json_decref(report.before);
        json_decref(plan->requests);
        return r;
    }
    report.after = mf_census(self);
    report.requests = plan->requests;
    json_t *json = mf_report(&report);
    if (json_dumpf(json, stdout, JSON_INDENT(1)) || fputc('\n', stdout) == EOF || fflush(stdout))
        r = mf_fail(error, -EIO, "the answer cannot be written: %s", strerror(errno));
    json_decref(json);
    return r;
}

static int run(struct plan *plan)
{
    struct mf_broker_config config;
    struct mf_rehearsal self;
    char error[512] = "";
    int r;

    mf_broker_config_default(&config);
    config.seed = 1; /* the same question has the same answer */
    config.placement = plan->placement;
    mf_rehearsal_init(&self, &config);
    r = rehearse(plan, &self, error);
    mf_rehearsal_free(&self);
    if (r < 0)
        fprintf(stderr, "mayfly-plan: %s\n", error);
    return r < 0;
}

/* ------------------------------------------------------------------ what was said */

__attribute__((format(printf, 1, 2))) static int misuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "mayfly-plan: ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: mayfly-plan --help\n");
    return MISUSE;
}

static int take(struct plan *plan, int code)
{
    if (code == 's')
        plan->store = optarg;
    else if (code == 'p')
        plan->policy = optarg;
    else if (code == 'w')
        plan->weights = optarg;
    else if (!mf_utf8_valid(mf_str(optarg)))
        return misuse("%s: it is not UTF-8, and could not be said in the answer", kinds[code - 1000].name);
    else if (plan->n == STEPS_MAX)
        return misuse("%s: there are too many steps", optarg);
    else
        plan->steps[plan->n++] = (struct step){&kinds[code - 1000], optarg};
    return 0;
}

static int parse(struct plan *plan, int argc, char **argv)
{
    struct option table[KINDS + OTHERS + 1] = {{"store", required_argument, NULL, 's'},
                                               {"placement-policy", required_argument, NULL, 'p'},
                                               {"placement-weights", required_argument, NULL, 'w'},
                                               {"help", no_argument, NULL, 'h'}};
    char error[1024];
    int code, r = 0;

    for (int i = 0; i < KINDS; i++)
        table[i + OTHERS] = (struct option){kinds[i].name, required_argument, NULL, 1000 + i};
    while (r == 0 && (code = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        if (code == 'h')
            return usage(stdout), 1;
        if (code == ':' || code == '?')
            return code == ':' ? misuse("%s needs a value", argv[optind - 1])
                               : misuse("unknown option %s", argv[optind - 1]);
        r = take(plan, code);
    }
    if (r == 0 && optind < argc)
        return misuse("unexpected \"%s\"", argv[optind]);
    if (r == 0 && mf_policy_settings(plan->policy, plan->weights, &plan->placement, error) < 0)
        return misuse("%s", error);
    if (r == 0 && !plan->store)
        return misuse("%s is missing", "--store");
    return r;
}

int main(int argc, char **argv)
{
    struct plan plan = {.policy = "room"}; /* the broker's own default */
    int r = parse(&plan, argc, argv);

    if (r)
        return r == MISUSE ? MISUSE : 0;
    return run(&plan);
}
