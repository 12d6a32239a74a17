/* main.c - mayfly-replay: a trace of requests against the placement core, window by window. Prints one JSON
 * object. */
#include "check.h"
#include "experiment.h"
#include "message.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USAGE                                                                                                \
    "usage: mayfly-replay --trace FILE.csv[.gz] --windows FILE --servers N [--cells 2] [--cell-cpu 40]\n"    \
    "       [--cell-memory-gb 90] [--split-above-gb 10] [--queue head-of-line] [--policy NAME] [--weights "  \
    "A,B...]\n"                                                                                              \
    "       [--seeds 5]\n"

struct options {
    const char *trace, *windows;
    struct setting setting;
    struct judge judge;
    const char *policy_word;
    unsigned seeds;
};

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "mayfly-replay: %s\n%s", what, USAGE);
    exit(2);
}

static uint32_t number(const char *name, const char *text, uint32_t min, uint32_t max)
{
    char *end, why[200];
    unsigned long long value = strtoull(text, &end, 10);
    if (end != text && !*end && text[0] != '-' && value >= min && value <= max)
        return (uint32_t)value;
    mf_str_format(why, sizeof why, "--%s %s: it is a whole number from %u to %u", name, text, min, max);
    refuse(why);
}

static void weights(struct mf_place_policy *policy, const char *text)
{
    char *end = (char *)text;
    for (int i = 0; i < MF_POLICY_WEIGHTS_MAX && *text; i++, text = *end ? end + 1 : end) {
        policy->weights[i] = strtod(text, &end);
        if (end == text || (*end && *end != ','))
            refuse("--weights are numbers with commas between");
    }
    if (*text)
        refuse("--weights are at most 8 numbers");
}

static void set_policy(struct options *options, const char *word)
{
    options->policy_word = word;
    options->judge.anchor = strcmp(word, "paper-first-fit") == 0     ? ANCHOR_FIRST_FIT
                            : strcmp(word, "paper-balance-fit") == 0 ? ANCHOR_BALANCE_FIT
                                                                     : ANCHOR_NONE;
    enum mf_policy_name name = options->judge.anchor ? MF_POLICY_NAME_FIRST_FIT : mf_place_policy_find(word);
    options->judge.policy = mf_place_policy_named(name);
    if (name)
        return;
    char why[512];
    int at = snprintf(why, sizeof why,
                      "--policy %.60s is not known; there are paper-first-fit paper-balance-fit", word);
    for (int each = 1; each < MF_POLICY_NAMES; each++)
        at += snprintf(why + at, sizeof why - (size_t)at, " %s",
                       mf_place_policy_word((enum mf_policy_name)each));
    refuse(why);
}

static struct options parse(int argc, char **argv)
{
    static const struct option names[] = {{"trace", 1, NULL, 't'},
                                          {"windows", 1, NULL, 'w'},
                                          {"servers", 1, NULL, 'n'},
                                          {"cells", 1, NULL, 'c'},
                                          {"cell-cpu", 1, NULL, 'u'},
                                          {"cell-memory-gb", 1, NULL, 'm'},
                                          {"split-above-gb", 1, NULL, 's'},
                                          {"queue", 1, NULL, 'q'},
                                          {"policy", 1, NULL, 'p'},
                                          {"weights", 1, NULL, 'W'},
                                          {"seeds", 1, NULL, 'S'},
                                          {"help", 0, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.setting = {0, 2, 40, 90 * 1024, 10 * 1024}, .seeds = 5};
    set_policy(&o, "room");
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;)
        switch (option) {
        case 't':
            o.trace = optarg;
            break;
        case 'w':
            o.windows = optarg;
            break;
        case 'n':
            o.setting.servers = number("servers", optarg, 1, 100000);
            break;
        case 'c':
            o.setting.cells = number("cells", optarg, 1, 8);
            break;
        case 'u':
            o.setting.cell_vcpus = number("cell-cpu", optarg, 1, 100000);
            break;
        case 'm':
            o.setting.cell_memory_mib = number("cell-memory-gb", optarg, 1, 400000) * 1024;
            break;
        case 's':
            o.setting.split_above_mib = number("split-above-gb", optarg, 0, 1000000) * 1024;
            break;
        case 'q':
            if (strcmp(optarg, "head-of-line") != 0)
                refuse("--queue is head-of-line");
            break;
        case 'p':
            set_policy(&o, optarg);
            break;
        case 'W':
            weights(&o.judge.policy, optarg);
            break;
        case 'S':
            o.seeds = number("seeds", optarg, 1, 1000);
            break;
        case 'h':
            fputs(USAGE, stdout);
            exit(0);
        default:
            refuse("see above");
        }
    if (o.judge.anchor && o.setting.cells != 2)
        refuse("the paper's heuristics know servers of two cells only");
    if (!o.trace || !o.windows || !o.setting.servers || optind < argc)
        refuse("--trace, --windows and --servers are needed, and nothing else");
    return o;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, c = *(const double *)right;
    return a < c ? -1 : a > c;
}

