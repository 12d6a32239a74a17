/* User-data is refused for what its wrapping lacks, never for what it says; and no refusal repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "template.h"
#include "user_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SECRET "hunter2"

static char said[512];

static int check(const char *text)
{
    said[0] = 0;
    return mf_user_data_check(mf_str(text), said);
}

static void assert_refused(struct mf_str bytes, const char *why)
{
    said[0] = 0;
    assert_int_equal(mf_user_data_check(bytes, said), -EBADMSG);
    if (!strstr(said, why))
        fail_msg("\"%s\" does not say \"%s\"", said, why);
    assert_null(strstr(said, SECRET));
}

static void what_cloud_init_takes(void **state)
{
    static const char *const good[] = {
        "",
        "#!/bin/sh\necho hi\n",
        "#cloud-config\nruncmd: [[true]]\n",
        "#cloud-boothook\n",
        "#part-handler\n",
        "#include\nhttp://example.org/user-data\n",
        "## template: jinja\n#cloud-config\n{{ v1.local_hostname }}\n",
        "anything else is the guest's",
        "Content-Type: text/cloud-config\n\n#cloud-config\n",
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"==a b\"\n\npreamble\n--==a b\n"
        "Content-Type: text/x-shellscript\n\n#!/bin/sh\n--==a b--\nepilogue\n",
        "content-type: Multipart/Mixed;\n\tboundary=x\r\nMIME-Version: "
        "1.0\r\n\r\n--x\r\n\r\nbare\r\n--x--\r\n",
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; "
        "boundary=i\n\n--i\n\na\n"
        "--i--\n--o\n\nb\n--o--\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (check(good[i]) < 0)
            fail_msg("%zu: %s", i, said);
    assert_int_equal(mf_user_data_check((struct mf_str){"\0\1\2", 3}, said), 0); /* no text, then */
}

static void mime_that_is_not_whole(void **state)
{
#define MULTI "Content-Type: multipart/mixed; boundary=b\n\n"
    assert_refused(mf_str("Content-Type: multipart/mixed\n\n--b\n" SECRET), "names no boundary");
    assert_refused(mf_str("Content-Type: multipart/mixed; boundary=\"\"\n\n"), "names no boundary");
    assert_refused(mf_str(MULTI "--b\n\n" SECRET "\n"), "--BOUNDARY-- is missing");
    assert_refused(mf_str(MULTI SECRET "\n"), "--BOUNDARY-- is missing");
    assert_refused(mf_str(MULTI "--b\n" SECRET "\n--b--\n"), "MIME, line 4: this is no header");
    assert_refused(mf_str(MULTI "--b\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--b--\n"),
                   "MIME, line 9: a part within another has no end");
    assert_refused(mf_str("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="
                          "1234567890123456789012345678901234567890123456789012345678901234567890x\n\n"),
                   "longer than 70");
}

static void mime_that_is_absurd(void **state)
{
    struct mf_buf buf = {0};
    char line[80];
    for (int i = 0; i < 6; i++) {
        snprintf(line, sizeof line, "%sContent-Type: multipart/mixed; boundary=b%d\n\n--b%d\n",
                 i ? "" : "MIME-Version: 1.0\n", i, i);
        mf_buf_append(&buf, line, strlen(line));
    }
    assert_refused((struct mf_str){buf.ptr, (uint32_t)buf.len}, "more than 4 deep");
    mf_buf_clear(&buf);
    mf_buf_append(&buf, MULTI, strlen(MULTI));
    for (int i = 0; i < 257; i++)
        mf_buf_append(&buf, "--b\n\nx\n", 7);
    mf_buf_append(&buf, "--b--\n", 6);
    assert_refused((struct mf_str){buf.ptr, (uint32_t)buf.len}, "more than 256 parts");
    mf_buf_clear(&buf);
    mf_buf_append(&buf, "Content-Type: ", 14);
    for (int i = 0; i < 1000; i++)
        mf_buf_append(&buf, "x", 1);
    assert_refused((struct mf_str){buf.ptr, (uint32_t)buf.len}, "longer than 998");
    mf_buf_free(&buf);
}

static void zeros_in_text(void **state)
{
    assert_refused((struct mf_str){"#!/bin/sh\n\0", 11}, "zero byte");
    assert_refused((struct mf_str){"#cloud-config\n\0\n", 16}, "zero byte");
    assert_refused((struct mf_str){"MIME-Version: 1.0\n\n\0", 20}, "zero byte");
}

static struct mf_str packed(const void *bytes, size_t len)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)bytes, .avail_in = (unsigned)len};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, len) + 64;
    char *out = malloc(room);
    z.next_out = (unsigned char *)out;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    uint32_t n = (uint32_t)(room - z.avail_out);
    deflateEnd(&z);
    return (struct mf_str){out, n};
}

