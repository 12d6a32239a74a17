/* Addresses: what is numeric and whole is read, and what is read is written again. */
#include "address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_what_is_read_is_written_again(void **state)
{
    static const char *const good[] = {"10.0.0.5:7711", "255.255.255.255:65535", "0.0.0.0:1",
                                       "[fd00::5]:7711", "[::1]:1"};
    struct mf_address address;
    char text[MF_ADDRESS_TEXT];
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(mf_address_parse(good[i], &address), 0);
        assert_string_equal(mf_address_text(&address, text), good[i]);
    }
}

static void test_ipv4_is_mapped(void **state)
{
    struct mf_address four, six;
    assert_int_equal(mf_address_parse("10.0.0.5:258", &four), 0);
    assert_memory_equal(four.host, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x05", 16);
    assert_int_equal(four.port, 258);
    assert_int_equal(mf_address_parse("[::ffff:10.0.0.5]:258", &six), 0);
    assert_memory_equal(&four, &six, sizeof(four));
}

static void test_anything_else_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      ":",
                                      ":7",
                                      "10.0.0.5",
                                      "10.0.0.5:",
                                      "10.0.0:7",
                                      "10.0.0.5:0",
                                      "host:7",
                                      "10.0.0.5:70000",
                                      "10.0.0.5:-1",
                                      "::1:7",
                                      "[::1]",
                                      "[::1]:",
                                      "[10.0.0.5]:7",
                                      "[::1:7",
                                      "10.0.0.5: 7",
                                      "[]:7",
                                      "10.0.0.5:000007",
                                      "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]:7"};
    struct mf_address address = {.port = 5};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(mf_address_parse(bad[i], &address), -EINVAL);
    assert_int_equal(address.port, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read_is_written_again),
        cmocka_unit_test(test_ipv4_is_mapped),
        cmocka_unit_test(test_anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
