/* state.h - what the brain holds. Two kinds of memory, kept apart in every struct: what is durable is changed
 * by the fold alone (fold.c), one log row at a time; the rest (sessions, orders in flight, timers, queues) is
 * made again after a restart. */
#ifndef MF_BROKER_STATE_H
#define MF_BROKER_STATE_H

#include "broker.h"
#include "heap.h"
#include "lives.h"
#include "map.h"
#include "pool.h"

enum {
    MF_MONITORS_MAX = 16,
    MF_SLOTS_MAX = 10000,
    MF_QUICK_DEATH_MS = 10000,
    MF_LATELY_MS = 600000,
    MF_SUBJECT_MAX = 256
};
/* Of one node: the hello that tells of them all must fit a message, however long their names, and its keeper
 * holds no more pidfds. */
enum { MF_NODE_INSTANCES_MAX = 4096 };
enum { MF_IMAGES_MAX = 1000, MF_OFFERINGS_MAX = 1000, MF_HELD_MAX = 4096 };
#define MF_TENANT "default"

enum mf_alarm_kind {
    MF_ALARM_ORDER,
    MF_ALARM_BIRTH,
    MF_ALARM_ASK,
    MF_ALARM_MONITOR,
    MF_ALARM_PLACE,
    MF_ALARM_LEASE,
    MF_ALARM_LOOK,
    MF_ALARM_QUARANTINE,
    MF_ALARM_DELAY,
    MF_ALARM_PURGE,
    MF_ALARM_CANARY,
    MF_ALARM_BEAT,
    MF_ALARM_GRACE,
    MF_ALARM_DOUBT,
    MF_ALARM_BREAKER,
    MF_ALARM_CALM,
    MF_ALARM_BOOT,
    MF_ALARM_PROTECT
};
struct mf_alarm {
    struct mf_timer timer; /* first */
    enum mf_alarm_kind kind;
};

/* One that is seldom set: it has memory only while it is. */
struct mf_rare_alarm {
    struct mf_alarm alarm; /* first */
    void *owner;
    struct mf_rare_alarm **at; /* the owner's pointer to it */
};

struct mf_vec { /* pointers, sorted by whoever inserts */
    void **items;
    size_t n, cap;
};

struct mf_failures;
struct mf_headroom;
struct mf_image {
    struct mf_rec_image rec; /* strings owned */
    char *halted;            /* why its births are held; NULL: they are not */
    uint32_t halts;          /* in a row */
    mf_ms halted_until;      /* wall clock: its next try */
    bool warm;               /* every node that joins fetches it */
    /* not durable */
    bool local;            /* it has no file that must be fetched */
    uint32_t index;        /* among those there are; its bit at each node (held.h) */
    struct mf_vec holders; /* nodes that have all of its files; in no order */
    struct mf_alarm retry;
    struct mf_uuid canary; /* the one that tries on */
    bool canary_due;
    struct mf_failures *failures;
};
struct mf_held { /* a file in a node's cache, or on its way there; not durable (held.c) */
    struct mf_digest sha256;
    enum mf_image_progress state;
    uint64_t bytes, size;
    char *reason; /* of a failure */
};
struct mf_offering {
    struct mf_rec_offering rec;
    struct mf_amounts wants; /* the same as placement counts it */
};

struct mf_slot {
    struct mf_group *group;
    uint32_t index;
    uint32_t failures;   /* births failed, or quick deaths, in a row */
    uint64_t generation; /* highest ever given */
    struct mf_instance *current, *newest;
    uint64_t cause;          /* what its next birth answers to */
    struct mf_uuid replaces; /* what its next birth replaces */
    mf_ms not_before_ms;     /* wall clock; no birth before it */
    /* not durable */
    mf_ms leased_until; /* at-most: a generation of it on a node that was forgotten may run until then */
    struct mf_rare_alarm *birth; /* it waits after a failure */
    struct mf_slot *next_vacant;
    uint32_t failed_on; /* serial of the node that the newest of its failures is charged to */
    uint8_t born;       /* durable; enum mf_birth_reason: why its next birth comes */
    bool in_vacant;
};