static void gzip_as_it_is_packed(void **state)
{
    static char zeros[(1 << 20) + 1];
    struct mf_str good = packed("#cloud-config\n", 14);
    if (mf_user_data_check(good, said) < 0)
        fail_msg("%s", said);
    char *twice = malloc(2 * good.len);
    memcpy(twice, good.ptr, good.len);
    memcpy(twice + good.len, good.ptr, good.len);
    assert_int_equal(mf_user_data_check((struct mf_str){twice, 2 * good.len}, said), 0);
    assert_refused((struct mf_str){twice, good.len + 5}, "cut short");
    assert_refused((struct mf_str){good.ptr, good.len - 1}, "cut short");
    assert_refused((struct mf_str){good.ptr, 2}, "cut short");
    twice[good.len] = 'x';
    assert_refused((struct mf_str){twice, 2 * good.len}, "damaged");
    twice[12] ^= 0x55;
    assert_refused((struct mf_str){twice, good.len}, "damaged");
    free(twice);
    struct mf_str nested = packed(good.ptr, good.len), bomb = packed(zeros, sizeof zeros),
                  most = packed(zeros, sizeof zeros - 1), mime = packed(MULTI SECRET, strlen(MULTI SECRET)),
                  template = packed("## template: mayfly\n", 20);
    assert_refused(nested, "gzip within gzip");
    assert_refused(bomb, "more than 1 MiB");
    assert_int_equal(mf_user_data_check(most, said), 0);
    assert_refused(mime, "--BOUNDARY-- is missing");
    assert_refused(template, "cannot be packed");
    free((void *)(uintptr_t)good.ptr);
    free((void *)(uintptr_t)nested.ptr);
    free((void *)(uintptr_t)bomb.ptr);
    free((void *)(uintptr_t)most.ptr);
    free((void *)(uintptr_t)mime.ptr);
    free((void *)(uintptr_t) template.ptr);
}

static struct mf_label labels[] = {{{"tier", 4}, {"front", 5}}, {{"odd", 3}, {"a\nb", 3}}};

static int render(const char *text, char ret_text[4096])
{
    const struct mf_template_values values = {.group = mf_str("web"),
                                              .slot = mf_str("3"),
                                              .generation = mf_str("2"),
                                              .node = mf_str("node-1"),
                                              .tenant = mf_str("default"),
                                              .id = mf_str("0189"),
                                              .name = mf_str("web/3#2"),
                                              .labels = {labels, 2}};
    struct mf_buf buf = {0};
    said[0] = 0;
    int r = mf_user_data_render(mf_str(text), &values, &buf, said);
    snprintf(ret_text, 4096, "%.*s", (int)buf.len, buf.ptr ? buf.ptr : "");
    mf_buf_free(&buf);
    return r;
}

static void fields_are_replaced(void **state)
{
    char text[4096];
    assert_int_equal(
        render("## template: mayfly\n#!/bin/sh\n{{ group }}{{slot}}{{  generation\t}} {{ node }} "
               "{{ tenant }} {{ id }} {{ name }} {{ labels.tier }}\n",
               text),
        0);
    assert_string_equal(text, "#!/bin/sh\nweb32 node-1 default 0189 web/3#2 front\n");
    assert_int_equal(render("## template: mayfly\r\n{{ \"{{\" }} x }} {{ \"\" }}{ {", text), 0);
    assert_string_equal(text, "{{ x }} { {");
    assert_int_equal(render("#!/bin/sh\n{{ group }}\n", text), 0); /* no template: as it is */
    assert_string_equal(text, "#!/bin/sh\n{{ group }}\n");
    assert_int_equal(render("## template: mayfly", text), 0);
    assert_string_equal(text, "");
}

static void fields_that_are_none(void **state)
{
    char text[4096];
#define T "## template: mayfly\n#!/bin/sh\n"
    assert_refused(mf_str(T "{{ grop }}"), "template, line 3: {{ grop }} is no field");
    assert_refused(mf_str(T "{{ labels. }}"), "{{ labels. }} is no field");
    assert_refused(mf_str(T "{{ password " SECRET " }}"), "hold no field's name");
    assert_refused(mf_str(T "{{"), "hold no field's name");
    assert_refused(mf_str(T "{{ \"" SECRET "\n"), "does not end");
    assert_refused(mf_str(T "{{ \"" SECRET "\" }"), "does not end");
    assert_int_equal(check(T "{{ labels.nope }}"), 0); /* nobody knows yet */
    assert_int_equal(render(T "{{ labels.nope }}", text), -EBADMSG);
    assert_non_null(strstr(said, "line 3: {{ labels.nope }}: the group has no such label"));
    assert_int_equal(render(T "{{ labels.odd }}", text), -EBADMSG);
    assert_non_null(strstr(said, "control character"));
    assert_refused(mf_str("## template: mayfly\n" MULTI), "--BOUNDARY-- is missing");
}

static void a_template_that_swells(void **state)
{
    static char text[65536];
    struct mf_buf buf = {0};
    char value[200];
    memset(value, 'v', sizeof value);
    struct mf_label long_one = {{"l", 1}, {value, sizeof value}};
    const struct mf_template_values values = {.labels = {&long_one, 1}};
    size_t len = (size_t)snprintf(text, sizeof text, "%s\n", MF_TEMPLATE_LINE);
    while (len + 13 < sizeof text)
        len += (size_t)snprintf(text + len, sizeof text - len, "{{labels.l}}");
    assert_int_equal(mf_user_data_render((struct mf_str){text, (uint32_t)len}, &values, &buf, said),
                     -EBADMSG);
    assert_non_null(strstr(said, "longer than 131072"));
    assert_true(buf.len <= MF_TEMPLATE_MAX);
    mf_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cloud_init_takes), cmocka_unit_test(mime_that_is_not_whole),
        cmocka_unit_test(mime_that_is_absurd),   cmocka_unit_test(zeros_in_text),
        cmocka_unit_test(gzip_as_it_is_packed),  cmocka_unit_test(fields_are_replaced),
        cmocka_unit_test(fields_that_are_none),  cmocka_unit_test(a_template_that_swells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
