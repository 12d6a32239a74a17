/* settings.c - what mayfly-agent may be told. */
#include "agent.h"
#include "program.h"
#include "seed.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT(field) offsetof(struct mf_agent_settings, field)
static const struct mf_setting table[] = {
    {"broker", MF_SET_STRING, AT(broker), 1, 255, NULL, true,
     "The broker's worker endpoint, e.g. tcp://10.0.0.1:7702"},
    {"key", MF_SET_STRING, AT(key), 1, 4095, NULL, true,
     "This worker's secret certificate (mayfly key create --role worker); it names the node"},
    {"state", MF_SET_STRING, AT(state), 1, 3000, NULL, true,
     "Directory of instances, disks and the hypervisor's own files"},
    {"node", MF_SET_STRING, AT(node), 1, 63, NULL, false, "Must be the key's name if given"},
    {"driver", MF_SET_STRING, AT(driver), 1, 31, "libvirt", false, "libvirt or null"},
    {"uri", MF_SET_STRING, AT(uri), 1, 1023, NULL, false,
     "Hypervisor; default qemu:///embed?root=STATE/libvirt"},
    {"domain-type", MF_SET_STRING, AT(domain_type), 1, 15, "auto", false, "auto, kvm or qemu"},
    {"image-root", MF_SET_STRING, AT(image_root), 1, 3000, NULL, false,
     "Directory below which image files lie that are not URLs, the same on every node"},
    {"image-cache-mib", MF_SET_INT, AT(image_cache_mib), 1, 1000000000, "20480", false,
     "Image files fetched by URL take this much at most, in STATE/images; what was used longest ago makes "
     "room"},
    {"image-recheck-s", MF_SET_INT, AT(image_recheck_s), 0, 100000000, "86400", false,
     "The bytes of every cached image file are looked at again after this long; 0: never"},
    {"image-stall-s", MF_SET_INT, AT(image_stall_s), 1, 3600, "15", false,
     "An image's origin that sends nothing for this long is given up, and tried again"},
    {"image-ca", MF_SET_STRING, AT(image_ca), 1, 4000, NULL, false,
     "Certificates (PEM) that https origins of images are verified with; default: the system's"},
    {"disk-reserve-mib", MF_SET_INT, AT(disk_reserve_mib), 0, 1000000000, "512", false,
     "No guest is born and no image fetched where it would leave less than this free below STATE"},
    {"class", MF_SET_STRING, AT(class), 1, 63, "standard", false, "Node class"},
    {"http", MF_SET_STRING, AT(http), 1, 100, "127.0.0.1:7112", false, MF_HTTP_DOC},
    {"http-file", MF_SET_STRING, AT(http_file), 1, 4000, NULL, false, MF_HTTP_FILE_DOC},
    {"log-format", MF_SET_STRING, AT(log_format), 1, 10, NULL, false, MF_LOG_FORMAT_DOC},
    {"label", MF_SET_LABELS, AT(labels), 0, 64, NULL, false,
     "Label key=value, e.g. rack=r1; may be given again"},
    {"network", MF_SET_LABELS, AT(network), 0, 64, NULL, false,
     "A network that groups may name: NAME=user, NAME=network:NET, NAME=bridge:BRIDGE, NAME=macvtap:DEVICE "
     "or "
     "NAME=tap:PREFIX; may be given again. default is user unless said"},
    {"lease-file", MF_SET_STRING, AT(lease_file), 1, 4000, NULL, false,
     "dnsmasq's leases of those networks, where the guests' addresses are found"},
    {"vendor-data", MF_SET_STRING, AT(vendor_data), 1, 4000, NULL, false,
     "File that cloud-init in every guest here is given beside its group's user-data"},
    {"vcpus", MF_SET_INT, AT(vcpus), 0, 1000000, "0", false,
     "Schedulable virtual CPUs; 0: the host's, times the ratio"},
    {"memory-mib", MF_SET_INT, AT(memory_mib), 0, 1000000000, "0", false,
     "Schedulable memory; 0: ask the hypervisor"},
    {"disk-mib", MF_SET_INT, AT(disk_mib), 0, 1000000000000, "0", false,
     "Schedulable disk; 0: ask the file system"},
    {"reserve-cpus", MF_SET_INT, AT(reserve_cpus), 0, 1000000, "0", false,
     "CPUs that the host keeps for itself, evenly of its NUMA cells: not sold, and never a pinned guest's"},
    {"reserve-memory-mib", MF_SET_INT, AT(reserve_memory_mib), -1, 1000000000, "-1", false,
     "Memory that the host keeps for itself and for QEMU's own, evenly of its NUMA cells; -1: a tenth, "
     "at least 512, at most half"},
    {"disk-iops", MF_SET_INT, AT(disk_iops), 0, 100000000, "0", false,
     "Operations per second of its disks, of which guests are promised no more in all; 0: not limited"},
    {"disk-bytes-s", MF_SET_INT, AT(disk_bytes_s), 0, 1000000000000, "0", false,
     "Likewise bytes per second of its disks"},
    {"net-bytes-s", MF_SET_INT, AT(net_bytes_s), 0, 1000000000000, "0", false,
     "Likewise bytes per second of its network, in each direction"},
    {"cpu-ratio-percent", MF_SET_INT, AT(cpu_ratio_percent), 0, 10000, "0", false,
     "Schedulable virtual CPUs per host CPU, in percent; 0: as the class has it, 100 for hpc, else 400"},
    {"create-lanes", MF_SET_INT, AT(create_lanes), 1, 64, "4", false, "Guests created at once"},
    {"shells", MF_SET_INT, AT(shells), 0, 16, "0", false,
     "Guests made ahead of each kind that was born here lately, so that the next is born at once; embedded "
     "hypervisor only"},
    {"shells-max", MF_SET_INT, AT(shells_max), 1, 64, "16", false, "Of all kinds together"},
    {"destroy-lanes", MF_SET_INT, AT(destroy_lanes), 1, 64, "4", false, "Guests destroyed at once"},
    {"null-script", MF_SET_STRING, AT(null_script), 0, 1023, NULL, false,
     "Delays and faults of the null driver"},
    {"null-program", MF_SET_STRING, AT(null_program), 1, 4095, NULL, false,
     "Stand-in of the null driver; default mayfly-null beside this program"},
    {"machine-id", MF_SET_STRING, AT(machine_id), 1, 64, NULL, false,
     "This machine; default /etc/machine-id, else one made in STATE"},
    {"boot-id", MF_SET_STRING, AT(boot_id), 1, 64, NULL, false,
     "Take this for the host's boot id (tests); default: what the keeper says"},
    {"guests-die-with-me", MF_SET_STRING, AT(guests_die_with_me), 1, 7, "auto", false,
     "auto, yes or no: is the worker's end its guests' end? auto: if the keeper is PID 1 of their namespace; "
     "yes: "
     "if that PID 1 ends with the keeper"},
};

