/* `mayfly dev up` and `start`: keys, ports, command lines, processes, readiness; and the way back when
 * something fails. */
#include "dev.h"
#include "keys.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ARGS_MAX = 128,
    TIMEOUT_S = 120,
    PORT_FIRST =
        20000, /* below what kernels give to outgoing connections: nobody takes it while the broker is down */
    PORT_LAST = 32000,
    PORT_TRIES = 200,
    PORT_NETNS = 7100, /* in namespaces of our own nobody else takes ports */
    STOP_MS = 5000
};

/* -- ports */

static bool is_free(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool yes = !bind(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return yes;
}

static void set_endpoints(struct mf_dev *dev, unsigned port)
{
    char address[MF_DEV_ADDRESS];
    mf_dev_net_address(dev, "broker", address);
    snprintf(dev->client, sizeof dev->client, "tcp://%s:%u", address, port);
    snprintf(dev->worker, sizeof dev->worker, "tcp://%s:%u", address, port + 1);
    snprintf(dev->tail, sizeof dev->tail, "tcp://%s:%u", address, port + 2);
}

static unsigned port_of(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

static bool all_free(unsigned port)
{
    return port && is_free((uint16_t)port) && is_free((uint16_t)(port + 1)) && is_free((uint16_t)(port + 2));
}

static int choose_ports(struct mf_cli *cli, struct mf_dev *dev)
{
    uint64_t port = 0;
    if (mf_cli_number(cli, "port", 1, 65533, &port))
        return MF_EXIT_MISUSE;
    if (dev->subnet) {
        set_endpoints(dev, port ? (unsigned)port : PORT_NETNS);
        return 0;
    }
    if (port && !all_free((unsigned)port))
        return mf_cli_fail(
            cli, "the ports %" PRIu64 " to %" PRIu64 " are not all free; take another --port, or none", port,
            port + 2);
    if (!port && all_free(port_of(dev->client)))
        return 0; /* as before */
    for (int i = 0; !port && i < PORT_TRIES; i++) {
        uint32_t random;
        if (getrandom(&random, sizeof random, 0) == sizeof random &&
            all_free(PORT_FIRST + random % (PORT_LAST - PORT_FIRST)))
            port = PORT_FIRST + random % (PORT_LAST - PORT_FIRST);
    }
    if (!port)
        return mf_cli_fail(cli, "found no three free ports; say --port P");
    set_endpoints(dev, (unsigned)port);
    return 0;
}

/* -- keys */

static int make_key(struct mf_cli *cli, const struct mf_dev *dev, enum mf_role role, const char *name)
{
    char keys[MF_DEV_PATH], path[MF_DEV_PATH], error[512];
    if (!access(mf_dev_path(dev, path, "keys/clients/%s.cert", name), F_OK))
        return 0;
    return mf_keys_create(mf_dev_path(dev, keys, "keys"), role, name, NULL, error)
               ? mf_cli_fail(cli, "%s", error)
               : 0;
}

static int make_keys(struct mf_cli *cli, const struct mf_dev *dev)
{
    char keys[MF_DEV_PATH], path[MF_DEV_PATH], name[64], error[512];
    mf_dev_path(dev, keys, "keys");
    if (access(mf_dev_path(dev, path, "keys/broker.cert"), F_OK) && mf_keys_init(keys, error))
        return mf_cli_fail(cli, "%s", error);
    int r = make_key(cli, dev, MF_ROLE_OPERATOR, "admin");
    if (!r)
        r = make_key(cli, dev, MF_ROLE_CLIENT, "client");
    if (!r)
        r = make_key(cli, dev, MF_ROLE_READER, "reader");
    for (uint64_t i = 0; !r && i < dev->monitors; i++) {
        snprintf(name, sizeof name, "health-%" PRIu64, i);
        r = make_key(cli, dev, MF_ROLE_MONITOR, name);
    }
    for (uint64_t i = 0; !r && i < dev->nodes; i++) {
        snprintf(name, sizeof name, "node-%" PRIu64, i);
        r = make_key(cli, dev, MF_ROLE_WORKER, name);
    }
    return r;
}

/* -- command lines */

struct command { /* a command line being put together */
    const char *args[ARGS_MAX];
    int n;
    struct mf_arena *arena;
};

static void arg(struct command *command, const char *text)
{
    if (command->n < ARGS_MAX - 1)
        command->args[command->n++] = mf_str_dup(command->arena, mf_str(text)).ptr;
    command->args[command->n] = NULL;
}

static void option(struct command *command, const char *flag, const char *value)
{
    if (value && *value) {
        arg(command, flag);
        arg(command, value);
    }
}

static void extra(struct mf_cli *cli, struct command *command, const char *name)
{
    const char *text;
    for (int i = 0; (text = mf_cli_nth(cli, name, i)); i++)
        arg(command, text);
}

/* Where it shows its pages: any port, for there are many programs on this machine; run/NAME.http says which.
 */
static void http(struct command *command, const struct mf_dev *dev, const char *name)
{
    char path[MF_DEV_PATH];
    option(command, "--http", "127.0.0.1:0");
    option(command, "--http-file", mf_dev_path(dev, path, "run/%s.http", name));
}

static int begin(struct mf_cli *cli, struct command *command, const char *program)
{
    char path[MF_DEV_PATH];
    *command = (struct command){.arena = &cli->arena};
    if (!mf_dev_program(program, path))
        return mf_cli_fail(cli, "%s: %s; build it, or set MAYFLY_BIN to where the programs are", path,
                           strerror(errno));
    arg(command, path);
    return 0;
}

static int write_broker(struct mf_cli *cli, const struct mf_dev *dev)
{
    struct command command;
    char path[MF_DEV_PATH];
    if (begin(cli, &command, "mayfly-broker"))
        return MF_EXIT_FAILED;
    option(&command, "--state", mf_dev_path(dev, path, "broker"));
    option(&command, "--keys", mf_dev_path(dev, path, "keys"));
    option(&command, "--client", dev->client);
    option(&command, "--worker", dev->worker);
    option(&command, "--tail", dev->tail);
    option(&command, "--pid-file", mf_dev_path(dev, path, "run/broker.pid"));
    http(&command, dev, "broker");
    if (mf_dev_write_settings(cli, dev))
        return MF_EXIT_MISUSE;
    option(&command, "--config", access(mf_dev_path(dev, path, "broker.yaml"), F_OK) ? NULL : path);
    extra(cli, &command, "broker-arg");
    arg(&command, "--check-config");
    int r = mf_dev_check_settings(cli, dev, (char *const *)command.args);
    command.args[--command.n] = NULL;
    return r ? r : mf_dev_write_command(cli, dev, "broker", command.args);
}

static int write_health(struct mf_cli *cli, const struct mf_dev *dev, const char *name)
{
    struct command command;
    char path[MF_DEV_PATH], bind[MF_DEV_ADDRESS + 8];
    mf_str_format(bind, sizeof bind, "%s:0", mf_dev_net_address(dev, name, path));
    if (begin(cli, &command, "mayfly-health"))
        return MF_EXIT_FAILED;
    option(&command, "--broker", dev->client);
    option(&command, "--key", mf_dev_path(dev, path, "keys/%s.cert_secret", name));
    option(&command, "--name", name);
    option(&command, "--pulse-bind", bind);
    option(&command, "--pid-file", mf_dev_path(dev, path, "run/%s.pid", name));
    http(&command, dev, name);
    extra(cli, &command, "health-arg");
    return mf_dev_write_command(cli, dev, name, command.args);
}

static int write_node(struct mf_cli *cli, const struct mf_dev *dev, const char *name)
{
    struct command command;
    char path[MF_DEV_PATH], text[64];
    bool null = !strcmp(dev->driver, "null");
    uint64_t racks = 0;
    if (mf_cli_number(cli, "racks", 1, MF_DEV_NODES_MAX, &racks))
        return MF_EXIT_MISUSE;
    if (begin(cli, &command, "mayfly-keeper"))
        return MF_EXIT_FAILED;
    option(&command, "--node", name);
    mf_str_format(text, sizeof text, "%s:0", mf_dev_net_address(dev, name, path));
    option(&command, "--probe-bind", text);
    option(&command, "--pid-file", mf_dev_path(dev, path, "run/%s.pid", name));
    extra(cli, &command, "keeper-arg");
    if (!mf_dev_program("mayfly-agent", path))
        return mf_cli_fail(cli, "%s: %s; build it, or set MAYFLY_BIN to where the programs are", path,
                           strerror(errno));
    option(&command, "--agent", path);
    arg(&command, "--");
    option(&command, "--broker", dev->worker);
    option(&command, "--key", mf_dev_path(dev, path, "keys/%s.cert_secret", name));
    option(&command, "--state", mf_dev_path(dev, path, "nodes/%s", name));
    option(&command, "--driver", dev->driver);
    http(&command, dev, name);
    option(&command, "--image-root", dev->image_root);
    option(&command, "--domain-type", null ? NULL : mf_cli_get(cli, "domain-type"));
    option(&command, "--null-script", mf_cli_get(cli, "null-script"));
    mf_str_format(text, sizeof text, "rack=r%u",
                  racks ? (unsigned)(strtoull(name + 5, NULL, 10) % racks) : 0);
    option(&command, "--label", racks ? text : NULL);
    option(&command, "--vcpus", null ? "4096" : NULL); /* simulated guests cost nothing: room for any test */
    option(&command, "--memory-mib", null ? "1048576" : NULL);
    option(&command, "--disk-mib", null ? "16777216" : NULL);
    extra(cli, &command, "agent-arg");
    return mf_dev_write_command(cli, dev, name, command.args);
}

static int write_commands(struct mf_cli *cli, const struct mf_dev *dev)
{
    char name[64];
    int r = write_broker(cli, dev);
    for (uint64_t i = 1; !r && mf_dev_name(dev, i, name); i++)
        r = i < mf_dev_first_node(dev) ? write_health(cli, dev, name) : write_node(cli, dev, name);
    return r;
}

/* -- up */

static int make_folders(struct mf_cli *cli, const struct mf_dev *dev)
{
    static const char *const folders[] = {"run", "log", "nodes"};
    char path[MF_DEV_PATH], name[64];
    int r = 0;
    for (size_t i = 0; !r && i < sizeof folders / sizeof *folders; i++)
        r = mf_dev_make_dir(cli, mf_dev_path(dev, path, "%s", folders[i]), 0755);
    for (uint64_t i = mf_dev_first_node(dev); !r && mf_dev_name(dev, i, name); i++)
        r = mf_dev_make_dir(cli, mf_dev_path(dev, path, "nodes/%s", name), 0755);
    return r;
}

static int take_settings(struct mf_cli *cli, struct mf_dev *dev)
{
    const char *driver = mf_cli_get(cli, "driver"), *type = mf_cli_get(cli, "domain-type");
    if (!dev->nodes)
        dev->nodes = 3;
    if (mf_cli_number(cli, "nodes", 1, MF_DEV_NODES_MAX, &dev->nodes))
        return MF_EXIT_MISUSE;
    if (mf_cli_number(cli, "monitors", 1, MF_DEV_MONITORS_MAX, &dev->monitors))
        return MF_EXIT_MISUSE;
    if (driver && strcmp(driver, "libvirt") && strcmp(driver, "null"))
        return mf_cli_misuse(cli, "--driver %s: it is libvirt or null", driver);
    if (type && strcmp(type, "auto") && strcmp(type, "kvm") && strcmp(type, "qemu"))
        return mf_cli_misuse(cli, "--domain-type %s: it is auto, kvm or qemu", type);
    if (driver || !*dev->driver)
        snprintf(dev->driver, sizeof dev->driver, "%s", driver ? driver : "libvirt");
    return 0;
}

/* An earlier cluster in this directory goes on with its ports, its keys and its history. */
static void take_earlier(struct mf_cli *cli, struct mf_dev *dev)
{
    char path[MF_DEV_PATH];
    struct mf_dev earlier;
    if (!access(mf_dev_path(dev, path, "dev.conf"), F_OK) && !mf_dev_load(cli, &earlier))
        *dev = earlier;
}

static int check_idle(struct mf_cli *cli, const struct mf_dev *dev)
{
    char name[64];
    for (uint64_t i = 0; mf_dev_name(dev, i, name); i++) {
        struct mf_dev_processes found;
        mf_dev_find(dev, name, &found);
        size_t n = found.n;
        mf_dev_processes_free(&found);
        if (n)
            return mf_cli_fail(cli, "%s runs already in %s; first: mayfly dev down --state %s", name,
                               dev->dir, dev->dir);
    }
    return 0;
}

static int start_and_await(struct mf_cli *cli, const struct mf_dev *dev, uint64_t first, uint64_t n,
                           int64_t until_ms)
{
    char name[64];
    struct mf_dev_start *starts = mf_arena_alloc(&cli->arena, (n + 1) * sizeof *starts);
    int r = 0;
    for (uint64_t i = 0; !r && i < n && mf_dev_name(dev, first + i, name); i++)
        r = mf_dev_spawn(cli, dev, name, &starts[i]);
    return r ? r : mf_dev_await(cli, dev, starts, n, until_ms);
}

static void tell(int64_t began, const char *who, const char *what)
{
    printf("%-10s %s, after %" PRId64 " ms\n", who, what, mf_dev_now_ms() - began);
    fflush(stdout);
}

static int start_all(struct mf_cli *cli, const struct mf_dev *dev, int64_t began, int64_t until_ms)
{
    char text[256];
    int r = start_and_await(cli, dev, 0, 1, until_ms);
    if (r)
        return r;
    snprintf(text, sizeof text, "up at %s, keys on", dev->client);
    tell(began, "broker", text);
    r = start_and_await(cli, dev, 1, dev->monitors, until_ms);
    if (r)
        return r;
    snprintf(text, sizeof text, "%" PRIu64 " listen for pulses", dev->monitors);
    tell(began, "monitors", dev->monitors > 1 ? text : "health-0 listens for pulses");
    r = start_and_await(cli, dev, mf_dev_first_node(dev), dev->nodes, until_ms);
    if (!r)
        r = mf_dev_connect(cli, dev);
    if (!r)
        r = mf_dev_await_nodes(cli, 0, dev->nodes, 0, until_ms);
    if (!r)
        r = mf_dev_await_heard(cli, dev, until_ms);
    if (r)
        return r;
    snprintf(text, sizeof text, "%" PRIu64 " of them are ready (%s), and heard", dev->nodes, dev->driver);
    tell(began, "nodes", text);
    r = mf_dev_add_standards(cli, dev);
    if (!r)
        tell(began, "image", "tiny and offering small are there");
    return r;
}

int mf_dev_up(struct mf_cli *cli)
{
    struct mf_dev dev, *d = &dev;
    uint64_t seconds = TIMEOUT_S;
    int64_t began = mf_dev_now_ms();
    int r = mf_dev_locate(cli, true, d);
    if (!r)
        r = mf_cli_number(cli, "timeout", 1, 86400, &seconds);
    if (!r)
        r = mf_dev_lock(cli, d);
    if (r)
        return r;
    take_earlier(cli, d);
    r = check_idle(cli, d); /* all that an earlier up may have left, before the number of nodes changes */
    if (!r)
        r = take_settings(cli, d);
    if (!r)
        r = check_idle(cli, d);
    mf_dev_catch_signals();
    if (!r)
        r = make_folders(cli, d);
    if (!r && (mf_cli_get(cli, "netns") || d->subnet))
        r = mf_dev_net_up(cli, d);
    if (!r)
        r = choose_ports(cli, d);
    if (!r)
        r = make_keys(cli, d);
    if (!r)
        r = mf_dev_prepare_images(cli, d);
    if (!r)
        r = write_commands(cli, d);
    if (!r)
        r = mf_dev_save(cli, d);
    if (r) {
        mf_dev_net_down(cli, d);
        return r; /* nothing was started yet */
    }
    r = start_all(cli, d, began, mf_dev_now_ms() + (int64_t)seconds * 1000);
    if (r) {
        mf_dev_down_all(cli, d, false);
        fprintf(stderr, "mayfly dev up: what was started was ended again; the logs are in %s/log\n", d->dir);
        return r;
    }
    printf("Talk to it: eval \"$(mayfly dev env --state %s)\"; end it: mayfly dev down --state %s\n", d->dir,
           d->dir);
    return MF_EXIT_OK;
}

/* -- start one again */

int mf_dev_start_one(struct mf_cli *cli)
{
    struct mf_dev dev;
    struct mf_dev_processes found;
    struct mf_dev_start start;
    const char *name = cli->args[0];
    uint64_t seconds = TIMEOUT_S, epoch = 0;
    int64_t began = mf_dev_now_ms();
    int r = mf_dev_load(cli, &dev);
    if (!r)
        r = mf_cli_number(cli, "timeout", 1, 86400, &seconds);
    if (!r && !mf_dev_is_name(&dev, name))
        r = mf_dev_no_such(cli, &dev, name);
    if (r)
        return r;
    mf_dev_find(&dev, name, &found);
    bool runs = found.n && found.items[0].role <= MF_DEV_KEEPER, frozen = found.n && found.items[0].stopped;
    mf_dev_processes_free(&found);
    if (runs)
        return mf_cli_fail(cli, "%s runs already%s", name,
                           frozen ? ", frozen: mayfly dev thaw brings it back" : "");
    bool node = !strncmp(name, "node-", 5),
         asked = node && !mf_dev_connect(cli, &dev) && mf_dev_epoch(cli, name, &epoch);
    int64_t until = began + (int64_t)seconds * 1000;
    mf_dev_catch_signals();
    r = mf_dev_spawn(cli, &dev, name, &start);
    if (!r)
        r = mf_dev_await(cli, &dev, &start, 1, until);
    if (!r && asked)
        r = mf_dev_await_nodes(cli, strtoull(name + 5, NULL, 10), 1, epoch, until);
    if (!r)
        tell(began, name,
             node && !asked ? "started; the broker does not answer, so whether it is ready is not known"
                            : "ready");
    return r;
}

/* -- down */

/* A node whose path is too long for QEMU's monitor socket goes by a symbolic link in the runtime folder, and
 * says so in libvirt/alias; its node, killed, can't take it away itself. */
static void drop_alias(const struct mf_dev *dev, const char *name)
{
    char path[MF_DEV_PATH], alias[256], target[MF_DEV_PATH];
    ssize_t n = readlink(mf_dev_path(dev, path, "nodes/%s/libvirt/alias", name), alias, sizeof alias - 1);
    if (n <= 0)
        return;
    alias[n] = 0;
    n = readlink(alias, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    mf_dev_path(dev, path, "nodes/%s/", name);
    if (strncmp(target, path, strlen(path)) != 0)
        return; /* not ours, or gone */
    unlink(alias);
    *strrchr(alias, '/') = 0;
    rmdir(alias); /* if it was the last */
}

size_t mf_dev_down_all(struct mf_cli *cli, const struct mf_dev *dev, bool say)
{
    char name[64], path[MF_DEV_PATH];
    size_t all = 0;
    for (uint64_t i = 0; mf_dev_name(dev, i, name); i++) {
        bool node = i >= mf_dev_first_node(dev);
        size_t n = node ? mf_dev_kill(dev, name, false) : mf_dev_end(dev, name, STOP_MS);
        if (say && n)
            printf("%-10s ended%s\n", name, node ? ", with its agent and guests" : "");
        unlink(mf_dev_path(dev, path, "run/%s.pid", name));
        drop_alias(dev, name);
        all += n;
    }
    mf_dev_net_down(cli, dev);
    return all;
}
