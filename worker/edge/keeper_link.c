/* keeper_link.c - see keeper_link.h. */
#include "keeper_link.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { MF_KEEPER_GREETING_MS = 10000 };

int mf_keeper_link_open(struct mf_keeper_packet *ret_start, char error[512])
{
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(MF_KEEPER_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
        snprintf(error, 512,
                 "no keeper: this program is started by mayfly-keeper (mayfly-keeper FLAGS -- AGENT-FLAGS)");
        return -EINVAL;
    }
    fcntl(MF_KEEPER_FD, F_SETFD, FD_CLOEXEC);
    struct pollfd ready = {.fd = MF_KEEPER_FD, .events = POLLIN};
    struct mf_keeper_packet packet;
    if (poll(&ready, 1, MF_KEEPER_GREETING_MS) <= 0 || mf_keeper_link_receive(&packet) <= 0 ||
        packet.kind != MF_KEEPER_START) {
        snprintf(error, 512, "the keeper does not greet; is it of the same build?");
        return -EPROTO;
    }
    *ret_start = packet;
    return 0;
}

void mf_keeper_link_send(struct mf_keeper_packet *packet)
{
    packet->version = MF_KEEPER_VERSION;
    while (send(MF_KEEPER_FD, packet, sizeof *packet, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

void mf_keeper_link_tell(enum mf_keeper_packet_kind kind, struct mf_uuid id)
{
    struct mf_keeper_packet packet = {.kind = kind, .id = id};
    mf_keeper_link_send(&packet);
}

void mf_keeper_link_ready(bool guests_die)
{
    struct mf_keeper_packet packet = {.kind = MF_KEEPER_READY,
                                      .flags = guests_die ? MF_KEEPER_GUESTS_DIE : 0};
    mf_keeper_link_send(&packet);
}

void mf_keeper_link_watch(struct mf_uuid id, int64_t pid, bool at_most)
{
    struct mf_keeper_packet packet = {
        .kind = MF_KEEPER_WATCH, .flags = at_most ? MF_KEEPER_AT_MOST : 0, .id = id, .pid = pid};
    mf_keeper_link_send(&packet);
}

int mf_keeper_link_receive(struct mf_keeper_packet *ret_packet)
{
    struct mf_keeper_packet packet;
    ssize_t len = recv(MF_KEEPER_FD, &packet, sizeof packet, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (len != sizeof packet || packet.version != MF_KEEPER_VERSION)
        return -EPIPE;
    packet.boot_id[sizeof packet.boot_id - 1] = packet.text[sizeof packet.text - 1] = 0;
    packet.node[sizeof packet.node - 1] = packet.probe_address[sizeof packet.probe_address - 1] = 0;
    *ret_packet = packet;
    return 1;
}