/* The mean without the lowest and the highest tenth. */
static double trimmed_mean(const double *values, size_t n)
{
    double *sorted = calloc(1, n * sizeof(*sorted)), sum = 0;
    size_t cut = n / 10;
    memcpy(sorted, values, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_value);
    for (size_t i = cut; i < n - cut; i++)
        sum += sorted[i];
    free(sorted);
    return sum / (double)(n - 2 * cut);
}

struct sums {
    uint64_t decisions, ns, placed;
};

static int window(const struct options *o, const struct trace *trace, size_t row, double *ret_wait,
                  json_t *list, struct sums *sums, char error[512])
{
    struct outcome outcome;
    size_t length;
    double wait = 0;
    int r = experiment_length(&o->setting, trace, row, &length, error);
    for (unsigned seed = 1; r == 0 && seed <= o->seeds; seed++) {
        r = experiment_run(&o->setting, trace, row, length, &o->judge, seed, &outcome, error);
        if (r < 0)
            break;
        wait += (double)outcome.wait_s / o->seeds;
        sums->decisions += outcome.decisions;
        sums->ns += outcome.choose_ns;
        sums->placed += length;
    }
    if (r < 0)
        return r;
    *ret_wait = wait;
    json_array_append_new(list, json_pack("{s:I, s:I, s:f}", "row", (json_int_t)row, "length",
                                          (json_int_t)length, "wait_s", wait));
    return 0;
}

static int run(const struct options *o, const struct trace *trace, const size_t *rows, size_t n,
               char error[512])
{
    double *waits = calloc(1, n * sizeof(*waits));
    json_t *list = json_array();
    struct sums sums = {0};
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = window(o, trace, rows[i], &waits[i], list, &sums, error);
    if (r == 0) {
        json_t *all =
            json_pack("{s:s, s:i, s:f, s:I, s:i, s:I, s:I, s:f, s:o}", "policy", o->policy_word, "servers",
                      (int)o->setting.servers, "trimmed_mean_wait_s", trimmed_mean(waits, n), "windows",
                      (json_int_t)n, "seeds", (int)o->seeds, "placed", (json_int_t)sums.placed, "decisions",
                      (json_int_t)sums.decisions, "ns_per_decision", (double)sums.ns / (double)sums.decisions,
                      "window_waits", json_incref(list));
        json_dumpf(all, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
        putchar('\n');
        json_decref(all);
    }
    json_decref(list);
    free(waits);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    struct trace trace;
    size_t *rows, n;
    char error[512];
    if (mf_place_policy_check(&o.judge.policy, error) < 0)
        refuse(error);
    if (trace_read(o.trace, &trace, error) < 0) {
        fprintf(stderr, "mayfly-replay: %s\n", error);
        return 1;
    }
    int r = windows_read(o.windows, trace.n, &rows, &n, error);
    if (r == 0) {
        r = run(&o, &trace, rows, n, error);
        free(rows);
    }
    trace_free(&trace);
    if (r < 0)
        fprintf(stderr, "mayfly-replay: %s\n", error);
    return r < 0;
}
