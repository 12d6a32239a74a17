/* wait.h - --wait: until a group is complete, or until something is gone. Progress goes to stderr, on a
 * terminal only. */
#ifndef MF_CLI_WAIT_H
#define MF_CLI_WAIT_H

#include "cli.h"

struct mf_wait_for {
    uint64_t count, spares;
    bool ready; /* its guests say when they are well; also found out where they did already */
};
/* Until all of 0..count-1 run, or are ready, and nothing is left above but spares. Exit code; a time-out says
 * what is missing and why. */
int mf_wait_complete(struct mf_cli *cli, struct mf_str group, struct mf_uuid group_id,
                     struct mf_wait_for what);
/* Until the group is gone. `from`: the request's own event. */
int mf_wait_group_gone(struct mf_cli *cli, const char *group, struct mf_uuid group_id, uint64_t from);
/* Until the instance is gone. */
int mf_wait_instance_gone(struct mf_cli *cli, struct mf_uuid id, uint64_t from);
/* Until nothing is left on the node. */
int mf_wait_node_drained(struct mf_cli *cli, const char *node, uint64_t from);
/* All pages of a list of instances, each page given to `page`. 0 or an exit code; *ret_seq: what the first
 * page showed. */
int mf_list_instances(struct mf_cli *cli, struct mf_str group,
                      void (*page)(void *arg, const struct mf_msg_instances *page), void *arg,
                      uint64_t *ret_seq);

#endif
