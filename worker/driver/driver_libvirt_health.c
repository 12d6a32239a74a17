/* driver_libvirt_health.c - who is to be heard (ports.c) and asked (driver_libvirt_ask.c), by what each
 * domain's own metadata says: a restarted agent carries on. */
#include "driver_libvirt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void mark_of(const struct mf_domain_identity *identity, char path[MF_DOMAIN_PATH + 8])
{
    mf_str_format(path, MF_DOMAIN_PATH + 8, "%s/ready", identity->dir);
}

bool mf_health_is_ready(const struct mf_domain_identity *identity)
{
    char mark[MF_DOMAIN_PATH + 8];
    mark_of(identity, mark);
    return identity->ready > MF_READINESS_NONE && identity->dir[0] && access(mark, F_OK) == 0;
}

static void on_said(void *arg, struct mf_uuid id)
{
    struct mf_driver *self = arg;
    mf_asks_ready(self->asks, id);
    if (self->config.ready)
        self->config.ready(self->config.arg, id);
}

int mf_health_start(struct mf_driver *self, char error[512])
{
    if (self->test)
        return 0;
    self->asks = mf_asks_new(self);
    self->ports = self->asks && self->local ? mf_ports_new(on_said, self) : NULL;
    if (self->asks && (self->ports || !self->local))
        return 0;
    mf_str_format(error, 512, "cannot start a thread");
    return -EAGAIN;
}

void mf_health_stop(struct mf_driver *self)
{
    mf_ports_destroy(&self->ports);
    mf_asks_destroy(&self->asks);
}

void mf_health_watch(struct mf_driver *self, struct mf_uuid id, const struct mf_domain_identity *identity)
{
    char socket[108], mark[MF_DOMAIN_PATH + 8], ignored[512];
    bool ready = mf_health_is_ready(identity);
    if (self->asks)
        mf_asks_add(self->asks, id, identity, ready);
    mark_of(identity, mark);
    if (self->ports && identity->ready == MF_READINESS_PORT && !ready &&
        mf_libvirt_socket(self, identity->dir, MF_READY_SOCKET, socket, ignored) == 0)
        mf_ports_add(self->ports, id, socket, mark);
}

void mf_health_unwatch(struct mf_driver *self, struct mf_uuid id)
{
    if (self->ports)
        mf_ports_remove(self->ports, id);
    if (self->asks)
        mf_asks_remove(self->asks, id);
}
