/* test_edge_policy.c - policy and weights as the configuration says them, and what is wrong with them. */
#include "policy_settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void refused(const char *name, const char *weights, const char *with)
{
    struct mf_place_policy policy;
    char error[1024] = "";

    assert_int_equal(mf_policy_settings(name, weights, &policy, error), -EINVAL);
    if (!strstr(error, with))
        fail_msg("\"%s\" does not say %s", error, with);
}

static void test_said_and_not_said(void **state)
{
    struct mf_place_policy policy, own = mf_place_policy_named(MF_POLICY_NAME_ROOM);
    char error[1024];

    assert_int_equal(mf_policy_settings("room", NULL, &policy, error), 0);
    assert_memory_equal(policy.weights, own.weights, sizeof(own.weights));
    assert_int_equal(mf_policy_settings("room", "0.5,2", &policy, error), 0);
    assert_int_equal(policy.name, MF_POLICY_NAME_ROOM);
    assert_true(policy.weights[0] == 0.5 && policy.weights[1] == 2);
}

static void test_what_is_wrong_is_quoted_whole(void **state)
{
    refused("rooms", NULL, "there is no \"rooms\"; there are ");
    refused("room", "0.5,x", "\"0.5,x\" is not a list");
    refused("room", "1,1,1,1,1,1,1,1,1", "\"1,1,1,1,1,1,1,1,1\" is not a list");
    refused("room", "", "\"\" is not a list");
    refused("room", "0.5,", "\"0.5,\" is not a list");
    refused("room", "nan", "nan");
    refused("room", "1,-1", "weight 2 of placement policy room is -1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_said_and_not_said),
        cmocka_unit_test(test_what_is_wrong_is_quoted_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
