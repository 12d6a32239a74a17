/* domain_identity.c - what our metadata element says of a guest, as libvirt hands it back. */
#include "domain_xml.h"

#include <stdlib.h>
#include <string.h>

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
    char epoch[24] = "", policy[24] = "", ready[24] = "", ping[24] = "", fall[24] = "", net[24] = "",
         id[MF_UUID_TEXT] = "";
    const struct {
        const char *key;
        char *text;
        size_t size;
    } wanted[] = {{"id", id, sizeof id},
                  {"name", found.name, sizeof found.name},
                  {"epoch", epoch, sizeof epoch},
                  {"policy", policy, sizeof policy},
                  {"disk", found.disk, sizeof found.disk},
                  {"console", found.console, sizeof found.console},
                  {"dir", found.dir, sizeof found.dir},
                  {"ready", ready, sizeof ready},
                  {"ping", ping, sizeof ping},
                  {"fall", fall, sizeof fall},
                  {"net", net, sizeof net},
                  {"cpus", found.cpus, sizeof found.cpus}};
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
    if (id[0] && !mf_uuid_parse(id, strlen(id), &found.instance))
        return false;
    found.epoch = strtoull(epoch, NULL, 10);
    found.at_most = strcmp(policy, "at-most") == 0;
    found.ready = mf_readiness_value(mf_str(ready));
    found.ping_ms = strtoull(ping, NULL, 10);
    found.ping_fall = strtoull(fall, NULL, 10);
    found.reachable = net[0] != 0;
    *ret_identity = found;
    return true;
}
