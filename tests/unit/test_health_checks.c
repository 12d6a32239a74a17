/* test_health_checks.c - looks at guests from outside: when they are begun, and when they are worth a word.
 */
#include "health_stage.h"

enum { SETTLED = 3000 }; /* every guest was looked at more than once */

static void begin_with(size_t guests)
{
    stage_begin_some(2);
    for (size_t i = 0; i < guests; i++)
        stage_told_guest(i);
    stage_run_to(SETTLED);
    stage_assert_trace("");
    stage_set_mark();
}

static unsigned lines_with(const char *words)
{
    unsigned n = 0;
    mf_buf_append(&stage.trace, "", 1);
    stage.trace.len--;
    for (const char *at = stage.trace.ptr; (at = strstr(at, words)); at++)
        n++;
    return n;
}

static void test_who_passes_is_never_spoken_of(void **state)
{
    begin_with(3);
    stage_run_to(60000);
    stage_assert_trace("");
    for (size_t i = 0; i < 3; i++)
        assert_in_range(stage.guests[i].looked, 55, 75); /* once a second, a tenth more or less */
}

static void test_three_in_a_row_are_said_and_one_pass_takes_it_back(void **state)
{
    begin_with(3);
    stage.guests[1].broken = true;
    stage_run_to(1800);
    stage_assert_trace(""); /* two at most */
    stage_run_to(4000);
    assert_true(stage_said("g1 fails 2/3 tcp 10.1.0.2:80: refused, 3 in a row\n"));
    assert_in_range(lines_with("g1 fails"), 2, 5); /* at once, and twice a second */
    stage.guests[1].broken = false;
    stage_run_to(6000);
    assert_int_equal(lines_with("g1 passes 3/3\n"), 1);
    stage_set_mark();
    stage_run_to(60000);
    stage_assert_trace("");
}

static void test_two_failures_between_passes_are_nothing(void **state)
{
    begin_with(2);
    for (unsigned round = 0; round < 20; round++) {
        unsigned looked = stage.guests[0].looked;
        stage.guests[0].broken = true;
        while (stage.guests[0].looked < looked + 2)
            stage_run_to(stage.now - stage.mark + 10);
        stage.guests[0].broken = false;
        while (stage.guests[0].looked < looked + 3)
            stage_run_to(stage.now - stage.mark + 10);
    }
    stage_assert_trace("");
}

static void test_no_answer_is_a_failure_at_the_timeout(void **state)
{
    begin_with(2);
    stage.guests[0].silent = true;
    stage_run_to(5000);
    stage_assert_trace(""); /* three looks of 2 s, a second apart */
    stage_run_to(11000);
    assert_true(stage_said("g0 fails 1/2 tcp 10.1.0.1:80: timed out, 3 in a row\n"));
}

static void test_the_group_says_how_often_and_how_many(void **state)
{
    stage_begin_some(2);
    stage_told_guest_as(0, (struct mf_rec_check){.kind = MF_CHECK_KIND_HTTP,
                                                 .port = 8080,
                                                 .path = mf_str("/healthz"),
                                                 .every_ms = 200,
                                                 .fall = 1});
    stage_run_to(SETTLED);
    assert_in_range(stage.guests[0].looked, 12, 17);
    stage.guests[0].broken = true;
    stage_run_to(SETTLED + 300);
    assert_true(stage_said("g0 fails 0/1 http 10.1.0.1:8080/healthz: refused, 1 in a row\n"));
}

static void test_no_limit_of_a_group_is_below_ours(void **state)
{
    stage_begin_some(2);
    stage_told_guest_as(
        0, (struct mf_rec_check){.kind = MF_CHECK_KIND_TCP, .port = 80, .every_ms = 1, .timeout_ms = 600000});
    stage.guests[0].silent = true;
    stage_run_to(31500);
    assert_in_range(stage.guests[0].looked, 2, 4); /* 10 s is the longest look */
}

static void test_who_never_passed_is_said_so(void **state)
{
    stage.guests[0].broken = true;
    stage_begin_some(2);
    stage_told_guest(0);
    stage_told_guest(1);
    stage_run_to(4000);
    assert_true(stage_said("g0 fails, never passed 1/1 tcp"));
}

