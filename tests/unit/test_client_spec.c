/* group.yaml: what is understood, and that every mistake is told with its line. */
#include "spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GOOD "group: web\ncount: 6\nimage: tiny\noffering: small\n"

static struct mf_arena arena;
static struct mf_spec spec;
static char error[512];

static int parse(const char *text)
{
    mf_arena_free(&arena);
    *error = 0;
    return mf_spec_parse("g.yaml", mf_str(text), &arena, &spec, error);
}

static void understands_the_least(void **state)
{
    assert_int_equal(parse(GOOD), 0);
    assert_true(mf_str_is(spec.provision.group, "web"));
    assert_int_equal(spec.provision.count, 6);
    assert_true(mf_str_is(spec.provision.image, "tiny"));
    assert_int_equal(spec.provision.policy, MF_POLICY_UNSET);
    assert_null(spec.user_data_file);
}

static void understands_all(void **state)
{
    assert_int_equal(
        parse(GOOD "min: 4\npolicy: at-most\nspread: host\nfit: best-fit\nlabels: {team: shop, tier: front}\n"
                   "require:\n  rack: r1\nuser_data: |\n  #!/bin/sh\n  echo hi\n"),
        0);
    assert_int_equal(spec.provision.min, 4);
    assert_int_equal(spec.provision.policy, MF_POLICY_AT_MOST);
    assert_int_equal(spec.provision.spread, MF_SPREAD_HOST);
    assert_int_equal(spec.provision.fit, MF_FIT_BEST);
    assert_int_equal(spec.provision.labels.n, 2);
    assert_true(mf_str_is(spec.provision.labels.items[1].value, "front"));
    assert_true(mf_str_is(spec.provision.require.items[0].key, "rack"));
    assert_true(mf_str_is(spec.provision.user_data.bytes, "#!/bin/sh\necho hi\n"));
}

static void understands_health(void **state)
{
    assert_int_equal(parse(GOOD "spares: 2\nnetwork: lab\nmin: 0\nhealth:\n  ready: port\n  boot_ms: 90000\n"
                                "  watchdog: true\n  checks:\n    - {kind: tcp, port: 80}\n"
                                "    - kind: http\n      port: 8080\n      path: /healthz\n      fall: 5\n"),
                     0);
    const struct mf_rec_guest_health *health = &spec.provision.health;
    unsigned min = 0;
    while (strcmp(mf_kind_desc(MF_MSG_PROVISION)->fields[min].name, "min"))
        min++;
    assert_int_equal(spec.provision.spares, 2);
    assert_true(mf_str_is(spec.provision.network, "lab"));
    assert_true(spec.provision.has >> min & 1); /* none is needed: that was said */
    assert_int_equal(health->ready, MF_READINESS_PORT);
    assert_int_equal(health->boot_ms, 90000);
    assert_true(health->watchdog);
    assert_int_equal(health->checks.n, 2);
    assert_int_equal(health->checks.items[0].kind, MF_CHECK_KIND_TCP);
    assert_int_equal(health->checks.items[0].fall, 0);
    assert_int_equal(health->checks.items[1].port, 8080);
    assert_true(mf_str_is(health->checks.items[1].path, "/healthz"));
    assert_int_equal(health->checks.items[1].fall, 5);
}

static void understands_rules(void **state)
{
    assert_int_equal(parse(GOOD "fit: room\nrules:\n  prefer: {disk: nvme}\n  forbid: {gpu: yes}\n"
                                "  spread_by: rack\n  max_skew: 1\n  node_max: 2\n  apart: [db, cache]\n"
                                "  apart_by: rack\n  with:\n    - {group: hub}\n  priority: 0\n"
                                "  headroom: rack\n"),
                     0);
    const struct mf_rec_rules *rules = &spec.provision.rules;
    assert_int_equal(spec.provision.fit, MF_FIT_ROOM);
    assert_true(mf_str_is(rules->prefer.items[0].key, "disk") &&
                mf_str_is(rules->forbid.items[0].value, "yes"));
    assert_true(mf_str_is(rules->spread_by, "rack") && mf_str_is(rules->headroom, "rack"));
    assert_int_equal(rules->max_skew, 1);
    assert_int_equal(rules->node_max, 2);
    assert_int_equal(rules->apart.n, 2);
    assert_true(mf_str_is(rules->apart.items[1].group, "cache") &&
                mf_str_is(rules->with.items[0].group, "hub"));
    unsigned priority = 0;
    while (strcmp(mf_rec_rules_desc.fields[priority].name, "priority"))
        priority++;
    assert_true(rules->has >> priority & 1); /* last of all: that was said, and is not the default */
}

