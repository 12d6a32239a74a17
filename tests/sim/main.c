/* mayfly-sim: run seeds, stop at nothing. */
#include "hunt.h"
#include "script.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int usage(void)
{
    fputs("usage: mayfly-sim --seeds COUNT [--start SEED | --fresh] [--profile small|medium|large] [--nodes "
          "N]\n"
          "                  [--jobs N] [--limit SECONDS] [--shrink SECONDS] [--span MS] [--twice] [--rows]\n"
          "       mayfly-sim --scenario FILE [--seed SEED] [--trace]\n"
          "       mayfly-sim --seed SEED [--trace] [--profile ...] [--nodes N] [--span MS] [--without "
          "FAULTS]\n",
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

static bool profile(const char *text, enum mf_sim_profile *ret_profile)
{
    static const char *const words[] = {"small", "medium", "large"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, words[i]) == 0)
            return *ret_profile = (enum mf_sim_profile)i, true;
    fprintf(stderr, "mayfly-sim: \"%s\" is no profile: small, medium or large\n", text);
    return false;
}

static bool without(const char *text, struct mf_sim_mask *mask)
{
    if (mf_sim_mask_parse(mask, text))
        return true;
    fprintf(stderr, "mayfly-sim: \"%s\" is no list of faults below %d, e.g. 3,17-20\n", text,
            MF_SIM_FAULTS_MOST);
    return false;
}

static const struct option options[] = {
    {"seeds", required_argument, NULL, 'c'},    {"seed", required_argument, NULL, 's'},
    {"start", required_argument, NULL, 'b'},    {"nodes", required_argument, NULL, 'n'},
    {"span", required_argument, NULL, 'e'},     {"limit", required_argument, NULL, 'l'},
    {"jobs", required_argument, NULL, 'j'},     {"shrink", required_argument, NULL, 'k'},
    {"trace", no_argument, NULL, 't'},          {"twice", no_argument, NULL, '2'},
    {"fresh", no_argument, NULL, 'f'},          {"rows", no_argument, NULL, 'r'},
    {"profile", required_argument, NULL, 'p'},  {"without", required_argument, NULL, 'w'},
    {"scenario", required_argument, NULL, 'm'}, {0}};

static bool flag(int c, struct mf_sim_hunt *hunt)
{
    switch (c) {
    case 't':
        hunt->options.trace = true;
        return true;
    case '2':
        hunt->twice = true;
        return true;
    case 'f':
        hunt->fresh = true;
        return true;
    case 'r':
        hunt->rows = true;
        return true;
    default:
        return false;
    }
}

static bool valued(int c, const char *text, struct mf_sim_hunt *hunt)
{
    static const struct {
        int c;
        uint64_t low, high;
    } bounds[] = {{'c', 1, UINT64_MAX / 2},
                  {'s', 0, UINT64_MAX / 2},
                  {'b', 0, UINT64_MAX / 2},
                  {'n', 1, 200000},
                  {'e', 1000, 86400000},
                  {'l', 0, 1000000},
                  {'j', 1, 64},
                  {'k', 0, 3600}};
    uint64_t value = 0;
    size_t i = 0;
    while (i < sizeof(bounds) / sizeof(bounds[0]) && bounds[i].c != c)
        i++;
    if (i == sizeof(bounds) / sizeof(bounds[0]) || !number(text, bounds[i].low, bounds[i].high, &value))
        return false;
    if (c == 'c')
        hunt->count = value;
    else if (c == 's' || c == 'b')
        hunt->start = value, hunt->one = c == 's';
    else if (c == 'n')
        hunt->options.nodes = (uint32_t)value;
    else if (c == 'e')
        hunt->options.span_ms = (mf_ms)value;
    else if (c == 'l')
        hunt->limit_s = (long)value;
    else if (c == 'j')
        hunt->jobs = (uint32_t)value;
    else
        hunt->shrink_s = (long)value;
    return true;
}

static bool parse(int argc, char **argv, struct mf_sim_hunt *hunt, const char **ret_scenario)
{
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'm') {
            *ret_scenario = optarg;
            continue;
        }
        bool good = c == 'p'   ? profile(optarg, &hunt->options.profile)
                    : c == 'w' ? without(optarg, &hunt->options.without)
                               : flag(c, hunt) || valued(c, optarg, hunt);
        if (!good)
            return false;
    }
    return optind == argc && (hunt->one || hunt->count || *ret_scenario);
}

int main(int argc, char **argv)
{
    struct mf_sim_hunt hunt = {.options = {.clients = 3}, .start = 1, .jobs = 1, .shrink_s = 20};
    const char *scenario = NULL;
    if (!parse(argc, argv, &hunt, &scenario))
        return usage();
    if (scenario)
        return mf_sim_play(scenario, hunt.start, hunt.options.trace);
    if (hunt.fresh)
        hunt.start = (uint64_t)time(NULL) * 1000 % 1000000000000u;
    if (!hunt.one)
        printf("seeds from %llu\n", (unsigned long long)hunt.start);
    return mf_sim_hunt(&hunt);
}