static char *keep(struct mf_arena *arena, const char *text)
{
    return (char *)mf_str_dup(arena, mf_str(text)).ptr;
}

static int refuse(char error[1024], const char *name, const char *value, const char *what)
{
    snprintf(error, 1024, "%s: '%.300s' %s", name, value, what);
    return -EINVAL;
}

static int one_of(char error[1024], const char *name, const char *value, const char *const *words)
{
    for (const char *const *word = words; *word; word++)
        if (!strcmp(value, *word))
            return 0;
    return refuse(error, name, value, "is none of its words; see --help");
}

static int absolute(struct mf_arena *arena, char **path, const char *name, char error[1024])
{
    char *real = *path && **path ? realpath(*path, NULL) : NULL;
    if (!*path || !**path)
        return 0;
    if (!real)
        return refuse(error, name, *path, strerror(errno));
    *path = keep(arena, real);
    free(real);
    return 0;
}

static bool read_machine_id(const char *path, char text[66])
{
    text[0] = 0;
    FILE *file = fopen(path, "re");
    if (file && fgets(text, 66, file))
        text[strcspn(text, "\n")] = 0;
    if (file)
        fclose(file);
    return text[0] && strlen(text) <= 64;
}

/* A machine without one (a container, a machine without systemd) is known by one made here, which stays with
 * its state: the directory is local by design, so that it names the machine as well. */
static bool make_machine_id(const char *path, char text[66])
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    FILE *file = fopen(path, "wxe");
    bool written = file && fprintf(file, "%s\n", text) > 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    if (file)
        fclose(file);
    return written;
}

static int find_machine_id(struct mf_arena *arena, const char *state, char **id, char error[1024])
{
    char text[66], own[3072];
    if (*id && **id)
        return 0;
    mf_str_format(own, sizeof own, "%s/machine-id", state);
    if (!read_machine_id("/etc/machine-id", text) && !read_machine_id(own, text) &&
        !make_machine_id(own, text))
        return refuse(error, "machine-id", own, "cannot be read or made; give --machine-id");
    *id = keep(arena, text);
    return 0;
}

static char *beside_me(struct mf_arena *arena, const char *name)
{
    char path[4096 + 64];
    ssize_t n = readlink("/proc/self/exe", path, 4095);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    mf_str_format(slash ? slash + 1 : path, sizeof path - (size_t)(slash ? slash + 1 - path : 0), "%s", name);
    return keep(arena, path);
}

