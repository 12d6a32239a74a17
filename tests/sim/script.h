/* script.h - a scenario file (tests/scenarios/README.md), read and checked whole before its world begins. */
#ifndef MF_SIM_SCRIPT_H
#define MF_SIM_SCRIPT_H

#include "broker.h"
#include "world.h"

enum { MF_SIM_WORDS = 12, MF_SIM_STATEMENTS = 200 };
struct mf_sim_statement {
    unsigned line;
    char text[256], split[256]; /* words point into split */
    const char *words[MF_SIM_WORDS];
    unsigned n;
};
struct mf_sim_script {
    const char *path;
    uint32_t nodes, monitors, racks;
    uint64_t retain_rows;
    struct mf_broker_config broker;
    struct mf_sim_statement statements[MF_SIM_STATEMENTS]; /* without cluster and set */
    unsigned n;
};
/* 0, or -EINVAL with a sentence that names the line. */
int mf_sim_script_read(struct mf_sim_script *self, const char *path, char error[512]);
/* The value of a word `key=value` in the statement; NULL if it has none. */
const char *mf_sim_statement_option(const struct mf_sim_statement *self, const char *key);
/* "500ms", "3s", "2m"; a sign is allowed. -1 for anything else. */
bool mf_sim_script_time(const char *text, mf_ms *ret_ms);

/* Play it in a world of its own. 0 if every expectation was met and every invariant held. */
int mf_sim_play(const char *path, uint64_t seed, bool trace);

#endif
