/* domains.h - strangers: domains of our name space on a node that the broker does not know. They are told and
 * left alone; an operator says whose they are, or that they must go. While one lives and says it is of a
 * slot, that slot is not born again. */
#ifndef MF_BROKER_DOMAINS_H
#define MF_BROKER_DOMAINS_H

#include "asked.h"
#include "nodes.h"

bool mf_domain_is_strange(const struct mf_broker *b, const struct mf_node *node,
                          const struct mf_rec_guest *guest);
enum mf_list_of { MF_LIST_LATER, MF_LIST_HELLO, MF_LIST_AFTER_BOOT }; /* of the same epoch, of a new one */
/* What a node says it has, against what is known of it. Returns how many rows that took. */
size_t mf_domains_match(struct mf_broker *b, struct mf_node *node, struct mf_guests guests,
                        enum mf_list_of list, uint64_t cause);
void mf_domains_list(struct mf_broker *b, uint64_t peer, struct mf_str request_id);
const struct mf_stranger *mf_domain_claiming(const struct mf_broker *b, const struct mf_slot *slot);

void mf_domain_adopt(struct mf_asked *a, const struct mf_msg_adopt *m);
void mf_domain_purge(struct mf_asked *a, const struct mf_msg_purge *m);
bool mf_domains_purging(const struct mf_node *node); /* a destroy of one is out */
void mf_domain_acked(struct mf_broker *b, struct mf_node *node, uint64_t order_id);
void mf_domain_result(struct mf_broker *b, struct mf_node *node, const struct mf_msg_order_result *result);
void mf_domain_alarm(struct mf_broker *b, struct mf_stranger *stranger);
void mf_domains_ended(struct mf_broker *b, struct mf_node *node, uint64_t cause); /* dead with its worker */
void mf_domains_session_over(struct mf_broker *b, struct mf_node *node); /* its orders died with its epoch */

#endif
