/* state.h - what the brain holds. Two kinds of memory, kept apart in every struct: what is durable is changed
 * by the fold alone (fold.c), one log row at a time; the rest (sessions, orders in flight, timers, queues) is
 * made again after a restart. */
#ifndef MF_BROKER_STATE_H
#define MF_BROKER_STATE_H

#include "broker.h"
#include "heap.h"
#include "lives.h"
#include "map.h"

enum { MF_MONITORS_MAX = 16, MF_SLOTS_MAX = 10000, MF_QUICK_DEATH_MS = 10000, MF_SUBJECT_MAX = 256 };
/* Of one node: the hello that tells of them all must fit a message, however long their names, and its keeper
 * holds no more pidfds. */
enum { MF_NODE_INSTANCES_MAX = 4096 };
#define MF_TENANT "default"

enum mf_alarm_kind {
    MF_ALARM_ORDER,
    MF_ALARM_BIRTH,
    MF_ALARM_ASK,
    MF_ALARM_MONITOR,
    MF_ALARM_PLACE,
    MF_ALARM_LOOK
};
struct mf_alarm {
    struct mf_timer timer; /* first */
    enum mf_alarm_kind kind;
};

struct mf_vec { /* pointers, sorted by whoever inserts */
    void **items;
    size_t n, cap;
};

struct mf_image {
    struct mf_rec_image rec; /* strings owned */
};
struct mf_offering {
    struct mf_rec_offering rec;
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
    struct mf_alarm birth;
    struct mf_slot *next_vacant;
    bool in_vacant;
};

struct mf_group {
    struct mf_uuid id;
    struct mf_str tenant, name;
    enum mf_group_state state;
    uint32_t desired, min;
    const struct mf_image *image;
    const struct mf_offering *offering;
    enum mf_policy policy;
    enum mf_spread spread;
    enum mf_fit fit;
    struct mf_labels labels, require;
    struct mf_digest user_data;
    mf_ms created_ms;
    uint64_t ending_seq;
    struct mf_slot **slots; /* never shrinks: a slot's memory of generations is the group's */
    uint32_t n_slots;
    /* counted by the fold */
    uint32_t living, running, pending, tombstones;
    uint64_t last_gone; /* row of its last instance's end */
    struct mf_instance *pending_first, *pending_last;
    struct mf_group *needy_prev, *needy_next; /* of those with pending instances */
    struct mf_group *next_doomed;
    bool in_doomed;
    uint64_t stuck; /* the room version at which no node took one of its instances */
};

struct mf_instance {
    struct mf_uuid id, replaces;
    struct mf_slot *slot;
    struct mf_node *node;
    struct mf_instance *older, *newer; /* of its slot */
    struct mf_instance *prev, *next;   /* of its node; of its group's pending ones while it has no node */
    uint64_t generation, epoch, order_id, cause, last_seq;
    mf_ms created_ms, running_ms;
    char *reason;
    uint32_t grace_ms;
    uint8_t state; /* enum mf_instance_state */
    bool current;
    bool told; /* instance.pending was said in this wait */
    /* not durable */
    uint8_t listed; /* during a hello: enum mf_guest_state */
    uint8_t tries;  /* destroys that failed in a row */
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

struct mf_claim { /* a domain nobody knows, that says it is an instance of this slot */
    char group[MF_NAME_MAX + 1];
    uint32_t slot;
};

struct mf_node {
    struct mf_str name;
    enum mf_node_state state;
    uint64_t epoch, last_seq;
    struct mf_str machine_id, boot_id, class, driver, probe_address;
    mf_ms started_ms;
    struct mf_rec_resources capacity;
    struct mf_labels labels;
    bool guests_die_with_me;
    bool recovered_told; /* node.recovered was said of the failed epoch */
    /* counted by the fold */
    struct mf_rec_resources used;
    uint32_t n_instances, must_go; /* must_go: tombstones and destroys */
    struct mf_instance *first, *last;
    bool shrunk; /* it came back with less room than its instances claim */
    uint32_t index;
    /* not durable */
    uint64_t peer;     /* its session; 0 without */
    uint64_t welcomed; /* the connection that was given the present epoch, also when that has failed since */
    struct mf_orders creates, destroys, sent;
    uint32_t in_flight, again;
    bool in_sendable, in_changed, matching;
    struct mf_node *next_sendable, *next_changed;
    struct mf_claim *claims;
    size_t n_claims;
    struct mf_alarm look;
    mf_ms hello_paid;   /* its hellos are paced: their cost is paid until then */
    uint32_t n_unknown; /* domains of its last hello that nobody knows */
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
    /* not durable */
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

struct mf_ask {
    struct mf_alarm alarm;
    struct mf_ask *next;
    uint64_t id, peer;
    struct mf_uuid instance;
    const struct mf_node *node;
    char request_id[65];
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
    struct mf_map *groups_by_id, *instances, *requests;
    struct mf_vec groups;                   /* by name, then id */
    struct mf_vec nodes, images, offerings; /* by name */
    size_t images_bytes;
    struct mf_request *request_first, *request_last;
    size_t n_requests;
    struct mf_monitor monitors[MF_MONITORS_MAX];
    size_t n_monitors;
    /* counted by the fold */
    size_t count[MF_ENUM_COUNT_instance_state];
    struct mf_group *needy;
    size_t n_needy;
    struct mf_group *doomed; /* ending and empty */
    struct mf_slot *vacant;  /* perhaps to be filled */
    struct mf_slot *vacant_last;
    size_t n_claims; /* of all nodes */
    uint64_t room;   /* version: rises whenever room may have appeared */
    /* not durable */
    mf_ms now, wall_ms, started;
    bool reigning, full;
    uint64_t committed, oldest, snapshot_seq, next_ask;
    bool snapshot_asked, snapshot_out;
    struct mf_heap alarms;
    struct mf_out_row *rows, *rows_last, *rows_handed;
    struct mf_out_queue behind, at_once; /* what waits for rows, and what does not */
    struct mf_out *handed;
    uint64_t *closes; /* connections to drop */
    size_t n_closes, cap_closes;
    struct mf_arena arena; /* of what poll handed out */
    struct mf_node *sendable, *sendable_last, *uncommitted, *changed;
    struct mf_stream *streams;
    struct mf_ask *asks;
    size_t n_asks;
    struct mf_alarm place;
    uint64_t placed_room; /* the room version the last pass saw */
    mf_ms place_at;       /* when the last pass was */
    bool newborn;         /* an instance was born since the last pass */
    const struct mf_group
        *spread_group; /* whose instances on each node are counted in spread_counts, by node->index */
    uint32_t *spread_counts;
    size_t spread_cap;
    uint64_t refused[16]; /* refusals of unknown names, as in a node's refused_hash */
    unsigned refused_next;
    mf_ms refused_paid; /* rows of refused workers are paced: their cost is paid until then */
};

/* -- small tools (state.c) */
struct mf_str mf_own_str(struct mf_str s); /* a copy, zero-terminated; ptr NULL when empty */
void mf_free_str(struct mf_str *s);
struct mf_labels mf_own_labels(struct mf_labels labels);
void mf_free_labels(struct mf_labels *labels);
bool mf_labels_eq(struct mf_labels a, struct mf_labels b); /* as maps */
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
