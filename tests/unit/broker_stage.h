/* broker_stage.h - a stage for the broker's core: a fake edge that commits at once or holds back, workers and
 * clients played by hand, and everything that happened as text. Virtual time; every step is followed by the
 * core's own check. */
#ifndef BROKER_STAGE_H
#define BROKER_STAGE_H

#include "broker.h"
#include "state.h"

enum { STAGE_NODES = 32, STAGE_CLIENT = 1, STAGE_MONITOR = 2, STAGE_SENT_MAX = 4096 };
enum { STAGE_GRACE = 2200 }; /* after a start no verdict takes effect for so long; stage_open lets it pass */

struct stage_row {
    struct mf_broker_row row;
    char *bytes;
};
struct stage_sent {
    uint64_t peer;
    struct mf_message message;
    struct mf_arena arena;
    struct mf_buf body;
};
struct stage_record {
    char id[32];
    struct mf_buf data;
};

struct stage {
    struct mf_broker *b;
    struct mf_broker_config config;
    mf_ms now;
    mf_ms fed;              /* when the core was last fed */
    bool started, late;     /* late: the edge does not keep the deadlines that lie behind `now` */
    bool hold;              /* rows are not committed until stage_commit */
    uint64_t drop;          /* hold: rows that were handed out but not committed yet */
    struct stage_row *rows; /* the store: committed or handed out */
    size_t n_rows;
    struct stage_sent *sent; /* what left, oldest first; stage_forget_sent empties it */
    size_t n_sent;
    uint64_t closed[64];
    size_t n_closed;
    struct mf_broker_action reads[64]; /* stream reads, newest last */
    char read_type[64], read_subject[256];
    size_t n_reads;
    size_t n_snapshots;
    uint64_t worker[STAGE_NODES]; /* the handle of each node's connection */
    uint64_t epoch[STAGE_NODES];  /* as it was last welcomed */
    uint64_t next_handle, next_report, next_request;
    struct mf_buf trace; /* rows and sends as text */
};

void stage_open(struct stage *s); /* a broker that has started, with image tiny and offering small (1 cpu, 100
                                     MiB, 1000 MiB) */
void stage_raw(struct stage *s);  /* a broker that has not started */
void stage_breaker(struct stage *s, uint32_t nodes); /* it is off on a stage until this is said */
void stage_close(struct stage *s);
void stage_restart(struct stage *s,
                   size_t keep_rows); /* a new broker on the first rows of the store; starts it */
void stage_feed(struct stage *s, struct mf_broker_event event);
void stage_commit(struct stage *s, uint64_t seq);
void stage_pass(struct stage *s, mf_ms ms); /* time passes, every deadline on the way is kept */

void stage_say(struct stage *s, uint64_t handle, enum mf_role role, const char *name,
               struct mf_message message);
void stage_client(struct stage *s, struct mf_message message);  /* operator ann */
void stage_monitor(struct stage *s, struct mf_message message); /* monitor health-0 */
uint64_t stage_monitor_handle(int monitor);
void stage_monitor_as(struct stage *s, int monitor, struct mf_message message); /* monitor health-<i> */
void stage_worker(struct stage *s, int node, struct mf_message message);
void stage_gone(struct stage *s, uint64_t handle);

/* Node i is "node-<i>" with 4 cpus, 1000 MiB, 10000 MiB. A new connection each time. */
void stage_hello(struct stage *s, int node, const struct mf_rec_guest *guests, uint32_t n);
struct mf_message stage_hello_message(int node);
void stage_hello_as(struct stage *s, int node, struct mf_message hello);
void stage_monitor_hello(struct stage *s);
/* On the evidence of a closed connection, which nothing that the broker heard before contradicts. */
void stage_verdict(struct stage *s, int node, enum mf_verdict verdict);
void stage_vote(struct stage *s, int monitor, int node, enum mf_verdict verdict, enum mf_evidence evidence);

void stage_provision(struct stage *s, const char *group, uint64_t count);
struct mf_message stage_provision_message(struct stage *s, const char *group, uint64_t count);
void stage_provision_at_most(struct stage *s, const char *group, uint64_t count);
void stage_ask_lease(struct stage *s, int node);
void stage_scale(struct stage *s, const char *group, uint64_t count);
void stage_destroy(struct stage *s, const char *target);

/* What left: the newest message of a kind to a peer (0: to anyone), NULL if none. */
const struct mf_message *stage_last(const struct stage *s, uint64_t peer, enum mf_kind kind);
size_t stage_count_sent(const struct stage *s, enum mf_kind kind);
void stage_forget_sent(struct stage *s);
void stage_answer(struct stage *s, int node, const struct mf_message *order, const char *code);
void stage_answer_all(
    struct stage *s); /* every order that is in `sent`, with ok; then again what that brings, to the end */
void stage_death(struct stage *s, int node, struct mf_uuid id); /* of a signal */
void stage_death_as(struct stage *s, int node, struct mf_uuid id, enum mf_death how, const char *text);
int stage_node_of(const struct stage *s, uint64_t handle); /* -1 if no node's present connection */

/* What is: */
struct mf_instance *stage_current(const struct stage *s, const char *group,
                                  uint32_t slot); /* NULL if the slot is vacant */
const struct stage_row *stage_row_of(const struct stage *s, enum mf_kind kind); /* newest of a kind; NULL */
size_t stage_count_rows(const struct stage *s, enum mf_kind kind);
size_t stage_count_state(const struct stage *s, enum mf_instance_state state);

/* The trace so far against tests/trace/<name>.trace; MAYFLY_TRACE_WRITE=1 writes it instead. */
void stage_golden(struct stage *s, const char *name);
struct mf_broker *stage_load(const struct stage *s, const struct stage_record *records, size_t n_records,
                             size_t from_row);

/* What lived, what replays its log, and what loads a snapshot of it hold the same. */
void stage_reloads(const struct stage *s);
/* An operator's word about the node or image of this name: node-cordon, -uncordon, -drain, -forget,
 * image-release. */
void stage_operator(struct stage *s, enum mf_kind kind, const char *name);

#endif
