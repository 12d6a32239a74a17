/* driver.h - a hypervisor, as the worker sees it. One table of slots, one conformance suite
 * (tests/unit/test_driver_conformance.c) run on every driver by its declared capabilities. Calls block, each
 * in a thread of the agent's pool: open once, then create, destroy, list may run at the same time from
 * several threads; a hung one must not block another kind. */
#ifndef MF_DRIVER_H
#define MF_DRIVER_H

#include "message.h"

struct mf_driver;

enum mf_driver_caps { /* what a driver can promise; the conformance suite tests just these */
                      MF_DRIVER_HAS_PID =
                          1u << 0, /* guests are processes of this machine: list tells their pids */
                      MF_DRIVER_HAS_EVENTS = 1u << 1,  /* deaths are told by the watch callback */
                      MF_DRIVER_HAS_DISK = 1u << 2,    /* ephemeral disk and seed are made and removed */
                      MF_DRIVER_HAS_CONSOLE = 1u << 3, /* serial output can be read */
                      MF_DRIVER_SURVIVES =
                          1u << 4, /* guests outlive a close and are found again by the next open */
                      MF_DRIVER_HAS_ACPI = 1u << 5,  /* grace before the kill */
                      MF_DRIVER_FENCEABLE = 1u << 6, /* an at-most guest is a process of its own on this
                                                        machine, which this user may kill */
                      MF_DRIVER_OWN = 1u << 7,    /* guests are processes that this one made, in its own pid
                                                     namespace */
                      MF_DRIVER_UNSEEN = 1u << 8, /* guests are processes of this machine, but in another pid
                                                    namespace */
                      MF_DRIVER_HAS_SHELLS = 1u << 9 /* guests can be made ahead: the shell slots are there */
};

struct mf_driver_spec { /* one guest to be made */
    struct mf_uuid id;
    char name[200]; /* tenant/group/slot#generation, also kept in the domain's own metadata */
    uint64_t epoch;
    uint64_t vcpus, memory_mib, disk_mib;
    /* It is made paused; then `hold` is asked, in the creating thread, whether its process is held and may
     * run. If not, the create fails and leaves nothing. */
    bool at_most;
    bool (*hold)(void *arg, struct mf_uuid id, int64_t pid);
    void *hold_arg;
    const char *kernel, *initrd,
        *cmdline;        /* absolute paths, digests already checked; NULL where the driver needs none */
    const char *seed;    /* absolute path of the NoCloud ISO, or NULL */
    const char *disk;    /* absolute path where the overlay is to be made, or NULL */
    const char *console; /* absolute path of the serial log, bounded by the driver, or NULL */
    const char *dir;     /* absolute path of the guest's own directory, which goes with it, or NULL */
    const char *base;    /* absolute path of a checked disk that the guest's own is an overlay of, or NULL */
    enum mf_disk_format base_format;
    const struct mf_rec_offering
        *offering; /* what contains it; NULL: what an offering that says nothing does */
    const struct mf_rec_guest_health *health; /* NULL: nobody asks how it is */
    const char *network;                      /* by name; NULL: "default" */
    uint8_t cells;        /* NUMA cells of the host that it sits in, evenly, a bit for each; 0: any */
    struct mf_uuid shell; /* one that shell_take gave, which becomes this guest; its folder is `dir` by now,
                             with this guest's seed in the very file that was its own. Zero: none */
    bool as_shell;        /* the driver's own: made, and not let run */
};
enum { MF_DRIVER_SHELLS_MAX = 64 }; /* of one driver */
struct mf_driver_shell { /* a guest made ahead: paused, its first instruction before it, and nobody's yet */
    struct mf_uuid id;   /* by which it can be destroyed; its MAC address comes from it */
    struct mf_digest kind;
    bool taken;
};
struct mf_driver_guest { /* one guest found */
    struct mf_uuid id;
    bool running;
    bool at_most;     /* by its own metadata */
    bool ready;       /* it said that it is well, to this agent or an earlier one */
    int64_t pid;      /* 0 if unknown or none */
    char address[46]; /* empty unless the hypervisor itself knows it: what is found out later is told */
    char name[200];   /* empty for a foreign domain */
};
enum mf_network_kind {                     /* how a guest is connected */
                       MF_NETWORK_USER,    /* QEMU's own: out, but not in */
                       MF_NETWORK_LIBVIRT, /* a network that libvirt keeps; source: its name */
                       MF_NETWORK_BRIDGE,  /* source: the host's bridge */
                       MF_NETWORK_MACVTAP, /* source: the host's device */
                       MF_NETWORK_TAP      /* a tap device of its own; source: how its name begins */
};
struct mf_driver_network {
    char name[64]; /* as groups say it */
    enum mf_network_kind kind;
    char source[16 * 4]; /* empty for user */
};
enum { MF_DRIVER_CELLS_MAX = 8 }; /* that a node can tell */
struct mf_driver_capacity {       /* what may be scheduled */
    struct mf_rec_resources all;
    struct mf_rec_cell cells[MF_DRIVER_CELLS_MAX]; /* what of it lies in each NUMA cell */
    uint32_t n_cells;                              /* 0: there are not two */
};
/* This is used by others: off the whole, and off its cells evenly. */
void mf_driver_capacity_less(struct mf_driver_capacity *self, const struct mf_rec_resources *used);

