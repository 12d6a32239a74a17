/* Names as people write them, into what the wire and the log call them. */
#include "target.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TENANT "default/"

static int refuse(char error[256], const char *text, const char *why)
{
    snprintf(error, 256,
             "\"%.80s\" %s; write GROUP, GROUP/SLOT, GROUP/SLOT#GENERATION, an instance's UUID, or node/NAME",
             text, why);
    return -EINVAL;
}

/* Digits up to `end`; false for none, for a leading zero, for too many. */
static bool parse_digits(const char *text, const char *end, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text == end || (*text == '0' && end - text > 1) || end - text > 18)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret_value = value;
    return value <= max;
}

static bool is_other(const char *text)
{
    static const char *const rooms[] = {"node/", "image/", "offering/", "monitor/"};
    const char *slash = strchr(text, '/');
    uint64_t number;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!strncmp(text, rooms[i], strlen(rooms[i])) && mf_name_valid(mf_str(slash + 1)))
            return !parse_digits(slash + 1, slash + strlen(slash), 9999,
                                 &number); /* a group may be called image: image/3 is its slot */
    return !strcmp(text, "cluster");
}

static int parse_slot(const char *text, const char *slash, struct mf_target *target, char error[256])
{
    const char *hash = strchr(slash, '#'), *end = text + strlen(text);
    if (!parse_digits(slash + 1, hash ? hash : end, 9999, &target->slot))
        return refuse(error, text, "has no slot number 0 to 9999 after the /");
    target->kind = MF_TARGET_SLOT;
    snprintf(target->subject, sizeof target->subject, TENANT "%s/%" PRIu64, target->name, target->slot);
    if (!hash)
        return 0;
    if (!parse_digits(hash + 1, end, UINT64_MAX, &target->generation) || !target->generation)
        return refuse(error, text, "has no generation number after the #");
    target->kind = MF_TARGET_GENERATION;
    snprintf(target->subject, sizeof target->subject, TENANT "%s/%" PRIu64 "#%" PRIu64, target->name,
             target->slot, target->generation);
    return 0;
}

int mf_target_parse(const char *text, struct mf_target *ret_target, char error[256])
{
    struct mf_target target = {.kind = MF_TARGET_NAME};
    if (!strncmp(text, TENANT, strlen(TENANT)) &&
        mf_name_valid(
            (struct mf_str){text + strlen(TENANT), (uint32_t)strcspn(text + strlen(TENANT), "/#")}) &&
        text[strlen(TENANT)] > '9')
        text += strlen(TENANT);
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (mf_uuid_parse(text, strlen(text), &target.id)) {
        target.kind = MF_TARGET_UUID;
        *ret_target = target;
        return 0;
    }
    if (len > MF_NAME_MAX || !mf_name_valid((struct mf_str){text, (uint32_t)len}))
        return refuse(error, text, "is not a name (1 to 63 of a-z, 0-9 and -)");
    memcpy(target.name, text, len);
    if (is_other(text)) {
        target.kind = MF_TARGET_OTHER;
        snprintf(target.name, sizeof target.name, "%s", slash ? slash + 1 : text);
        snprintf(target.subject, sizeof target.subject, "%s", text);
    } else if (slash) {
        int r = parse_slot(text, slash, &target, error);
        if (r)
            return r;
    } else {
        snprintf(target.subject, sizeof target.subject, TENANT "%s", target.name);
    }
    *ret_target = target;
    return 0;
}

bool mf_target_of_subject(struct mf_str subject, struct mf_target *ret_target)
{
    char text[256], error[256];
    if (subject.len >= sizeof text)
        return false;
    mf_str_format(text, sizeof text, "%.*s", (int)subject.len, subject.ptr);
    const char *slash = strchr(text, '/'); /* whatever the tenant is */
    return slash && strchr(text, '#') && !mf_target_parse(slash + 1, ret_target, error) &&
           ret_target->kind == MF_TARGET_GENERATION;
}
