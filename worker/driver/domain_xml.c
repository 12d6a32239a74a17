/* domain_xml.c - see domain_xml.h.
 *
 * The machine is the smallest that a cloud image still knows: q35 with virtio disk, seed and network, a
 * serial line, ACPI for the power button, and nothing else. Fewer devices boot sooner. Writes of the
 * ephemeral disk are never flushed (cache unsafe): it dies with its guest, so there is nobody to keep a
 * promise to. */
#include "domain_xml.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mf_domain_name(const struct mf_driver_spec *spec, char ret_name[MF_DOMAIN_NAME])
{
    enum { WORDS_MAX = 48 };
    const char *words = spec->name;
    if (strncmp(words, "default/", 8) == 0) /* the tenant that everybody has says nothing */
        words += 8;
    size_t n = 0;
    for (; *words && n < WORDS_MAX; words++) {
        bool plain = isascii((unsigned char)*words) && isalnum((unsigned char)*words);
        if (plain)
            ret_name[n++] = *words;
        else if (n && ret_name[n - 1] != '-')
            ret_name[n++] = '-';
    }
    if (!n)
        ret_name[n++] = 'm';
    if (ret_name[n - 1] != '-')
        ret_name[n++] = '-';
    mf_uuid_text(spec->id, ret_name + n);
    return ret_name;
}

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

static int check_text(const char *what, const char *text, char error[512])
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

static int check_path(const char *what, const char *path, char error[512])
{
    if (!path)
        return 0;
    if (path[0] != '/') {
        mf_str_format(error, 512, "%s is not an absolute path: \"%.200s\"", what, path);
        return -EINVAL;
    }
    if (strlen(path) >= MF_DOMAIN_PATH) {
        mf_str_format(error, 512, "%s is %zu bytes long, at most %d are allowed", what, strlen(path),
                      MF_DOMAIN_PATH - 1);
        return -EINVAL;
    }
    return check_text(what, path, error);
}

static int check_spec(const struct mf_driver_spec *spec, char error[512])
{
    const struct {
        const char *what, *path;
    } paths[] = {{"kernel", spec->kernel},
                 {"initrd", spec->initrd},
                 {"seed", spec->seed},
                 {"disk", spec->disk},
                 {"console", spec->console}};
    int r = check_text("name", spec->name, error);
    if (r == 0)
        r = check_text("cmdline", spec->cmdline, error);
    for (size_t i = 0; i < sizeof paths / sizeof *paths && r == 0; i++)
        r = check_path(paths[i].what, paths[i].path, error);
    if (r < 0)
        return r;
    if (!spec->name[0] || !spec->vcpus || !spec->memory_mib) {
        mf_str_format(error, 512, "a guest needs a name, at least one vcpu and at least one MiB of memory");
        return -EINVAL;
    }
    return 0;
}

/* ---- writing */

static void put(struct mf_buf *buf, const char *text)
{
    mf_buf_append(buf, text, strlen(text));
}

static void put_escaped(struct mf_buf *buf, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            put(buf, "&amp;");
            break;
        case '<':
            put(buf, "&lt;");
            break;
        case '>':
            put(buf, "&gt;");
            break;
        case '"':
            put(buf, "&quot;");
            break;
        case '\'':
            put(buf, "&apos;");
            break;
        default:
            mf_buf_append(buf, text, 1);
        }
    }
}

/* Like printf, of %s (escaped), %u (uint64_t) and nothing else: there is no way to put a value in unescaped.
 */
static void put_format(struct mf_buf *buf, const char *format, ...)
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
            put(buf, number);
        }
    }
    va_end(args);
}

static void put_head(struct mf_buf *buf, const struct mf_driver_spec *spec, const char *type)
{
    char name[MF_DOMAIN_NAME], id[MF_UUID_TEXT];
    put_format(buf, "<domain type='%s'>\n<name>%s</name>\n<uuid>%s</uuid>\n", type,
               mf_domain_name(spec, name), mf_uuid_text(spec->id, id));
    put_format(buf,
               "<metadata><mayfly:guest xmlns:mayfly='" MF_DOMAIN_NAMESPACE
               "' name='%s' epoch='%u' disk='%s' console='%s'",
               spec->name, spec->epoch, spec->disk ? spec->disk : "", spec->console ? spec->console : "");
    put(buf, spec->at_most ? " policy='at-most'/>" : "/>");
    put_format(buf, "</metadata>\n<memory unit='MiB'>%u</memory>\n<vcpu>%u</vcpu>\n", spec->memory_mib,
               spec->vcpus);
}

static void put_os(struct mf_buf *buf, const struct mf_driver_spec *spec, bool kvm)
{
    put(buf, "<os><type arch='x86_64' machine='q35'>hvm</type>");
    if (spec->kernel)
        put_format(buf, "<kernel>%s</kernel>", spec->kernel);
    if (spec->initrd)
        put_format(buf, "<initrd>%s</initrd>", spec->initrd);
    if (spec->cmdline && spec->cmdline[0])
        put_format(buf, "<cmdline>%s</cmdline>", spec->cmdline);
    put(buf, "</os>\n<features><acpi/><apic/></features>\n");
    /* Under emulation the plainest CPU is the fastest; under KVM the host's own is. */
    put(buf,
        kvm ? "<cpu mode='host-passthrough' check='none'/>\n"
            : "<cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model></cpu>\n");
    put(buf,
        "<clock offset='utc'><timer name='hpet' present='no'/></clock>\n"
        "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>\n");
}

