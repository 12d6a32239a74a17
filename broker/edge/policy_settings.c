/* policy_settings.c - see policy_settings.h. */
#include "policy_settings.h"
#include "message.h"

#include <errno.h>
#include <stdlib.h>

static int read_weights(const char *text, struct mf_place_policy *policy, char error[1024])
{
    const char *at = text;

    for (int i = 0; i < MF_POLICY_WEIGHTS_MAX; i++)
        policy->weights[i] = 0;
    for (int i = 0; i < MF_POLICY_WEIGHTS_MAX; i++) {
        char *end;
        policy->weights[i] = strtod(at, &end);
        if (end == at || (*end && *end != ','))
            break;
        if (!*end)
            return 0;
        at = end + 1;
    }
    mf_str_format(error, 1024,
                  "--placement-weights: \"%s\" is not a list of at most %d numbers with commas between", text,
                  MF_POLICY_WEIGHTS_MAX);
    return -EINVAL;
}

static void list_names(char names[256])
{
    size_t at = 0;

    for (enum mf_policy_name name = MF_POLICY_NAME_UNSET + 1; name < MF_POLICY_NAMES; name++)
        at += mf_str_format(names + at, 256 - at, "%s%s", at ? ", " : "", mf_place_policy_word(name)).len;
}

int mf_policy_settings(const char *name, const char *weights, struct mf_place_policy *ret_policy,
                       char error[1024])
{
    enum mf_policy_name found = mf_place_policy_find(name);
    char names[256], wrong[256];

    if (found == MF_POLICY_NAME_UNSET) {
        list_names(names);
        mf_str_format(error, 1024, "--placement-policy: there is no \"%s\"; there are %s", name, names);
        return -EINVAL;
    }
    *ret_policy = mf_place_policy_named(found);
    if (weights && read_weights(weights, ret_policy, error) < 0)
        return -EINVAL;
    if (mf_place_policy_check(ret_policy, wrong) < 0) {
        mf_str_format(error, 1024, "--placement-weights: %s", wrong);
        return -EINVAL;
    }
    return 0;
}
