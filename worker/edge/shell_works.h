/* shell_works.h - shells in the agent: the loop tends them when no birth is under way, a thread makes or ends
 * one, and a birth takes one over. */
#ifndef MF_SHELL_WORKS_H
#define MF_SHELL_WORKS_H

#include "shells.h"

struct mf_agent;
struct mf_agent_const;
struct mf_birth;
struct mf_work;

struct mf_shell_tending { /* the loop's */
    struct mf_shells kinds;
    struct mf_random random; /* for their ids */
    unsigned births;         /* under way */
    bool busy;               /* a thread makes or ends one */
    mf_ms due;               /* nothing to be done before */
    uint64_t taken, failed;  /* births that took one over; shells that could not be made */
};

/* -- the loop */
void mf_shell_open(struct mf_agent *agent);
void mf_shell_tend(struct mf_agent *agent);
void mf_shell_born(struct mf_agent *agent, const struct mf_work *create); /* while its order is there */
void mf_shell_tended(struct mf_agent *agent, const struct mf_work *work);

/* -- threads */
/* Is there one for this birth? Its spec names it then; the work remembers the kind in any case. */
bool mf_shell_take(struct mf_work *create, struct mf_birth *birth);
/* It is given the birth's seed, and its folder becomes the birth's. 0; else it is ended, and the shell was no
 * good (-ESTALE), or the user-data is not what it says it is (-EBADMSG, with code and text). */
int mf_shell_become(struct mf_work *create, struct mf_birth *birth);
void mf_shell_run(struct mf_work *work);
void mf_shell_sweep(const struct mf_agent_const *fixed); /* folders of shells that are no more */
/* Memory that shells may need is none for guests, unless an operator said how much there is for them. */
void mf_shell_account(const struct mf_agent_const *fixed, struct mf_driver_capacity *capacity);

#endif
