/* test_broker_hostile.c - peers with good keys and bad manners: what they say harms at most themselves, and
 * what they can write into the log is paced. */
#include "broker_stage.h"
#include "check.h"
#include "describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { EVIL = 1 };

static const char *error_to(struct stage *s, uint64_t peer)
{
    static char code[33];
    const struct mf_message *m = stage_last(s, peer, MF_MSG_ERROR);

    assert_non_null(m);
    snprintf(code, sizeof(code), "%.*s", (int)m->error.code.len, m->error.code.ptr);
    return code;
}

/* One worker must not lift the term to where every other, having seen it, is refused for good. */
static void test_a_worker_cannot_poison_the_term(void **state)
{
    struct stage s;
    struct mf_message evil = stage_hello_message(EVIL), good = stage_hello_message(0);
    static const uint64_t seen[] = {UINT64_MAX / 2, UINT64_MAX / 2 + 1, UINT64_MAX, 2000000};

    stage_open(&s);
    stage_hello(&s, 0, NULL, 0);
    for (size_t i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
        evil.hello.term_seen = seen[i];
        stage_hello_as(&s, EVIL, evil);
        assert_string_equal(error_to(&s, s.worker[EVIL]), "invalid");
    }
    assert_int_equal(mf_broker_term(s.b), 1);
    evil.hello.term_seen = 1000000; /* a restored backup may be behind by some */
    stage_hello_as(&s, EVIL, evil);
    assert_non_null(stage_last(&s, s.worker[EVIL], MF_MSG_WELCOME));
    good.hello.term_seen = stage_last(&s, s.worker[EVIL], MF_MSG_WELCOME)->welcome.term;
    stage_hello_as(&s, 0, good);
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_WELCOME));
    stage_close(&s);
}

static void test_hellos_are_paced(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(EVIL);
    size_t joined;

    stage_open(&s);
    for (int i = 0; i < 500; i++)
        stage_hello_as(&s, EVIL, hello);
    joined = stage_count_rows(&s, MF_EV_NODE_JOINED);
    assert_in_range(joined, 10, 30);
    assert_string_equal(error_to(&s, s.worker[EVIL]), "unavailable");
    assert_true(stage_last(&s, s.worker[EVIL], MF_MSG_ERROR)->error.retry);
    stage_hello(&s, 0, NULL, 0); /* another node pays nothing for it */
    assert_non_null(stage_last(&s, s.worker[0], MF_MSG_WELCOME));
    stage_pass(&s, 30000);
    stage_hello_as(&s, EVIL, hello);
    assert_non_null(stage_last(&s, s.worker[EVIL], MF_MSG_WELCOME));
    stage_close(&s);
}

static void test_unknown_domains_cost(void **state)
{
    enum { MANY = 4000 };
    struct stage s;
    struct mf_rec_guest *guests = calloc(MANY, sizeof(*guests));

    stage_open(&s);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < MANY; i++)
            guests[i] = (struct mf_rec_guest){.id = {{(uint8_t)(i >> 8), (uint8_t)i, (uint8_t)round, 1}},
                                              .state = MF_GUEST_STATE_RUNNING,
                                              .name = mf_str("x")};
        stage_hello(&s, EVIL, guests, MANY);
    }
    assert_int_equal(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), MANY);
    free(guests);
    stage_close(&s);
}

