/* steps.c - see steps.h. */
#include "steps.h"
#include "check.h"
#include "files.h"
#include "nodes.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ADD_MAX = 100000, RATIO_MAX = 10000, LABELS_MAX = 64, VCPUS_MAX = 1000000 };

struct nodes {
    struct mf_node **items;
    size_t n;
};

/* Up to one of the stops; *at stands on it then. */
static struct mf_str cut(const char **at, const char *stops)
{
    struct mf_str piece = {*at, (uint32_t)strcspn(*at, stops)};

    *at += piece.len;
    return piece;
}

static bool number_of(struct mf_str text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || value > max)
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_value = value;
    return text.len && value && value <= max;
}

/* ------------------------------------------------------------------ nodes by name, by label */

static int name_nodes(struct mf_rehearsal *self, const char *names, struct nodes *ret_nodes, char error[512])
{
    struct nodes nodes = {.items = mf_arena_alloc(&self->arena, (strlen(names) + 1) * sizeof(*nodes.items))};

    for (const char *at = names;; at++) {
        struct mf_str name = cut(&at, ",");
        struct mf_node *node = mf_node_find(self->b, name);
        if (!node)
            return mf_fail(error, -EINVAL, "there is no node \"%.*s\" in the copy", MF_STR_ARG(name));
        for (size_t i = 0; i < nodes.n; i++)
            if (nodes.items[i] == node)
                return mf_fail(error, -EINVAL, "node %.*s is named twice", MF_STR_ARG(name));
        nodes.items[nodes.n++] = node;
        if (!*at)
            break;
    }
    *ret_nodes = nodes;
    return 0;
}

static struct mf_str label_of(const struct mf_node *node, struct mf_str key)
{
    for (uint32_t i = 0; i < node->labels.n; i++)
        if (mf_str_eq(node->labels.items[i].key, key))
            return node->labels.items[i].value;
    return (struct mf_str){NULL, 0};
}

/* A few of the values there are, for whoever mistyped one. */
static int no_such(const struct mf_rehearsal *self, struct mf_str key, struct mf_str value, char error[512])
{
    struct mf_map *seen = mf_map_new();
    char known[256] = "";
    size_t at = 0;

    for (size_t i = 0; i < self->b->nodes.n && at < 200; i++) {
        struct mf_str has = label_of(self->b->nodes.items[i], key);
        if (has.ptr && !mf_map_put_str(seen, has, known))
            at +=
                mf_str_format(known + at, sizeof(known) - at, "%s%.*s", at ? ", " : "", MF_STR_ARG(has)).len;
    }
    mf_map_destroy(&seen);
    if (!at)
        return mf_fail(error, -EINVAL, "no node in the copy has a label %.*s", MF_STR_ARG(key));
    return mf_fail(error, -EINVAL, "no node in the copy has %.*s=%.*s; there are %s", MF_STR_ARG(key),
                   MF_STR_ARG(value), known);
}

static int label_nodes(struct mf_rehearsal *self, const char *label, struct nodes *ret_nodes, char error[512])
{
    struct nodes nodes = {.items =
                              mf_arena_alloc(&self->arena, (self->b->nodes.n + 1) * sizeof(*nodes.items))};
    const char *at = label;
    struct mf_str key = cut(&at, "="), value;

    if (!*at || !key.len)
        return mf_fail(error, -EINVAL, "\"%.100s\": write it as LABEL=VALUE, as in rack=r1", label);
    value = mf_str(at + 1);
    for (size_t i = 0; i < self->b->nodes.n; i++)
        if (mf_str_eq(label_of(self->b->nodes.items[i], key), value))
            nodes.items[nodes.n++] = self->b->nodes.items[i];
    *ret_nodes = nodes;
    return nodes.n ? 0 : no_such(self, key, value, error);
}

/* ------------------------------------------------------------------ fewer nodes */

static int drain(struct mf_rehearsal *self, struct nodes nodes, char error[512])
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < nodes.n; i++) { /* births of one must not come to the next */
        struct mf_message cordon = {.kind = MF_MSG_NODE_CORDON,
                                    .node_cordon = {.node = nodes.items[i]->name}};
        r = mf_rehearsal_ask(self, cordon, error);
    }
    for (size_t i = 0; r == 0 && i < nodes.n; i++) {
        struct mf_message begin = {.kind = MF_MSG_NODE_DRAIN, .node_drain = {.node = nodes.items[i]->name}};
        r = mf_rehearsal_ask(self, begin, error);
    }
    if (r == 0)
        mf_rehearsal_settle(self);
    return r;
}

