/* agent.h - the agent's world around its core: settings, bus, driver, keeper, threads. main.c opens it,
 * loop.c turns it, works.c is what the threads do. One struct, touched by the loop's thread alone but for
 * what `struct mf_agent_const` holds. */
#ifndef MF_AGENT_H
#define MF_AGENT_H

#include "blobs.h"
#include "driver.h"
#include "exposition.h"
#include "holds.h"
#include "http.h"
#include "images.h"
#include "keeper_link.h"
#include "keys.h"
#include "pool.h"
#include "shell_works.h"
#include "worker.h"

enum {
    MF_AGENT_LISTS = 2, /* at once: one may hang */
    MF_AGENT_NETWORKS = 64
};

struct mf_agent_settings {
    char *broker, *key, *state, *driver, *uri, *domain_type, *image_root, *class, *null_script, *null_program,
        *machine_id, *boot_id, *node, *guests_die_with_me, *http, *http_file, *log_format;
    struct mf_labels labels, network;
    char *lease_file, *image_ca, *vendor_data;
    struct mf_str vendor_bytes; /* what the file vendor_data holds */
    int64_t image_cache_mib, image_recheck_s, image_stall_s, disk_reserve_mib;
    int64_t vcpus, memory_mib, disk_mib, cpu_ratio_percent, create_lanes, destroy_lanes, shells, shells_max;
    int64_t reserve_cpus, reserve_memory_mib, disk_iops, disk_bytes_s, net_bytes_s;
};
/* Flags over file over defaults, as mf_settings_load; then what needs a look at the machine: absolute paths,
 * the machine's id. */
int mf_agent_settings_load(int argc, char **argv, struct mf_arena *arena,
                           struct mf_agent_settings *ret_settings, char error[1024]);

enum { MF_EVIDENCE_MAX = 4096 }; /* of the end of a guest's serial output, that a report carries */

struct mf_sweep { /* what dead instances left may be removed only while no create has begun */
    pthread_mutex_t lock;
    bool over;
};

struct mf_agent_const { /* fixed before the first thread starts; read by all of them */
    const struct mf_agent_settings *settings;
    const struct mf_driver_ops *ops;
    struct mf_driver *driver;
    unsigned caps;
    struct mf_images *images;
    struct mf_holds *holds;
    struct mf_sweep *sweep;
    char node[MF_NAME_MAX + 1];
};

struct mf_agent_operation {
    uint64_t done, failed;
    struct mf_histogram took; /* of those done */
};
struct mf_agent_tally { /* for /metrics */
    struct mf_agent_operation creates, destroys;
    uint64_t deaths[MF_ENUM_COUNT_death], unwell[MF_ENUM_COUNT_ailment], ready, lists_failed;
    struct mf_histogram turns;
    uint64_t lease_ask; /* the keeper's newest question, when it came, and until when the answer lasts */
    mf_ms lease_asked_at, lease_until;
};

struct mf_agent {
    struct mf_agent_const fixed;
    struct mf_agent_settings settings;
    struct mf_key key;
    struct mf_keeper_packet start;
    struct mf_worker *worker;
    struct mf_pool *pool;
    struct mf_blobs blobs;
    struct mf_holds holds;
    struct mf_sweep sweep;
    struct mf_shell_tending shells;
    unsigned lists_out;    /* begun and not back */
    struct mf_arena arena; /* of the message being fed */
    struct mf_http *http;
    struct mf_agent_tally tally;
    void *context, *socket, *links;
    unsigned n_links; /* connections made, for names */
    int signals;
    bool stopping, failed, watched, announced, told_to_stop;
    bool guests_die;    /* with this worker */
    char refusal[1200]; /* as last logged */
    mf_ms link_logged_at;
    bool linked;
    mf_ms retry_at;    /* when to connect again after a refusal; 0: none */
    mf_ms unlinked_at; /* since when, or when it was last complained about */
};

/* loop.c: until told to stop; the exit code */
int mf_agent_run(struct mf_agent *self);
void mf_agent_give_back(void); /* memory that only the start needed */

/* metrics.c: for struct mf_http_pages */
void mf_agent_metrics(void *agent, struct mf_buf *buf);
bool mf_agent_ready(void *agent, char why_not[512]);

/* stock.c: images */
struct mf_work;
int mf_agent_stock_open(struct mf_agent *self, char error[512]);
void mf_agent_stock_do(struct mf_agent *self, const struct mf_worker_action *action); /* FETCH, FETCH_OVER */
struct mf_worker_event
mf_agent_stock_event(const struct mf_work *work); /* of a FETCHED or FILE; strings its own */

/* works.c: what runs in the pool, and what it brings back */
enum mf_work_kind {
    MF_WORK_CREATE,
    MF_WORK_DESTROY,
    MF_WORK_LIST,
    MF_WORK_READ_LOG,
    MF_WORK_RESOLVE,
    MF_WORK_SHELL,
    MF_WORK_DIED,
    MF_WORK_READY,
    MF_WORK_UNWELL,
    MF_WORK_ADDRESS,
    MF_WORK_FETCHED,
    MF_WORK_FILE
};
struct mf_work {
    struct mf_job job;
    enum mf_work_kind kind;
    const struct mf_agent_const *fixed;
    struct mf_uuid id;
    enum mf_errcode code; /* and text: what came of it */
    char text[512];
    struct mf_msg_order_create
        order;                   /* CREATE: strings are the core's until JOB_DONE, user-data the blobs' */
    int64_t pid;                 /* CREATE: of the guest, 0 if unknown */
    bool has_kind, from_shell;   /* CREATE: the kind below is its own; it took one over */
    struct mf_digest shell_kind; /* CREATE, SHELL */
    enum mf_shells_step step;    /* SHELL: what is to be done */
    struct mf_arena arena;       /* SHELL: of the order's strings */
    uint64_t grace_ms, ask_id, ticket;
    size_t bytes; /* READ_LOG, and DESTROY, before it is gone: at most; then how many */
    char *log;
    bool sweep; /* LIST: the first one also removes what dead instances left */
    struct mf_driver_guest *guests;
    size_t n_guests;
    struct mf_driver_capacity capacity;
    enum mf_death how;                /* DIED */
    enum mf_ailment ailment;          /* UNWELL; text of an ADDRESS is that */
    struct mf_msg_file_progress file; /* FILE; its text is that of the work */
    bool tell;
    struct mf_keeper_packet session; /* RESOLVE: its monitors become numeric */
    mf_ms began_at;
};
struct mf_birth { /* a guest, or a shell, about to be made; the spec points into the rest */
    char dir[4096], seed[4200], disk[4200], console[4200], network[64];
    struct mf_image_paths paths;
    struct mf_driver_spec spec;
};
/* Look at the image of the work's order, and say the guest: everything but its seed. 0, or a negative errno
 * with the work's code and text. */
int mf_birth_describe(struct mf_work *self, struct mf_birth *birth);
/* news.c: what the driver or the keeper says of a guest, logged and counted; its console is the work's */
struct mf_worker_event mf_agent_news(struct mf_agent *self, struct mf_work *work, const char *source);

struct mf_work *mf_work_new(const struct mf_agent *agent, enum mf_work_kind kind);
void mf_work_free(struct mf_work *self);
void mf_work_start(struct mf_pool *pool, struct mf_work *self);

#endif
