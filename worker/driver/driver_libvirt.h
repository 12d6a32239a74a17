/* driver_libvirt.h - what the files of the libvirt driver share. Inside this folder only.
 *
 *   driver_libvirt.c         open, close, capacity, connections
 *   driver_libvirt_embed.c   a root of our own, and its qemu.conf
 *   driver_libvirt_kvm.c     whether KVM is to be believed
 *   driver_libvirt_daemon.c  whose processes those of a daemon are
 *   driver_libvirt_host.c    what this host has, and what a guest gets of it
 *   driver_libvirt_health.c  who is to be heard and asked (ports.c hears)
 *   driver_libvirt_ask.c     guest agents asked, at leisure
 *   driver_libvirt_address.c where a guest is to be found
 *   driver_libvirt_create.c  disk, XML, domain; all or nothing
 *   driver_libvirt_destroy.c grace, kill, proof of gone
 *   driver_libvirt_shell.c   guests made ahead
 *   driver_libvirt_logs.c    what QEMU said of itself
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
#include "pins.h"
#include "ports.h"

#include <libvirt/libvirt.h>
#include <pthread.h>

enum { MF_DRIVER_LIBVIRT_MAGIC = 0x11b71e27, MF_EMBED_ALIAS = 64, MF_ENDED_MAX = 64 };

enum mf_lane { /* A daemon serves few requests of one connection at a time: a lane for each kind, so that none
                  waits for another. */
               MF_LANE_WATCH, /* list, capacity, events */
               MF_LANE_CREATE,
               MF_LANE_DESTROY,
               MF_LANE_ASK, /* guest agents, addresses */
               MF_LANES
};

struct mf_guest { /* one we made or found; under the driver's lock */
    struct mf_uuid id;
    pid_t pid;            /* 0 if unknown */
    bool creating;        /* a create is under way */
    bool cancelled;       /* and is to end at once: a destroy waits for it */
    unsigned destroying;  /* destroys under way: its end is no news */
    struct mf_uuid shell; /* that it took over: its domain's own id. Zero: none */
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
    struct mf_driver_capacity capacity;
    struct mf_topology topology;     /* of the host; fixed once open */
    struct mf_rec_resources foreign; /* used by domains that are not ours, as last listed; under the lock */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a guest's entry, or watchers */
    struct mf_map *guests;  /* id to struct mf_guest */
    struct mf_map *shells;  /* own id to what driver_libvirt_shell.c knows of it */
    struct mf_uuid
        ended[MF_ENDED_MAX]; /* the last ones we destroyed, in turn: libvirt's news of it comes late */
    unsigned n_ended;
    virConnectPtr lanes[MF_LANES];
    int callbacks[4];
    unsigned watchers; /* callbacks that libvirt still holds */
    struct mf_console *console;
    struct mf_ports *ports; /* NULL where guests are not of this machine */
    struct mf_asks *asks;
    struct mf_pins pins; /* under the lock */
    bool cgroups;        /* of the hypervisor: CPU time can be shared out */
    bool binds;          /* where memory lies may be said */
    bool said_cgroups, said_network, said_cells, said_binds;
};