int mf_step_drain(struct mf_rehearsal *self, const char *names, char error[512])
{
    struct nodes nodes;
    int r = name_nodes(self, names, &nodes, error);

    return r < 0 ? r : drain(self, nodes, error);
}

/* A node is freed when it is forgotten, and so is its name. */
static int forget(struct mf_rehearsal *self, const struct mf_node *node, char error[512])
{
    struct mf_message forget = {.kind = MF_MSG_NODE_FORGET,
                                .node_forget = {.node = mf_str(mf_rehearsal_name(self, node->name))}};

    return mf_rehearsal_ask(self, forget, error);
}

int mf_step_remove(struct mf_rehearsal *self, const char *names, char error[512])
{
    struct nodes nodes;
    int r = name_nodes(self, names, &nodes, error);

    if (r == 0)
        r = drain(self, nodes, error);
    if (r < 0)
        return r;
    mf_rehearsal_skip_idle(self);
    mf_rehearsal_hang_up(self, nodes.items, nodes.n);
    for (size_t i = 0; r == 0 && i < nodes.n; i++)
        r = forget(self, nodes.items[i], error);
    mf_rehearsal_settle(self);
    return r;
}

static int lose(struct mf_rehearsal *self, struct nodes nodes, char error[512])
{
    size_t n = 0;

    for (size_t i = 0; i < nodes.n; i++)
        if (nodes.items[i]->state != MF_NODE_STATE_FAILED)
            nodes.items[n++] = nodes.items[i];
    if (!n)
        return mf_fail(error, -EINVAL, "all of them had failed already");
    mf_rehearsal_lose(self, nodes.items, n);
    mf_rehearsal_settle(self);
    return 0;
}

int mf_step_lose(struct mf_rehearsal *self, const char *label, char error[512])
{
    struct nodes nodes;
    int r = label_nodes(self, label, &nodes, error);

    return r < 0 ? r : lose(self, nodes, error);
}

int mf_step_lose_nodes(struct mf_rehearsal *self, const char *names, char error[512])
{
    struct nodes nodes;
    int r = name_nodes(self, names, &nodes, error);

    return r < 0 ? r : lose(self, nodes, error);
}

/* ------------------------------------------------------------------ other nodes, more nodes */

/* A worker rounds down what its CPUs make: so many CPUs, rounded up, made them. */
static uint64_t scaled(uint64_t vcpus, uint64_t from, uint64_t to)
{
    uint64_t cpus = (vcpus * 100 + from - 1) / from, now = cpus * to / 100;

    return now < VCPUS_MAX ? now : VCPUS_MAX;
}

static void change_ratio(struct mf_rehearsal *self, const struct mf_node *node, uint64_t percent)
{
    struct mf_msg_hello hello = mf_rehearsal_words(self, node);
    uint64_t had = hello.cpu_ratio_percent ? hello.cpu_ratio_percent : 100;

    hello.capacity.vcpus = scaled(hello.capacity.vcpus, had, percent);
    for (uint32_t i = 0; i < hello.cells.n; i++)
        hello.cells.items[i].vcpus = scaled(hello.cells.items[i].vcpus, had, percent);
    hello.cpu_ratio_percent = percent;
    mf_rehearsal_hello(self, node->name, &hello);
}

int mf_step_ratio(struct mf_rehearsal *self, const char *ratio, char error[512])
{
    const char *at = ratio;
    struct mf_str class = cut(&at, "=");
    uint64_t percent;
    size_t n = 0;

    if (!*at || !number_of(mf_str(at + 1), RATIO_MAX, &percent))
        return mf_fail(error, -EINVAL,
                       "\"%.100s\": write it as CLASS=PERCENT, 1 to %d, as in standard=400 for four vcpus on "
                       "each CPU",
                       ratio, RATIO_MAX);
    for (size_t i = 0; i < self->b->nodes.n; i++) {
        struct mf_node *node = self->b->nodes.items[i];
        if (!mf_str_eq(node->class, class) || node->state == MF_NODE_STATE_FAILED)
            continue;
        change_ratio(self, node, percent);
        n++;
    }
    if (!n)
        return mf_fail(error, -EINVAL, "no node in the copy is of class %.*s", MF_STR_ARG(class));
    mf_rehearsal_settle(self);
    return 0;
}

