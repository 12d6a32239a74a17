/* networks.c - prefixes of addresses, IPv4 among IPv6. */
#include "networks.h"
#include "address.h"
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 128, MAPPED_BITS = 96, ADDRESS_TEXT = 46 };

/* The address alone, as address.h has it. */
static bool parse_host(const char *text, size_t len, uint8_t ret_host[16], bool *ret_v4)
{
    char with_port[ADDRESS_TEXT + 8];
    struct mf_address address;
    bool v4 = !memchr(text, ':', len);

    if (len == 0 || len >= ADDRESS_TEXT)
        return false;
    mf_str_format(with_port, sizeof(with_port), v4 ? "%.*s:1" : "[%.*s]:1", (int)len, text);
    if (mf_address_parse(with_port, &address) < 0)
        return false;
    memcpy(ret_host, address.host, sizeof(address.host));
    *ret_v4 = v4;
    return true;
}

static bool parse_bits(const char *slash, size_t len, bool v4, unsigned *ret_bits)
{
    unsigned most = v4 ? BITS - MAPPED_BITS : BITS;
    unsigned long bits = most;

    if (slash) {
        if (len < 1 || len > 3 || strspn(slash, "0123456789") < len)
            return false;
        bits = strtoul(slash, NULL, 10);
    }
    *ret_bits = (unsigned)bits + (v4 ? MAPPED_BITS : 0);
    return bits <= most;
}

static bool parse_one(const char *text, size_t len, struct mf_network *ret_network)
{
    const char *slash = memchr(text, '/', len);
    size_t host = slash ? (size_t)(slash - text) : len;
    bool v4;

    return parse_host(text, host, ret_network->host, &v4) &&
           parse_bits(slash ? slash + 1 : NULL, slash ? len - host - 1 : 0, v4, &ret_network->bits);
}

int mf_networks_parse(const char *text, struct mf_networks *ret_networks, char error[512])
{
    struct mf_networks networks = {0};

    while (*text) {
        size_t len = strcspn(text, ",");
        if (networks.n == MF_NETWORKS_MAX) {
            mf_str_format(error, 512, "more than %d networks; give wider ones", MF_NETWORKS_MAX);
            return -EINVAL;
        }
        if (!parse_one(text, len, &networks.items[networks.n++])) {
            mf_str_format(error, 512,
                          "\"%.*s\" is no network; give ADDRESS/BITS, as in 10.0.0.0/8 or fd00::/8",
                          len < 100 ? (int)len : 100, text);
            return -EINVAL;
        }
        text += len + (text[len] == ',');
    }
    *ret_networks = networks;
    return 0;
}

static bool lies_in(const struct mf_network *network, const uint8_t host[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;

    return memcmp(network->host, host, whole) == 0 &&
           (rest == 0 || ((network->host[whole] ^ host[whole]) >> (8 - rest)) == 0);
}

/* Hosts that may be anybody's, for a monitor without a list: not the monitor's own host, nor a cloud's
 * metadata service, nor a crowd. */
static bool is_ordinary(const uint8_t host[16])
{
    static const char *const special[] = {"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "0.0.0.0/8",
                                          "::/127",      "fe80::/10",      "ff00::/8"};
    struct mf_network network;

    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
        if (parse_one(special[i], strlen(special[i]), &network) && lies_in(&network, host))
            return false;
    return true;
}

bool mf_networks_have(const struct mf_networks *self, const char *address)
{
    uint8_t host[16];
    bool v4;

    if (!parse_host(address, strlen(address), host, &v4))
        return false;
    if (self->n == 0)
        return is_ordinary(host);
    for (size_t i = 0; i < self->n; i++)
        if (lies_in(&self->items[i], host))
            return true;
    return false;
}
