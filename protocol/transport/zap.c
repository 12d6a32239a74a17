/* zap.c - the authenticator: one thread, one REP socket, one question at a time (RFC 27).
 *
 * A request is: version, request id, domain, address, routing id, mechanism, then the mechanism's
 * credentials: for CURVE the client's 32-byte public key. The thread is stopped through a PAIR, never by a
 * signal or a flag. */
#include "keys.h"

#include "check.h"
#include "files.h"
#include "sockets.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { ZAP_MAGIC = 0x7a61701a, FRAMES = 7, FRAME_MAX = 256 };

struct mf_zap {
    unsigned magic;
    struct mf_keyring *ring;
    void *handler, *stop_inside, *stop_outside;
    pthread_t thread;
};

struct request {
    char frames[FRAMES][FRAME_MAX];
    size_t lens[FRAMES];
    size_t n; /* more than FRAMES: it had more */
};

/* false when the context is ending */
static bool receive(void *socket, struct request *ret_request)
{
    zmq_msg_t frame;
    ret_request->n = 0;
    bool more = true;
    while (more) {
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, 0) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        size_t len = zmq_msg_size(&frame), i = ret_request->n++;
        if (i < FRAMES) {
            ret_request->lens[i] = len < FRAME_MAX ? len : FRAME_MAX;
            memcpy(ret_request->frames[i], zmq_msg_data(&frame), ret_request->lens[i]);
        }
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    return true;
}

static bool frame_is(const struct request *request, size_t i, const char *text)
{
    return mf_str_is((struct mf_str){request->frames[i], (uint32_t)request->lens[i]}, text);
}

static bool judge(struct mf_zap *self, const struct request *request, char user_id[128])
{
    char z85[41], name[MF_NAME_MAX + 1];
    enum mf_role role;
    if (request->n != FRAMES || !frame_is(request, 0, "1.0") || !frame_is(request, 2, MF_ZAP_DOMAIN) ||
        !frame_is(request, 5, "CURVE") || request->lens[6] != 32)
        return false;
    if (!zmq_z85_encode(z85, (const uint8_t *)request->frames[6], 32) ||
        !mf_keyring_find(self->ring, z85, &role, name))
        return false;
    mf_str_format(user_id, 128, "%s:%s", mf_role_word(role), name);
    return true;
}

static void answer(struct mf_zap *self, const struct request *request)
{
    char user_id[128] = "";
    bool in = judge(self, request, user_id);
    zmq_send(self->handler, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(self->handler, request->frames[1], request->n > 1 ? request->lens[1] : 0, ZMQ_SNDMORE);
    zmq_send(self->handler, in ? "200" : "400", 3, ZMQ_SNDMORE);
    zmq_send(self->handler, in ? "OK" : "unknown key", in ? 2 : 11, ZMQ_SNDMORE);
    zmq_send(self->handler, user_id, strlen(user_id), ZMQ_SNDMORE);
    zmq_send(self->handler, "", 0, 0);
}

static void *run(void *arg)
{
    struct mf_zap *self = arg;
    MF_MAGIC(self, ZAP_MAGIC);
    struct request request;
    for (;;) {
        zmq_pollitem_t items[] = {{.socket = self->handler, .events = ZMQ_POLLIN},
                                  {.socket = self->stop_inside, .events = ZMQ_POLLIN}};
        if (zmq_poll(items, 2, -1) < 0 && zmq_errno() != EINTR)
            return NULL;
        if (items[1].revents)
            return NULL;
        if (items[0].revents) {
            if (!receive(self->handler, &request))
                return NULL;
            answer(self, &request);
        }
    }
}

static int open_sockets(struct mf_zap *self, void *context, char error[512])
{
    char inproc[64];
    mf_str_format(inproc, sizeof(inproc), "inproc://mayfly-zap-stop-%p", (void *)self);
    self->handler = zmq_socket(context, ZMQ_REP);
    self->stop_outside = zmq_socket(context, ZMQ_PAIR);
    self->stop_inside = zmq_socket(context, ZMQ_PAIR);
    if (!self->handler || !self->stop_outside || !self->stop_inside)
        return mf_fail(error, -zmq_errno(), "authenticator: no socket: %s", zmq_strerror(zmq_errno()));
    int zero = 0;
    zmq_setsockopt(self->handler, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(self->stop_outside, ZMQ_LINGER, &zero, sizeof(zero));
    if (zmq_bind(self->handler, MF_ZAP_ENDPOINT) < 0)
        return mf_fail(error, -zmq_errno(), "authenticator: %s: %s", MF_ZAP_ENDPOINT,
                       zmq_strerror(zmq_errno()));
    if (zmq_bind(self->stop_outside, inproc) < 0 || zmq_connect(self->stop_inside, inproc) < 0)
        return mf_fail(error, -zmq_errno(), "authenticator: %s: %s", inproc, zmq_strerror(zmq_errno()));
    return 0;
}

static void close_all(struct mf_zap *self)
{
    if (self->handler)
        zmq_unbind(self->handler,
                   MF_ZAP_ENDPOINT); /* at once, so that another may start; closing takes its time */
    void *sockets[] = {self->handler, self->stop_inside, self->stop_outside};
    for (size_t i = 0; i < 3; i++)
        if (sockets[i])
            zmq_close(sockets[i]);
    free(self);
}

int mf_zap_start(void *zmq_context, struct mf_keyring *ring, struct mf_zap **ret_zap, char error[512])
{
    struct mf_zap *self = calloc(1, sizeof(*self));
    if (!self)
        return mf_fail(error, -ENOMEM, "authenticator: out of memory");
    self->magic = ZAP_MAGIC;
    self->ring = ring;
    int r = open_sockets(self, zmq_context, error);
    if (r == 0 && (r = -mf_thread_start(&self->thread, run, self)) < 0)
        mf_fail(error, r, "authenticator: no thread: %s", strerror(-r));
    if (r < 0) {
        close_all(self);
        return r;
    }
    *ret_zap = self;
    return 0;
}

void mf_zap_stop(struct mf_zap **self)
{
    if (!*self)
        return;
    MF_MAGIC(*self, ZAP_MAGIC);
    zmq_send((*self)->stop_outside, "", 0, 0);
    pthread_join((*self)->thread, NULL);
    close_all(*self);
    *self = NULL;
}
