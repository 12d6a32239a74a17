/* Fuzz target: user-data as somebody sent it. Whatever it is, it is judged without harm; what was let through
 * is handed on as it is, or, a template, becomes something of bounded size; and no refusal is without a
 * sentence. */
#include "check.h"
#include "fuzz.h"
#include "template.h"
#include "user_data.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct mf_label label = {{"tier", 4}, {"front", 5}};
    const struct mf_template_values values = {
        .group = {"web", 3}, .slot = {"3", 1}, .name = {"web/3#1", 7}, .labels = {&label, 1}};
    struct mf_str text = {(const char *)bytes, (uint32_t)len};
    struct mf_buf made = {0};
    char error[512] = "";
    int checked = mf_user_data_check(text, error);
    int rendered = mf_user_data_render(text, &values, &made, error);

    MF_CHECK(checked == 0 || (rendered == checked && error[0]));
    MF_CHECK(made.len <= MF_TEMPLATE_MAX || made.len == len);
    if (checked == 0 && !mf_template_is(text))
        MF_CHECK(rendered == 0 && made.len == len && (len == 0 || memcmp(made.ptr, bytes, len) == 0));
    mf_buf_free(&made);
    return 0;
}

bool mf_fuzz_seed(unsigned index, struct mf_random *random, struct mf_buf *buf, const char **ret_name)
{
    static const struct {
        const char *name, *text;
    } seeds[] = {
        {"script", "#!/bin/sh\necho hi\n"},
        {"template", "## template: mayfly\n#!/bin/sh\necho {{ name }} {{ labels.tier }} {{ \"{{\" }}\n"},
        {"multipart", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\n"
                      "Content-Type: text/x-shellscript\n\n#!/bin/sh\n--b--\n"},
        {"nested", "Content-Type: multipart/mixed;\n boundary=o\n\n--o\nContent-Type: multipart/mixed; "
                   "boundary=i\n\n--i\n\na\n--i--\n--o--\n"},
    };
    /* gzip of "#!/bin/sh\n" */
    static const uint8_t gzip[] = {0x1f, 0x8b, 8,    0,    0,    0,    0,    0,    2,    3,
                                   0x53, 0x56, 0xd4, 0x4f, 0xca, 0xcc, 0xd3, 0x2f, 0xce, 0xe0,
                                   2,    0,    0x1d, 0x9d, 0xfb, 4,    10,   0,    0,    0};

    if (index > sizeof(seeds) / sizeof(*seeds))
        return false;
    if (index == sizeof(seeds) / sizeof(*seeds)) {
        *ret_name = "gzip";
        mf_buf_append(buf, gzip, sizeof(gzip));
    } else {
        *ret_name = seeds[index].name;
        mf_buf_append(buf, seeds[index].text, strlen(seeds[index].text));
    }
    return true;
}
