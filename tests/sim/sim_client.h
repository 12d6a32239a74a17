/* sim_client.h - a client of a simulated world: it provisions, scales, destroys and kills, sends every
 * request again until it is answered (and sometimes after), and follows an exact stream of events. Its ledger
 * is what I1 is checked against. */
#ifndef MF_SIM_CLIENT_H
#define MF_SIM_CLIENT_H

#include "net.h"
#include "world.h"

struct mf_sim_client;
struct mf_sim_client *mf_sim_client_new(struct mf_sim_world *world,
                                        uint32_t index); /* the first one is the operator */
void mf_sim_client_destroy(struct mf_sim_client **self);
void mf_sim_client_rest(struct mf_sim_client *self); /* no new requests; those asked are still seen through */
struct mf_sim_link *mf_sim_client_link(struct mf_sim_client *self);
struct mf_sim_path *mf_sim_client_path(struct mf_sim_client *self);

/* For a scenario: a new request, to be filled and asked as soon as those before it are answered. */
struct mf_sim_entry *mf_sim_client_entry(struct mf_sim_client *self);
void mf_sim_client_ask(struct mf_sim_client *self, struct mf_sim_entry *entry);
bool mf_sim_client_is_idle(const struct mf_sim_client *self); /* set up, and nothing asked */
void mf_sim_client_subscribe(struct mf_sim_client *self, uint64_t from, bool slow);
bool mf_sim_client_was_expired(const struct mf_sim_client *self); /* its cursor was refused as too old */

/* All answered and all events read? */
bool mf_sim_client_is_well(const struct mf_sim_client *self, char *ret_why, size_t size);
void mf_sim_client_check(struct mf_sim_client *self); /* the ledger against the log */

#endif
