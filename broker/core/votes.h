/* votes.h - what monitors say of nodes, counted: a majority of the known monitors makes a verdict. */
#ifndef MF_BROKER_VOTES_H
#define MF_BROKER_VOTES_H

#include "state.h"

size_t mf_quorum(const struct mf_broker *b); /* monitors that must agree */
void mf_vote(struct mf_broker *b, struct mf_monitor *monitor, const struct mf_msg_monitor_verdict *verdict);
void mf_votes_drop(struct mf_broker *b, const struct mf_monitor *monitor); /* its word counts no more */
void mf_votes_judge(struct mf_broker *b, struct mf_node *node);            /* what its votes come to, now */
void mf_votes_judge_by_word(struct mf_broker *b, struct mf_node *node); /* and an operator lets it happen */
void mf_votes_judge_all(struct mf_broker *b);
void mf_votes_alarm(struct mf_broker *b, struct mf_node *node);
void mf_votes_forget(struct mf_broker *b, struct mf_node *node); /* its epoch is over, or it is forgotten */

#endif
