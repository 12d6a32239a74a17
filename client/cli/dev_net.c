/* dev_net.c - a network for a dev cluster: the broker, each monitor and each node in a network namespace of
 * its own, joined by a bridge, so that links between them can be cut, slowed and lost for real.
 *
 *   mfS-NAME    namespace of NAME, with eth0 at 10.S...; mfS-net: the bridge, one port a name
 *   mfS         this machine's own end, 10.S.255.254: the command line reaches the broker as ever
 *
 * S, from 64 to 127, is taken by whoever first makes the namespace mfS-net: two clusters never share one. */
#include "dev.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUBNET_FIRST = 64, SUBNETS = 64, NODES_A_ROW = 200 };

static const char *ip_program(void)
{
    static const char *const places[] = {"/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!access(places[i], X_OK))
            return places[i];
    return NULL;
}

static const char *ns_path(const struct mf_dev *dev, const char *name, char path[MF_DEV_PATH])
{
    snprintf(path, MF_DEV_PATH, "/run/netns/mf%u-%s", dev->subnet, name);
    return path;
}

const char *mf_dev_net_address(const struct mf_dev *dev, const char *name, char ret_address[MF_DEV_ADDRESS])
{
    const char *dash = strrchr(name, '-');
    unsigned n = dash ? (unsigned)strtoul(dash + 1, NULL, 10) : 0;
    if (!dev->subnet)
        snprintf(ret_address, MF_DEV_ADDRESS, "127.0.0.1");
    else if (!strncmp(name, "node-", 5))
        snprintf(ret_address, MF_DEV_ADDRESS, "10.%u.%u.%u", dev->subnet, 1 + n / NODES_A_ROW,
                 1 + n % NODES_A_ROW);
    else
        snprintf(ret_address, MF_DEV_ADDRESS, "10.%u.0.%u", dev->subnet, dash ? 2 + n : 1);
    return ret_address;
}

int mf_dev_net_open(struct mf_cli *cli, const struct mf_dev *dev, const char *name, int *ret_fd)
{
    char path[MF_DEV_PATH];
    *ret_fd = -1;
    if (!dev->subnet)
        return 0;
    *ret_fd = open(ns_path(dev, name, path), O_RDONLY | O_CLOEXEC);
    return *ret_fd >= 0
               ? 0
               : mf_cli_fail(cli,
                             "%s: %s; mayfly dev up makes the namespaces of %s again, after mayfly dev down",
                             path, strerror(errno), dev->dir);
}

/* -- scripts of ip(8): one file for each namespace, since a script runs inside one */

__attribute__((format(printf, 2, 3))) static void line(FILE *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fputc('\n', file);
}

static void script_links(const struct mf_dev *dev, FILE *file)
{
    char name[64];
    line(file, "link add mf%u type veth peer name host netns mf%u-net", dev->subnet, dev->subnet);
    line(file, "addr add 10.%u.255.254/16 dev mf%u", dev->subnet, dev->subnet);
    line(file, "link set mf%u up", dev->subnet);
    for (uint64_t i = 0; mf_dev_name(dev, i, name); i++) {
        line(file, "netns add mf%u-%s", dev->subnet, name);
        line(file, "link add eth0 netns mf%u-%s type veth peer name %s netns mf%u-net", dev->subnet, name,
             name, dev->subnet);
    }
}

static void script_bridge(const struct mf_dev *dev, FILE *file)
{
    char name[64];
    line(file, "link add br0 type bridge forward_delay 0 stp_state 0");
    line(file, "link set br0 up");
    line(file, "link set host master br0 up");
    for (uint64_t i = 0; mf_dev_name(dev, i, name); i++)
        line(file, "link set %s master br0 up", name);
}

static int run_script(struct mf_cli *cli, const struct mf_dev *dev, const char *ns)
{
    char path[MF_DEV_PATH], ns_name[96];
    snprintf(ns_name, sizeof ns_name, "mf%u-%s", dev->subnet, ns ? ns : "");
    char *inside[] = {(char *)ip_program(), "-n", ns_name, "-batch", path, NULL};
    char *outside[] = {(char *)ip_program(), "-batch", path, NULL};
    mf_dev_path(dev, path, "run/net.ip");
    return mf_dev_run_tool(cli, dev, "net", ns ? inside : outside);
}

static int with_script(struct mf_cli *cli, const struct mf_dev *dev, const char *ns,
                       void (*write)(const struct mf_dev *, FILE *))
{
    char path[MF_DEV_PATH], address[MF_DEV_ADDRESS];
    FILE *file = fopen(mf_dev_path(dev, path, "run/net.ip"), "we");
    if (!file)
        return mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    if (write)
        write(dev, file);
    else {
        line(file, "link set lo up");
        line(file, "addr add %s/16 dev eth0", mf_dev_net_address(dev, ns, address));
        line(file, "link set eth0 up");
    }
    if (!fclose(file) && !run_script(cli, dev, ns))
        return 0;
    mf_dev_show_log(dev, "net");
    return mf_cli_fail(cli, "the network of %s cannot be made: ip(8) refused", ns ? ns : "the cluster");
}

/* The first free number from a random one on; kept from before if it is free still. */
static int take_subnet(struct mf_cli *cli, struct mf_dev *dev)
{
    char ns[32], path[MF_DEV_PATH];
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof random, 0);
    uint32_t from = dev->subnet ? dev->subnet - SUBNET_FIRST : random % SUBNETS;
    for (uint32_t i = 0; i < SUBNETS; i++) {
        dev->subnet = SUBNET_FIRST + (from + i) % SUBNETS;
        snprintf(ns, sizeof ns, "mf%u-net", dev->subnet);
        char *args[] = {(char *)ip_program(), "netns", "add", ns, NULL};
        if (access(ns_path(dev, "net", path), F_OK) && !mf_dev_run_tool(cli, dev, "net", args))
            return 0;
    }
    dev->subnet = 0;
    mf_dev_show_log(dev, "net");
    return mf_cli_fail(cli, "no network namespace can be made: it takes root, and a kernel that allows it");
}

