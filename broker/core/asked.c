/* asked.c - the rows and answers of requests. */
#include "asked.h"
#include "check.h"
#include "fold.h"
#include "group_rules.h"
#include "journal.h"
#include "offerings.h"
#include "out.h"

#include <stdarg.h>
#include <stdio.h>

const struct mf_uuid mf_nobody;

static uint32_t mind_rules(const struct mf_broker *b, const struct mf_group *group, uint32_t at,
                           char text[512])
{
    char mind[256];
    struct mf_str rules = mf_rules_mind(b, &group->rules, mf_group_slots(group), mind);

    if (!rules.len)
        return 0;
    return mf_str_format(text + at, 512 - at, "%s%.*s", at ? "; " : "", MF_STR_ARG(rules)).len;
}

/* What an at-most group costs is said to whoever asks for one, that nobody could host it, and what its rules
 * name that is not there. */
static struct mf_str caution(const struct mf_broker *b, const struct mf_request *request, char text[512])
{
    const struct mf_group *group = mf_group_find(b, request->group_id);
    struct mf_str homeless;
    uint32_t at = 0;

    if (!group || !request->count || !mf_uuid_is_zero(request->id))
        return (struct mf_str){NULL, 0};
    homeless = mf_offering_homeless(b, &group->offering->rec, &group->require, text);
    if (homeless.len)
        at = homeless.len;
    at += mind_rules(b, group, at, text);
    if (group->policy == MF_POLICY_AT_MOST)
        at +=
            mf_str_format(text + at, 512 - at,
                          "%sat-most: an instance that is cut off from the broker for %lld ms is stopped, so "
                          "a longer outage of the control plane stops all of them",
                          at ? "; " : "", (long long)b->config.lease_ms)
                .len;
    return (struct mf_str){text, at};
}

static void accepted(struct mf_broker *b, uint64_t peer, const struct mf_request *request, struct mf_str text)
{
    mf_send(b, peer,
            &(struct mf_message){.kind = MF_MSG_ACCEPTED,
                                 .accepted = {.request_id = request->request_id,
                                              .seq = request->seq,
                                              .group_id = request->group_id,
                                              .id = request->id,
                                              .count = request->count,
                                              .text = text}});
}

void mf_asked_repeat(struct mf_broker *b, uint64_t peer, const struct mf_request *request)
{
    char text[512];

    if (!request->code.len)
        accepted(b, peer, request, caution(b, request, text));
    else
        mf_send(b, peer,
                &(struct mf_message){.kind = MF_MSG_ERROR,
                                     .error = {.request_id = request->request_id,
                                               .code = request->code,
                                               .text = request->text,
                                               .retry = mf_error_retry(mf_error_value(request->code))}});
}

void mf_asked_answer(struct mf_asked *a)
{
    struct mf_request *request = mf_request_find(a->b, mf_str(a->key), a->request_id);

    MF_CHECK(request != NULL);
    mf_asked_repeat(a->b, a->peer->handle, request);
}

void mf_asked_answer_saying(struct mf_asked *a, struct mf_str text)
{
    struct mf_request *request = mf_request_find(a->b, mf_str(a->key), a->request_id);

    MF_CHECK(request != NULL);
    accepted(a->b, a->peer->handle, request, text);
}

struct mf_node *mf_asked_node(struct mf_asked *a, struct mf_str name)
{
    struct mf_node *node = mf_node_find(a->b, name);

    if (!node)
        mf_asked_refuse(a, MF_E_UNKNOWN, "there is no node %.*s; `mayfly nodes` shows what there is",
                        MF_STR_ARG(name));
    return node;
}

void mf_asked_refuse(struct mf_asked *a, enum mf_errcode code, const char *format, ...)
{
    char text[1024];
    va_list args;
    struct mf_event event = {.kind = MF_EV_REQUEST_REFUSED,
                             .request_refused = {.key = mf_str(a->key),
                                                 .request_id = a->request_id,
                                                 .operation = mf_str(mf_kind_desc(a->message->kind)->wire),
                                                 .body = a->body,
                                                 .code = mf_str(mf_error_code(code))}};

    MF_CHECK(!mf_error_retry(code)); /* it is remembered, and would be the answer for ever */
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    event.request_refused.text = mf_str(text);
    mf_journal(a->b, 0, &event, mf_str(a->subject));
    mf_asked_answer(a);
}

uint64_t mf_asked_accept(struct mf_asked *a, struct mf_uuid group_id, struct mf_uuid id, uint64_t count,
                         uint64_t grace_ms)
{
    struct mf_event event = {.kind = MF_EV_REQUEST_ACCEPTED,
                             .request_accepted = {.key = mf_str(a->key),
                                                  .request_id = a->request_id,
                                                  .operation = mf_str(mf_kind_desc(a->message->kind)->wire),
                                                  .body = a->body,
                                                  .group_id = group_id,
                                                  .id = id,
                                                  .count = count,
                                                  .grace_ms = grace_ms}};

    return mf_journal(a->b, 0, &event, mf_str(a->subject));
}
