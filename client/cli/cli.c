/* The frame: find the command, parse its options by its table, run it. */
#include "cli.h"
#include "check.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 64, OPTION_CODE = 1000 };

static const struct mf_cli_command *const tables[] = {
    mf_commands_group, mf_commands_list,  mf_commands_place,    mf_commands_plan,    mf_commands_events,
    mf_commands_why,   mf_commands_image, mf_commands_offering, mf_commands_logs,    mf_commands_operator,
    mf_commands_misc,  mf_commands_key,   mf_commands_dev,      mf_commands_healthz, mf_commands_help};

static const struct mf_cli_option help_option[] = {{"help", NULL, "Show the help of this command.", 'h'},
                                                   {0}};
static const struct mf_cli_option json_option[] = {{"output", "FORMAT", "table (default) or json.", 'o'},
                                                   {0}};
static const struct mf_cli_option wait_options[] = {
    {"wait", NULL, "Wait until it is done; progress is shown on a terminal.", 'w'},
    {"timeout", "SECONDS", "Give up waiting after this long (default 300).", 0},
    {0},
};
static const struct mf_cli_option connect_options[] = {
    {"broker", "ENDPOINT", "The broker's client endpoint, tcp://HOST:PORT; else MAYFLY_BROKER.", 0},
    {"key", "FILE", "Your secret certificate; else MAYFLY_KEY.", 0},
    {"timeout-ms", "MS", "How long one request may take (default 10000); else MAYFLY_TIMEOUT_MS.", 0},
    {0},
};

const struct mf_cli_command *mf_cli_next_command(size_t *cursor)
{
    size_t skip = (*cursor)++;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct mf_cli_command *command = tables[t]; command->name; command++)
            if (!skip--)
                return command;
    return NULL;
}

const struct mf_cli_option *mf_cli_next_option(const struct mf_cli_command *command, size_t *cursor)
{
    static const struct mf_cli_option none[] = {{0}};
    const struct mf_cli_option *lists[] = {
        command->options ? command->options : none, command->flags & MF_CLI_WAITS ? wait_options : none,
        command->flags & MF_CLI_JSON ? json_option : none,
        command->flags & MF_CLI_CONNECTS ? connect_options : none, help_option};
    size_t skip = (*cursor)++;
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const struct mf_cli_option *option = lists[l]; option->name; option++)
            if (!skip--)
                return option;
    return NULL;
}

static bool words_match(const char *name, int argc, char **argv, int *ret_words)
{
    const char *space = strchr(name, ' ');
    size_t first = space ? (size_t)(space - name) : strlen(name);
    if (argc < 1 || strncmp(argv[0], name, first) || argv[0][first])
        return false;
    if (space && (argc < 2 || strcmp(argv[1], space + 1)))
        return false;
    *ret_words = space ? 2 : 1;
    return true;
}

const struct mf_cli_command *mf_cli_find_command(int argc, char **argv, int *ret_words)
{
    const struct mf_cli_command *command;
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        if (words_match(command->name, argc, argv, ret_words))
            return command;
    return NULL;
}

/* -- saying what is wrong */

static void complain(const struct mf_cli *cli, const char *format, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "mayfly%s%s: ", cli->command ? " " : "", cli->command ? cli->command->name : "");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int mf_cli_fail(const struct mf_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(cli, format, args);
    va_end(args);
    return MF_EXIT_FAILED;
}

int mf_cli_misuse(const struct mf_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(cli, format, args);
    va_end(args);
    fprintf(stderr, "Try: mayfly help%s%s\n", cli->command ? " " : "",
            cli->command ? cli->command->name : "");
    return MF_EXIT_MISUSE;
}

/* -- values */

const char *mf_cli_nth(const struct mf_cli *cli, const char *name, int n)
{
    for (int i = 0; i < cli->n_values; i++)
        if (!strcmp(cli->values[i].name, name) && !n--)
            return cli->values[i].value;
    return NULL;
}

const char *mf_cli_get(const struct mf_cli *cli, const char *name)
{
    const char *last = NULL;
    for (int i = 0; i < cli->n_values; i++)
        if (!strcmp(cli->values[i].name, name))
            last = cli->values[i].value;
    return last;
}

int mf_cli_parse_number(const struct mf_cli *cli, const char *what, const char *text, uint64_t min,
                        uint64_t max, uint64_t *ret_value)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        return mf_cli_misuse(cli, "%s: \"%s\" is not a whole number", what, text);
    if (errno || value < min || value > max)
        return mf_cli_misuse(cli, "%s: %s is not within %" PRIu64 "..%" PRIu64, what, text, min, max);
    *ret_value = value;
    return 0;
}

int mf_cli_number(const struct mf_cli *cli, const char *name, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    char what[64];
    const char *text = mf_cli_get(cli, name);
    snprintf(what, sizeof what, "--%s", name);
    return text ? mf_cli_parse_number(cli, what, text, min, max, ret_value) : 0;
}

int mf_cli_labels(struct mf_cli *cli, const char *name, struct mf_labels *ret_labels)
{
    uint32_t n = 0;
    while (mf_cli_nth(cli, name, (int)n))
        n++;
    struct mf_labels labels = {.items = mf_arena_alloc(&cli->arena, (n + 1) * sizeof(struct mf_label)),
                               .n = n};
    for (uint32_t i = 0; i < n; i++) {
        const char *text = mf_cli_nth(cli, name, (int)i), *equals = strchr(text, '=');
        if (!equals)
            return mf_cli_misuse(cli, "--%s %s: write it as KEY=VALUE", name, text);
        labels.items[i] =
            (struct mf_label){.key = {text, (uint32_t)(equals - text)}, .value = mf_str(equals + 1)};
    }
    *ret_labels = labels;
    return 0;
}

