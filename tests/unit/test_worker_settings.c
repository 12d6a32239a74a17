/* test_worker_settings.c - what an agent may be told of its host: amounts that contradict one another, or
 * that nobody means, are refused in a sentence. */
#include "agent.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char state_dir[] = "/tmp/mf-settings-XXXXXX", error[1024];
static struct mf_agent_settings settings;

static int load(struct mf_arena *arena, const char *flag, const char *value, const char *flag2,
                const char *value2)
{
    char *argv[] = {"mayfly-agent", "--broker",    "tcp://127.0.0.1:1", "--key", "/k",
                    "--state",      state_dir,     "--machine-id",      "m",     (char *)flag,
                    (char *)value,  (char *)flag2, (char *)value2,      NULL};
    int argc = flag2 ? 13 : flag ? 11 : 9;
    error[0] = 0;
    argv[argc] = NULL;
    return mf_agent_settings_load(argc, argv, arena, &settings, error);
}

static void refused(const char *flag, const char *value, const char *flag2, const char *value2,
                    const char *why)
{
    struct mf_arena arena = {0};
    assert_int_equal(load(&arena, flag, value, flag2, value2), -EINVAL);
    if (!strstr(error, why))
        fail_msg("refused, but with: %s", error);
    mf_arena_free(&arena);
}

static void amounts_of_the_host_have_defaults(void **state)
{
    struct mf_arena arena = {0};
    assert_int_equal(load(&arena, NULL, NULL, NULL, NULL), 0);
    assert_true(settings.reserve_cpus == 0 && settings.reserve_memory_mib == -1);
    assert_true(settings.disk_iops == 0 && settings.disk_bytes_s == 0 && settings.net_bytes_s == 0);
    assert_int_equal(settings.cpu_ratio_percent, 400);
    assert_int_equal(load(&arena, "--reserve-memory-mib", "0", "--memory-mib", "0"), 0);
    assert_int_equal(load(&arena, "--net-bytes-s", "125000000", "--class", "hpc"), 0);
    assert_true(settings.net_bytes_s == 125000000 && settings.cpu_ratio_percent == 100);
    mf_arena_free(&arena);
}

static void what_contradicts_itself_is_refused(void **state)
{
    refused("--vcpus", "8", "--reserve-cpus", "1", "reserve-cpus and vcpus contradict one another");
    refused("--memory-mib", "800", "--reserve-memory-mib", "0",
            "reserve-memory-mib and memory-mib contradict");
}

static void what_nobody_means_is_refused(void **state)
{
    refused("--disk-bytes-s", "500", NULL, NULL, "disk-bytes-s is below 65536: it is bytes per second");
    refused("--net-bytes-s", "1000", NULL, NULL, "net-bytes-s is below 65536: it is bytes per second");
    refused("--net-bytes-s", "10000000000000", NULL, NULL, "net-bytes-s");
    refused("--disk-iops", "-1", NULL, NULL, "disk-iops");
    refused("--reserve-cpus", "many", NULL, NULL, "reserve-cpus");
    refused("--reserve-memory-mib", "-2", NULL, NULL, "reserve-memory-mib");
}

static int make_dir(void **state)
{
    return mkdtemp(state_dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    return rmdir(state_dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(amounts_of_the_host_have_defaults),
                                       cmocka_unit_test(what_contradicts_itself_is_refused),
                                       cmocka_unit_test(what_nobody_means_is_refused)};
    return cmocka_run_group_tests_name("worker_settings", tests, make_dir, remove_dir);
}
