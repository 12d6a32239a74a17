/* null_wire.h - what the null driver and its stand-in say to one another: one packet per request and reply
 * over a SOCK_SEQPACKET socket, ROOT/null.sock; one request at a time on a connection. Both are of one build;
 * the version is checked all the same. */
#ifndef MF_NULL_WIRE_H
#define MF_NULL_WIRE_H

#include "ids.h"

#define MF_NULL_SOCKET "null.sock"
#define MF_NULL_LOCK   "null.lock"
#define MF_NULL_PID    "null.pid"

enum { MF_NULL_VERSION = 3, MF_NULL_TEXT = 512, MF_NULL_LIST_BATCH = 56, MF_NULL_PACKET = 16384 };

enum mf_null_kind {
    MF_NULL_CREATE = 1, /* id, epoch, sizes, at_most, text: its name. The answer tells running, and the pid of
                           one that has a process of its own: at-most ones, which are made paused */
    MF_NULL_RESUME,     /* id: a paused one runs from now on */
    MF_NULL_DESTROY,    /* id */
    MF_NULL_LIST,       /* answered by LISTED packets, the last with more = 0 */
    MF_NULL_SCRIPT,     /* text */
    MF_NULL_DIE,        /* id, how: a guest ends by itself */
    MF_NULL_WATCH,      /* from now on this connection is told of deaths, of addresses that are given, and of
                           what guests say of themselves */
    MF_NULL_DONE,       /* to the driver: result (0 or negative errno), text */
    MF_NULL_LISTED,     /* to the driver: n guests follow */
    MF_NULL_DIED,       /* to watchers: id, how, text */
    MF_NULL_ADDRESS,    /* to watchers: id, text */
    MF_NULL_READY,      /* to watchers: id */
    MF_NULL_UNWELL      /* to watchers: id, text */
};
struct mf_null_packet { /* text follows, not terminated, up to the packet's end */
    uint32_t version, kind;
    struct mf_uuid id;
    int32_t result;
    uint32_t how; /* enum mf_death */
    uint32_t n, more;
    uint32_t at_most, running;
    uint32_t speaks; /* CREATE: it says that it is ready */
    int64_t pid;
    uint64_t epoch, vcpus, memory_mib, disk_mib;
};
struct mf_null_guest_row { /* after a LISTED packet */
    struct mf_uuid id;
    uint32_t running, at_most, ready;
    int64_t pid; /* 0: it lives in the stand-in itself */
    char address[16];
    char name[200];
};

_Static_assert(sizeof(struct mf_null_packet) + MF_NULL_LIST_BATCH * sizeof(struct mf_null_guest_row) <=
                   MF_NULL_PACKET,
               "a batch of guests fits into a packet");

#endif
