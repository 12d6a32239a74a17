/* requests.h - what clients ask to be changed: provision, scale, destroy, image-add, offering-add. Each is
 * done once for its id, and its answer, yes or no, is remembered in the log. */
#ifndef MF_BROKER_REQUESTS_H
#define MF_BROKER_REQUESTS_H

#include "state.h"

void mf_request_message(struct mf_broker *b, const struct mf_peer *peer, const struct mf_message *message,
                        struct mf_digest body);
/* GROUP, GROUP/SLOT or a UUID: NULL if it names no instance. *ret_group is set if it names a group alone. */
struct mf_instance *mf_target_find(struct mf_broker *b, struct mf_str target, struct mf_group **ret_group);

#endif
