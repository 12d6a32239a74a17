/* keeper_link.h - the agent's end of the packet socket to its keeper, inherited as fd 3. */
#ifndef MF_KEEPER_LINK_H
#define MF_KEEPER_LINK_H

#include "keeper_wire.h"

/* Wait for the first packet, START; -EINVAL or the like with a sentence if there is no keeper. */
int mf_keeper_link_open(struct mf_keeper_packet *ret_start, char error[512]);
/* Blocks while the keeper is behind; a keeper that is gone is found by the next receive. */
void mf_keeper_link_send(struct mf_keeper_packet *packet); /* fills in the version */
void mf_keeper_link_tell(enum mf_keeper_packet_kind kind, struct mf_uuid id);
void mf_keeper_link_ready(bool guests_die);
void mf_keeper_link_watch(struct mf_uuid id, int64_t pid, bool at_most);
/* 1 = a packet, 0 = none waiting, -EPIPE = the keeper is gone. */
int mf_keeper_link_receive(struct mf_keeper_packet *ret_packet);

#endif
