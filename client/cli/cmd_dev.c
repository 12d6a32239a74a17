/* `mayfly dev`: the commands. What they do is in dev_*.c. */
#include "dev.h"
#include "output.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int load_name(struct mf_cli *cli, struct mf_dev *ret_dev)
{
    int r = mf_dev_load(cli, ret_dev);
    if (!r && !mf_dev_is_name(ret_dev, cli->args[0]))
        r = mf_dev_no_such(cli, ret_dev, cli->args[0]);
    return r;
}

/* For a shell's eval: nothing in a path may be taken for more than text. */
static void print_export(const char *name, const char *value)
{
    printf("export %s='", name);
    for (; *value; value++)
        printf(*value == '\'' ? "'\\''" : "%c", *value);
    printf("'\n");
}

static int run_env(struct mf_cli *cli)
{
    struct mf_dev dev;
    char path[MF_DEV_PATH];
    int r = mf_dev_load(cli, &dev);
    if (r)
        return r;
    print_export("MAYFLY_BROKER", dev.client);
    print_export("MAYFLY_KEY", mf_dev_path(&dev, path, "keys/admin.cert_secret"));
    print_export("MAYFLY_KEYS", mf_dev_path(&dev, path, "keys"));
    print_export("MAYFLY_IMAGE_ROOT", dev.image_root);
    print_export("MAYFLY_DEV_STATE", dev.dir);
    return MF_EXIT_OK;
}

static int run_kill(struct mf_cli *cli)
{
    struct mf_dev dev;
    int r = load_name(cli, &dev);
    bool agent = mf_cli_get(cli, "agent");
    if (r)
        return r;
    if (agent && strncmp(cli->args[0], "node-", 5))
        return mf_cli_misuse(cli, "%s has no agent; only nodes have", cli->args[0]);
    size_t n = mf_dev_kill(&dev, cli->args[0], agent);
    if (!n)
        return mf_cli_fail(cli, "%s does not run%s; mayfly dev start %s starts it", cli->args[0],
                           agent ? ", or its agent is being restarted" : "", cli->args[0]);
    printf("%s: killed %zu process%s%s\n", cli->args[0], n, n == 1 ? "" : "es",
           agent ? ", its agent alone" : "");
    return MF_EXIT_OK;
}

static int freeze_or_thaw(struct mf_cli *cli, bool thaw)
{
    struct mf_dev dev;
    int r = load_name(cli, &dev);
    if (r)
        return r;
    size_t n = mf_dev_freeze(&dev, cli->args[0], thaw);
    if (!n)
        return mf_cli_fail(cli, "%s does not run; mayfly dev start %s starts it", cli->args[0], cli->args[0]);
    printf("%s: %s %zu process%s\n", cli->args[0], thaw ? "thawed" : "froze", n, n == 1 ? "" : "es");
    return MF_EXIT_OK;
}

static int run_freeze(struct mf_cli *cli)
{
    return freeze_or_thaw(cli, false);
}

static int run_thaw(struct mf_cli *cli)
{
    return freeze_or_thaw(cli, true);
}

static int run_down(struct mf_cli *cli)
{
    struct mf_dev dev;
    int r = mf_dev_load(cli, &dev);
    if (!r)
        r = mf_dev_lock(cli, &dev);
    if (r)
        return r;
    size_t n = mf_dev_down_all(cli, &dev, true);
    if (n)
        printf("%zu processes ended; the logs and data stay in %s\n", n, dev.dir);
    else
        printf("nothing of %s was running\n", dev.dir);
    return MF_EXIT_OK;
}

static json_t *status_row(const struct mf_dev *dev, const char *name)
{
    struct mf_dev_processes found;
    size_t agents = 0, guests = 0;
    bool node = !strncmp(name, "node-", 5);
    mf_dev_find(dev, name, &found);
    for (size_t i = 0; i < found.n; i++) {
        agents += found.items[i].role == MF_DEV_AGENT;
        guests += found.items[i].role == MF_DEV_GUEST;
    }
    bool runs = found.n && found.items[0].role <= MF_DEV_KEEPER;
    json_t *row = json_object();
    json_object_set_new(row, "name", json_string(name));
    json_object_set_new(row, "state",
                        json_string(!runs                    ? "dead"
                                    : found.items[0].stopped ? "frozen"
                                                             : "running"));
    json_object_set_new(row, "pid", runs ? json_integer(found.items[0].pid) : json_null());
    json_object_set_new(row, "agent", node ? json_string(agents ? "running" : "dead") : json_null());
    json_object_set_new(row, "processes", json_integer((json_int_t)found.n));
    json_object_set_new(row, "guests", node ? json_integer((json_int_t)guests) : json_null());
    mf_dev_processes_free(&found);
    return row;
}

