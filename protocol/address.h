/* address.h - HOST:PORT of a datagram socket, numeric: a name would have to be looked up, and who is asked
 * while a node is dying must be known before. */
#ifndef MF_ADDRESS_H
#define MF_ADDRESS_H

#include <stdint.h>

struct mf_address {
    uint8_t host[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d */
    uint16_t port;    /* 0: none */
};
enum { MF_ADDRESS_TEXT = 56 };

/* "10.0.0.5:7711" or "[fd00::5]:7711"; -EINVAL for anything else, names and port 0 among it. */
int mf_address_parse(const char *text, struct mf_address *ret_address);
const char *mf_address_text(const struct mf_address *address,
                            char text[MF_ADDRESS_TEXT]); /* returns text; what parse reads */

#endif