static struct mf_rec_offering offering;

static int parse_offering(const char *text)
{
    mf_arena_free(&arena);
    *error = 0;
    return mf_spec_parse_offering("o.yaml", mf_str(text), "io", &arena, &offering, error);
}

static void understands_an_offering(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"vcpus: 2\nmemory_mib: 512\n", "o.yaml:1: disk_mib is missing"},
        {"vcpus: 2\nmemory_mib: 8\n", "o.yaml:2: memory_mib: 8 is not within 16..16777216"},
        {"vcpus: 2\nuncapped: yes\n", "o.yaml:2: uncapped: expected true or false, found \"yes\""},
        {"vcpus: 2\nvcpu: 2\n", "o.yaml:2: unknown key \"vcpu\""},
        {"name: big\nvcpus: 2\nmemory_mib: 512\ndisk_mib: 9\n",
         "o.yaml:1: name: the file says \"big\", the command \"io\""},
        {"", "o.yaml:1: is empty; it needs vcpus"},
        {"- 2\n", "o.yaml:1: expected a mapping"},
    };
    assert_int_equal(parse_offering("vcpus: 2\nmemory_mib: 512\ndisk_mib: 1000\nclass: io\ndisk_iops: 20000\n"
                                    "uncapped: true\n"),
                     0);
    assert_true(mf_str_is(offering.name, "io") && mf_str_is(offering.class, "io"));
    assert_int_equal(offering.disk_iops, 20000);
    assert_true(offering.uncapped && !offering.pinned);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse_offering(cases[i].text), -EINVAL);
        if (!strstr(error, cases[i].error))
            fail_msg("case %zu: \"%s\" does not hold \"%s\"", i, error, cases[i].error);
    }
}

static void understands_a_file(void **state)
{
    assert_int_equal(parse(GOOD "user_data_file: hello.sh\n"), 0);
    assert_string_equal(spec.user_data_file, "hello.sh");
}

