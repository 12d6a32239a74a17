/* null_script.c - see null_script.h. */
#include "null_script.h"
#include "message.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct key {
    const char *name;
    uint64_t *number; /* one of the three */
    double *share;
    uint32_t *address;
};

static bool take_number(const char *text, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || n > 1000000000)
        return false;
    *ret_number = n;
    return true;
}

static bool take_share(const char *text, double *ret_share)
{
    char *end;
    double share = strtod(text, &end);
    if (!isdigit((unsigned char)*text) || *end || !(share >= 0 && share <= 1))
        return false;
    *ret_share = share;
    return true;
}

static bool take_address(const char *text, uint32_t *ret_address)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    *ret_address = ntohl(address.s_addr);
    return true;
}

static bool take_value(const struct key *key, const char *text)
{
    if (key->address)
        return take_address(text, key->address);
    return key->number ? take_number(text, key->number) : take_share(text, key->share);
}

static int take_item(char *item, const struct key *keys, char error[512])
{
    char *value = strchr(item, '=');
    if (value)
        *value++ = 0;
    for (const struct key *key = keys; key->name && value; key++) {
        if (strcmp(key->name, item) != 0)
            continue;
        if (take_value(key, value))
            return 0;
        mf_str_format(error, 512, "script: %s=%.100s: give %s", item, value,
                      key->address  ? "an IPv4 address"
                      : key->number ? "a number from 0 to 1000000000"
                                    : "a share from 0 to 1");
        return -EINVAL;
    }
    mf_str_format(
        error, 512,
        "script: \"%.100s\" is not KEY=VALUE with a known key (create, destroy, list, die-after, "
        "create-fail, "
        "destroy-fail, boot-fail, hang-create, hang-destroy, ready, ready-fail, unwell-after, address, "
        "cells, hugepages, seed)",
        item);
    return -EINVAL;
}

int mf_null_script_parse(const char *text, struct mf_null_script *ret_script, char error[512])
{
    struct mf_null_script script = {.seed = 1};
    const struct key keys[] = {{"create", &script.create_ms},
                               {"destroy", &script.destroy_ms},
                               {"list", &script.list_ms},
                               {"die-after", &script.die_after_ms},
                               {"hang-create", &script.hang_create},
                               {"hang-destroy", &script.hang_destroy},
                               {"seed", &script.seed},
                               {"cells", &script.cells},
                               {"hugepages", &script.hugepages_mib},
                               {"ready", &script.ready_ms},
                               {"unwell-after", &script.unwell_ms},
                               {"ready-fail", NULL, &script.ready_fail},
                               {"address", NULL, NULL, &script.address},
                               {"create-fail", NULL, &script.create_fail},
                               {"destroy-fail", NULL, &script.destroy_fail},
                               {"boot-fail", NULL, &script.boot_fail},
                               {NULL}};
    char *copy = strdup(text ? text : ""), *save = NULL;
    int r = copy ? 0 : -ENOMEM;
    for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item && r == 0;
         item = strtok_r(NULL, ",", &save))
        r = take_item(item, keys, error);
    free(copy);
    if (r == 0)
        *ret_script = script;
    return r;
}