/* Other strangers each time it is asked: what it tells is paced, too. */
static void test_inventories_of_strangers_cost(void **state)
{
    enum { MANY = 2000 };
    struct stage s;
    struct mf_rec_guest *guests = calloc(MANY, sizeof(*guests));
    struct mf_rec_guest first = {.id = {{9}}, .state = MF_GUEST_STATE_RUNNING, .name = mf_str("x")};

    stage_open(&s);
    stage_hello(&s, EVIL, &first, 1);
    for (int round = 0; round < 60; round++) {
        stage_forget_sent(&s);
        stage_pass(&s, 10000);
        const struct mf_message *ask = stage_last(&s, s.worker[EVIL], MF_MSG_INVENTORY_ASK);
        struct mf_message m = {.kind = MF_MSG_INVENTORY};
        if (!ask)
            continue;
        for (int i = 0; i < MANY; i++)
            guests[i] = (struct mf_rec_guest){.id = {{(uint8_t)(i >> 8), (uint8_t)i, (uint8_t)round, 1}},
                                              .state = MF_GUEST_STATE_RUNNING,
                                              .name = mf_str("x")};
        m.inventory.ask_id = ask->inventory_ask.ask_id;
        m.inventory.epoch = s.epoch[EVIL];
        m.inventory.guests.items = guests;
        m.inventory.guests.n = MANY;
        stage_worker(&s, EVIL, m);
    }
    assert_in_range(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), MANY, 12 * MANY); /* not 60 times */
    free(guests);
    stage_close(&s);
}

/* Nor do a few strangers at a time, as often as it can make the broker ask. */
static void test_inventories_of_few_strangers_cost(void **state)
{
    enum { FEW = 7, ROUNDS = 200 }; /* with those that are gone again, less than what costs a hello */
    struct stage s;
    struct mf_rec_guest guests[FEW];
    struct mf_message alive = {.kind = MF_MSG_WORKER_ALIVE, .worker_alive = {.digest = 12345}};

    stage_open(&s);
    stage_hello(&s, EVIL, NULL, 0);
    alive.worker_alive.epoch = s.epoch[EVIL];
    for (int round = 0; round < ROUNDS; round++) {
        struct mf_message m = {.kind = MF_MSG_INVENTORY};
        stage_forget_sent(&s);
        for (int i = 0; i < 60 && !stage_last(&s, s.worker[EVIL], MF_MSG_INVENTORY_ASK); i++)
            stage_worker(&s, EVIL, alive);
        for (int i = 0; i < FEW; i++)
            guests[i] = (struct mf_rec_guest){.id = {{(uint8_t)i, (uint8_t)round, 1}},
                                              .state = MF_GUEST_STATE_RUNNING,
                                              .name = mf_str("x")};
        m.inventory.ask_id = stage_last(&s, s.worker[EVIL], MF_MSG_INVENTORY_ASK)->inventory_ask.ask_id;
        m.inventory.epoch = s.epoch[EVIL];
        m.inventory.guests.items = guests;
        m.inventory.guests.n = FEW;
        stage_worker(&s, EVIL, m);
    }
    assert_in_range(stage_count_rows(&s, MF_EV_DOMAIN_UNKNOWN), FEW, 30 * FEW); /* not 200 times */
    stage_close(&s);
}

static void test_refusals_do_not_fill_the_log(void **state)
{
    struct stage s;
    struct mf_message hello = stage_hello_message(EVIL);
    char machine[32];

    stage_open(&s);
    stage_hello(&s, EVIL, NULL, 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(machine, sizeof(machine), "other-%d", i);
        hello.hello.machine_id = mf_str(machine);
        stage_hello_as(&s, EVIL, hello);
        assert_string_equal(error_to(&s, s.worker[EVIL]), "forbidden");
    }
    assert_in_range(stage_count_rows(&s, MF_EV_NODE_REFUSED), 1, 40);
    stage_close(&s);
}

static void claim(struct stage *s, const char *name)
{
    struct mf_rec_guest guest = {.id = {{9}}, .state = MF_GUEST_STATE_RUNNING, .name = mf_str(name)};

    stage_hello(s, EVIL, &guest, 1);
}

/* A number that is read as another would hold a slot that the name does not say. */
static void test_names_that_claim_nothing(void **state)
{
    static const char *const names[] = {"web/4294967296#1",
                                        "web/-1#1",
                                        "web/ 0#1",
                                        "web/+0#1",
                                        "web/0#",
                                        "web/0#1x",
                                        "web/0",
                                        "web/10000#1",
                                        "/0#1",
                                        "a/b/web/0#1",
                                        "WEB/0#1",
                                        "web/#1",
                                        "-web/0#1",
                                        "web/0#99999999999999999999",
                                        "web//0#1"};
    struct stage s;

    stage_open(&s);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        claim(&s, names[i]);
        assert_int_equal(mf_map_size(s.b->claims), 0);
        stage_pass(&s, 1000);
    }
    claim(&s, "web/0#1");
    assert_int_equal(mf_map_size(s.b->claims), 1);
    claim(&s, "default/web/9999#18446744073709551615");
    assert_int_equal(mf_map_size(s.b->claims), 1);
    stage_close(&s);
}

