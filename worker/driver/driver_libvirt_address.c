/* driver_libvirt_address.c - where a guest is to be found: by the lease file that the worker was given, by
 * libvirt's own leases, by the guest's agent, by the host's neighbour table, in this order. The guest's word
 * is believed for its own MAC address only, and an address is nothing but digits, dots, colons and a-f. */
#include "driver_libvirt.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of use to others: not of the loop, not of the link alone. */
static bool useful(const char *address)
{
    struct in_addr in;
    struct in6_addr in6;
    if (inet_pton(AF_INET, address, &in) == 1) {
        uint32_t host = ntohl(in.s_addr);
        return host >> 24 != 127 && host >> 24 != 0 && host >> 16 != 0xa9fe;
    }
    return inet_pton(AF_INET6, address, &in6) == 1 && !IN6_IS_ADDR_LOOPBACK(&in6) &&
           !IN6_IS_ADDR_LINKLOCAL(&in6) && !IN6_IS_ADDR_UNSPECIFIED(&in6);
}

static void choose(char ret_address[101], const char *address)
{
    bool better = !ret_address[0] || (strchr(ret_address, ':') && !strchr(address, ':'));
    if (useful(address) && better)
        mf_str_format(ret_address, 101, "%s", address);
}

/* dnsmasq's: end, MAC, address, name, client id; the newest line of a MAC is the last. */
static void from_file(const char *path, const char *mac, char ret_address[101])
{
    char line[512], its_mac[64], address[64];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%*s %63s %63s", its_mac, address) == 2 && strcasecmp(its_mac, mac) == 0 &&
            useful(address))
            mf_str_format(ret_address, 101, "%s", address);
    if (file)
        fclose(file);
}

/* The host's neighbours as the kernel writes them; libvirt 9.0 stumbles over the same table ("wrong nlmsg
 * len"). */
static void from_neighbours(const char *mac, char ret_address[101])
{
    char line[256], its_mac[64], address[64];
    unsigned flags;
    enum { COMPLETE = 2 };
    FILE *file = fopen("/proc/net/arp", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%63s %*s %x %63s", address, &flags, its_mac) == 3 && flags & COMPLETE &&
            strcasecmp(its_mac, mac) == 0)
            choose(ret_address, address);
    if (file)
        fclose(file);
}

static void from_libvirt(virDomainPtr domain, unsigned source, const char *mac, char ret_address[101])
{
    virDomainInterfacePtr *interfaces = NULL;
    int n = virDomainInterfaceAddresses(domain, &interfaces, source, 0);
    for (int i = 0; i < n; i++) {
        bool its = interfaces[i]->hwaddr && strcasecmp(interfaces[i]->hwaddr, mac) == 0;
        for (unsigned j = 0; its && j < interfaces[i]->naddrs; j++)
            choose(ret_address, interfaces[i]->addrs[j].addr);
        virDomainInterfaceFree(interfaces[i]);
    }
    free(interfaces);
}

void mf_libvirt_find_address(struct mf_driver *self, virDomainPtr domain, bool agent, char ret_address[101])
{
    const struct {
        unsigned source;
        bool asked;
    } sources[] = {
        {VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, !self->embed}, /* without a daemon nobody keeps any */
        {VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, agent},
        {VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, !self->local}};
    struct mf_uuid id;
    char mac[18];
    ret_address[0] = 0;
    if (virDomainGetUUID(domain, id.bytes) < 0)
        return;
    mf_driver_mac(id, mac);
    if (self->config.lease_file)
        from_file(self->config.lease_file, mac, ret_address);
    for (size_t i = 0; i < sizeof sources / sizeof *sources && !ret_address[0]; i++)
        if (sources[i].asked)
            from_libvirt(domain, sources[i].source, mac, ret_address);
    if (!ret_address[0] && self->local)
        from_neighbours(mac, ret_address);
}
