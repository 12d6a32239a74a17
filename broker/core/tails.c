/* tails.c - a guest's output: its node is asked for the end of it, and whoever asked waits for that, or until
 * it is too late. */
#include "out.h"
#include "queries.h"
#include "requests.h"

#include <stdlib.h>

enum { LOG_ASK_MS = 5000, ASKS_MAX = 256, LOG_BYTES = 65536 };

static void drop_ask(struct mf_broker *b, struct mf_log_ask *ask)
{
    struct mf_log_ask **at = &b->asks;

    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
    mf_heap_unset(&b->alarms, &ask->alarm.timer);
    b->n_asks--;
    free(ask);
}

static void ask_node(struct mf_broker *b, uint64_t peer, const struct mf_msg_logs *q,
                     const struct mf_instance *inst)
{
    struct mf_log_ask *ask = mf_calloc(sizeof(*ask));

    *ask = (struct mf_log_ask){.alarm.kind = MF_ALARM_ASK,
                               .next = b->asks,
                               .id = ++b->next_ask,
                               .peer = peer,
                               .instance = inst->id,
                               .node = inst->node};
    mf_str_format(ask->request_id, sizeof(ask->request_id), "%.*s", MF_STR_ARG(q->request_id));
    b->asks = ask;
    b->n_asks++;
    mf_heap_set(&b->alarms, &ask->alarm.timer, b->now + LOG_ASK_MS);
    mf_send(b, inst->node->peer,
            &(struct mf_message){.kind = MF_MSG_LOG_ASK,
                                 .log_ask = {.ask_id = ask->id,
                                             .epoch = inst->node->epoch,
                                             .id = inst->id,
                                             .bytes = q->bytes ? q->bytes : LOG_BYTES}});
}

void mf_query_logs(struct mf_broker *b, uint64_t peer, const struct mf_msg_logs *q)
{
    struct mf_group *group;
    struct mf_instance *inst = mf_target_find(b, q->target, &group);
    char text[320];

    if (!inst)
        mf_send_error(b, peer, q->request_id, MF_E_UNKNOWN,
                      mf_str_format(text, sizeof(text),
                                    "there is no instance %.*s; say GROUP/SLOT or an instance's id",
                                    MF_STR_ARG(q->target))
                          .ptr);
    else if (!inst->node)
        mf_send_error(b, peer, q->request_id, MF_E_UNAVAILABLE,
                      "it waits for room and has written nothing yet");
    else if (!mf_node_up(inst->node))
        mf_send_error(b, peer, q->request_id, MF_E_UNAVAILABLE,
                      "its node is not connected; try again when it is back");
    else if (b->n_asks >= ASKS_MAX)
        mf_send_error(b, peer, q->request_id, MF_E_UNAVAILABLE, "too many outputs are being read; try again");
    else
        ask_node(b, peer, q, inst);
}

static const char *log_sentence(enum mf_errcode error)
{
    if (error == MF_E_UNSUPPORTED)
        return "its node's driver keeps no serial output of guests";
    if (error == MF_E_UNKNOWN)
        return "its node has no output of it: it has written none yet, or is gone";
    return "its node could not read the guest's output";
}

void mf_query_log_tail(struct mf_broker *b, const struct mf_peer *peer, const struct mf_msg_log_tail *tail)
{
    struct mf_log_ask *ask = b->asks;

    while (ask && ask->id != tail->ask_id)
        ask = ask->next;
    if (!ask || !mf_str_eq(ask->node->name, peer->name))
        return;
    if (mf_str_is(tail->code, "ok"))
        mf_send(b, ask->peer,
                &(struct mf_message){.kind = MF_MSG_LOGS_REPLY,
                                     .logs_reply = {.request_id = mf_str(ask->request_id),
                                                    .id = ask->instance,
                                                    .text = tail->text}});
    else
        mf_send_error(b, ask->peer, mf_str(ask->request_id), mf_error_value(tail->code),
                      log_sentence(mf_error_value(tail->code)));
    drop_ask(b, ask);
}

void mf_query_ask_expired(struct mf_broker *b, struct mf_log_ask *ask)
{
    mf_send_error(b, ask->peer, mf_str(ask->request_id), MF_E_DEADLINE,
                  "its node did not answer in time; try again");
    drop_ask(b, ask);
}

void mf_query_forget(struct mf_broker *b, const struct mf_node *node)
{
    struct mf_log_ask *next;

    for (struct mf_log_ask *ask = b->asks; ask; ask = next) {
        next = ask->next;
        if (ask->node == node)
            mf_query_ask_expired(b, ask);
    }
}

void mf_query_peer_gone(struct mf_broker *b, uint64_t peer)
{
    struct mf_log_ask *next;

    for (struct mf_log_ask *ask = b->asks; ask; ask = next) {
        next = ask->next;
        if (ask->peer == peer)
            drop_ask(b, ask);
    }
}