static void put_devices(struct mf_buf *buf, const struct mf_driver_spec *spec)
{
    put(buf, "<devices>\n");
    if (spec->disk)
        put_format(buf,
                   "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe' "
                   "discard='unmap'/>"
                   "<source file='%s'/><target dev='vda' bus='virtio'/></disk>\n",
                   spec->disk);
    if (spec->seed)
        put_format(buf,
                   "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
                   "<source file='%s'/><target dev='vdb' bus='virtio'/><readonly/></disk>\n",
                   spec->seed);
    const uint8_t *id =
        spec->id.bytes; /* the last bytes of the id are random: a MAC address that stays the guest's own */
    char mac[18];
    snprintf(mac, sizeof mac, "52:54:00:%02x:%02x:%02x", id[13], id[14], id[15]);
    put_format(
        buf,
        "<interface type='user'><mac address='%s'/><model type='virtio'/><rom enabled='no'/></interface>\n",
        mac);
    if (spec->console)
        put_format(buf, "<serial type='file'><source path='%s' append='on'/><target port='0'/></serial>\n",
                   spec->console);
    put(buf, "<controller type='usb' model='none'/>\n<memballoon model='none'/>\n</devices>\n");
}

int mf_domain_xml(const struct mf_driver_spec *spec, const char *type, struct mf_buf *buf, char error[512])
{
    int r = check_spec(spec, error);
    if (r < 0)
        return r;
    put_head(buf, spec, type);
    if (strcmp(type, "test") == 0) {
        put(buf, "<os><type>hvm</type></os>\n");
    } else {
        put_os(buf, spec, strcmp(type, "kvm") == 0);
        put_devices(buf, spec);
    }
    put(buf, "</domain>\n");
    mf_buf_append(buf, "", 1);
    return 0;
}

/* ---- reading our own element */

static size_t utf8_put(char out[4], unsigned long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> len & 0xff) | code);
    return len;
}

/* Decode the entity at s ("&...;") into out; *ret_len bytes. Returns its end, or NULL. */
static const char *entity(const char *s, char out[4], size_t *ret_len)
{
    static const struct {
        const char *text;
        char c;
    } named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    *ret_len = 1;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t len = strlen(named[i].text);
        if (strncmp(s, named[i].text, len) == 0) {
            out[0] = named[i].c;
            return s + len;
        }
    }
    if (s[1] != '#')
        return NULL;
    bool hex = s[2] == 'x';
    char *end;
    unsigned long code = strtoul(s + (hex ? 3 : 2), &end, hex ? 16 : 10);
    if (*end != ';' || !code || code > 0x10ffff)
        return NULL;
    *ret_len = utf8_put(out, code);
    return end + 1;
}

/* The quoted value at s into text (without a target it is only skipped). Returns its end, or NULL if it is
 * broken or too long. */
static const char *value(const char *s, char *text, size_t size)
{
    char quote = *s++;
    size_t n = 0;
    if (quote != '"' && quote != '\'')
        return NULL;
    while (*s && *s != quote) {
        char piece[4];
        size_t len = 1;
        if (*s == '&')
            s = entity(s, piece, &len);
        else
            piece[0] = *s++;
        if (!s || (text && n + len >= size))
            return NULL;
        if (text)
            memcpy(text + n, piece, len);
        n += len;
    }
    if (text)
        text[n] = 0;
    return *s == quote ? s + 1 : NULL;
}

/* Attribute by attribute, so that a value that looks like another attribute stays a value. */
bool mf_domain_identity_parse(const char *element, struct mf_domain_identity *ret_identity)
{
    struct mf_domain_identity found = {0};
    char epoch[24] = "", policy[24] = "";
    const struct {
        const char *key;
        char *text;
        size_t size;
    } wanted[] = {{"name", found.name, sizeof found.name},
                  {"epoch", epoch, sizeof epoch},
                  {"policy", policy, sizeof policy},
                  {"disk", found.disk, sizeof found.disk},
                  {"console", found.console, sizeof found.console}};
    const char *s = element + strcspn(element, " \t\n/>");
    for (;;) {
        s += strspn(s, " \t\n");
        size_t key_len = strcspn(s, "=/>");
        if (s[key_len] != '=')
            break;
        const char *key = s;
        char *text = NULL;
        size_t size = 0;
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strlen(wanted[i].key) == key_len && strncmp(wanted[i].key, key, key_len) == 0) {
                text = wanted[i].text;
                size = wanted[i].size;
            }
        s = value(s + key_len + 1, text, size);
        if (!s)
            return false;
    }
    if (!found.name[0])
        return false;
    found.epoch = strtoull(epoch, NULL, 10);
    found.at_most = strcmp(policy, "at-most") == 0;
    *ret_identity = found;
    return true;
}
