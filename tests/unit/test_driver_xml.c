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
    assert_int_equal(mf_domain_xml(&spec, "qemu", &buf, error), 0);
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

static void test_hostile(void **state)
{
    struct mf_driver_spec spec = spec_of("default/<x>&'\"/1#1");
    char error[512];
    struct mf_buf buf = {0};
    spec.cmdline = "a=\"'><devices><!--";
    spec.console = "/tmp/'/><serial type=\"pty\"/>";
    assert_int_equal(mf_domain_xml(&spec, "kvm", &buf, error), 0);
    assert_null(strstr(buf.ptr, "<x>"));
    assert_null(strstr(buf.ptr, "<!--"));
    assert_null(strstr(buf.ptr, "type=\"pty\""));
    assert_non_null(strstr(buf.ptr, "a=&quot;&apos;&gt;&lt;devices&gt;&lt;!--"));
    mf_buf_free(&buf);

    const char *const bad[] = {"a\nb",         "a\x01",        "\xff",    "\xc0\xaf",
                               "\xed\xa0\x80", "\xef\xbf\xbf", "\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spec = spec_of(bad[i]);
        assert_int_equal(mf_domain_xml(&spec, "kvm", &buf, error), -EINVAL);
        assert_non_null(strstr(error, "name has a control character or broken UTF-8 at byte"));
    }
    spec = spec_of("x");
    spec.kernel = "relative";
    assert_int_equal(mf_domain_xml(&spec, "kvm", &buf, error), -EINVAL);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_values), cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_identity)};
    return cmocka_run_group_tests_name("driver_xml", tests, NULL, NULL);
}