enum { MF_WATCH_ADDRESS = 46 };
struct mf_word {      /* what a monitor says of a guest that fails its checks */
    uint32_t monitor; /* its id */
    bool held;        /* it rather cannot see */
};
struct mf_watch { /* a guest with an address, which monitors may look at; not durable (watches.c) */
    struct mf_instance *inst; /* NULL: it is gone */
    struct mf_uuid id;
    struct mf_watch *prev, *next, *next_changed;
    uint64_t epoch; /* of its node, in which the address was told */
    struct mf_word *words;
    uint32_t n_words;
    char address[MF_WATCH_ADDRESS];
    bool told;  /* monitors look at it */
    bool moved; /* the address is another than they know */
    bool in_changed;
};
struct mf_watches {
    struct mf_watch *first, *changed;
    size_t n_told, n_failing, n_held; /* n_held: words; n_failing: guests that any word is about */
    uint64_t held_seq;                /* the row that told of held words; 0: none are */
    mf_ms paid;                       /* what ended for failed checks is paid until then */
};

struct mf_group_tally { /* how many of a group, or of those it must not be near, are where */
    uint32_t key;       /* by which label (mf_pool_key); 0: by host */
    struct mf_tally *tally;
};
struct mf_group_tallies {
    struct mf_group_tally *items;
    uint32_t n;
};
struct mf_foe { /* a group none of whose instances may be near, and the other way round */
    struct mf_group *group;
    uint32_t key; /* in one domain of this label; 0: on one host */
};

struct mf_group {
    struct mf_uuid id;
    struct mf_str tenant, name, network;
    enum mf_group_state state;
    uint32_t desired, min;
    uint32_t spares; /* slots from desired on, whose instances wait to take another's place */
    struct mf_rec_guest_health health;
    const struct mf_image *image;
    const struct mf_offering *offering;
    enum mf_policy policy;
    enum mf_spread spread;
    enum mf_fit fit;
    struct mf_labels labels, require;
    struct mf_rec_rules rules;
    struct mf_digest user_data;
    mf_ms created_ms;
    uint64_t ending_seq;
    struct mf_slot **slots; /* never shrinks: a slot's memory of generations is the group's */
    uint32_t n_slots;
    /* counted by the fold */
    uint32_t living, running, retiring, pending, tombstones; /* running: below desired */
    uint32_t ready, spares_running; /* of running, those that are well; beyond desired, those that are */
    uint64_t last_gone;             /* row of its last instance's end */
    struct mf_instance *pending_first, *pending_last;
    struct mf_group *needy_prev, *needy_next; /* of those with pending instances */
    struct mf_group *next_doomed;
    bool in_doomed;
    uint64_t stuck;                  /* the room version at which no node took one of its instances */
    uint32_t shape;                  /* what its instances have in common for placement */
    struct mf_group_tallies tallies; /* of its own, by what anybody asked for */
    struct mf_group_tallies foreign; /* of its foes' */
    struct mf_foe *foes;
    uint32_t n_foes;
    uint32_t level;         /* of headroom: its number + 1; 0: not asked for yet */
    uint32_t replacement;   /* shape of what may use what headroom keeps free; 0: not asked for yet */
    struct mf_slot *moving; /* at-most: the one slot of it that a drain may have ended, until it runs again */
};

struct mf_instance {
    struct mf_uuid id, replaces;
    struct mf_slot *slot;
    struct mf_node *node;
    struct mf_instance *older, *newer; /* of its slot */
    struct mf_instance *prev, *next;   /* of its node; of its group's pending ones while it has no node */
    uint64_t generation, epoch, order_id, cause, last_seq;
    mf_ms created_ms, running_ms, ready_ms;
    char *reason;
    uint32_t grace_ms;
    uint8_t state; /* enum mf_instance_state */
    uint8_t born;  /* enum mf_birth_reason */
    uint8_t cells; /* NUMA cells of its node, a bit for each; 0: none were chosen */
    bool current;
    bool told; /* instance.pending was said in this wait */
    /* not durable */
    uint8_t listed;             /* during a hello: enum mf_guest_state */
    uint8_t tries;              /* destroys that failed in a row */
    bool evidence;              /* the end of its serial output is wanted when it is ended */
    uint32_t promise;           /* of a backup, in headroom (protection.h); 0: none is due to it */
    struct mf_rare_alarm *boot; /* to be ready by then */
    struct mf_watch *watch;     /* NULL: no address was told */
    struct mf_order *order;
};

