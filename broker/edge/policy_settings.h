/* policy_settings.h - how nodes are ranked, as the configuration says it. */
#ifndef MF_POLICY_SETTINGS_H
#define MF_POLICY_SETTINGS_H

#include "policy.h"

/* weights: numbers with commas between them, or NULL: the policy's own. 0, or -EINVAL with what is wrong. */
int mf_policy_settings(const char *name, const char *weights, struct mf_place_policy *ret_policy,
                       char error[1024]);

#endif
