/* driver_libvirt.h - what the files of the libvirt driver share. Inside this folder only.
 *
 *   driver_libvirt.c         open, close, capacity, connections
 *   driver_libvirt_embed.c   a root of our own: its qemu.conf, and whether KVM is to be believed
 *   driver_libvirt_daemon.c  whose processes those of a daemon are
 *   driver_libvirt_create.c  disk, XML, domain; all or nothing
 *   driver_libvirt_destroy.c grace, kill, proof of gone
 *   driver_libvirt_list.c    what is there
 *   driver_libvirt_events.c  libvirt's loop, and deaths
 *   driver_libvirt_guests.c  what this process knows of each guest; the disk that is left when a domain has
 * vanished console.c                keeps serial logs bounded */
#ifndef MF_DRIVER_LIBVIRT_H
#define MF_DRIVER_LIBVIRT_H

#include "console.h"
#include "domain_xml.h"
#include "driver.h"
#include "map.h"

#include <libvirt/libvirt.h>
#include <pthread.h>

enum { MF_DRIVER_LIBVIRT_MAGIC = 0x11b71e27, MF_EMBED_ALIAS = 64, MF_ENDED_MAX = 64 };

enum mf_lane { /* A daemon serves few requests of one connection at a time: a lane for each kind, so that none
                  waits for another. */
               MF_LANE_WATCH, /* list, capacity, events */
               MF_LANE_CREATE,
               MF_LANE_DESTROY,
               MF_LANES
};

struct mf_guest { /* one we made or found; under the driver's lock */
    struct mf_uuid id;
    pid_t pid;           /* 0 if unknown */
    bool creating;       /* a create is under way */
    bool cancelled;      /* and is to end at once: a destroy waits for it */
    unsigned destroying; /* destroys under way: its end is no news */
};

struct mf_driver {
    unsigned magic;
    struct mf_driver_config config; /* its strings are the ones below, or NULL */
    char *uri, *root;
    char alias[MF_EMBED_ALIAS]; /* of the root, as libvirt knows it; empty if it is the root itself */
    bool embed;                 /* QEMU run from this process, files under root */
    bool local;                 /* guests are processes of this machine */
    bool unseen;                /* though not of our pid namespace */
    bool test;
    char type[16];
    struct mf_rec_resources capacity;
    struct mf_rec_resources foreign; /* used by domains that are not ours, as last listed; under the lock */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a guest's entry, or watchers */
    struct mf_map *guests;  /* id to struct mf_guest */
    struct mf_uuid
        ended[MF_ENDED_MAX]; /* the last ones we destroyed, in turn: libvirt's news of it comes late */
    unsigned n_ended;
    virConnectPtr lanes[MF_LANES];
    int callbacks[4];
    unsigned watchers; /* callbacks that libvirt still holds */
    struct mf_console *console;
};

/* A reference to the connection of a lane, opened again if its daemon went away. NULL with an error. */
virConnectPtr mf_lane_get(struct mf_driver *self, enum mf_lane lane, char error[512]);
/* "what: libvirt's last error", on one line. Returns -EIO, or -ENOTCONN if the daemon is gone. */
int mf_libvirt_error(char error[512], const char *what);
/* The domain of an id: 0 and a reference; -ENOENT if libvirt does not know it; or another error. */
int mf_domain_lookup(virConnectPtr conn, struct mf_uuid id, virDomainPtr *ret_domain, char error[512]);
/* Our identity of a domain; false (and zeroed) if it is foreign. */
bool mf_domain_identity(virDomainPtr domain, struct mf_domain_identity *ret_identity);

/* daemon: the process that listens on the socket of this URI, or on libvirt's usual one; 0: it is of another
 * pid namespace than we, or a negative errno if nothing can be said */
pid_t mf_libvirt_daemon(const char *uri);

/* embed */
int mf_embed_prepare(const char *root, char error[512]);
/* A short name for a root that is too long for libvirt; empty if it is not. */
int mf_embed_alias(const char *root, char ret_alias[MF_EMBED_ALIAS], char error[512]);
void mf_embed_drop_alias(const char *alias);
const char *
mf_kvm_or_qemu(const char *root,
               char note[512]); /* by a real boot with a time limit, remembered until the next boot */

/* events: the loop is started once in a process and stays */
int mf_events_start(char error[512]);
void mf_events_watch(struct mf_driver *self, virConnectPtr conn);
void mf_events_unwatch(struct mf_driver *self);

/* guests */
struct mf_guest *mf_guest_get(struct mf_driver *self,
                              struct mf_uuid id); /* NULL if unknown; under the lock */
struct mf_guest *mf_guest_obtain(struct mf_driver *self,
                                 struct mf_uuid id); /* made if unknown; under the lock */
void mf_guest_forget(struct mf_driver *self,
                     struct mf_uuid id); /* if nobody is busy with it; under the lock */
pid_t mf_guest_find_pid(struct mf_driver *self, struct mf_uuid id,
                        const char *domain_name); /* verified; 0 if there is none, or a negative errno */
int mf_crumb_leave(struct mf_driver *self, struct mf_uuid id, const char *disk,
                   char error[512]); /* before the disk is made */
bool mf_crumb_there(struct mf_driver *self, struct mf_uuid id);
void mf_crumb_clean(struct mf_driver *self, struct mf_uuid id); /* removes the disk, then the crumb */

/* slots */
unsigned mf_libvirt_caps(const struct mf_driver *self);
int mf_libvirt_create(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t *ret_pid,
                      char error[512]);
int mf_libvirt_destroy(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512]);
int mf_libvirt_list(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n,
                    char error[512]);

#endif