enum mf_order_list { MF_LIST_NONE, MF_LIST_CREATES, MF_LIST_DESTROYS, MF_LIST_SENT };
struct mf_order { /* not durable */
    struct mf_alarm alarm;
    struct mf_instance *instance;
    struct mf_order *prev, *next;
    enum mf_order_state state;
    enum mf_order_list list;
    enum mf_operation operation;
    mf_ms deadline, wait;
    bool again;    /* to be sent again */
    char why[200]; /* of a destroy that failed */
};
struct mf_orders {
    struct mf_order *first, *last;
};

struct mf_claim {                /* "group/slot#generation" or "tenant/group/slot#generation" */
    char group[MF_NAME_MAX + 1]; /* empty: none */
    uint32_t slot;
    uint64_t generation;
};
struct mf_stranger { /* a domain on a node that nobody knows */
    struct mf_uuid id;
    struct mf_node *node;
    struct mf_str name;
    enum mf_guest_state state;
    uint64_t order_id; /* of its destroy; 0: none */
    struct mf_stranger *prev, *next;
    struct mf_claim claim; /* what its name says it is of */
    /* not durable */
    struct mf_stranger *next_claim; /* of the same slot */
    struct mf_alarm alarm;          /* of its destroy */
    mf_ms deadline, wait;
    uint32_t tries;
    bool acked, retry, listed;
};

/* Births that failed lately, of one group on one node; not durable (blame.c). */
struct mf_failure {
    struct mf_node *node;
    struct mf_uuid group_id;
    const struct mf_image *image;
    mf_ms at;
    uint32_t births;
    bool quick;     /* it ran, and died at once */
    bool elsewhere; /* its image had failed on another node before */
};
enum { MF_FAILURES_MAX = 8 };
struct mf_failures { /* with which a node, or an image, is reproached */
    struct mf_failure items[MF_FAILURES_MAX];
    uint32_t n;
    struct mf_uuid born; /* one that ran since; if it lives long enough, it speaks for the accused */
    mf_ms born_at;
};

struct mf_vote {             /* what a monitor that does not hear a node's present epoch says of it */
    uint32_t monitor;        /* its id */
    enum mf_verdict verdict; /* suspect or failed */
    enum mf_evidence evidence;
    uint64_t silent_ms, closed_ms, agent_dead_ms, asked, echoes;
};
struct mf_doubts { /* about one node's present epoch; not durable (votes.c) */
    struct mf_vote *votes;
    uint32_t n;
    struct mf_alarm alarm; /* what the broker hears itself contradicts a verdict until then */
    bool contradicted;     /* it was told that it does */
    mf_ms asked_at;        /* when its agent was asked last whether it lives */
};
struct mf_domain { /* nodes that are likely to fail together: those of one rack */
    char value[64];
    uint32_t n_nodes, n_out;
};
enum mf_out_list { MF_OUT_COUNTED, MF_OUT_HELD, MF_OUT_LISTS };

struct mf_out_link {
    struct mf_node *prev, *next;
};

struct mf_out_ends {
    struct mf_node *first, *last;
};

struct mf_outage {      /* one node's part in the breaker's count; not durable (breaker.c) */
    bool counted, held; /* it failed lately; a verdict of failure is held */
    bool told;          /* that it is held */
    mf_ms counted_at;
    struct mf_out_link links[MF_OUT_LISTS];
    struct mf_domain *domain;
};
struct mf_breaker {       /* not durable */
    size_t n_out, n_held; /* out: counted or held */
    struct mf_out_ends counted, held;
    struct mf_map *domains;
    struct mf_alarm alarm; /* when the first counted node may count no more */
    bool look;             /* something that was held may be let go */
    struct mf_alarm calm;  /* when it has fitted for long enough */
    bool calmed;
    bool gathering; /* after a grace: while frozen, all that is judged is held, and counted together */
};