static void says_where(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {GOOD "colour: red\n", "g.yaml:5: unknown key \"colour\""},
        {GOOD "count: 7\n", "g.yaml:5: count is said twice, first on line 2"},
        {"group: web\ncount: six\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: expected a whole number, found \"six\""},
        {"group: web\ncount: \"6\"\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: expected a whole number, found \"6\""},
        {"group: web\ncount: 0\nimage: tiny\noffering: small\n", "g.yaml:2: count: 0 is not within 1..10000"},
        {"group: web\ncount: -1\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: expected a whole number, found \"-1\""},
        {"group: web\ncount: 99999999999999999999999\nimage: tiny\noffering: small\n",
         "g.yaml:2: count: 99999999999999999999999 is not within 1..10000"},
        {"group: Web_1\ncount: 1\nimage: tiny\noffering: small\n",
         "g.yaml:1: group: \"Web_1\" is not a name"},
        {"group: [web]\ncount: 1\nimage: tiny\noffering: small\n",
         "g.yaml:1: group: expected a single value, found a list"},
        {GOOD "spread: rack\n", "g.yaml:5: spread: \"rack\" is not one of its words: none or host"},
        {GOOD "labels: [a]\n", "g.yaml:5: labels: expected a mapping"},
        {GOOD "labels:\n  Bad_Key: x\n", "g.yaml:5: labels: \"Bad_Key\" is not a label's name"},
        {GOOD "labels: {a: b, a: c}\n", "g.yaml:5: labels: a is said twice"},
        {GOOD "apply: true\n", "g.yaml:5: unknown key \"apply\""},
        {GOOD "health: yes\n", "g.yaml:5: health: expected a mapping of keys"},
        {GOOD "health:\n  ready: soon\n",
         "g.yaml:6: ready: \"soon\" is not one of its words: none or port or agent"},
        {GOOD "health:\n  watchdog: 1\n", "g.yaml:6: watchdog: expected true or false, found \"1\""},
        {GOOD "health:\n  colour: red\n", "g.yaml:6: unknown key \"colour\""},
        {GOOD "health:\n  checks: {kind: tcp}\n", "g.yaml:6: checks: expected a list"},
        {GOOD "health:\n  checks:\n    - {kind: tcp}\n", "g.yaml:7: checks: port is missing"},
        {GOOD "health:\n  checks: [{kind: tcp, port: 0}]\n", "g.yaml:6: port: 0 is not within 1..65535"},
        {GOOD "health:\n  checks: [1, 2, 3, 4, 5]\n", "g.yaml:6: checks: 5 are more than the limit of 4"},
        {GOOD "fit: snug\n", "g.yaml:5: fit: \"snug\" is not one of its words: spread or best-fit or"},
        {GOOD "rules: rack\n", "g.yaml:5: rules: expected a mapping of keys"},
        {GOOD "rules:\n  spread_over: rack\n", "g.yaml:6: unknown key \"spread_over\""},
        {GOOD "rules:\n  max_skew: 10001\n", "g.yaml:6: max_skew: 10001 is not within 0..10000"},
        {GOOD "rules:\n  apart: db\n", "g.yaml:6: apart: expected a list"},
        {GOOD "rules:\n  apart: [Db]\n", "g.yaml:6: group: \"Db\" is not a name"},
        {GOOD "rules:\n  apart: [[db]]\n", "g.yaml:6: apart: expected a mapping of keys"},
        {GOOD "rules:\n  with: [{}]\n", "g.yaml:6: with: group is missing"},
        {GOOD "spares: 1001\n", "g.yaml:5: spares: 1001 is not within 0..1000"},
        {GOOD "user_data_file: a\nuser_data_file: b\n",
         "g.yaml:6: user_data_file is said twice, first on line 5"},
        {GOOD "user_data: a\nuser_data_file: b\n", "g.yaml:6: user_data_file: there is user_data already"},
        {"group: web\ncount: 1\nimage: tiny\n", "g.yaml:1: offering is missing"},
        {"", "g.yaml:1: is empty"},
        {"- web\n", "g.yaml:1: expected a mapping"},
        {"group: web\n\tcount: 6\n", "g.yaml:2: a tab where YAML wants spaces"},
        {"group: web\nlabels:\n\ta: b\n", "g.yaml:3: a tab where YAML wants spaces"},
        {"group: [web\n", "g.yaml:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].text), -EINVAL);
        if (!strstr(error, cases[i].error))
            fail_msg("case %zu: \"%s\" does not hold \"%s\"", i, error, cases[i].error);
    }
}

static void survives_any_cut(void **state)
{
    static const char text[] =
        GOOD "labels: {a: b}\nhealth:\n  checks:\n  - {kind: tcp, port: 80}\nuser_data: |\n  x\n";
    char cut[sizeof text];
    for (size_t n = 0; n < sizeof text; n++) {
        memcpy(cut, text, n);
        cut[n] = 0;
        parse(cut); /* the sanitizers judge */
    }
}

static void understands_the_example(void **state)
{
    char text[4096];
    FILE *file = fopen(MAYFLY_EXAMPLES "/group.yaml", "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 32, file);
    fclose(file);
    text[len] = 0;
    assert_int_equal(parse(text), 0);
    assert_true(mf_str_is(spec.provision.group, "web"));
    assert_int_equal(spec.provision.count, 6);
    assert_true(spec.provision.user_data.bytes.len > 0);
    memcpy(text + len, "colour: red\n", sizeof "colour: red\n");
    assert_int_equal(parse(text), -EINVAL);
    assert_non_null(strstr(error, "unknown key \"colour\""));
    file = fopen(MAYFLY_EXAMPLES "/offering.yaml", "re");
    assert_non_null(file);
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = 0;
    assert_int_equal(parse_offering(text), 0);
    assert_int_equal(offering.disk_burst_percent, 300);
}

static int end(void **state)
{
    mf_arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands_the_least),
        cmocka_unit_test(understands_all),
        cmocka_unit_test(understands_health),
        cmocka_unit_test(understands_rules),
        cmocka_unit_test(understands_an_offering),
        cmocka_unit_test(understands_a_file),
        cmocka_unit_test(says_where),
        cmocka_unit_test(survives_any_cut),
        cmocka_unit_test(understands_the_example),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
