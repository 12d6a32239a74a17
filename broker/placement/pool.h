/* pool.h - all nodes as placement sees them, and the choice of one.
 *
 * A decision is exact: of all nodes that may host the instance it takes one with the best rank, by chance
 * among equals. What makes it cheap: instances that are alike share a *shape*, and each shape in use has a
 * *view*: every node that fits it, in buckets by rank. A change of a node is noted once; a view catches up
 * with the notes when it is asked the next time, and looks at each changed node once, however often it
 * changed in between; a node that a view can never hold (class, labels, fencing) costs it nothing. What
 * differs from group to group (spread, who must not be near whom) are *rules* over *tallies* of instances by
 * domain; they are sparse, and looked at while walking the view from its best bucket on.
 *
 * Nothing here knows a clock, a socket or a file. Randomness comes from the caller. Not thread-safe.
 */
#ifndef MF_POOL_H
#define MF_POOL_H

#include "amounts.h"
#include "ids.h"
#include "message.h"
#include "policy.h"

enum {
    MF_POOL_NODES_MAX = 262144, /* refused beyond; an index of a node has 18 bits in some keys */
    MF_SHAPE_WORDS_MAX = 16,    /* labels required, forbidden, preferred: of each */
    MF_VIEWS_MAX = 64,          /* kept; the least lately asked one is built anew when its turn comes */
    MF_RULES_MAX = 24,
    MF_PREFERENCES_MAX = 4, /* rules of an ask that are MF_RULE_FEW or MF_RULE_MANY */
    MF_SHUNNED_MAX = 64
};

struct mf_pool;

/* policy: how nodes that fit are ranked when a shape does not say otherwise. */
struct mf_pool *mf_pool_new(const struct mf_place_policy *policy);
void mf_pool_destroy(struct mf_pool **self);

/* ------------------------------------------------------------------ words
 * Class names, label keys and key=value pairs are numbers here, from 1 on; 0 is none. Never forgotten:
 * whoever adds them for others asks first whether there is place for one more. */

enum { MF_POOL_CLASSES_MAX = 4096, MF_POOL_KEYS_MAX = 1024, MF_POOL_LABELS_MAX = 4 * MF_POOL_NODES_MAX };
bool mf_pool_takes_class(const struct mf_pool *self, struct mf_str name); /* it is known, or may be */
bool mf_pool_takes_key(const struct mf_pool *self, struct mf_str key);
bool mf_pool_takes_label(const struct mf_pool *self, struct mf_str key, struct mf_str value);
uint32_t mf_pool_class(struct mf_pool *self, struct mf_str name);
uint32_t mf_pool_key(struct mf_pool *self, struct mf_str key);
uint32_t mf_pool_label(struct mf_pool *self, struct mf_str key, struct mf_str value);

/* ------------------------------------------------------------------ nodes */

struct mf_pool_node { /* what is so of a node, whoever sits on it */
    struct mf_amounts capacity;
    const struct mf_cell *cells; /* of each: its capacity; the sum need not be the node's */
    uint32_t n_cells;            /* 0: memory and CPUs are one cell; at most MF_CELLS_MAX */
    uint32_t class;
    const uint32_t *labels; /* words of mf_pool_label */
    uint32_t n_labels;
    uint32_t instances_max;
    bool fences;     /* at-most instances may sit here */
    bool shares;     /* several vcpus share a CPU: pinned instances may not */
    uint8_t penalty; /* 0..255: how much worse than an equal: flaky, or births under way beyond its lanes */
    uint8_t closed;  /* not 0: no births; the caller's reason, given back by explain */
};

/* The node's number, dense, reused after mf_pool_remove. A new node has nothing on it. */
uint32_t mf_pool_add(struct mf_pool *self, const struct mf_pool_node *node);
/* All of it anew, what sits on it stays. It may sit on less than it needs (a node that shrank): then it is
 * full. */
void mf_pool_update(struct mf_pool *self, uint32_t node, const struct mf_pool_node *now);
void mf_pool_close(struct mf_pool *self, uint32_t node, uint8_t why); /* the cheap update: closed alone */
void mf_pool_penalise(struct mf_pool *self, uint32_t node, uint8_t penalty);
void mf_pool_remove(struct mf_pool *self, uint32_t node); /* with whatever sits on it */
/* It began or ceased to hold what the shapes of this image need. */
void mf_pool_warm(struct mf_pool *self, uint32_t node, uint32_t image, bool warm);
void mf_pool_image_forgotten(struct mf_pool *self, uint32_t image); /* its number may be given to another */