static void test_the_same_told_again_changes_nothing(void **state)
{
    begin_with(1);
    stage.guests[0].broken = true;
    for (mf_ms t = 100; t <= 4000; t += 100) {
        stage_run_to(t);
        stage_told_guest(0);
    }
    assert_true(stage_said("g0 fails"));
    stage_set_mark();
    stage_told_guest_as(0, (struct mf_rec_check){.kind = MF_CHECK_KIND_TCP, .port = 81, .every_ms = 1000});
    stage_run_to(1500); /* another check: what was known is forgotten */
    stage_assert_trace("");
}

static void test_withdrawn_means_silence(void **state)
{
    begin_with(2);
    stage.guests[0].broken = true;
    stage_run_to(4000);
    assert_true(stage_said("g0 fails"));
    stage_withdrawn(0);
    stage_set_mark();
    unsigned looked = stage.guests[0].looked;
    stage_run_to(10000);
    stage_assert_trace("");
    assert_int_equal(stage.guests[0].looked, looked);
    assert_true(stage.guests[1].looked > 5);
}

static void test_withdrawn_while_a_look_is_out(void **state)
{
    begin_with(1);
    stage.guests[0].silent = true;
    while (stage.n_looks == 0)
        stage_run_to(stage.now - stage.mark + 10);
    stage_withdrawn(0);
    stage_told_guest(0);
    stage.guests[0].silent = false;
    stage_run_to(20000); /* the old look's end is nobody's failure, and does not end the new one's */
    stage_assert_trace("");
    assert_true(stage.guests[0].looked > 15);
}

static void test_nobody_is_looked_at_without_a_session(void **state)
{
    begin_with(2);
    stage.guests[0].broken = true;
    stage_run_to(4000);
    stage_feed_kind(MF_HEALTH_LINK_DOWN);
    stage_set_mark();
    unsigned begun = stage.begun;
    stage_run_to(5000);
    stage_assert_trace("");
    assert_int_equal(stage.begun, begun);
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    stage_run_to(6000); /* not told of anybody yet */
    assert_int_equal(stage.begun, begun);
}

static void test_in_doubt_nobody_is_looked_at_nor_blamed(void **state)
{
    stage_begin_some(3);
    stage_told_guest(0);
    stage_run_to(SETTLED);
    stage.guests[0].broken = true;
    stage_run_to(6500);
    assert_true(stage_said("g0 fails"));
    stage_set_mark();
    for (size_t i = 0; i < 3; i++)
        stage.nodes[i].pulsing = false;
    stage_run_to(5000); /* all nodes went silent: it is deaf, and what it said of guests is taken back */
    assert_true(stage_said("suspended"));
    assert_int_equal(lines_with("g0 passes"), 1);
    stage_set_mark();
    unsigned begun = stage.begun;
    stage_run_to(10000);
    stage_assert_trace("");
    assert_int_equal(stage.begun, begun);
    for (size_t i = 0; i < 3; i++)
        stage_start_pulsing(&stage.nodes[i]);
    stage_run_to(11500);
    assert_true(lines_with("resumed") == 1 && lines_with("g0") == 0); /* it counts anew */
    stage_run_to(16000);
    assert_true(stage_said("g0 fails"));
}

static void test_what_failed_while_the_loop_stood_still_does_not_count(void **state)
{
    begin_with(1);
    stage.guests[0].silent = true;
    for (unsigned round = 0; round < 6; round++) { /* its looks end while it is stopped, again and again */
        while (stage.n_looks == 0 || stage.looks[0].due > stage.now + 500)
            stage_run_to(stage.now - stage.mark + 10);
        stage.now += 600; /* not so long that it doubts its hearing */
        stage_feed_kind(MF_HEALTH_TICK);
        stage_run_to(stage.now - stage.mark + 10);
    }
    assert_int_equal(lines_with("g0"), 0);
    stage_run_to(stage.now - stage.mark + 12000);
    assert_true(stage_said("g0 fails"));
}

static void test_what_this_host_cannot_do_is_nobodys_failure(void **state)
{
    begin_with(1);
    stage.guests[0].unreachable = true;
    stage_run_to(20000);
    stage_assert_trace("");
}