static struct mf_message monitor_hello(const char *address)
{
    return (struct mf_message){.kind = MF_MSG_MONITOR_HELLO,
                               .monitor_hello = {.pulse_address = mf_str(address)}};
}

static void test_pulse_addresses(void **state)
{
    static const char *const bad[] = {"nonsense",  "host:0",  "host:65536", "host:", ":7000", "a:b:7000",
                                      "[::1:7000", "ho st:7", "host:7x",    ":",     "h:-1",  "host:0000070"};
    static const char *const good[] = {"host.example:7000", "127.0.0.1:1", "[::1]:65535"};
    struct stage s;

    stage_open(&s);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        stage_forget_sent(&s);
        stage_say(&s, 900, MF_ROLE_MONITOR, "mon", monitor_hello(bad[i]));
        assert_string_equal(error_to(&s, 900), "invalid");
        assert_null(stage_last(&s, 900, MF_MSG_MONITOR_WELCOME));
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        stage_forget_sent(&s);
        stage_say(&s, 900, MF_ROLE_MONITOR, "mon", monitor_hello(good[i]));
        assert_non_null(stage_last(&s, 900, MF_MSG_MONITOR_WELCOME));
    }
    stage_close(&s);
}

/* Each would take the other's session, and both would be deaf: the one that is heard stays. */
static void test_two_monitors_with_one_key(void **state)
{
    struct stage s;

    stage_open(&s);
    stage_say(&s, 900, MF_ROLE_MONITOR, "mon", monitor_hello("127.0.0.1:1"));
    stage_say(&s, 901, MF_ROLE_MONITOR, "mon", monitor_hello("127.0.0.1:2"));
    assert_string_equal(error_to(&s, 901), "unavailable");
    assert_null(stage_last(&s, 901, MF_MSG_MONITOR_WELCOME));
    assert_null(stage_last(&s, 900, MF_MSG_ERROR));
    stage_gone(&s, 900);
    stage_say(&s, 901, MF_ROLE_MONITOR, "mon", monitor_hello("127.0.0.1:2"));
    assert_non_null(stage_last(&s, 901, MF_MSG_MONITOR_WELCOME));
    stage_pass(&s, 5000); /* connected, but not heard: a frozen one does not keep its place */
    stage_say(&s, 902, MF_ROLE_MONITOR, "mon", monitor_hello("127.0.0.1:3"));
    assert_non_null(stage_last(&s, 902, MF_MSG_MONITOR_WELCOME));
    stage_close(&s);
}

static void test_cursors_that_are_none(void **state)
{
    static const char *const bad[] = {"x", "/", "web/0/0#1", "web/00000000-0000-0000-0000-000000000000/0#1x"};
    struct stage s;

    stage_open(&s);
    stage_provision(&s, "web", 2);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        stage_forget_sent(&s);
        stage_client(
            &s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                                    .list_instances = {.request_id = mf_str("l"), .after = mf_str(bad[i])}});
        assert_string_equal(error_to(&s, STAGE_CLIENT), "invalid");
    }
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_cannot_poison_the_term),
        cmocka_unit_test(test_hellos_are_paced),
        cmocka_unit_test(test_unknown_domains_cost),
        cmocka_unit_test(test_inventories_of_strangers_cost),
        cmocka_unit_test(test_inventories_of_few_strangers_cost),
        cmocka_unit_test(test_refusals_do_not_fill_the_log),
        cmocka_unit_test(test_names_that_claim_nothing),
        cmocka_unit_test(test_pulse_addresses),
        cmocka_unit_test(test_two_monitors_with_one_key),
        cmocka_unit_test(test_cursors_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
