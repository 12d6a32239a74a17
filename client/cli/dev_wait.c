/* What only the broker knows: are the nodes ready, is the monitor hearing them? Asked anew whenever a node's
 * event comes. */
#include "dev.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEAT_MS = 100 };

int mf_dev_connect(struct mf_cli *cli, const struct mf_dev *dev)
{
    char key[MF_DEV_PATH];
    struct mayfly_error error;
    struct mayfly_options options = {.endpoint = dev->client,
                                     .key_file = mf_dev_path(dev, key, "keys/admin.cert_secret")};
    if (cli->client)
        return 0;
    return mayfly_open(&options, &cli->client, &error) ? mf_cli_error(cli, &error) : 0;
}

struct roll { /* of nodes */
    uint64_t first, n, above_epoch;
    uint64_t ready; /* how many of them are */
    char missing[64];
    char why[256];
};

static const struct mf_rec_node_row *find_row(const struct mf_msg_nodes *nodes, const char *name)
{
    for (uint32_t i = 0; i < nodes->rows.n; i++)
        if (mf_str_is(nodes->rows.items[i].node, name))
            return &nodes->rows.items[i];
    return NULL;
}

static bool is_ready(const struct mf_rec_node_row *row, const struct roll *roll)
{
    return row && row->state == MF_NODE_STATE_READY && row->connected && row->epoch > roll->above_epoch;
}

/* One page is 500 nodes; more than that on one machine are counted page by page. */
static int call_roll(struct mf_cli *cli, struct roll *roll, uint64_t *ret_seq)
{
    char after[201] = "", name[64];
    bool *seen = calloc(roll->n + 1, sizeof *seen);
    int r = 0;
    roll->ready = 0;
    do {
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_LIST_NODES, .list_nodes = {.after = mf_str(after)}};
        r = mf_cli_request(cli, &ask, &reply);
        if (r)
            break;
        const struct mf_msg_nodes *nodes = &reply.message.nodes;
        for (uint64_t i = 0; i < roll->n; i++) {
            snprintf(name, sizeof name, "node-%" PRIu64, roll->first + i);
            const struct mf_rec_node_row *row = find_row(nodes, name);
            seen[i] = seen[i] || is_ready(row, roll);
        }
        *ret_seq = nodes->seq;
        mf_str_format(after, sizeof after, "%.*s", (int)nodes->next.len,
                      nodes->next.ptr ? nodes->next.ptr : "");
        mayfly_reply_free(&reply);
    } while (*after);
    for (uint64_t i = 0; i < roll->n; i++) {
        roll->ready += seen[i];
        if (!seen[i])
            snprintf(roll->missing, sizeof roll->missing, "node-%" PRIu64, roll->first + i);
    }
    free(seen);
    return r;
}

static void on_notice(void *arg, const struct mayfly_notice *notice)
{
    if (notice->row || notice->error)
        *(bool *)arg = true; /* something changed: call the roll again */
}

int mf_dev_await_nodes(struct mf_cli *cli, uint64_t first, uint64_t n, uint64_t above_epoch, int64_t until_ms)
{
    struct roll roll = {.first = first, .n = n, .above_epoch = above_epoch};
    bool changed = false;
    uint64_t seq = 0;
    int r = call_roll(cli, &roll, &seq);
    struct mayfly_filter filter = {.from = seq + 1, .type = "node."};
    uint64_t stream = r ? 0 : mayfly_subscribe(cli->client, &filter, on_notice, &changed);
    while (!r && roll.ready < n) {
        if (mf_dev_interrupted())
            r = mf_cli_fail(cli, "interrupted");
        else if (mf_dev_now_ms() > until_ms)
            r = mf_cli_fail(
                cli, "%" PRIu64 " of %" PRIu64 " nodes are ready in time (--timeout); %s is not: see its log",
                roll.ready, n, roll.missing);
        else if (mayfly_wait(cli->client, BEAT_MS) < 0)
            r = mf_cli_fail(cli, "the connection broke");
        else if (changed) {
            changed = false;
            r = call_roll(cli, &roll, &seq);
        }
    }
    mayfly_unsubscribe(cli->client, stream);
    return r;
}

static bool all_hear(const struct mf_msg_status_reply *status, const struct mf_dev *dev)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < status->monitors.n; i++)
        n += status->monitors.items[i].heard && status->monitors.items[i].nodes_heard >= dev->nodes;
    return n >= dev->monitors;
}

/* No event tells how many a monitor hears: it says so twice a second. */
int mf_dev_await_heard(struct mf_cli *cli, const struct mf_dev *dev, int64_t until_ms)
{
    for (;;) {
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_STATUS};
        int r = mf_cli_request(cli, &ask, &reply);
        if (r)
            return r;
        bool heard = all_hear(&reply.message.status_reply, dev);
        mayfly_reply_free(&reply);
        if (heard)
            return 0;
        if (mf_dev_interrupted())
            return mf_cli_fail(cli, "interrupted");
        if (mf_dev_now_ms() > until_ms)
            return mf_cli_fail(
                cli,
                "not every monitor hears all nodes in time (--timeout); see the logs of health-0 and so on");
        mayfly_wait(cli->client, BEAT_MS);
    }
}

bool mf_dev_epoch(struct mf_cli *cli, const char *node, uint64_t *ret_epoch)
{
    char after[201] = "";
    bool found = false;
    *ret_epoch = 0;
    do {
        struct mayfly_reply reply = {0};
        struct mayfly_error error;
        struct mf_message ask = {.kind = MF_MSG_LIST_NODES, .list_nodes = {.after = mf_str(after)}};
        if (mayfly_request(cli->client, &ask, 3000, &reply, &error))
            return false;
        const struct mf_rec_node_row *row = find_row(&reply.message.nodes, node);
        if (row)
            *ret_epoch = row->epoch;
        found = true;
        struct mf_str next = reply.message.nodes.next;
        mf_str_format(after, sizeof after, "%.*s", (int)next.len, next.ptr ? next.ptr : "");
        mayfly_reply_free(&reply);
    } while (*after);
    return found;
}
