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

/* All answered and all events read? */
bool mf_sim_client_is_well(const struct mf_sim_client *self, char *ret_why, size_t size);
void mf_sim_client_check(struct mf_sim_client *self); /* the ledger against the log */

#endif
