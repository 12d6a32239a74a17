/* settings.c - what mayfly-agent may be told. */
#include "agent.h"
#include "program.h"
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
     "Directory below which image files lie, the same on every node"},
    {"class", MF_SET_STRING, AT(class), 1, 63, "standard", false, "Node class"},
    {"http", MF_SET_STRING, AT(http), 1, 100, "127.0.0.1:7112", false, MF_HTTP_DOC},
    {"http-file", MF_SET_STRING, AT(http_file), 1, 4000, NULL, false, MF_HTTP_FILE_DOC},
    {"log-format", MF_SET_STRING, AT(log_format), 1, 10, NULL, false, MF_LOG_FORMAT_DOC},
    {"label", MF_SET_LABELS, AT(labels), 0, 64, NULL, false,
     "Label key=value, e.g. rack=r1; may be given again"},
    {"vcpus", MF_SET_INT, AT(vcpus), 0, 1000000, "0", false,
     "Schedulable virtual CPUs; 0: the host's, times the ratio"},
    {"memory-mib", MF_SET_INT, AT(memory_mib), 0, 1000000000, "0", false,
     "Schedulable memory; 0: ask the hypervisor"},
    {"disk-mib", MF_SET_INT, AT(disk_mib), 0, 1000000000000, "0", false,
     "Schedulable disk; 0: ask the file system"},
    {"cpu-ratio-percent", MF_SET_INT, AT(cpu_ratio_percent), 1, 10000, "400", false,
     "Schedulable virtual CPUs per host CPU, in percent"},
    {"create-lanes", MF_SET_INT, AT(create_lanes), 1, 64, "4", false, "Guests created at once"},
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
        r = find_machine_id(arena, s->state, &s->machine_id, error);
    if (r < 0)
        return r;
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