#define MF_READY_SOCKET "ready.sock"
#define MF_AGENT_SOCKET "agent.sock"
struct mf_guest_sockets { /* whose names a domain's XML holds; empty: none */
    char ready[108], agent[108];
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
int mf_libvirt_write(const char *path, const void *bytes, size_t len); /* whole, or not at all */

/* health: who is to be heard and asked, by what its own metadata says; again is fine */
int mf_health_start(struct mf_driver *self, char error[512]);
void mf_health_stop(struct mf_driver *self);
void mf_health_watch(struct mf_driver *self, struct mf_uuid id, const struct mf_domain_identity *identity);
void mf_health_unwatch(struct mf_driver *self, struct mf_uuid id);
bool mf_health_is_ready(const struct mf_domain_identity *identity);

/* ask: guest agents and addresses, by a few threads of their own */
struct mf_asks *mf_asks_new(struct mf_driver *driver); /* NULL if no thread can be had */
void mf_asks_destroy(struct mf_asks **self);
void mf_asks_add(struct mf_asks *self, struct mf_uuid id, const struct mf_domain_identity *identity,
                 bool ready);
void mf_asks_ready(struct mf_asks *self, struct mf_uuid id); /* it said so by its port */
void mf_asks_remove(struct mf_asks *self, struct mf_uuid id);
/* address: of this guest now, empty if nobody knows one */
void mf_libvirt_find_address(struct mf_driver *self, virDomainPtr domain, bool agent, char ret_address[101]);

/* host */
int mf_libvirt_look_at_host(struct mf_driver *self, virConnectPtr conn, char error[512]);
/* What this guest gets of it; its CPUs are its own until unpin. 0, or an error with a sentence. */
int mf_libvirt_host(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec,
                    struct mf_guest_sockets *sockets, struct mf_domain_host *ret_host, char error[512]);
/* That of it which guests of one kind have alike. */
int mf_libvirt_host_cells(const struct mf_driver *self, const struct mf_driver_spec *spec,
                          struct mf_domain_host *ret_host, char error[512]);
void mf_libvirt_unpin(struct mf_driver *self, struct mf_uuid id);
/* The path of a socket in a guest's directory, short enough to be one. */
int mf_libvirt_socket(const struct mf_driver *self, const char *dir, const char *name, char ret_path[108],
                      char error[512]);
void mf_libvirt_note(struct mf_driver *self, bool *said, const char *text); /* once */

/* kvm: "kvm", or "qemu" with a note why. By a real boot with a time limit, remembered until the machine's
 * next one; of a hypervisor on another machine its word is taken. */
const char *mf_libvirt_kvm_or_qemu(const struct mf_driver *self, virConnectPtr conn, char note[512]);
bool mf_libvirt_offers_kvm(virConnectPtr conn);
/* Does a guest of this type boot there? A tiny one must, and switch itself off, before the limit; its disk is
 * below root. */
bool mf_libvirt_boots(virConnectPtr conn, const char *root, const char *type, mf_ms limit_ms, char note[512]);

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
bool mf_guest_ended(const struct mf_driver *self, struct mf_uuid id); /* by us, lately; under the lock */
pid_t mf_guest_find_pid(struct mf_driver *self, struct mf_uuid id,
                        const char *domain_name); /* verified; 0 if there is none, or a negative errno */
int mf_crumb_leave(struct mf_driver *self, struct mf_uuid id, const char *disk,
                   char error[512]); /* before the disk is made */
bool mf_crumb_there(struct mf_driver *self, struct mf_uuid id);
void mf_crumb_clean(struct mf_driver *self, struct mf_uuid id); /* removes the disk, then the crumb */

/* logs */
void mf_log_remove(struct mf_driver *self, struct mf_uuid id); /* of this domain, if there is one */
void mf_logs_sweep(struct mf_driver *self);                    /* of domains that are no more */

/* slots */
unsigned mf_libvirt_caps(const struct mf_driver *self);
int mf_libvirt_create(struct mf_driver *self, const struct mf_driver_spec *spec, int64_t *ret_pid,
                      char error[512]);
int mf_libvirt_destroy(struct mf_driver *self, struct mf_uuid id, uint64_t grace_ms, char error[512]);
int mf_libvirt_list(struct mf_driver *self, struct mf_driver_guest **ret_guests, size_t *ret_n,
                    char error[512]);
int mf_libvirt_shell_kind(struct mf_driver *self, const struct mf_driver_spec *spec,
                          struct mf_digest *ret_kind, char error[512]);
int mf_libvirt_shell_make(struct mf_driver *self, const struct mf_driver_spec *spec, struct mf_digest kind,
                          char error[512]);
bool mf_libvirt_shell_take(struct mf_driver *self, struct mf_digest kind, struct mf_uuid *ret_shell);
size_t mf_libvirt_shells(struct mf_driver *self, struct mf_driver_shell *ret_shells, size_t max);

/* shells: the domain of spec->shell is given the identity of the spec, and its crumb. 0, or a negative errno
 * (-ESTALE: it is no more, or is no good). It is not let run yet. */
int mf_shell_claim(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec,
                   const struct mf_domain_host *host, virDomainPtr *ret_domain, char error[512]);
struct mf_uuid mf_guest_shell(struct mf_driver *self, struct mf_uuid id); /* that it took over, or zero */
/* The domain of a guest, by its own id or by the shell's that it took over: as mf_domain_lookup. */
int mf_guest_lookup(struct mf_driver *self, virConnectPtr conn, struct mf_uuid id, virDomainPtr *ret_domain,
                    char error[512]);
/* Whose guest is this domain? false: nobody's yet, or it is not known whose. Asks libvirt for nothing that a
 * domain that has ended could not answer. */
bool mf_shell_instance(struct mf_driver *self, virDomainPtr domain, struct mf_uuid *ret_id);
/* The same for a domain whose metadata has been read: *id becomes the guest's. */
bool mf_shell_listed(struct mf_driver *self, const struct mf_domain_identity *identity, struct mf_uuid *id);
/* Is this process, whose guest would be `id`, a shell that nobody took? */
bool mf_shell_idle_process(struct mf_uuid id, const char *command_line);
void mf_shell_ended(struct mf_driver *self, virDomainPtr domain); /* its process, before anybody took it */
void mf_shell_forget(struct mf_driver *self, struct mf_uuid id);  /* under the lock */
void mf_shells_settle(struct mf_driver *self); /* ends those that an earlier agent left and nobody took */
void mf_shells_end(struct mf_driver *self);    /* ends those that nobody took */

#endif