static int run_status(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {{"NAME", "name", MF_COLUMN_TEXT},
                                               {"STATE", "state", MF_COLUMN_TEXT},
                                               {"PID", "pid", MF_COLUMN_NUMBER},
                                               {"AGENT", "agent", MF_COLUMN_TEXT},
                                               {"PROCESSES", "processes", MF_COLUMN_NUMBER},
                                               {"OF GUESTS", "guests", MF_COLUMN_NUMBER},
                                               {0}};
    struct mf_dev dev;
    char name[64];
    int r = mf_dev_load(cli, &dev);
    if (r)
        return r;
    json_t *rows = json_array();
    for (uint64_t i = 0; mf_dev_name(&dev, i, name); i++)
        json_array_append_new(rows, status_row(&dev, name));
    return mf_output_rows(cli, rows, columns, "nothing");
}

#define STATE                                                                                                \
    {                                                                                                        \
        "state", "DIR", "The cluster's directory; else MAYFLY_DEV_STATE.", 's'                               \
    }
static const struct mf_cli_option up_options[] = {
    STATE,
    {"nodes", "N", "How many hypervisors, node-0 to node-N-1 (default 3).", 'n'},
    {"driver", "NAME", "libvirt (default): real guests; null: simulated ones.", 'd'},
    {"monitors", "N", "How many monitors, health-0 to health-N-1 (default 1; 3 decide by majority).", 'm'},
    {"racks", "N", "Spread the nodes over so many racks: node-I has the label rack=r(I modulo N).", 0},
    {"netns", NULL,
     "Give each its own network namespace, so that links between them can be cut (needs root).", 0},
    {"port", "P", "Use the TCP ports P to P+2 (default: three free ones).", 'p'},
    {"domain-type", "TYPE", "libvirt: auto (default), kvm or qemu.", 0},
    {"image-root", "DIR",
     "Where tiny/vmlinuz and tiny/initrd are; else MAYFLY_IMAGE_ROOT; else they are built.", 0},
    {"null-script", "SCRIPT", "null: delays and faults, as create=10,destroy=5,boot-fail=0.1.", 0},
    {"set", "KEY=VALUE", "A setting of the broker, as breaker_percent=100; repeatable.", 0},
    {"broker-arg", "ARG", "One more argument of mayfly-broker; repeatable.", 0},
    {"health-arg", "ARG", "One more argument of mayfly-health; repeatable.", 0},
    {"keeper-arg", "ARG", "One more argument of each mayfly-keeper; repeatable.", 0},
    {"agent-arg", "ARG", "One more argument of each mayfly-agent; repeatable.", 0},
    {"timeout", "SECONDS", "Give up after this long (default 120).", 0},
    {0},
};
static const struct mf_cli_option state_options[] = {STATE, {0}};
static const struct mf_cli_option kill_options[] = {
    STATE, {"agent", NULL, "Only the node's agent; its keeper starts another.", 0}, {0}};
static const struct mf_cli_option start_options[] = {
    STATE, {"timeout", "SECONDS", "Give up after this long (default 120).", 0}, {0}};

const struct mf_cli_command mf_commands_dev[] = {
    {"dev up", "--state DIR", "Make a cluster of real processes on this machine; returns when all is ready.",
     "A broker, a monitor and N workers, with keys on; pid files in DIR/run, logs in DIR/log. It has the "
     "offering `small` and the image\n"
     "`tiny` from the start. A directory that was up before goes on with its history.",
     up_options, 0, 0, 0, mf_dev_up},
    {"dev env", "--state DIR",
     "Print what makes the other commands find it: eval \"$(mayfly dev env --state DIR)\".", NULL,
     state_options, 0, 0, 0, run_env},
    {"dev status", "--state DIR", "Show its processes.", NULL, state_options, 0, 0, MF_CLI_JSON, run_status},
    {"dev kill", "NAME", "kill -9: broker, health-0, or a node with its keeper, agent and guests.", NULL,
     kill_options, 1, 1, 0, run_kill},
    {"dev freeze", "NAME", "Stop all of it as a hung machine would (SIGSTOP).", NULL, state_options, 1, 1, 0,
     run_freeze},
    {"dev thaw", "NAME", "Let what was frozen go on.", NULL, state_options, 1, 1, 0, run_thaw},
    {"dev start", "NAME", "Start again what was killed; returns when it is ready.", NULL, start_options, 1, 1,
     0, mf_dev_start_one},
    {"dev down", "--state DIR", "End exactly what was started, guests included.", NULL, state_options, 0, 0,
     0, run_down},
    {0},
};
