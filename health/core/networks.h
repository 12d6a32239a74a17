/* networks.h - which addresses a monitor may connect to. Guests may be asked for theirs, and say what they
 * like: without this, a guest could have the monitors knock at any door that they can reach. */
#ifndef MF_NETWORKS_H
#define MF_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MF_NETWORKS_MAX = 16, MF_NETWORKS_TEXT = 800 };

struct mf_network {
    uint8_t host[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};
struct mf_networks { /* zero-initialised, without any: every address of a single host but loopback, link-local
                        and multicast ones */
    struct mf_network items[MF_NETWORKS_MAX];
    size_t n;
};

/* "10.0.0.0/8,fd00::/8"; an address without / is itself alone. 0, or -EINVAL with a sentence. */
int mf_networks_parse(const char *text, struct mf_networks *ret_networks, char error[512]);
/* Is it a numeric address that lies in one of them? */
bool mf_networks_have(const struct mf_networks *self, const char *address);

#endif