/* ------------------------------------------------------------------ shapes */

struct mf_shape { /* all that instances must have in common to be alike; zero it before filling it in */
    struct mf_amounts wants;
    uint32_t class;
    uint32_t require[MF_SHAPE_WORDS_MAX]; /* label words, each of them; ends at 0 or at the end */
    uint32_t forbid[MF_SHAPE_WORDS_MAX];  /* none of them */
    uint32_t prefer[MF_SHAPE_WORDS_MAX];  /* the more the better, up to 3 */
    uint32_t image;                       /* from 1 on: nodes that hold it are better; 0: nothing to fetch */
    uint32_t split_above_mib; /* memory above which it is split evenly over the cells of its node; 0: when a
                                 cell of the node, empty, could not hold it */
    uint8_t policy;           /* enum mf_policy_name; 0: the pool's */
    bool fences;              /* only nodes that fence */
    bool pinned;              /* whole CPUs: only nodes that share none */
    bool reserve;             /* it may use what headroom keeps free: a replacement */
};

/* The number of an equal shape, from 1 on, that stays valid until as many mf_pool_shape_drop. */
uint32_t mf_pool_shape(struct mf_pool *self, const struct mf_shape *shape);
void mf_pool_shape_drop(struct mf_pool *self, uint32_t shape);

/* ------------------------------------------------------------------ taking and giving back */

struct mf_place {
    uint32_t node;
    uint8_t cells; /* a bit for each cell it sits in, evenly; 0 on a node without cells */
};
/* Also where it does not fit: then the node is over-full until enough was given back (adopted guests, a node
 * that shrank). Whether it fits is mf_pool_choose's to say. */
void mf_pool_take(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants);
void mf_pool_give(struct mf_pool *self, struct mf_place place, const struct mf_amounts *wants);
/* What headroom keeps free there for others' failures (headroom.h); shapes without `reserve` pass it by.
 * cells: of each cell of the node, or NULL; before a node gets another number of cells it has to be taken
 * back. */
void mf_pool_reserve(struct mf_pool *self, uint32_t node, const struct mf_amounts *amounts,
                     const struct mf_cell *cells, bool more);

/* ------------------------------------------------------------------ tallies: how many where */

struct mf_tally; /* of instances of a group, by host or by the value of a label; sparse */

/* Before a node's labels change, what is on it has to be counted out, and after it in. */
struct mf_tally *mf_tally_new(uint32_t key); /* of a label, mf_pool_key; 0: by host */
void mf_tally_destroy(struct mf_tally **self);
void mf_tally_count(struct mf_tally *self, const struct mf_pool *pool, uint32_t node, bool more);
uint32_t mf_tally_at(const struct mf_tally *self, const struct mf_pool *pool, uint32_t node);
uint64_t mf_tally_bytes(const struct mf_tally *self);

/* ------------------------------------------------------------------ the choice */

enum mf_rule_kind {
    MF_RULE_FEW,   /* better where there are fewer */
    MF_RULE_MANY,  /* better where there are more */
    MF_RULE_SKEW,  /* refused where there would then be more than `bound` above the domain with the fewest, of
                      those  with an open node of the shape's class and labels: a rack that is away holds
                      nobody  back */
    MF_RULE_MOST,  /* refused where there are `bound` or more */
    MF_RULE_APART, /* refused where there is any */
    MF_RULE_WITH   /* refused where there is none */
};
/* A node without the tally's label is in no domain: refused by SKEW and WITH, last for FEW and MANY, else
 * free. */
struct mf_rule {
    enum mf_rule_kind kind;
    const struct mf_tally *tally; /* NULL counts nothing anywhere */
    uint32_t bound;
    uint32_t key; /* of the tally, where that is NULL: a label's, or 0 for the host */
};

struct mf_ask {
    uint32_t shape;
    const struct mf_rule *rules; /* preferences: the first weighs most */
    uint32_t n_rules;
    const uint32_t *shunned; /* nodes that are the last resort */
    uint32_t n_shunned;
};

