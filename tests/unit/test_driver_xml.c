/* test_driver_xml.c - a guest as XML: hostile values stay values, what XML cannot hold is refused, the
 * identity comes back. */
#include "domain_xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct mf_driver_spec spec_of(const char *name)
{
    struct mf_driver_spec spec = {
        .id.bytes = {1, 0x99, 3}, .epoch = 7, .vcpus = 2, .memory_mib = 128, .disk_mib = 64};
    memcpy(spec.name, name, strlen(name));
    return spec;
}

static void test_all_values(void **state)
{
    struct mf_driver_spec spec = spec_of("default/web/3#12");
    char error[512];
    struct mf_buf buf = {0};
    spec.kernel = "/images/k";
    spec.initrd = "/images/i";
    spec.cmdline = "console=ttyS0 quiet";
    spec.seed = "/s.iso";
    spec.disk = "/d.qcow2";
    spec.console = "/c.log";
    assert_int_equal(mf_domain_xml(&spec, &(struct mf_domain_host){.type = "qemu"}, &buf, error), 0);
    static const char *const parts[] = {
        "<domain type='qemu'>",
        "<name>web-3-12-01990300-0000-0000-0000-000000000000</name>",
        "<uuid>01990300-0000-0000-0000-000000000000</uuid>",
        "name='default/web/3#12' epoch='7' disk='/d.qcow2' console='/c.log'",
        "<memory unit='MiB'>128</memory>",
        "<vcpu>2</vcpu>",
        "<kernel>/images/k</kernel><initrd>/images/i</initrd><cmdline>console=ttyS0 quiet</cmdline>",
        "<source file='/d.qcow2'/>",
        "<source file='/s.iso'/>",
        "<source path='/c.log' append='on'/>",
        "<on_crash>destroy</on_crash>"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_non_null(strstr(buf.ptr, parts[i]));
    mf_buf_free(&buf);
}

static struct mf_buf written(const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    struct mf_buf buf = {0};
    char error[512];
    assert_int_equal(mf_domain_xml(spec, host, &buf, error), 0);
    return buf;
}

static void has(struct mf_buf *buf, const char *part, bool is)
{
    if (!!strstr(buf->ptr, part) != is)
        fail_msg("%s %s in %s", part, is ? "is not" : "is", buf->ptr);
}

/* An offering that says nothing contains its guest all the same. */
static void test_containment(void **state)
{
    struct mf_driver_spec spec = spec_of("default/web/3#12");
    const struct mf_topology topology = {.cells = {{.nodes = "0"}, {.nodes = "1"}}, .n_cells = 2};
    struct mf_domain_host host = {.type = "kvm"};
    struct mf_rec_offering offering = {0};
    spec.disk = "/d.qcow2";
    struct mf_buf buf = written(&spec, &host);
    has(&buf, "<total_bytes_sec>67108864</total_bytes_sec><total_iops_sec>1000</total_iops_sec><group_name>",
        true);
    has(&buf, "_max", false);
    has(&buf, "cputune", false); /* without cgroups there is nothing to say */
    mf_buf_free(&buf);

    offering = (struct mf_rec_offering){
        .disk_bytes_s = 1000, .disk_burst_percent = 250, .net_bytes_s = 5000, .cpu_quota_percent = 40};
    spec.offering = &offering;
    host.cgroups = true;
    buf = written(&spec, &host);
    has(&buf, "<total_bytes_sec_max>2500</total_bytes_sec_max><total_bytes_sec_max_length>1<", true);
    has(&buf, "<total_iops_sec_max>2500</total_iops_sec_max>", true);
    has(&buf, "<shares>200</shares><period>100000</period><quota>40000</quota>", true);
    has(&buf, "<bandwidth>", false); /* a user-mode network cannot be limited */
    mf_buf_free(&buf);

    const struct mf_driver_network bridge = {.kind = MF_NETWORK_BRIDGE, .source = "br0"};
    offering = (struct mf_rec_offering){.uncapped = true, .net_bytes_s = 5000, .hugepages = true};
    host = (struct mf_domain_host){.type = "kvm",
                                   .network = &bridge,
                                   .cpus = {4, 6},
                                   .n_cpus = 2,
                                   .binds = true,
                                   .cells = 2,
                                   .topology = &topology,
                                   .hugepage_kib = 2048,
                                   .ready_socket = "/r.sock"};
    buf = written(&spec, &host);
    has(&buf, "iotune", false);
    has(&buf, "<interface type='bridge'><source bridge='br0'/><mac", true);
    has(&buf, "<bandwidth><inbound average='4'/><outbound average='4'/></bandwidth>", true);
    has(&buf, "<vcpupin vcpu='1' cpuset='6'/><emulatorpin cpuset='4,6'/>", true);
    has(&buf, "<memory mode='strict' nodeset='1'/>", true);
    has(&buf, "<hugepages><page size='2048' unit='KiB'/></hugepages>", true);
    has(&buf, " cpus='4,6'", true);
    has(&buf, "path='/r.sock'/><target type='virtio' name='org.mayfly.ready'/>", true);
    has(&buf, "guest_agent", false);
    mf_buf_free(&buf);
}

static void test_networks(void **state)
{
    struct mf_driver_network network;
    char error[512];
    static const char *const good[] = {"user", "network:default", "bridge:br-0", "macvtap:eth0.5", "tap:mf"},
                             *const bad[] = {"",
                                             "users",
                                             "user:",
                                             "bridge",
                                             "bridge:",
                                             "bridge:a/b",
                                             "tap:longer-than",
                                             "tap:vnet7",
                                             "bridge:-x",
                                             "macvtap:a b",
                                             "bridge:sixteen-letters-"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(mf_driver_network_parse(mf_str("n"), mf_str(good[i]), &network, error), 0);
    assert_string_equal(network.source, "mf");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mf_driver_network_parse(mf_str("n"), mf_str(bad[i]), &network, error), -EINVAL);
    struct mf_driver_config config = {.networks = &network, .n_networks = 1};
    assert_ptr_equal(mf_driver_network_find(&config, "n", error), &network);
    assert_int_equal(mf_driver_network_find(&config, NULL, error)->kind, MF_NETWORK_USER);
    assert_null(mf_driver_network_find(&config, "m", error));
    assert_non_null(strstr(error, "knows no network \"m\""));
}

static void test_hostile(void **state)
{
    struct mf_driver_spec spec = spec_of("default/<x>&'\"/1#1");
    char error[512];
    struct mf_buf buf = {0};
    spec.cmdline = "a=\"'><devices><!--";
    spec.console = "/tmp/'/><serial type=\"pty\"/>";
    assert_int_equal(mf_domain_xml(&spec, &(struct mf_domain_host){.type = "kvm"}, &buf, error), 0);
    assert_null(strstr(buf.ptr, "<x>"));
    assert_null(strstr(buf.ptr, "<!--"));
    assert_null(strstr(buf.ptr, "type=\"pty\""));
    assert_non_null(strstr(buf.ptr, "a=&quot;&apos;&gt;&lt;devices&gt;&lt;!--"));
    mf_buf_free(&buf);

    const char *const bad[] = {"a\nb",         "a\x01",        "\xff",    "\xc0\xaf",
                               "\xed\xa0\x80", "\xef\xbf\xbf", "\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spec = spec_of(bad[i]);
        assert_int_equal(mf_domain_xml(&spec, &(struct mf_domain_host){.type = "kvm"}, &buf, error), -EINVAL);
        assert_non_null(strstr(error, "name has a control character or broken UTF-8 at byte"));
    }
    spec = spec_of("x");
    spec.kernel = "relative";
    assert_int_equal(mf_domain_xml(&spec, &(struct mf_domain_host){.type = "kvm"}, &buf, error), -EINVAL);
    assert_string_equal(error, "kernel is not an absolute path: \"relative\"");
    mf_buf_free(&buf);
}

static void test_names(void **state)
{
    char name[MF_DOMAIN_NAME];
    struct mf_driver_spec spec = spec_of("///");
    assert_string_equal(mf_domain_name(&spec, name), "m-01990300-0000-0000-0000-000000000000");
    memset(spec.name, 'a', sizeof spec.name - 1);
    assert_true(strlen(mf_domain_name(&spec, name)) < sizeof name);
    spec = spec_of("acme/../../etc/passwd");
    assert_string_equal(mf_domain_name(&spec, name), "acme-etc-passwd-01990300-0000-0000-0000-000000000000");
}

static void test_identity(void **state)
{
    struct mf_domain_identity id;
    assert_true(mf_domain_identity_parse(
        "<guest name='a' dir='/x' ready='agent' ping='500' fall='4' net='tap' cpus='1,2'/>", &id));
    assert_true(id.ready == MF_READINESS_AGENT && id.ping_ms == 500 && id.ping_fall == 4 && id.reachable);
    assert_string_equal(id.dir, "/x");
    assert_string_equal(id.cpus, "1,2");
    assert_true(mf_domain_identity_parse(
        "<mayfly:guest xmlns:mayfly=\"x\" name=\"default/a/1#2\" epoch=\"9\" disk=\"/d\"/>", &id));
    assert_string_equal(id.name, "default/a/1#2");
    assert_int_equal(id.epoch, 9);
    assert_string_equal(id.disk, "/d");
    assert_string_equal(id.console, "");
    /* A value that looks like an attribute, entities, characters written as numbers. */
    assert_true(mf_domain_identity_parse(
        "<guest name=\"a epoch='5' &lt;&#x20ac;&#233;&amp;\" epoch='6' disk=''></guest>", &id));
    assert_string_equal(id.name, "a epoch='5' <\xe2\x82\xac\xc3\xa9&");
    assert_int_equal(id.epoch, 6);
    static const char *const bad[] = {"",
                                      "<guest/>",
                                      "<guest name='/>",
                                      "<guest name=''/>",
                                      "guest",
                                      "<guest name='&x;'/>",
                                      "<guest name='&#0;'/>",
                                      "<guest name=x/>",
                                      "<",
                                      "<guest name",
                                      "<guest name='&#x110000;'/>"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mf_domain_identity_parse(bad[i], &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_containment), cmocka_unit_test(test_networks),
                                       cmocka_unit_test(test_all_values),  cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_names),       cmocka_unit_test(test_identity)};
    return cmocka_run_group_tests_name("driver_xml", tests, NULL, NULL);
}