/* -- parsing */

static int collect_options(const struct mf_cli_command *command, struct option *ret_long, char *ret_letters,
                           const struct mf_cli_option **ret_options)
{
    int n = 0;
    const struct mf_cli_option *option;
    *ret_letters++ = ':'; /* tell a missing argument from an unknown option */
    for (size_t cursor = 0; (option = mf_cli_next_option(command, &cursor));) {
        MF_CHECK(n < OPTIONS_MAX - 1);
        ret_long[n] = (struct option){option->name, option->arg ? required_argument : no_argument, NULL,
                                      OPTION_CODE + n};
        ret_options[n++] = option;
        if (option->letter)
            *ret_letters++ = option->letter;
        if (option->letter && option->arg)
            *ret_letters++ = ':';
    }
    *ret_letters = 0;
    ret_long[n] = (struct option){0};
    return n;
}

static const struct mf_cli_option *option_of(const struct mf_cli_option **options, int n, int code)
{
    if (code >= OPTION_CODE)
        return options[code - OPTION_CODE];
    for (int i = 0; i < n; i++)
        if (options[i]->letter == code)
            return options[i];
    return NULL;
}

static int parse_options(struct mf_cli *cli, int argc, char **argv)
{
    struct option table[OPTIONS_MAX];
    const struct mf_cli_option *options[OPTIONS_MAX];
    char letters[3 * OPTIONS_MAX];
    int n = collect_options(cli->command, table, letters, options), code;
    cli->values = mf_arena_alloc(&cli->arena, (size_t)(argc + 1) * sizeof *cli->values);
    optind = 0; /* GNU: begin anew, with the arguments of this call */
    opterr = 0;
    while ((code = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        if (code == ':')
            return mf_cli_misuse(cli, "%s needs a value", argv[optind - 1]);
        const struct mf_cli_option *option = code == '?' ? NULL : option_of(options, n, code);
        if (!option)
            return mf_cli_misuse(cli, "unknown option %s", argv[optind - 1]);
        cli->values[cli->n_values++] = (struct mf_cli_value){option->name, option->arg ? optarg : ""};
    }
    cli->args = argv + optind;
    cli->n_args = argc - optind;
    return 0;
}

static int check_usage(struct mf_cli *cli)
{
    const char *format = mf_cli_get(cli, "output");
    if (cli->n_args < cli->command->min_args)
        return mf_cli_misuse(cli, "something is missing: mayfly %s %s", cli->command->name,
                             cli->command->args);
    if (cli->n_args > cli->command->max_args)
        return mf_cli_misuse(cli, "unexpected \"%s\"", cli->args[cli->command->max_args]);
    if (cli->command->flags & MF_CLI_JSON && format && strcmp(format, "json") && strcmp(format, "table"))
        return mf_cli_misuse(cli, "--output %s: it is table or json", format);
    cli->json = cli->command->flags & MF_CLI_JSON && format && !strcmp(format, "json");
    cli->wait = cli->command->flags & MF_CLI_WAITS && mf_cli_get(cli, "wait");
    return 0;
}

static int run_command(struct mf_cli *cli, int argc, char **argv)
{
    int r = parse_options(cli, argc, argv);
    if (r)
        return r;
    if (mf_cli_get(cli, "help")) {
        char *args[] = {(char *)cli->command->name, NULL};
        cli->args = args;
        cli->n_args = 1;
        cli->command = mf_commands_help;
        return cli->command->run(cli);
    }
    r = check_usage(cli);
    return r ? r : cli->command->run(cli);
}

static int unknown_command(const struct mf_cli *cli, int argc, char **argv)
{
    const struct mf_cli_command *command;
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        if (!strncmp(command->name, argv[1], strlen(argv[1])) && command->name[strlen(argv[1])] == ' ')
            return mf_cli_misuse(cli, "\"%s\" needs a second word, as in: mayfly %s", argv[1], command->name);
    return mf_cli_misuse(cli, "there is no command \"%s\"", argv[1]);
}

int mf_cli_main(int argc, char **argv)
{
    struct mf_cli cli = {0};
    char *help_args[] = {"mayfly", "help", NULL};
    int words, r;
    if (argc < 2) {
        fprintf(stderr, "mayfly: say what to do\nTry: mayfly help\n");
        return MF_EXIT_MISUSE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("mayfly %s\n", MAYFLY_VERSION);
        return MF_EXIT_OK;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        argv = help_args;
        argc = 2;
    }
    cli.command = mf_cli_find_command(argc - 1, argv + 1, &words);
    r = cli.command ? run_command(&cli, argc - words, argv + words) : unknown_command(&cli, argc, argv);
    mayfly_close(&cli.client);
    mf_arena_free(&cli.arena);
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && !r) { /* ferror: what failed long ago is lost all the same */
        fprintf(stderr, "mayfly: cannot write the output%s%s\n",
                errno ? ": " : "; is the disk full, or stdout closed?", errno ? strerror(errno) : "");
        r = MF_EXIT_FAILED;
    }
    return r;
}