/* The rank of a node for an ask, best first: not shunned, then the preferring rules in their order, then more
 * of the preferred labels, then warm, then the policy's score less the penalty. */
struct mf_rank {
    uint64_t level;  /* shunned and rules; less is better */
    uint32_t bucket; /* labels, warmth, score; more is better */
};

/* False: no node. Exact: no node that may host it has a better rank. Of equals one is taken by chance: where
 * the search goes through a bucket, the first from a random place in it on; random NULL, or a policy that is
 * first-fit: the one with the lowest number, and then every node of the best bucket is looked at. */
bool mf_pool_choose(struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                    struct mf_place *ret_place, struct mf_rank *ret_rank);
/* The same by looking at every node, with no view: what the tests hold the choice against. */
bool mf_pool_choose_slowly(const struct mf_pool *self, const struct mf_ask *ask, struct mf_random *random,
                           struct mf_place *ret_place, struct mf_rank *ret_rank);
/* Is there any that fits the shape, rules aside? It costs nothing when nothing changed. */
bool mf_pool_any(struct mf_pool *self, uint32_t shape);

/* ------------------------------------------------------------------ why */

enum mf_refusal {
    MF_REFUSED_NOT,
    MF_REFUSED_CLOSED, /* `closed` says why */
    MF_REFUSED_CLASS,
    MF_REFUSED_LABELS,
    MF_REFUSED_FORBIDDEN,
    MF_REFUSED_FENCES,
    MF_REFUSED_SHARES, /* it is pinned, and CPUs are shared there */
    MF_REFUSED_FULL,   /* instances_max */
    MF_REFUSED_VCPUS,
    MF_REFUSED_MEMORY,
    MF_REFUSED_HUGEPAGES,
    MF_REFUSED_DISK,
    MF_REFUSED_DISK_RATE, /* iops or bytes/s */
    MF_REFUSED_NETWORK,
    MF_REFUSED_CELLS,    /* enough in all, in no cell */
    MF_REFUSED_HEADROOM, /* enough, were it not kept free for failures */
    MF_REFUSED_SKEW,
    MF_REFUSED_MOST,
    MF_REFUSED_APART,
    MF_REFUSED_WITH,
    MF_REFUSALS
};

struct mf_opinion { /* of one node, on an ask */
    enum mf_refusal refusal;
    struct mf_place place;
    struct mf_rank rank;
    uint32_t score, warm, preferred; /* parts of the rank */
};
struct mf_opinion mf_pool_explain(const struct mf_pool *self, const struct mf_ask *ask, uint32_t node);
/* Of every node, mf_pool_end() of them by number; MF_REFUSALS as the refusal of numbers that no node has.
 * Much cheaper than one by one where a rule is MF_RULE_SKEW. */
void mf_pool_explain_all(const struct mf_pool *self, const struct mf_ask *ask,
                         struct mf_opinion *ret_opinions);

/* How many more of the shape fit, node by node, each as if it were the only thing to come; bounded by max. */
uint64_t mf_pool_room(const struct mf_pool *self, uint32_t shape, uint64_t max);
uint64_t mf_pool_room_at(const struct mf_pool *self, uint32_t shape,
                         uint32_t node); /* of them, on this one */

/* ------------------------------------------------------------------ reading */

uint32_t mf_pool_end(const struct mf_pool *self); /* node numbers are below it; removed ones have no class */
bool mf_pool_holds(const struct mf_pool *self, uint32_t node);
struct mf_amounts mf_pool_used(const struct mf_pool *self, uint32_t node);
/* The same of each of its cells; of those it does not have: nothing. */
void mf_pool_used_cells(const struct mf_pool *self, uint32_t node, struct mf_cell ret_used[MF_CELLS_MAX]);
struct mf_amounts mf_pool_capacity(const struct mf_pool *self, uint32_t node);
uint32_t mf_pool_domain(const struct mf_pool *self, uint32_t node, uint32_t key); /* label word; 0: none */
uint64_t mf_pool_bytes(const struct mf_pool *self); /* memory it holds, views included */
void mf_pool_check(const struct mf_pool *self);     /* asserts what must be so of its insides */

#endif
