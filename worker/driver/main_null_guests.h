/* main_null_guests.h - the stand-in's simulated guests: what each request does, and when. No socket and no
 * clock in here. */
#ifndef MF_NULL_GUESTS_H
#define MF_NULL_GUESTS_H

#include "null_wire.h"

struct mf_null_guests;

/* How packets leave: to one peer, or with peer 0 to all that watch. */
typedef void mf_null_send(void *arg, uint64_t peer, const struct mf_null_packet *packet, const void *rest,
                          size_t rest_len);

struct mf_null_guests *mf_null_guests_new(mf_null_send *send, void *arg);
void mf_null_guests_destroy(struct mf_null_guests **self);
void mf_null_guests_handle(struct mf_null_guests *self, mf_ms now, uint64_t peer,
                           const struct mf_null_packet *request, const char *text);
void mf_null_guests_peer_gone(struct mf_null_guests *self,
                              uint64_t peer); /* what it asked for and was not yet done is given up */
/* A guest's own process ended by itself: it is gone at once, and told as late as a hypervisor tells it. */
void mf_null_guests_process_ended(struct mf_null_guests *self, mf_ms now, int64_t pid);
mf_ms mf_null_guests_deadline(const struct mf_null_guests *self); /* INT64_MAX if none */
void mf_null_guests_tick(struct mf_null_guests *self, mf_ms now);

#endif