struct mf_node {
    struct mf_str name;
    enum mf_node_state state;
    uint64_t epoch, last_seq;
    struct mf_str machine_id, boot_id, class, driver, probe_address;
    mf_ms started_ms;
    struct mf_rec_resources capacity;
    struct mf_rec_cell *cells;
    uint32_t n_cells, cpu_ratio_percent;
    struct mf_labels labels;
    bool guests_die_with_me;
    bool fences;   /* its keeper ends at-most guests when their lease is over */
    bool draining; /* its instances are being reborn elsewhere */
    struct mf_node *next_draining;
    bool leaving;                /* its worker asked for that, or it is done: until its next hello */
    bool ended;                  /* it failed by ending in order */
    bool recovered_told;         /* node.recovered was said of the failed epoch */
    mf_ms failed_ms;             /* wall clock: its newest failure */
    bool cordoned;               /* an operator keeps births away */
    uint32_t quarantines, flaps; /* in a row; failures lately */
    mf_ms quarantined_until, delayed_until; /* wall clock; 0: not */
    struct mf_stranger *strangers, *last_stranger;
    /* counted by the fold */
    uint64_t digest; /* of what it should run (ids.h, mf_guest_digest) */
    uint32_t n_strangers, n_purging;
    uint32_t number;               /* in the pool */
    uint32_t n_instances, must_go; /* must_go: tombstones and destroys */
    uint32_t n_births;             /* of its instances, those that do not run yet */
    uint32_t n_at_most;            /* of its instances, those of at-most groups */
    struct mf_instance *first, *last;
    bool shrunk;             /* it came back with less room than its instances claim */
    uint8_t closed, penalty; /* as the pool was told */
    /* not durable */
    uint32_t serial;   /* never given twice */
    uint64_t peer;     /* its session; 0 without */
    mf_ms lease_until; /* the longest lease granted to it in this reign, whatever the epoch */
    uint64_t welcomed; /* the connection that was given the present epoch, also when that has failed since */
    bool asks_left;    /* its worker waits until it is drained */
    mf_ms back_by;     /* its worker said that it ends, that its guests live on, and that it comes back */
    struct mf_orders creates, destroys, sent;
    uint32_t in_flight, again;
    bool in_sendable, in_changed, matching;
    struct mf_node *next_sendable, *next_changed;
    struct mf_alarm look;              /* at strangers */
    struct mf_alarm quarantine, delay; /* their ends */
    uint64_t ask_id;                   /* of the inventory that was asked for; 0: none */
    bool digests;                      /* its worker tells them */
    bool ask_drift;                    /* because they differ */
    uint32_t drifting, drift_limit;    /* alives in a row that differ; so many make it ask */
    mf_ms capacity_paid;
    struct mf_failures *failures;
    struct mf_node *next_accused;
    bool in_accused;
    mf_ms heard_at; /* when its session last said something */
    struct mf_doubts doubts;
    struct mf_outage outage;
    struct mf_held *held; /* what its image cache holds, by digest */
    uint32_t n_held, cap_held;
    uint64_t holds[MF_IMAGES_MAX / 64 + 1]; /* a bit for each image whose files it has */
    mf_ms images_paid;                      /* as hello_paid: rows that tell of its cache */
    mf_ms hello_paid;                       /* its hellos are paced: their cost is paid until then */
    uint64_t
        refused_hash; /* the last refusal that was logged, so that a stubborn worker can't fill the log */
};

struct mf_request {
    struct mf_request *next;
    uint64_t seq;
    mf_ms time_ms;
    struct mf_str key, request_id;
    struct mf_digest body;
    struct mf_uuid group_id, id;
    uint32_t count;
    struct mf_str code, text; /* code empty: accepted */
};

struct mf_monitor {
    char name[MF_NAME_MAX + 1];
    bool told_heard; /* durable: monitor.heard is newer than monitor.lost */
    bool suspended;  /* durable: it doubts its own hearing */
    /* not durable */
    uint32_t id; /* never given twice: a vote names it */
    uint64_t peer;
    char address[101];
    mf_ms heard_at;
    bool heard;
    uint64_t nodes_heard, nodes_known;
    struct mf_alarm alarm;
};

struct mf_stream {
    struct mf_stream *next;
    uint64_t peer, id, cursor;
    uint64_t credit;
    char type[64], subject[MF_SUBJECT_MAX];
    bool first;      /* nothing was sent yet */
    bool oldest;     /* was asked from the oldest on */
    bool in_flight;  /* a read is out */
    bool ended;      /* kept until its read is back */
    uint32_t ignore; /* reads of an older stream of this number that are still out */
};

struct mf_log_ask {
    struct mf_alarm alarm;
    struct mf_log_ask *next;
    uint64_t id, peer;
    struct mf_uuid instance;
    const struct mf_node *node;
    char request_id[65];
};

struct mf_admitted { /* one that asks for headroom: where it may be, and its backup (admission.c) */
    struct mf_place place, backup;
};
struct mf_admission { /* not durable */
    const struct mf_group *group;
    struct mf_admitted *items;
    uint32_t n, next;
};

