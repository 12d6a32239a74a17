/* tail.c - topics, and who may have them. */
#include "tail.h"
#include "check.h"
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { BATCH = 256 };

struct mf_tail {
    void *socket;
    bool wanted; /* somebody has subscribed since the start */
    struct mf_buf body;
};

struct mf_tail *mf_tail_new(void *xpub)
{
    struct mf_tail *self = calloc(1, sizeof(*self));
    int one = 1;

    MF_CHECK(self);
    self->socket = xpub;
    MF_CHECK(zmq_setsockopt(xpub, ZMQ_XPUB_MANUAL, &one, sizeof(one)) == 0);
    return self;
}

void mf_tail_destroy(struct mf_tail **self)
{
    if (!*self)
        return;
    mf_buf_free(&(*self)->body);
    free(*self);
    *self = NULL;
}

static bool may_read(zmq_msg_t *frame)
{
    const char *user = zmq_msg_gets(frame, "User-Id"), *colon = user ? strchr(user, ':') : NULL;
    enum mf_role role = colon ? mf_role_value((struct mf_str){user, (uint32_t)(colon - user)}) : MF_ROLE_NONE;

    return role == MF_ROLE_OPERATOR || role == MF_ROLE_CLIENT || role == MF_ROLE_READER;
}

/* The socket applies the option to the peer whose frame was read last. */
static void judge(struct mf_tail *self, zmq_msg_t *frame)
{
    const char *bytes = zmq_msg_data(frame);
    size_t len = zmq_msg_size(frame);

    if (len < 1 || bytes[0] < 0 || bytes[0] > 1)
        return; /* not a subscription: nobody has anything to say here */
    if (bytes[0] == 0) {
        zmq_setsockopt(self->socket, ZMQ_UNSUBSCRIBE, bytes + 1, len - 1);
    } else if (may_read(frame)) {
        zmq_setsockopt(self->socket, ZMQ_SUBSCRIBE, bytes + 1, len - 1);
        self->wanted = true;
    }
}

bool mf_tail_subscriptions(struct mf_tail *self)
{
    for (int i = 0; i < BATCH; i++) {
        zmq_msg_t frame;
        int n;

        zmq_msg_init(&frame);
        n = zmq_msg_recv(&frame, self->socket, ZMQ_DONTWAIT);
        if (n >= 0)
            judge(self, &frame);
        zmq_msg_close(&frame);
        if (n < 0)
            return false;
    }
    return true;
}

static bool is_cluster(struct mf_str head)
{
    return mf_str_is(head, "node") || mf_str_is(head, "image") || mf_str_is(head, "offering") ||
           mf_str_is(head, "monitor") || mf_str_is(head, "cluster");
}

/* The part up to the next slash, taken off the rest; "-" at the end. */
static struct mf_str take_part(struct mf_str *rest)
{
    const char *slash = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
    struct mf_str part = {rest->ptr, slash ? (uint32_t)(slash - rest->ptr) : rest->len};
    uint32_t used = part.len + (slash != NULL);

    *rest = (struct mf_str){rest->ptr + used, rest->len - used};
    return part.len ? part : (struct mf_str){"-", 1};
}

size_t mf_tail_topic(struct mf_str subject, struct mf_str type, char ret_topic[MF_TAIL_TOPIC])
{
    struct mf_str a = take_part(&subject), b = take_part(&subject), c = take_part(&subject);
    const char *hash = memchr(c.ptr, '#', c.len);
    bool cluster = is_cluster(a);

    if (hash)
        c.len = (uint32_t)(hash - c.ptr);
    if (cluster && mf_str_is(a, "cluster"))
        a = (struct mf_str){"-", 1};
    if (cluster)
        c = b, b = a, a = mf_str("cluster");
    return mf_str_format(ret_topic, MF_TAIL_TOPIC, "%.*s/%.*s/%.*s/%.*s", (int)a.len, a.ptr, (int)b.len,
                         b.ptr, (int)c.len, c.ptr, (int)type.len, type.ptr)
        .len;
}

void mf_tail_publish(struct mf_tail *self, const struct mf_store_row *row)
{
    char topic[MF_TAIL_TOPIC];
    struct mf_rec_event_row record = {
        .seq = row->seq,
        .cause = row->cause,
        .time_ms = (uint64_t)row->time_ms,
        .type = row->type,
        .subject = row->subject,
        .data = row->data,
    };
    size_t len;

    if (!self->wanted)
        return;
    len = mf_tail_topic(row->subject, row->type, topic);
    mf_buf_clear(&self->body);
    mf_encode(&mf_rec_event_row_desc, &record, &self->body);
    if (zmq_send(self->socket, topic, len, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        zmq_send(self->socket, self->body.ptr, self->body.len, ZMQ_DONTWAIT);
}
