/* xml_text.c - see xml_text.h. */
#include "xml_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- text that XML can hold */

/* Length of the UTF-8 character at s, 0 if it is broken or not a character of XML 1.0. */
static size_t xml_char(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (*s < 0x80)
        return *s >= 0x20 && *s != 0x7f;
    size_t len = (*s & 0xe0) == 0xc0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 : (*s & 0xf8) == 0xf0 ? 4 : 0;
    if (!len)
        return 0;
    uint32_t code = *s & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    bool good = code >= least[len] && code >= 0xa0 && code <= 0x10ffff &&
                !(code >= 0xd800 && code < 0xe000) && code != 0xfffe && code != 0xffff;
    return good ? len : 0;
}

int mf_xml_check(const char *what, const char *text, char error[512])
{
    if (!text)
        return 0;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t len = xml_char(s);
        if (!len) {
            mf_str_format(error, 512,
                          "%s has a control character or broken UTF-8 at byte %zu; give it without", what,
                          (size_t)(s - (const unsigned char *)text));
            return -EINVAL;
        }
        s += len;
    }
    return 0;
}

/* ---- writing */

void mf_xml_put(struct mf_buf *buf, const char *text)
{
    mf_buf_append(buf, text, strlen(text));
}

static void put_escaped(struct mf_buf *buf, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            mf_xml_put(buf, "&amp;");
            break;
        case '<':
            mf_xml_put(buf, "&lt;");
            break;
        case '>':
            mf_xml_put(buf, "&gt;");
            break;
        case '"':
            mf_xml_put(buf, "&quot;");
            break;
        case '\'':
            mf_xml_put(buf, "&apos;");
            break;
        default:
            mf_buf_append(buf, text, 1);
        }
    }
}

void mf_xml_format(struct mf_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            mf_buf_append(buf, p, 1);
            continue;
        }
        if (*++p == 's') {
            put_escaped(buf, va_arg(args, const char *));
        } else {
            char number[24];
            snprintf(number, sizeof number, "%" PRIu64, va_arg(args, uint64_t));
            mf_xml_put(buf, number);
        }
    }
    va_end(args);
}
