/* held.c - what each node's cache holds, and of each image the nodes that have all of its files: a bit on the
 * node for whoever looks at one node, a list at the image for whoever looks for a node. */
#include "held.h"
#include "check.h"
#include "image_files.h"
#include "journal.h"
#include "nodes.h"
#include "out.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROW_MS = 100, /* what an event of a node's cache costs it */
    ROW_DEBT_MS = 100000,
    LIST_MAX = 4096,
    LIST_BYTES = 600 * 1024,
    ROW_BYTES = 160
};

/* ------------------------------------------------------------------ files of a node */

static int by_digest(const void *left, const void *right)
{
    const struct mf_held *a = left, *c = right;

    return memcmp(a->sha256.bytes, c->sha256.bytes, sizeof(a->sha256.bytes));
}

static uint32_t place(const struct mf_node *node, struct mf_digest sha256)
{
    uint32_t low = 0, high = node->n_held;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (memcmp(node->held[mid].sha256.bytes, sha256.bytes, sizeof(sha256.bytes)) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct mf_held *find(const struct mf_node *node, struct mf_digest sha256)
{
    uint32_t at = place(node, sha256);

    return at < node->n_held && mf_digest_eq(node->held[at].sha256, sha256) ? &node->held[at] : NULL;
}

static void make_room(struct mf_node *node, uint32_t n)
{
    if (n <= node->cap_held)
        return;
    node->cap_held = n < 8 ? 8 : n * 2;
    node->held = realloc(node->held, node->cap_held * sizeof(*node->held));
    MF_CHECK(node->held);
}

static struct mf_held *add(struct mf_node *node, struct mf_digest sha256)
{
    uint32_t at = place(node, sha256);

    if (node->n_held >= MF_HELD_MAX)
        return NULL;
    make_room(node, node->n_held + 1);
    memmove(node->held + at + 1, node->held + at, (node->n_held - at) * sizeof(*node->held));
    node->n_held++;
    node->held[at] = (struct mf_held){.sha256 = sha256};
    return &node->held[at];
}

static void drop(struct mf_node *node, struct mf_held *held)
{
    uint32_t at = (uint32_t)(held - node->held);

    free(held->reason);
    node->n_held--;
    memmove(held, held + 1, (node->n_held - at) * sizeof(*held));
}

void mf_held_free(struct mf_node *node)
{
    for (uint32_t i = 0; i < node->n_held; i++)
        free(node->held[i].reason);
    free(node->held);
    node->held = NULL;
    node->n_held = node->cap_held = 0;
}

/* ------------------------------------------------------------------ images of a node */

/* Those of its files that have to be fetched. */
static size_t files_of(const struct mf_image *image, struct mf_digest ret_files[MF_PART_COUNT])
{
    struct mf_image_file all[MF_PART_COUNT];
    size_t n = 0, n_all = mf_image_files(&image->rec, all);

    for (size_t i = 0; i < n_all; i++)
        if (all[i].url)
            ret_files[n++] = all[i].sha256;
    return n;
}

static bool has_all(const struct mf_node *node, const struct mf_image *image)
{
    struct mf_digest files[MF_PART_COUNT];
    size_t n = files_of(image, files);

    for (size_t i = 0; i < n; i++) {
        const struct mf_held *held = find(node, files[i]);
        if (!held || held->state != MF_IMAGE_PROGRESS_CACHED)
            return false;
    }
    return n > 0;
}

static void set_bit(struct mf_broker *b, struct mf_node *node, struct mf_image *image, bool has)
{
    uint64_t bit = UINT64_C(1) << image->index % 64, *word = &node->holds[image->index / 64];
    struct mf_vec *holders = &image->holders;

    if (has == ((*word & bit) != 0))
        return;
    *word ^= bit;
    if (has)
        mf_vec_insert(holders, holders->n, node);
    else
        mf_vec_remove(holders, node);
    mf_pool_warm(b->pool, node->number, image->index + 1, has);
}

static void look_at_all(struct mf_broker *b, struct mf_node *node)
{
    for (size_t i = 0; i < b->images.n; i++) {
        struct mf_image *image = b->images.items[i];
        if (!image->local)
            set_bit(b, node, image, has_all(node, image));
    }
}

static bool is_of(const struct mf_image *image, struct mf_digest sha256)
{
    struct mf_digest files[MF_PART_COUNT];

    for (size_t i = files_of(image, files); i-- > 0;)
        if (mf_digest_eq(files[i], sha256))
            return true;
    return false;
}

/* The images that this file is of; the name of one of them is returned. */
static struct mf_str look_at_those_of(struct mf_broker *b, struct mf_node *node, struct mf_digest sha256)
{
    struct mf_str name = {NULL, 0};

    for (size_t i = 0; i < b->images.n; i++) {
        struct mf_image *image = b->images.items[i];
        if (image->local || !is_of(image, sha256))
            continue;
        set_bit(b, node, image, has_all(node, image));
        name = image->rec.name;
    }
    return name;
}

/* ------------------------------------------------------------------ what nodes say */

void mf_held_hello(struct mf_broker *b, struct mf_node *node, const struct mf_msg_hello *hello)
{
    uint32_t n = 0;

    mf_held_free(node);
    make_room(node, hello->images.n);
    for (uint32_t i = 0; i < hello->images.n; i++)
        node->held[i] =
            (struct mf_held){.sha256 = hello->images.items[i].sha256, .state = MF_IMAGE_PROGRESS_CACHED};
    if (hello->images.n)
        qsort(node->held, hello->images.n, sizeof(*node->held), by_digest);
    for (uint32_t i = 0; i < hello->images.n; i++)
        if (!n || by_digest(&node->held[n - 1], &node->held[i]))
            node->held[n++] = node->held[i];
    node->n_held = n;
    look_at_all(b, node);
}

static void note(struct mf_node *node, const struct mf_msg_file_progress *progress)
{
    struct mf_held *held = find(node, progress->sha256);

    if (progress->state == MF_IMAGE_PROGRESS_EVICTED) {
        if (held)
            drop(node, held);
        return;
    }
    if (!held)
        held = add(node, progress->sha256);
    if (!held)
        return;
    held->state = progress->state;
    held->bytes = progress->bytes;
    held->size = progress->size;
    free(held->reason);
    held->reason = (char *)mf_own_str(progress->text).ptr;
}

/* Turns are told, not steps; of a node that turns without end not each of them. */
static void tell(struct mf_broker *b, struct mf_node *node, const struct mf_msg_file_progress *progress,
                 struct mf_str image)
{
    struct mf_event event = {.kind = MF_EV_NODE_IMAGE,
                             .node_image = {.node = node->name,
                                            .epoch = node->epoch,
                                            .sha256 = progress->sha256,
                                            .image = image,
                                            .state = progress->state,
                                            .bytes = progress->size ? progress->size : progress->bytes,
                                            .took_ms = progress->took_ms,
                                            .text = progress->text}};
    char text[MF_SUBJECT_MAX];

    if (mf_afford(b, &node->images_paid, ROW_MS, ROW_DEBT_MS))
        mf_journal(b, 0, &event, mf_subject_named("node", node->name, text));
}

void mf_held_progress(struct mf_broker *b, struct mf_node *node, const struct mf_msg_file_progress *progress)
{
    const struct mf_held *held = find(node, progress->sha256);
    enum mf_image_progress before = held ? held->state : MF_IMAGE_PROGRESS_EVICTED;
    struct mf_str image;

    note(node, progress);
    image = look_at_those_of(b, node, progress->sha256);
    if (progress->state != before)
        tell(b, node, progress, image);
}

/* ------------------------------------------------------------------ what nodes are told */

void mf_held_fetch(struct mf_broker *b, const struct mf_node *node, const struct mf_image *image)
{
    if (mf_node_up(node) && node->state != MF_NODE_STATE_FAILED && !mf_held_warm(node, image))
        mf_send(b, node->peer,
                &(struct mf_message){.kind = MF_MSG_IMAGE_FETCH,
                                     .image_fetch = {.epoch = node->epoch, .image = image->rec}});
}

void mf_held_ready(struct mf_broker *b, struct mf_node *node)
{
    for (size_t i = 0; i < b->images.n; i++) {
        const struct mf_image *image = b->images.items[i];
        if (image->warm)
            mf_held_fetch(b, node, image);
    }
}

/* ------------------------------------------------------------------ what comes and goes */

void mf_held_image_added(struct mf_broker *b, struct mf_image *image)
{
    for (size_t i = 0; i < b->nodes.n && !image->local; i++)
        set_bit(b, b->nodes.items[i], image, has_all(b->nodes.items[i], image));
}

void mf_held_image_forget(struct mf_broker *b, struct mf_image *image)
{
    while (image->holders.n)
        set_bit(b, image->holders.items[image->holders.n - 1], image, false);
    mf_pool_image_forgotten(b->pool, image->index + 1);
}

void mf_held_node_forget(struct mf_broker *b, struct mf_node *node)
{
    for (size_t i = 0; i < b->images.n; i++)
        set_bit(b, node, b->images.items[i], false);
}

/* ------------------------------------------------------------------ who asks */

/* False where it neither has it nor is busy with it. */
static bool fill_row(const struct mf_node *node, const struct mf_image *image, struct mf_rec_held_row *ret)
{
    struct mf_digest files[MF_PART_COUNT];
    const struct mf_held *busy = NULL;

    *ret = (struct mf_rec_held_row){.node = node->name, .state = MF_IMAGE_PROGRESS_CACHED};
    if (mf_held_warm(node, image))
        return true;
    for (size_t i = files_of(image, files); i-- > 0;) {
        const struct mf_held *held = find(node, files[i]);
        if (held && held->state != MF_IMAGE_PROGRESS_CACHED &&
            (!busy || held->state == MF_IMAGE_PROGRESS_FETCHING))
            busy = held;
    }
    if (!busy)
        return false;
    ret->state = busy->state;
    ret->bytes = busy->bytes;
    ret->size = busy->size;
    ret->reason = busy->reason ? mf_str(busy->reason) : (struct mf_str){NULL, 0};
    return true;
}

void mf_held_list(struct mf_broker *b, uint64_t peer, const struct mf_msg_list_held *q)
{
    const struct mf_image *image = mf_image_find(b, q->image);
    struct mf_rec_held_row *rows = mf_arena_alloc(&b->arena, (b->nodes.n + 1) * sizeof(*rows));
    struct mf_message message = {.kind = MF_MSG_HELD, .held = {.request_id = q->request_id, .seq = b->seq}};
    char text[160];
    size_t bytes = 0;
    uint32_t n = 0;

    if (!image) {
        mf_str_format(text, sizeof(text), "there is no image %.*s; `mayfly image list` shows what there is",
                      MF_STR_ARG(q->image));
        mf_send_error(b, peer, q->request_id, MF_E_UNKNOWN, text);
        return;
    }
    for (size_t i = 0; i < b->nodes.n && n < LIST_MAX && bytes < LIST_BYTES; i++)
        if (fill_row(b->nodes.items[i], image, &rows[n]))
            bytes += ROW_BYTES + rows[n++].reason.len;
    message.held.rows.items = rows;
    message.held.rows.n = n;
    mf_send(b, peer, &message);
}

/* ------------------------------------------------------------------ invariants */

void mf_held_check(const struct mf_broker *b)
{
    const struct mf_image *image = b->images.n ? b->images.items[b->seq % b->images.n] : NULL;
    size_t holders = 0;

    if (!image)
        return;
    MF_CHECK(b->image_indexes[image->index / 64] >> image->index % 64 & 1);
    for (size_t i = 0; i < b->nodes.n; i++) {
        const struct mf_node *node = b->nodes.items[i];
        bool holds = node->holds[image->index / 64] >> image->index % 64 & 1;
        MF_CHECK(node->n_held <= MF_HELD_MAX && holds == (!image->local && has_all(node, image)));
        holders += holds;
    }
    MF_CHECK(holders == image->holders.n);
}
