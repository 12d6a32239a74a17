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
                      MF_DRIVER_OWN = 1u << 7,   /* guests are processes that this one made, in its own pid
                                                    namespace */
                      MF_DRIVER_UNSEEN = 1u << 8 /* guests are processes of this machine, but in another pid
                                                    namespace */
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
};
struct mf_driver_guest { /* one guest found */
    struct mf_uuid id;
    bool running;
    bool at_most;   /* by its own metadata */
    int64_t pid;    /* 0 if unknown or none */
    char name[200]; /* empty for a foreign domain */
};
struct mf_driver_config {
    const char *uri;          /* libvirt URI; for null, unused */
    const char *root;         /* absolute directory of this driver's own files */
    const char *domain_type;  /* auto, kvm, qemu */
    const char *null_program; /* path of mayfly-null, for null */
    const char *script; /* null: delays and faults, "create=10,destroy=5,boot-fail=0.1,hang-create=1"; NULL
                           for none */
    struct mf_rec_resources capacity; /* any zero: ask the hypervisor */
    uint32_t cpu_ratio_percent;       /* schedulable vcpus per host cpu, in percent; default 400 */
    /* Told from any thread that a guest ended: it is believed, so late news of an earlier life of the same
     * id, whose process runs again, must not be told. */
    void (*died)(void *arg, struct mf_uuid id, enum mf_death how, const char *text);
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
    int (*capacity)(struct mf_driver *self, struct mf_rec_resources *ret_capacity, char error[512]);
    /* 0 = runs (also if it ran already); *ret_pid its pid or 0. On failure nothing of it is left. */
    int (*create)(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t *ret_pid,
                  char error[512]);
    /* 0 = proven gone: not listed and no process has the UUID. Removes its disk. Idempotent. */
    int (*destroy)(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512]);
    /* All guests; *ret_guests by malloc, freed by the caller. */
    int (*list)(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n, char error[512]);
};
extern const struct mf_driver_ops mf_driver_libvirt, mf_driver_null;
const struct mf_driver_ops *mf_driver_by_name(const char *name); /* NULL if unknown */

#endif