struct mf_out { /* a message that waits for its rows */
    struct mf_out *next;
    uint64_t peer, need_seq;
    enum mf_kind kind;
    uint32_t len;
    char bytes[];
};
struct mf_out_row {
    struct mf_out_row *next;
    struct mf_broker_row row; /* strings point into bytes */
    char bytes[];
};
struct mf_out_queue {
    struct mf_out *first, *last;
    size_t n;
};

struct mf_broker {
    unsigned magic;
    struct mf_broker_config config;
    struct mf_random random;
    /* durable */
    struct mf_uuid cluster_id, log_id;
    uint64_t term, seq, epoch; /* epoch: the highest granted */
    mf_ms lease_max;           /* the longest lease that any reign so far may have granted */
    bool restored;             /* not in snapshots: the rows since the newest one began another history */
    struct mf_map *groups_by_id, *instances, *requests;
    struct mf_vec groups;                   /* by name, then id */
    struct mf_vec nodes, images, offerings; /* by name */
    size_t images_bytes;
    struct mf_request *request_first, *request_last;
    size_t n_requests;
    struct mf_monitor monitors[MF_MONITORS_MAX];
    size_t n_monitors;
    struct mf_str frozen_by, frozen_reason; /* empty: not frozen */
    uint64_t frozen_seq;
    struct mf_str headroom; /* level that is kept for every group that names none; empty: none */
    bool headroom_degraded; /* it was told, and not yet that it is restored */
    /* counted by the fold */
    size_t count[MF_ENUM_COUNT_instance_state];
    struct mf_group *needy;
    size_t n_needy;
    struct mf_group *doomed; /* ending and empty */
    struct mf_slot *vacant;  /* perhaps to be filled */
    struct mf_slot *vacant_last;
    struct mf_map *strangers;
    size_t n_strangers;
    struct mf_map *claims; /* "group/slot" -> the first of the strangers that keep it from being born */
    size_t images_halted, quarantined;
    uint64_t image_indexes[MF_IMAGES_MAX / 64 + 1]; /* those that are given */
    struct mf_node *draining;
    uint64_t room; /* version: rises whenever room may have appeared */
    struct mf_pool *pool;
    struct mf_node **by_number; /* of the pool */
    size_t n_by_number;
    uint64_t total[MF_DIMENSIONS]; /* of all nodes' capacities */
    struct mf_vec aloof;           /* groups that name others to be apart from */
    struct mf_vec clinging;        /* groups that name others to be with */
    /* not durable */
    mf_ms now, wall_ms, started;
    bool reigning, full;
    uint64_t committed, oldest, snapshot_seq, next_ask;
    bool snapshot_asked, snapshot_out;
    uint32_t next_monitor, next_serial;
    mf_ms grace_until; /* no verdict takes effect before */
    struct mf_alarm beat, grace;
    struct mf_breaker breaker;
    struct mf_watches watches;
    struct mf_heap alarms;
    struct mf_out_row *rows, *rows_last, *rows_handed;
    struct mf_out_queue behind, at_once; /* what waits for rows, and what does not */
    struct mf_out *handed;
    uint64_t *closes; /* connections to drop */
    size_t n_closes, cap_closes;
    struct mf_arena arena; /* of what poll handed out */
    struct mf_node *sendable, *sendable_last, *uncommitted, *changed;
    struct mf_stream *streams;
    struct mf_log_ask *asks;
    size_t n_asks;
    struct mf_alarm place, lease;
    struct mf_headroom *backups; /* NULL: nobody asks for headroom */
    struct mf_alarm protect;
    struct mf_admission admission;
    bool desperate;          /* in the last pass some that were lost found neither room nor a backup */
    bool last_resort;        /* and may have what is kept for others: nobody lost waits for his own */
    mf_ms protect_again;     /* those without a backup look for one again, but not before */
    uint64_t drifts;         /* that were healed in this reign */
    mf_ms leases_before;     /* until then leases of earlier reigns may last */
    uint64_t drained_seq;    /* the newest row when draining nodes were last looked at */
    uint64_t placed_room;    /* the room version the last pass saw */
    mf_ms place_at;          /* when the last pass was */
    bool newborn;            /* an instance was born since the last pass */
    struct mf_node *accused; /* nodes that births failed on (blame.c) */
    uint64_t refused[16];    /* refusals of unknown names, as in a node's refused_hash */
    unsigned refused_next;
    mf_ms refused_paid; /* rows of refused workers are paced: their cost is paid until then */
};