static int check_networks(const struct mf_agent_settings *s, char error[1024])
{
    for (uint32_t i = 0; i < s->network.n; i++) {
        const struct mf_label *label = &s->network.items[i];
        struct mf_driver_network network;
        char why[512];
        if (mf_driver_network_parse(label->key, label->value, &network, why) < 0) {
            snprintf(error, 1024, "network %.*s: %s", (int)label->key.len, label->key.ptr, why);
            return -EINVAL;
        }
    }
    return 0;
}

/* What an operator says is schedulable stands as it is: nothing can be kept from it. A rate that no disk or
 * network is as slow as is one in another unit. */
static int check_amounts(const struct mf_agent_settings *s, char error[1024])
{
    const char *what = NULL;
    if (s->vcpus && s->reserve_cpus)
        what = "reserve-cpus and vcpus contradict one another: vcpus is what may be scheduled, as it stands; "
               "give one";
    else if (s->memory_mib && s->reserve_memory_mib >= 0)
        what =
            "reserve-memory-mib and memory-mib contradict one another: memory-mib is what may be scheduled, "
            "as it stands; give one";
    else if (s->disk_bytes_s && s->disk_bytes_s < 65536)
        what = "disk-bytes-s is below 65536: it is bytes per second, and 0 is not limited";
    else if (s->net_bytes_s && s->net_bytes_s < 65536)
        what = "net-bytes-s is below 65536: it is bytes per second, and 0 is not limited";
    if (!what)
        return 0;
    snprintf(error, 1024, "%s", what);
    return -EINVAL;
}

static int read_vendor_data(struct mf_arena *arena, struct mf_agent_settings *s, char error[1024])
{
    struct mf_buf bytes = {0};
    char why[512];
    if (!s->vendor_data || !*s->vendor_data)
        return 0;
    int r = mf_seed_vendor_data(s->vendor_data, &bytes, why);
    if (r < 0)
        snprintf(error, 1024, "vendor-data: %s", why);
    else
        s->vendor_bytes = mf_str_dup(arena, (struct mf_str){bytes.ptr, (uint32_t)bytes.len});
    mf_buf_free(&bytes);
    return r;
}

static int complete(struct mf_arena *arena, struct mf_agent_settings *s, char error[1024])
{
    static const char *const drivers[] = {"libvirt", "null", NULL},
                             *const types[] = {"auto", "kvm", "qemu", NULL},
                             *const answers[] = {"auto", "yes", "no", NULL};
    int r = one_of(error, "driver", s->driver, drivers);
    if (r == 0)
        r = one_of(error, "domain-type", s->domain_type, types);
    if (r == 0)
        r = one_of(error, "guests-die-with-me", s->guests_die_with_me, answers);
    if (r == 0)
        r = mf_log_format_open(s->log_format, error);
    if (r == 0)
        r = mf_http_check(s->http, error);
    if (r == 0 && !mf_name_valid(mf_str(s->class)))
        r = refuse(error, "class", s->class, "is no name: [a-z0-9][a-z0-9-]{0,62}");
    if (r == 0)
        r = mf_state_dir(s->state, 0711, error);
    if (r == 0)
        r = absolute(arena, &s->state, "state", error);
    if (r == 0)
        r = absolute(arena, &s->image_root, "image-root", error);
    if (r == 0)
        r = absolute(arena, &s->image_ca, "image-ca", error);
    if (r == 0)
        r = find_machine_id(arena, s->state, &s->machine_id, error);
    if (r == 0)
        r = check_networks(s, error);
    if (r == 0)
        r = check_amounts(s, error);
    if (r == 0)
        r = read_vendor_data(arena, s, error);
    if (r < 0)
        return r;
    if (!s->cpu_ratio_percent) /* strong neighbours share nothing */
        s->cpu_ratio_percent = strcmp(s->class, "hpc") == 0 ? 100 : 400;
    if (!s->uri || !*s->uri) {
        char uri[4096];
        mf_str_format(uri, sizeof uri, "qemu:///embed?root=%s/libvirt", s->state);
        s->uri = keep(arena, uri);
    }
    if (!s->null_program || !*s->null_program)
        s->null_program = beside_me(arena, "mayfly-null");
    return 0;
}

int mf_agent_settings_load(int argc, char **argv, struct mf_arena *arena,
                           struct mf_agent_settings *ret_settings, char error[1024])
{
    struct mf_agent_settings settings = {0};
    int r = mf_settings_load("mayfly-agent", "runs a node's guests; started by mayfly-keeper", table,
                             sizeof table / sizeof *table, argc, argv, arena, &settings, error);
    if (r == 0)
        r = complete(arena, &settings, error);
    if (r == 0)
        *ret_settings = settings;
    return r;
}