static int set_label(struct mf_labels *labels, struct mf_str key, struct mf_str value, char error[512])
{
    uint32_t i = 0;

    while (i < labels->n && !mf_str_eq(labels->items[i].key, key))
        i++;
    if (i == LABELS_MAX)
        return mf_fail(error, -EINVAL, "it would have more than %d labels", LABELS_MAX);
    labels->items[i] = (struct mf_label){key, value};
    labels->n += i == labels->n;
    return 0;
}

/* ":rack=r9:zone=b" over the labels of the node that it is like. */
static int other_labels(struct mf_rehearsal *self, const char *at, struct mf_labels like,
                        struct mf_labels *ret_labels, char error[512])
{
    struct mf_labels labels = {.items = mf_arena_alloc(&self->arena, LABELS_MAX * sizeof(*labels.items)),
                               .n = like.n};
    int r = 0;

    for (uint32_t i = 0; i < like.n; i++)
        labels.items[i] = (struct mf_label){mf_str_dup(&self->arena, like.items[i].key),
                                            mf_str_dup(&self->arena, like.items[i].value)};
    while (r == 0 && *at == ':') {
        at++;
        struct mf_str key = cut(&at, "=:"), value = {NULL, 0};
        if (*at == '=')
            at++, value = cut(&at, ":");
        if (!mf_name_valid(key) || !value.len || value.len > MF_NAME_MAX)
            return mf_fail(error, -EINVAL, "\"%.*s\": a label is written as :KEY=VALUE", MF_STR_ARG(key));
        r = set_label(&labels, key, value, error);
    }
    *ret_labels = labels;
    return r;
}

static int new_name(struct mf_rehearsal *self, struct mf_str like, uint64_t *number,
                    char name[MF_NAME_MAX + 1], char error[512])
{
    do {
        if (like.len > MF_NAME_MAX - 16)
            like.len = MF_NAME_MAX - 16;
        mf_str_format(name, MF_NAME_MAX + 1, "%.*s-plan%" PRIu64, MF_STR_ARG(like), ++*number);
        if (*number > 10 * ADD_MAX)
            return mf_fail(error, -EINVAL, "no name is free for another node like %.*s", MF_STR_ARG(like));
    } while (mf_node_find(self->b, mf_str(name)));
    return 0;
}

static int join(struct mf_rehearsal *self, struct mf_str like, const struct mf_labels *labels,
                uint64_t *number, char error[512])
{
    char name[MF_NAME_MAX + 1], machine[65];
    struct mf_msg_hello hello = mf_rehearsal_words(self, mf_node_find(self->b, like));
    int r = new_name(self, like, number, name, error);

    if (r < 0)
        return r;
    mf_str_format(machine, sizeof(machine), "plan-%.59s", name); /* as long as new_name makes one */
    hello.machine_id = mf_str(machine);
    hello.labels = *labels;
    hello.guests.n = 0;
    hello.epoch = 0;
    mf_rehearsal_hello(self, mf_str(name), &hello);
    return mf_node_find(self->b, mf_str(name))
               ? 0
               : mf_fail(error, -EINVAL, "the broker would not take node %s", name);
}

int mf_step_add(struct mf_rehearsal *self, const char *kind, char error[512])
{
    const char *at = kind;
    struct mf_str count = cut(&at, ":"), like;
    struct mf_labels labels;
    const struct mf_node *node;
    uint64_t n, number = 0;
    int r;

    if (!*at || !number_of(count, ADD_MAX, &n))
        return mf_fail(error, -EINVAL,
                       "\"%.100s\": write it as N:NODE[:KEY=VALUE...], 1 to %d nodes like that one", kind,
                       ADD_MAX);
    at++;
    like = cut(&at, ":");
    node = mf_node_find(self->b, like);
    if (!node)
        return mf_fail(error, -EINVAL, "there is no node \"%.*s\" in the copy", MF_STR_ARG(like));
    r = other_labels(self, at, node->labels, &labels, error);
    while (r == 0 && n-- > 0)
        r = join(self, like, &labels, &number, error);
    if (r == 0)
        mf_rehearsal_settle(self);
    return r;
}
