/* cli.h - the frame of the command line: one table of subcommands says their names, options and help;
 * parsing, `mayfly help`, shell completion and the manual's list come from it. A command is one function that
 * returns the exit code. */
#ifndef MF_CLI_H
#define MF_CLI_H

#include "mayfly.h"

enum { MF_EXIT_OK = 0, MF_EXIT_FAILED = 1, MF_EXIT_MISUSE = 2 };
enum { MF_CLI_CONNECTS = 1u << 0, MF_CLI_JSON = 1u << 1, MF_CLI_WAITS = 1u << 2 };

struct mf_cli_option {
    const char *name, *arg; /* arg NULL: a switch */
    const char *help;
    char letter; /* 0: none */
};

struct mf_cli;
struct mf_cli_command {
    const char *name; /* one or two words */
    const char *args; /* as shown in help */
    const char *help, *more;
    const struct mf_cli_option *options; /* ends with a NULL name */
    int min_args, max_args;
    unsigned flags;
    int (*run)(struct mf_cli *cli);
};

struct mf_cli_value {
    const char *name, *value;
};
struct mf_cli {
    const struct mf_cli_command *command;
    struct mf_cli_value *values; /* options as given, in order */
    int n_values;
    char **args;
    int n_args;
    bool json, wait;
    struct mayfly *client; /* opened by the first request */
    struct mf_arena arena; /* lives as long as the run */
};

int mf_cli_main(int argc, char **argv);
/* Tables of commands, one per file of commands; each ends with a NULL name. */
extern const struct mf_cli_command mf_commands_group[], mf_commands_list[], mf_commands_events[],
    mf_commands_why[], mf_commands_image[], mf_commands_offering[], mf_commands_logs[], mf_commands_place[],
    mf_commands_plan[], mf_commands_operator[], mf_commands_misc[], mf_commands_key[], mf_commands_healthz[],
    mf_commands_dev[], mf_commands_help[];
const struct mf_cli_command *mf_cli_next_command(size_t *cursor); /* all of them in order; NULL at the end */
const struct mf_cli_command *mf_cli_find_command(int argc, char **argv, int *ret_words);
const struct mf_cli_option *mf_cli_next_option(const struct mf_cli_command *command,
                                               size_t *cursor); /* own and common ones */

/* -- for commands */
const char *mf_cli_get(const struct mf_cli *cli,
                       const char *name); /* the last value, or NULL; "" of a switch */
const char *mf_cli_nth(const struct mf_cli *cli, const char *name, int n); /* of a repeatable one */
/* A whole number within bounds; *ret_value keeps its value where the option is absent. 0 or MF_EXIT_MISUSE,
 * said. */
int mf_cli_number(const struct mf_cli *cli, const char *name, uint64_t min, uint64_t max,
                  uint64_t *ret_value);
int mf_cli_parse_number(const struct mf_cli *cli, const char *what, const char *text, uint64_t min,
                        uint64_t max, uint64_t *ret_value);
/* k=v options into labels. 0 or MF_EXIT_MISUSE, said. */
int mf_cli_labels(struct mf_cli *cli, const char *name, struct mf_labels *ret_labels);
/* One sentence on stderr; returns MF_EXIT_FAILED, or MF_EXIT_MISUSE with a pointer to the help. */
int mf_cli_fail(const struct mf_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int mf_cli_misuse(const struct mf_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ask, and say what went wrong; the first one connects, as flags and environment say. 0 or an exit code. */
int mf_cli_request(struct mf_cli *cli, const struct mf_message *request, struct mayfly_reply *ret_reply);
/* "WHAT accepted as event N", and what the broker adds. */
void mf_cli_accepted(const struct mf_cli *cli, const struct mf_msg_accepted *accepted, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
int mf_cli_error(const struct mf_cli *cli, const struct mayfly_error *error);
/* The whole of a file, at most max bytes, into the arena; "-" is stdin. 0 or MF_EXIT_FAILED, said. */
int mf_cli_read_file(struct mf_cli *cli, const char *path, size_t max, const char *too_large,
                     struct mf_str *ret_bytes);

#endif