static struct mf_health *core_with(uint32_t guests, uint32_t looks, const char *networks)
{
    struct mf_health_config config;
    char error[512];
    mf_health_config_default(&config);
    mf_str_format(config.name, sizeof(config.name), "health-0");
    mf_str_format(config.pulse_address, sizeof(config.pulse_address), "127.0.0.1:7000");
    config.check_guests = guests;
    config.check_looks = looks;
    assert_int_equal(mf_networks_parse(networks, &config.check_networks, error), 0);
    return mf_health_new(&config);
}

static void test_guests_and_looks_are_bounded(void **state)
{
    mf_health_destroy(&stage.core);
    stage.core = core_with(3, 2, "");
    stage_begin_some(2);
    for (size_t i = 0; i < GUESTS; i++) {
        stage.guests[i].silent = true;
        stage_told_guest(i);
    }
    for (mf_ms t = 10; t < 20000; t += 10) {
        stage_run_to(t);
        assert_true(stage.n_looks <= 2);
    }
    for (size_t i = 0; i < GUESTS; i++) /* those that find no room wait, and have their turn */
        assert_true(i < 3 ? stage.guests[i].looked > 2 : stage.guests[i].looked == 0);
}

static void test_guests_elsewhere_are_not_looked_at(void **state)
{
    mf_health_destroy(&stage.core);
    stage.core = core_with(100, 100, "10.1.0.2/31,fd00::/8");
    stage_begin_some(2);
    for (size_t i = 0; i < GUESTS; i++)
        stage_told_guest(i);
    stage_run_to(5000);
    for (size_t i = 0; i < GUESTS; i++) /* g1 is 10.1.0.2 */
        assert_int_equal(stage.guests[i].looked > 0, i == 1 || i == 2);
    stage_assert_trace("");
}

static void test_networks(void **state)
{
    static const char *const bad[] = {"10.0.0.0/33", "fd00::/129", "x",   "10.0.0.0/",     "10.0.0.0/-1",
                                      "/8",          "10.0.0/8",   " ::", "10.0.0.0/8,,x", "fe80::1%eth0"};
    static const char *const never[] = {
        "127.0.0.1", "::1",     "::",          "0.0.0.0",         "169.254.169.254",
        "fe80::1",   "ff02::1", "224.0.0.1",   "255.255.255.255", "::ffff:127.0.0.1",
        "host",      "",        "10.0.0.1:80", "10.0.0.1/8"};
    struct mf_networks networks = {0};
    char error[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(mf_networks_parse(bad[i], &networks, error) < 0 && strstr(error, "ADDRESS/BITS"));
    assert_int_equal(mf_networks_parse("", &networks, error), 0);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_false(mf_networks_have(&networks, never[i]));
    assert_true(mf_networks_have(&networks, "10.9.8.7") && mf_networks_have(&networks, "fd00::7"));
    assert_int_equal(mf_networks_parse("127.0.0.1,10.128.0.0/9,2001:db8:8000::/33", &networks, error), 0);
    assert_true(mf_networks_have(&networks, "127.0.0.1") && mf_networks_have(&networks, "10.200.1.1"));
    assert_false(mf_networks_have(&networks, "127.0.0.2") || mf_networks_have(&networks, "10.127.1.1"));
    assert_true(mf_networks_have(&networks, "2001:db8:8001::1"));
    assert_false(mf_networks_have(&networks, "2001:db8:7fff::1"));
    assert_true(mf_networks_parse("1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
                                  "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1",
                                  &networks, error) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_passes_is_never_spoken_of),
        TEST(test_three_in_a_row_are_said_and_one_pass_takes_it_back),
        TEST(test_two_failures_between_passes_are_nothing),
        TEST(test_no_answer_is_a_failure_at_the_timeout),
        TEST(test_the_group_says_how_often_and_how_many),
        TEST(test_no_limit_of_a_group_is_below_ours),
        TEST(test_who_never_passed_is_said_so),
        TEST(test_the_same_told_again_changes_nothing),
        TEST(test_withdrawn_means_silence),
        TEST(test_withdrawn_while_a_look_is_out),
        TEST(test_nobody_is_looked_at_without_a_session),
        TEST(test_in_doubt_nobody_is_looked_at_nor_blamed),
        TEST(test_what_failed_while_the_loop_stood_still_does_not_count),
        TEST(test_what_this_host_cannot_do_is_nobodys_failure),
        TEST(test_guests_and_looks_are_bounded),
        TEST(test_guests_elsewhere_are_not_looked_at),
        TEST(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
