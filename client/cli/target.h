/* target.h - what a person may name: web, web/3, web/3#2, an instance's UUID, node/node-1, image/tiny,
 * offering/small, monitor/health-0, cluster. */
#ifndef MF_CLI_TARGET_H
#define MF_CLI_TARGET_H

#include "message.h"

enum mf_target_kind {
    MF_TARGET_NAME,       /* web: a group, or a node */
    MF_TARGET_SLOT,       /* web/3 */
    MF_TARGET_GENERATION, /* web/3#2 */
    MF_TARGET_UUID,
    MF_TARGET_OTHER /* node/NAME, image/NAME, offering/NAME, monitor/NAME, cluster: a subject of the log as it
                       stands */
};
struct mf_target {
    enum mf_target_kind kind;
    char name[MF_NAME_MAX + 1]; /* of the group; of OTHER its own */
    uint64_t slot, generation;
    struct mf_uuid id;
    char subject[256]; /* in the log; empty for a UUID */
};

/* 0, or -EINVAL with a sentence. A leading "default/" (the tenant, as the log writes it) is accepted. */
int mf_target_parse(const char *text, struct mf_target *ret_target, char error[256]);
/* The other way: slot and generation of a row's subject default/web/3#2. False if it is not an instance's. */
bool mf_target_of_subject(struct mf_str subject, struct mf_target *ret_target);

#endif
