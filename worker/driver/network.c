/* network.c - the networks a node knows by name, from its settings. */
#include "driver.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DEVICE_MAX = 15, TAP_PREFIX_MAX = 9 };

void mf_driver_mac(struct mf_uuid id, char ret_mac[18])
{
    const uint8_t *b = id.bytes; /* its last bytes are random */
    snprintf(ret_mac, 18, "52:54:00:%02x:%02x:%02x", b[13], b[14], b[15]);
}

static const struct {
    const char *word;
    enum mf_network_kind kind;
    size_t source_max; /* 0: it has none */
    const char *source;
} kinds[] = {{"user", MF_NETWORK_USER, 0, ""},
             {"network", MF_NETWORK_LIBVIRT, 63, "a network of libvirt's"},
             {"bridge", MF_NETWORK_BRIDGE, DEVICE_MAX, "a bridge of this host"},
             {"macvtap", MF_NETWORK_MACVTAP, DEVICE_MAX, "a network device of this host"},
             {"tap", MF_NETWORK_TAP, TAP_PREFIX_MAX, "the beginning of its taps' names (not vnet)"}};

static bool good_source(struct mf_str source, size_t max, enum mf_network_kind kind)
{
    if (!source.len || source.len > max || source.ptr[0] == '-')
        return false;
    for (uint32_t i = 0; i < source.len; i++)
        if (!isascii((unsigned char)source.ptr[i]) ||
            (!isalnum((unsigned char)source.ptr[i]) && !strchr("._-", source.ptr[i])))
            return false;
    return kind != MF_NETWORK_TAP || source.len < 4 || memcmp(source.ptr, "vnet", 4) != 0;
}

int mf_driver_network_parse(struct mf_str name, struct mf_str text, struct mf_driver_network *ret_network,
                            char error[512])
{
    const char *colon = memchr(text.ptr, ':', text.len);
    struct mf_str word = {text.ptr, colon ? (uint32_t)(colon - text.ptr) : text.len}, source = {0};
    if (colon)
        source = (struct mf_str){colon + 1, text.len - word.len - 1};
    size_t i = 0, n = sizeof kinds / sizeof *kinds;
    while (i < n && !mf_str_eq(word, mf_str(kinds[i].word)))
        i++;
    if (i == n) {
        mf_str_format(error, 512,
                      "\"%.*s\" is no kind of network: give user, network:NET, bridge:BRIDGE, macvtap:DEVICE "
                      "or tap:PREFIX",
                      (int)word.len, word.ptr);
        return -EINVAL;
    }
    if (kinds[i].source_max ? !good_source(source, kinds[i].source_max, kinds[i].kind) : colon != NULL) {
        if (kinds[i].source_max)
            mf_str_format(error, 512,
                          "%s needs %s behind a colon, of at most %zu letters, digits, '.', '_' and '-'",
                          kinds[i].word, kinds[i].source, kinds[i].source_max);
        else
            mf_str_format(error, 512, "%s has nothing behind it", kinds[i].word);
        return -EINVAL;
    }
    *ret_network = (struct mf_driver_network){.kind = kinds[i].kind};
    mf_str_format(ret_network->name, sizeof ret_network->name, "%.*s", (int)name.len, name.ptr);
    mf_str_format(ret_network->source, sizeof ret_network->source, "%.*s", (int)source.len,
                  source.ptr ? source.ptr : "");
    return 0;
}

const struct mf_driver_network *mf_driver_network_find(const struct mf_driver_config *config,
                                                       const char *name, char error[512])
{
    static const struct mf_driver_network standard = {.name = "default"};
    if (!name || !name[0])
        name = standard.name;
    for (size_t i = 0; i < config->n_networks; i++)
        if (strcmp(config->networks[i].name, name) == 0)
            return &config->networks[i];
    if (strcmp(name, standard.name) == 0)
        return &standard;
    mf_str_format(error, 512,
                  "this node knows no network \"%.63s\": give its worker --network %.63s=KIND:SOURCE, or the "
                  "group a network that its nodes know",
                  name, name);
    return NULL;
}