struct mf_driver_config {
    const char *uri;          /* libvirt URI; for null, unused */
    const char *root;         /* absolute directory of this driver's own files */
    const char *domain_type;  /* auto, kvm, qemu */
    const char *null_program; /* path of mayfly-null, for null */
    const char *script; /* null: delays and faults, "create=10,destroy=5,boot-fail=0.1,hang-create=1"; NULL
                           for none */
    struct mf_rec_resources capacity; /* vcpus, memory, disk: zero is to ask the hypervisor; rates: zero is
                                         not limited; huge pages are the hypervisor's to say */
    uint32_t cpu_ratio_percent;       /* schedulable vcpus per host cpu, in percent; default 400 */
    uint32_t reserve_cpus;            /* the host's own, before the ratio */
    int64_t
        reserve_memory_mib; /* likewise, of what is not huge pages; -1: a tenth, at least 512, at most half */
    /* Told from any thread that a guest ended: it is believed, so late news of an earlier life of the same
     * id, whose process runs again, must not be told. */
    void (*died)(void *arg, struct mf_uuid id, enum mf_death how, const char *text);
    /* These too, each of a guest that runs: it said that it is well (told once in its life, as far as this
     * agent knows); it is not well any more; where it is to be found (empty: nowhere). NULL: nobody cares. */
    void (*ready)(void *arg, struct mf_uuid id);
    void (*unwell)(void *arg, struct mf_uuid id, enum mf_ailment how, const char *text);
    void (*address)(void *arg, struct mf_uuid id, const char *address);
    void (*note)(void *arg, const char *text); /* a sentence worth logging, once */
    const struct mf_driver_network *networks;  /* "default" is user if it is not among them */
    size_t n_networks;
    const char *lease_file; /* in dnsmasq's format: who has which address; NULL for none */
    void *arg;
};
struct mf_driver_ops {
    const char *name; /* "libvirt", "null" */
    /* On success too, error may hold a sentence worth logging (say, why guests are emulated), else it is
     * empty. At-most guests that an earlier agent left half made, paused, are gone afterwards. */
    int (*open)(const struct mf_driver_config *config, struct mf_driver **ret_driver, char error[512]);
    void (*close)(struct mf_driver *self); /* guests live on where the driver SURVIVES */
    unsigned (*caps)(const struct mf_driver *self);
    const char *(*type)(const struct mf_driver *self); /* "qemu", "kvm", "lxc", "test", "null" */
    int (*capacity)(struct mf_driver *self, struct mf_driver_capacity *ret_capacity, char error[512]);
    /* 0 = runs (also if it ran already); *ret_pid its pid or 0. On failure nothing of it is left. */
    int (*create)(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t *ret_pid,
                  char error[512]);
    /* 0 = proven gone: not listed and no process has the UUID. Removes its disk. Idempotent. */
    int (*destroy)(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512]);
    /* All guests; *ret_guests by malloc, freed by the caller. */
    int (*list)(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n, char error[512]);
    /* Shells; NULL where the driver has none. Guests of the same kind can become one another's; -ENOTSUP if
     * this one's are never made ahead. */
    int (*shell_kind)(struct mf_driver *self, const struct mf_driver_spec *spec, struct mf_digest *ret_kind,
                      char error[512]);
    /* One more, under the spec's own id and in its `dir`. On failure nothing of it is left. */
    int (*shell_make)(struct mf_driver *self, const struct mf_driver_spec *spec, struct mf_digest kind,
                      char error[512]);
    /* One of this kind for a create to name (which answers -ESTALE if it has ended), or else to be destroyed;
     * false if there is none. */
    bool (*shell_take)(struct mf_driver *self, struct mf_digest kind, struct mf_uuid *ret_shell);
    size_t (*shells)(struct mf_driver *self, struct mf_driver_shell *ret_shells, size_t max);
};
extern const struct mf_driver_ops mf_driver_libvirt, mf_driver_null;
/* The MAC address that a guest has from its identity, for life. */
void mf_driver_mac(struct mf_uuid id, char ret_mac[18]);
/* "KIND" or "KIND:SOURCE" of a network; 0, or -EINVAL with a sentence. */
int mf_driver_network_parse(struct mf_str name, struct mf_str text, struct mf_driver_network *ret_network,
                            char error[512]);
/* The network of this name, or NULL with a sentence. */
const struct mf_driver_network *mf_driver_network_find(const struct mf_driver_config *config,
                                                       const char *name, char error[512]);
const struct mf_driver_ops *mf_driver_by_name(const char *name); /* NULL if unknown */

#endif