/* -- small tools (state.c) */
void mf_alarm_set(struct mf_broker *b, struct mf_rare_alarm **at, enum mf_alarm_kind kind, void *owner,
                  mf_ms when);
void mf_alarm_unset(struct mf_broker *b, struct mf_rare_alarm **at); /* fine if not set */
struct mf_str mf_own_str(struct mf_str s); /* a copy, zero-terminated; ptr NULL when empty */
void mf_free_str(struct mf_str *s);
struct mf_labels mf_own_labels(struct mf_labels labels);
void mf_free_labels(struct mf_labels *labels);
bool mf_labels_eq(struct mf_labels a, struct mf_labels b); /* as maps */
struct mf_rec_guest_health mf_own_health(struct mf_rec_guest_health health);
void mf_free_health(struct mf_rec_guest_health *health);
bool mf_health_eq(struct mf_rec_guest_health a, struct mf_rec_guest_health c);
int mf_str_cmp(struct mf_str a, struct mf_str b);
void *mf_calloc(size_t size); /* zeroed; aborts when memory is exhausted */
void mf_vec_insert(struct mf_vec *vec, size_t at, void *item);
void mf_vec_remove(struct mf_vec *vec, void *item);

struct mf_node *mf_node_find(const struct mf_broker *b, struct mf_str name);
struct mf_image *mf_image_find(const struct mf_broker *b, struct mf_str name);
struct mf_offering *mf_offering_find(const struct mf_broker *b, struct mf_str name);
struct mf_group *mf_group_find(const struct mf_broker *b, struct mf_uuid id);
struct mf_group *mf_group_active(const struct mf_broker *b,
                                 struct mf_str name); /* NULL if none is active under this name */
size_t mf_groups_from(const struct mf_broker *b, struct mf_str name,
                      struct mf_uuid id); /* index of the first group >= (name, id) */
struct mf_instance *mf_instance_find(const struct mf_broker *b, struct mf_uuid id);
size_t
mf_named_from(const struct mf_broker *b, const struct mf_vec *vec,
              struct mf_str name); /* index of the first named >= name, in nodes, images or offerings */

static inline struct mf_group *mf_group_of(const struct mf_instance *inst)
{
    return inst->slot->group;
}
static inline bool mf_instance_runs(const struct mf_instance *inst) /* as its node last said */
{
    return inst->state == MF_INSTANCE_STATE_RUNNING || inst->state == MF_INSTANCE_STATE_RETIRING;
}
static inline uint32_t mf_group_slots(const struct mf_group *group) /* that are kept filled */
{
    return group->desired + group->spares;
}
static inline bool mf_group_waits_ready(const struct mf_group *group) /* its guests say that they are well */
{
    return group->health.ready == MF_READINESS_PORT || group->health.ready == MF_READINESS_AGENT;
}
static inline bool
mf_instance_well(const struct mf_instance *inst) /* it runs, and nothing more is waited for */
{
    return inst->state == MF_INSTANCE_STATE_RUNNING &&
           (inst->ready_ms || !mf_group_waits_ready(inst->slot->group));
}
struct mf_death_told { /* what its worker, or a rule, says of an end */
    enum mf_death how;
    struct mf_str text;
    struct mf_str console; /* the end of its serial output */
};
static inline bool mf_death_of_node(enum mf_death how) /* its node's doing: no blame on the slot */
{
    return how == MF_DEATH_ABSENT || how == MF_DEATH_HOST_REBOOT || how == MF_DEATH_FENCED ||
           how == MF_DEATH_NODE_ENDED;
}
static inline bool mf_node_up(const struct mf_node *node) /* its session is there */
{
    return node->peer != 0;
}
/* Views of the subjects of rows, written into text. */
struct mf_str mf_subject_instance(const struct mf_instance *inst, char text[MF_SUBJECT_MAX]);
struct mf_str mf_subject_group(const struct mf_group *group, char text[MF_SUBJECT_MAX]);
struct mf_str mf_subject_named(const char *kind, struct mf_str name, char text[MF_SUBJECT_MAX]);
/* Is field `name` of *what present (its bit in `has`)? For optional fields whose zero means something. */
bool mf_has(const struct mf_desc *desc, const void *what, const char *name);
#define MF_STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

#endif
