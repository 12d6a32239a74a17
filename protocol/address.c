/* address.c - addresses as text and as bytes. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

static bool parse_port(const char *text, uint16_t *ret_port)
{
    size_t len = strlen(text);
    long port = len >= 1 && len <= 5 && strspn(text, "0123456789") == len ? strtol(text, NULL, 10) : 0;

    *ret_port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

int mf_address_parse(const char *text, struct mf_address *ret_address)
{
    struct mf_address address = {0};
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (len < 1 || len >= sizeof(host) || !parse_port(colon + 1, &address.port))
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = 0;
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = 0;
        if (inet_pton(AF_INET6, host + 1, address.host) != 1)
            return -EINVAL;
    } else {
        memcpy(address.host, MAPPED, sizeof(MAPPED));
        if (inet_pton(AF_INET, host, address.host + sizeof(MAPPED)) != 1)
            return -EINVAL;
    }
    *ret_address = address;
    return 0;
}

const char *mf_address_text(const struct mf_address *address, char text[MF_ADDRESS_TEXT])
{
    bool mapped = memcmp(address->host, MAPPED, sizeof(MAPPED)) == 0;
    char host[INET6_ADDRSTRLEN];

    inet_ntop(mapped ? AF_INET : AF_INET6, address->host + (mapped ? sizeof(MAPPED) : 0), host, sizeof(host));
    snprintf(text, MF_ADDRESS_TEXT, mapped ? "%s:%u" : "[%s]:%u", host, address->port);
    return text;
}
