/* group_rules.h - what a provision says of where its instances may be: as it is kept, and whether it can be
 * meant. */
#ifndef MF_BROKER_GROUP_RULES_H
#define MF_BROKER_GROUP_RULES_H

#include "state.h"

struct mf_rec_rules mf_own_rules(const struct mf_rec_rules *rules);
void mf_free_rules(struct mf_rec_rules *rules);
bool mf_rules_eq(const struct mf_rec_rules *a, const struct mf_rec_rules *c);
uint32_t mf_rules_priority(const struct mf_rec_rules *rules);
static inline bool
mf_rules_by_host(struct mf_str key) /* of what says by which domain: a label, or the host */
{
    return !key.len || mf_str_is(key, "host");
}
bool mf_rules_name(const struct mf_rec_rules *rules, bool apart,
                   struct mf_str group); /* in apart, or in with */

/* True, with the field and what is wrong in text, if they contradict themselves, the labels that are
 * required, or the group's own name. */
bool mf_rules_bad(const struct mf_rec_rules *rules, const struct mf_labels *require, struct mf_str group,
                  enum mf_spread spread, char text[256]);
/* Of an ask there are only so many rules, and a group is counted by each label by which others want it near
 * or far: all groups together are kept apart, and together, by so many labels each, the host among them. */
enum { MF_RULE_DOMAINS_MAX = 8 };
bool mf_rules_domains_full(const struct mf_broker *b, const struct mf_rec_rules *rules, char text[256]);
/* What may be meant, but that nothing has just now: a label of no node, a group that is not there. Empty:
 * nothing. */
struct mf_str mf_rules_mind(const struct mf_broker *b, const struct mf_rec_rules *rules, uint64_t count,
                            char text[256]);

#endif
