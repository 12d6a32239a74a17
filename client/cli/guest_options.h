/* guest_options.h - options of provision that say when a guest is well: --ready, --boot-limit, --ping,
 * --check and their like. */
#ifndef MF_CLI_GUEST_OPTIONS_H
#define MF_CLI_GUEST_OPTIONS_H

#include "cli.h"

/* 1500ms, 30s, 5m, or bare seconds. 0, or MF_EXIT_MISUSE, said; absent it keeps its value. */
int mf_cli_duration(const struct mf_cli *cli, const char *name, uint64_t max_ms, uint64_t *ret_ms);
bool mf_duration_parse(struct mf_str text, uint64_t *ret_ms);
/* "tcp:80", "http:8080/healthz", then ",every=2s", ",timeout=1s", ",fall=3". 0, or -EINVAL with a sentence.
 */
int mf_check_parse(const char *text, struct mf_rec_check *ret_check, char error[256]);
/* 0 or MF_EXIT_MISUSE, said. What it points into lives in the arena. */
int mf_cli_health(struct mf_cli *cli, struct mf_rec_guest_health *ret_health);

#define MF_CLI_HEALTH_OPTIONS                                                                                \
    {"ready", "WORD", "How a guest says that it is well: none (default), port or agent.", 0},                \
        {"boot-limit", "TIME", "Not ready so long after it runs, its birth failed (default 300s).", 0},      \
        {"ping", "TIME", "Ask its guest agent this often once it is ready (default: never).", 0},            \
        {"ping-fall", "N", "Unanswered asks in a row that make it unwell (default 3).", 0},                  \
        {"watchdog", NULL, "Give it a watchdog device: once started, silence of 30 s is an end.", 0},        \
    {                                                                                                        \
        "check", "CHECK",                                                                                    \
            "A monitor's look: tcp:80 or http:8080/PATH[,every=5s][,timeout=2s][,fall=3]; "                  \
            "repeatable, up to 4.",                                                                          \
            0                                                                                                \
    }

#endif
