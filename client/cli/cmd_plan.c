/* What would be if: a copy of the broker's store is fetched, mayfly-plan plays on it with the broker's own
 * code, and its answer is shown. */
#include "copy.h"
#include "dev.h"
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PLACEMENTS_SHOWN = 20 };
static const char *const steps[] = {"drain", "remove", "lose", "lose-node", "ratio", "add", "requests", NULL};
static const char *const others[] = {"placement-policy", "placement-weights", NULL};

/* -- the copy */

/* What a store's newest rows are in while a broker has it open, and after it was killed. */
static bool at_rest(const char *store)
{
    char wal[4200];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", store);
    return stat(wal, &st) || !st.st_size;
}

static int copy_file(struct mf_cli *cli, const char *store, int to)
{
    int from = open(store, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    if (from < 0)
        return mf_cli_fail(cli, "%s: %s", store, strerror(errno));
    do
        n = sendfile(to, from, NULL, 1 << 30);
    while (n > 0 || (n < 0 && errno == EINTR));
    int code = errno;
    close(from);
    if (n < 0)
        return mf_cli_fail(cli, "%s: cannot be copied: %s", store, strerror(code));
    return at_rest(store)
               ? 0
               : mf_cli_fail(cli,
                             "%s: its broker runs, or was killed: its newest rows are not in it yet. "
                             "Leave --store out, or name a backup",
                             store);
}

/* It holds the whole history: it goes when we go, also when we are told to. */
static char left_behind[4][4200];

static void drop_copy(void)
{
    for (size_t i = 0; i < sizeof left_behind / sizeof *left_behind; i++)
        if (*left_behind[i])
            unlink(left_behind[i]);
}

static void on_signal(int signal_number)
{
    drop_copy();
    raise(signal_number); /* reset: this ends us */
}

/* With what opening it as a store leaves beside it. */
static void drop_at_end(const char *path)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, before;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        snprintf(left_behind[i], sizeof left_behind[i], "%s%s", path, tails[i]);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!sigaction(ends[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
}

/* It is opened as a broker opens its own: so it is one that nobody else has. */
static int fetch_copy(struct mf_cli *cli, char path[4096])
{
    const char *dir = getenv("TMPDIR"), *store = mf_cli_get(cli, "store");
    uint64_t size;
    if (snprintf(path, 4096, "%s/mayfly-plan-XXXXXX", dir && *dir ? dir : "/tmp") >= 4096)
        return mf_cli_fail(cli, "TMPDIR is too long");
    int fd = mkstemp(path); /* 0600 */
    if (fd < 0)
        return mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    drop_at_end(path);
    int r = store ? copy_file(cli, store, fd) : mf_cli_copy_store(cli, fd, path, &size);
    close(fd);
    return r;
}

/* -- the program */

static bool is_one(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (!strcmp(*names, name))
            return true;
    return false;
}

/* In the order they were given. */
static char **make_args(struct mf_cli *cli, const char *program, const char *store)
{
    char **args = mf_arena_alloc(&cli->arena, (size_t)(2 * cli->n_values + 4) * sizeof *args);
    int n = 0;
    args[n++] = (char *)program;
    args[n++] = "--store";
    args[n++] = (char *)store;
    for (int i = 0; i < cli->n_values; i++)
        if (is_one(steps, cli->values[i].name) || is_one(others, cli->values[i].name)) {
            size_t size = strlen(cli->values[i].name) + sizeof "--";
            char *flag = mf_arena_alloc(&cli->arena, size);
            mf_str_format(flag, size, "--%s", cli->values[i].name);
            args[n++] = flag;
            args[n++] = (char *)cli->values[i].value;
        }
    return args;
}

static int start(struct mf_cli *cli, char **args, pid_t *ret_pid, int *ret_fd)
{
    posix_spawn_file_actions_t actions;
    int fds[2];
    if (pipe(fds))
        return mf_cli_fail(cli, "no pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    posix_spawn_file_actions_addclose(&actions, fds[1]);
    int r = posix_spawn(ret_pid, args[0], &actions, NULL, args, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (r)
        close(fds[0]);
    *ret_fd = fds[0];
    return r ? mf_cli_fail(cli, "%s: %s; it is installed beside mayfly, or set MAYFLY_BIN", args[0],
                           strerror(r))
             : 0;
}

static int run_program(struct mf_cli *cli, char **args, json_t **ret_answer)
{
    json_error_t error;
    pid_t pid;
    int fd, status;
    int r = start(cli, args, &pid, &fd);
    if (r)
        return r;
    json_t *answer = json_loadfd(fd, 0, &error);
    close(fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        json_decref(answer);
        return WIFEXITED(status) ? WEXITSTATUS(status)
                                 : mf_cli_fail(cli, "mayfly-plan ended by signal %d", WTERMSIG(status));
    }
    *ret_answer = answer;
    return answer ? 0 : mf_cli_fail(cli, "mayfly-plan's answer cannot be read: %s", error.text);
}

/* -- the answer */

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_totals(const char *title, const json_t *totals)
{
    const json_t *used = json_object_get(totals, "used"), *all = json_object_get(totals, "capacity");
    printf("%-7s %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
           " nodes take births, %" JSON_INTEGER_FORMAT " run, %" JSON_INTEGER_FORMAT
           " wait; used %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " vcpus, %" JSON_INTEGER_FORMAT
           " of %" JSON_INTEGER_FORMAT " MiB\n",
           title, number(totals, "nodes_schedulable"), number(totals, "nodes"), number(totals, "running"),
           number(totals, "pending"), number(used, "vcpus"), number(all, "vcpus"), number(used, "memory_mib"),
           number(all, "memory_mib"));
}

static void print_rows(struct mf_cli *cli, const json_t *answer, const char *key,
                       const struct mf_column *columns)
{
    json_t *rows = json_object_get(answer, key);
    if (json_array_size(rows))
        mf_output_rows(cli, json_incref(rows), columns, "");
}

static void print_traces(struct mf_cli *cli, const json_t *answer)
{
    static const struct mf_column columns[] = {
        {"REQUESTS OF", "file", MF_COLUMN_TEXT},
        {"INSTANCES", "instances", MF_COLUMN_NUMBER},
        {"AT ONCE", "placed_at_once", MF_COLUMN_NUMBER},
        {"LATER", "placed_later", MF_COLUMN_NUMBER},
        {"NEVER", "never_placed", MF_COLUMN_NUMBER},
        {"REFUSED", "refused", MF_COLUMN_NUMBER},
        {"MEAN WAIT S", "mean_wait_s", MF_COLUMN_TEXT},
        {"LONGEST S", "longest_wait_s", MF_COLUMN_TEXT},
        {0},
    };
    print_rows(cli, answer, "requests", columns);
}

/* Of a long list the beginning, and what is left out. */
static void print_some(struct mf_cli *cli, const json_t *answer, const char *key, uint64_t shown,
                       const struct mf_column *columns, const char *what)
{
    json_t *all = json_object_get(answer, key), *some = json_array();
    size_t n = json_array_size(all);
    for (size_t i = 0; i < n && i < shown; i++)
        json_array_append(some, json_array_get(all, i));
    if (json_array_size(some))
        mf_output_rows(cli, json_incref(some), columns, "");
    if (n > json_array_size(some))
        printf("... and %zu more %s (--rows N, or -o json)\n", n - json_array_size(some), what);
    json_decref(some);
}

static void print_nodes(struct mf_cli *cli, const json_t *answer, uint64_t shown)
{
    static const struct mf_column columns[] = {
        {"NODE", "node", MF_COLUMN_TEXT},
        {"STATE", "after.state", MF_COLUMN_TEXT},
        {"HAD", "before.instances", MF_COLUMN_NUMBER},
        {"HAS", "after.instances", MF_COLUMN_NUMBER},
        {"USED CPUS", "after.used.vcpus", MF_COLUMN_NUMBER},
        {"OF", "after.capacity.vcpus", MF_COLUMN_NUMBER},
        {"USED MIB", "after.used.memory_mib", MF_COLUMN_NUMBER},
        {"OF", "after.capacity.memory_mib", MF_COLUMN_NUMBER},
        {0},
    };
    print_some(cli, answer, "nodes", shown, columns, "nodes changed");
}

static void print_placements(struct mf_cli *cli, const json_t *answer, uint64_t shown)
{
    static const struct mf_column columns[] = {
        {"STEP", "step", MF_COLUMN_NUMBER},
        {"AFTER MS", "at_ms", MF_COLUMN_NUMBER},
        {"GROUP", "group", MF_COLUMN_TEXT},
        {"SLOT", "slot", MF_COLUMN_NUMBER},
        {"FROM", "from", MF_COLUMN_TEXT},
        {"TO", "node", MF_COLUMN_TEXT},
        {0},
    };
    print_some(cli, answer, "placements", shown, columns, "births");
}

static void print_answer(struct mf_cli *cli, const json_t *answer, uint64_t shown)
{
    static const struct mf_column groups[] = {
        {"GROUP", "group", MF_COLUMN_TEXT},     {"RAN", "running_before", MF_COLUMN_NUMBER},
        {"RUN", "running", MF_COLUMN_NUMBER},   {"MOVED", "moved", MF_COLUMN_NUMBER},
        {"PLACED", "placed", MF_COLUMN_NUMBER}, {"WAIT", "pending", MF_COLUMN_NUMBER},
        {"REASON", "reason", MF_COLUMN_TEXT},   {0},
    };
    static const struct mf_column capacity[] = {
        {"OFFERING", "offering", MF_COLUMN_TEXT},
        {"FIT BEFORE", "before.fit", MF_COLUMN_NUMBER},
        {"FIT", "after.fit", MF_COLUMN_NUMBER},
        {"WITH HEADROOM", "after.fit_headroom", MF_COLUMN_NUMBER},
        {0},
    };
    static const struct mf_column said[] = {{"STEP", "what", MF_COLUMN_TEXT},
                                            {"BIRTHS", "births", MF_COLUMN_NUMBER},
                                            {"SETTLED AFTER S", "seconds", MF_COLUMN_NUMBER},
                                            {0}};
    print_rows(cli, answer, "steps", said);
    print_totals("before", json_object_get(answer, "before"));
    print_totals("after", json_object_get(answer, "after"));
    print_rows(cli, answer, "groups", groups);
    print_traces(cli, answer);
    print_rows(cli, answer, "capacity", capacity);
    print_nodes(cli, answer, shown);
    print_placements(cli, answer, shown);
}

static int show(struct mf_cli *cli, json_t *answer, uint64_t shown)
{
    if (cli->json) {
        mf_output_object(answer);
        return 0;
    }
    print_answer(cli, answer, shown);
    json_decref(answer);
    return 0;
}

static int check_steps(const struct mf_cli *cli)
{
    for (int i = 0; i < cli->n_values; i++)
        if (is_one(steps, cli->values[i].name))
            return 0;
    return mf_cli_misuse(
        cli, "what if what? say --drain, --remove, --lose, --lose-node, --ratio, --add or --requests");
}

static int run_plan(struct mf_cli *cli)
{
    char program[MF_DEV_PATH], copy[4096];
    uint64_t shown = PLACEMENTS_SHOWN;
    json_t *answer;
    int r = check_steps(cli);
    if (!r)
        r = mf_cli_number(cli, "rows", 0, UINT32_MAX, &shown);
    if (!r && !mf_dev_program("mayfly-plan", program))
        r = mf_cli_fail(cli, "%s: it is not there; it is installed beside mayfly, or set MAYFLY_BIN",
                        program);
    if (!r)
        r = fetch_copy(cli, copy);
    if (!r)
        r = run_program(cli, make_args(cli, program, copy), &answer);
    drop_copy();
    return r ? r : show(cli, answer, shown);
}

static const struct mf_cli_option plan_options[] = {
    {"drain", "NODE[,NODE...]", "Empty these nodes by births elsewhere.", 0},
    {"remove", "NODE[,NODE...]", "Empty these nodes, and take them away for good.", 0},
    {"lose", "LABEL=VALUE", "Every node with this label fails at once (rack=r1).", 0},
    {"lose-node", "NODE[,NODE...]", "These nodes fail at once.", 0},
    {"ratio", "CLASS=PERCENT", "Every node of the class has so many vcpus for each of its CPUs.", 0},
    {"add", "N:NODE[:K=V...]", "So many more nodes like that one, empty, with other labels.", 0},
    {"requests", "FILE.csv", "Ask for all of this: offering,count,at_s,life_s and perhaps group.", 0},
    {"store", "FILE", "On this backup, or store of a stopped broker, instead of a copy of the live one.", 0},
    {"placement-policy", "WORD", "As the broker has it, where that is not the default.", 0},
    {"placement-weights", "N,...", "Likewise.", 0},
    {"rows", "N", "Show so many births and changed nodes (default 20); -o json has all.", 'n'},
    {0},
};

const struct mf_cli_command mf_commands_plan[] = {
    {"plan", "STEP...", "Show what would be if: nodes drained, lost, added; requests that may come.",
     "The steps are done in the order they are given, each when the one before has settled, by the broker's "
     "own "
     "code on a copy of its state, in virtual time. Every worker that had not failed is taken to be "
     "connected, "
     "births and ends to take no time. Nothing real changes. It asks for a backup, so it needs an operator's "
     "key "
     "(not with --store).",
     plan_options, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON, run_plan},
    {0},
};