int mf_dev_net_up(struct mf_cli *cli, struct mf_dev *dev)
{
    char name[64];
    if (!ip_program())
        return mf_cli_fail(cli, "--netns: there is no ip(8); install iproute2");
    mf_dev_net_down(cli, dev);
    int r = take_subnet(cli, dev);
    if (!r)
        r = with_script(cli, dev, NULL, script_links);
    if (!r)
        r = with_script(cli, dev, "net", script_bridge);
    for (uint64_t i = 0; !r && mf_dev_name(dev, i, name); i++)
        r = with_script(cli, dev, name, NULL);
    if (r && dev->subnet)
        mf_dev_net_down(cli, dev);
    return r;
}

static void drop(struct mf_cli *cli, const struct mf_dev *dev, const char *what, const char *name)
{
    char *args[] = {(char *)ip_program(), (char *)what, "del", (char *)name, NULL};
    mf_dev_run_tool(cli, dev, "net", args);
}

/* By their names, not by who is in the cluster now: an earlier `up` may have had more nodes. A namespace goes
 * once it has no name and no process, its links with it, in the background; ours goes at once. */
void mf_dev_net_down(struct mf_cli *cli, const struct mf_dev *dev)
{
    char prefix[32], path[MF_DEV_PATH];
    DIR *names = dev->subnet && ip_program() ? opendir("/run/netns") : NULL;
    if (!names)
        return;
    snprintf(prefix, sizeof prefix, "mf%u", dev->subnet);
    snprintf(path, sizeof path, "/sys/class/net/%s", prefix);
    if (!access(path, F_OK))
        drop(cli, dev, "link", prefix);
    snprintf(prefix, sizeof prefix, "mf%u-", dev->subnet);
    for (struct dirent *entry; (entry = readdir(names));)
        if (!strncmp(entry->d_name, prefix, strlen(prefix)))
            drop(cli, dev, "netns", entry->d_name);
    closedir(names);
}
