/* What changes a group: provision, apply, scale, destroy. */
#include "guest_options.h"
#include "json.h"
#include "output.h"
#include "rule_options.h"
#include "spec.h"
#include "target.h"
#include "user_data.h"
#include "wait.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOO_MUCH_USER_DATA "user-data is more than the limit of 65536 bytes (64 KiB); let it fetch the rest"

static int words_of_provision(const struct mf_cli *cli, struct mf_msg_provision *provision)
{
    unsigned policy = 0, spread = 0, fit = 0;
    if (mf_cli_word(cli, "policy", "policy", &policy) || mf_cli_word(cli, "spread", "spread", &spread) ||
        mf_cli_word(cli, "fit", "fit", &fit))
        return MF_EXIT_MISUSE;
    provision->policy = policy;
    provision->spread = spread;
    provision->fit = fit;
    return 0;
}

static bool waits_ready(const struct mf_rec_guest_health *health)
{
    return health->ready == MF_READINESS_PORT || health->ready == MF_READINESS_AGENT;
}

static int send_provision(struct mf_cli *cli, const struct mf_msg_provision *provision)
{
    struct mf_message ask = {.kind = MF_MSG_PROVISION, .provision = *provision};
    struct mayfly_reply reply = {0};
    char error[512];
    if (mf_user_data_check(provision->user_data.bytes, error) < 0)
        return mf_cli_fail(cli, "%s", error);
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    struct mf_msg_accepted accepted = reply.message.accepted;
    mf_cli_accepted(cli, &accepted, "%.*s: %s", (int)provision->group.len, provision->group.ptr,
                    cli->command->name);
    uint64_t count = accepted.count ? accepted.count : provision->count;
    if (cli->wait)
        r = mf_wait_complete(cli, provision->group, accepted.group_id,
                             (struct mf_wait_for){.count = count,
                                                  .spares = provision->spares,
                                                  .ready = waits_ready(&provision->health)});
    mayfly_reply_free(&reply);
    return r;
}

static int read_user_data(struct mf_cli *cli, const char *path, struct mf_msg_provision *provision)
{
    return path ? mf_cli_read_file(cli, path, MF_USER_DATA_MAX, TOO_MUCH_USER_DATA,
                                   &provision->user_data.bytes)
                : 0;
}

static struct mf_str option_str(const struct mf_cli *cli, const char *name)
{
    const char *value = mf_cli_get(cli, name);
    return value ? mf_str(value) : (struct mf_str){0};
}

static int require_options(const struct mf_cli *cli, const char *const *names)
{
    for (; *names; names++)
        if (!mf_cli_get(cli, *names))
            return mf_cli_misuse(cli, "--%s is missing", *names);
    return 0;
}

static int run_provision(struct mf_cli *cli)
{
    static const char *const needed[] = {"group", "count", "image", "offering", NULL};
    struct mf_msg_provision provision = {.request_id = option_str(cli, "request-id"),
                                         .group = option_str(cli, "group"),
                                         .image = option_str(cli, "image"),
                                         .offering = option_str(cli, "offering"),
                                         .network = option_str(cli, "network"),
                                         .override = mf_cli_get(cli, "override") != NULL};
    int r = require_options(cli, needed);
    if (!r)
        r = mf_cli_number(cli, "count", 1, 10000, &provision.count);
    if (!r)
        r = mf_cli_number(cli, "min", 0, 10000, &provision.min);
    if (!r)
        r = mf_cli_number(cli, "spares", 0, 1000, &provision.spares);
    if (!r)
        r = mf_cli_health(cli, &provision.health);
    if (!r)
        r = words_of_provision(cli, &provision);
    if (!r)
        r = mf_cli_labels(cli, "label", &provision.labels);
    if (!r)
        r = mf_cli_labels(cli, "require", &provision.require);
    if (!r)
        r = mf_cli_rules(cli, &provision.rules);
    if (!r)
        r = read_user_data(cli, mf_cli_get(cli, "user-data"), &provision);
    return r ? r : send_provision(cli, &provision);
}

static int run_apply(struct mf_cli *cli)
{
    const char *file = mf_cli_get(cli, "file");
    struct mf_spec spec;
    struct mf_str text;
    char error[512], path[4096];
    if (!file)
        return mf_cli_misuse(cli, "which file? say -f group.yaml");
    int r = mf_cli_read_file(cli, file, MF_MESSAGE_MAX, "too large for a group's specification", &text);
    if (r)
        return r;
    if (mf_spec_parse(file, text, &cli->arena, &spec, error))
        return mf_cli_fail(cli, "%s", error);
    if (spec.user_data_file) { /* beside the specification, not beside whoever applies it */
        const char *slash = *spec.user_data_file == '/' ? NULL : strrchr(file, '/');
        snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash + 1 - file) : 0, file, spec.user_data_file);
        r = read_user_data(cli, path, &spec.provision);
        if (r)
            return r;
    }
    spec.provision.request_id = option_str(cli, "request-id");
    spec.provision.apply = true;
    return send_provision(cli, &spec.provision);
}

/* How many instances may stand above what it wants. */
static int spares_of(struct mf_cli *cli, struct mf_str group, struct mf_uuid group_id, uint64_t *ret_spares)
{
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_GROUPS, .list_groups = {.after = group}};
    int r = mf_cli_request(cli, &ask, &reply);
    for (uint32_t i = 0; !r && i < reply.message.groups.rows.n; i++)
        if (mf_uuid_eq(reply.message.groups.rows.items[i].group_id, group_id))
            *ret_spares = reply.message.groups.rows.items[i].spares;
    mayfly_reply_free(&reply);
    return r;
}

static int run_scale(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_SCALE,
                             .scale = {.request_id = option_str(cli, "request-id"),
                                       .group = mf_str(cli->args[0]),
                                       .override = mf_cli_get(cli, "override") != NULL}};
    struct mayfly_reply reply = {0};
    int r = mf_cli_parse_number(cli, "COUNT", cli->args[1], 0, 10000, &ask.scale.count);
    if (!r)
        r = mf_cli_number(cli, "min", 0, 10000, &ask.scale.min);
    if (!r && mf_cli_get(cli, "min"))
        ask.scale.has = UINT64_C(1) << 3; /* also when it is 0: the default is another */
    if (!r)
        r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    mf_cli_accepted(cli, &reply.message.accepted, "%.*s: scale", (int)ask.scale.group.len,
                    ask.scale.group.ptr);
    struct mf_wait_for what = {.count = ask.scale.count};
    if (cli->wait)
        r = spares_of(cli, ask.scale.group, reply.message.accepted.group_id, &what.spares);
    if (cli->wait && !r)
        r = mf_wait_complete(cli, ask.scale.group, reply.message.accepted.group_id, what);
    mayfly_reply_free(&reply);
    return r;
}

static int check_destroyable(const struct mf_cli *cli, const char *text, struct mf_target *ret_target)
{
    char error[256];
    if (mf_target_parse(text, ret_target, error))
        return mf_cli_misuse(cli, "%s", error);
    if (ret_target->kind == MF_TARGET_GENERATION)
        return mf_cli_misuse(cli, "%s: name the slot (%s/%" PRIu64 "), or the instance's UUID", text,
                             ret_target->name, ret_target->slot);
    if (ret_target->kind == MF_TARGET_OTHER)
        return mf_cli_misuse(cli, "%s is neither a group nor an instance", text);
    return 0;
}

static int run_destroy(struct mf_cli *cli)
{
    struct mf_target target;
    struct mayfly_reply reply = {0};
    uint64_t grace_s = 0;
    int r = check_destroyable(cli, cli->args[0], &target);
    if (!r)
        r = mf_cli_number(cli, "grace", 0, 600, &grace_s);
    if (r)
        return r;
    struct mf_message ask = {.kind = MF_MSG_DESTROY,
                             .destroy = {.request_id = option_str(cli, "request-id"),
                                         .target = mf_str(cli->args[0]),
                                         .grace_ms = grace_s * 1000}};
    r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    const struct mf_msg_accepted *accepted = &reply.message.accepted;
    mf_cli_accepted(cli, accepted, "%.*s: destroy", (int)ask.destroy.target.len, ask.destroy.target.ptr);
    if (cli->wait && target.kind == MF_TARGET_NAME)
        r = mf_wait_group_gone(cli, target.name, accepted->group_id, accepted->seq);
    else if (cli->wait)
        r = mf_wait_instance_gone(cli, accepted->id, accepted->seq);
    mayfly_reply_free(&reply);
    return r;
}

static const struct mf_cli_option provision_options[] = {
    {"group", "NAME", "Name of the group.", 'g'},
    {"count", "N", "How many instances, 1 to 10000.", 'n'},
    {"image", "NAME", "What they boot (mayfly image list).", 0},
    {"offering", "NAME", "What each is given: see mayfly offering list.", 0},
    {"min", "N", "Below this many the group is in need (default: count).", 0},
    {"user-data", "FILE", "Handed to each guest at birth, at most 64 KiB; - is stdin.", 0},
    MF_CLI_PLACE_OPTIONS,
    MF_CLI_RULE_OPTIONS,
    {"spares", "N", "Keep so many more booted, to take the place of one that fails (default 0).", 0},
    {"network", "NAME", "A network that its nodes know by this name (default default).", 0},
    MF_CLI_HEALTH_OPTIONS,
    {"label", "K=V", "A label of the group's own; repeatable.", 'l'},
    {"override", NULL, "Accept it also where failover headroom would be lost; operators only.", 0},
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0},
    {0},
};
static const struct mf_cli_option apply_options[] = {
    {"file", "FILE", "The specification; - is stdin.", 'f'},
    {"request-id", "ID", "See provision.", 0},
    {0},
};
static const struct mf_cli_option scale_options[] = {
    {"min", "N", "Below this many the group is in need (default: the old min, at most COUNT).", 0},
    {"override", NULL, "Accept it also where failover headroom would be lost; operators only.", 0},
    {"request-id", "ID", "See provision.", 0},
    {0},
};
static const struct mf_cli_option destroy_options[] = {
    {"grace", "SECONDS", "ACPI power-off first, kill after this long (default 0: kill at once).", 0},
    {"request-id", "ID", "See provision.", 0},
    {0},
};

const struct mf_cli_command mf_commands_group[] = {
    {"provision", "--group NAME --count N --image NAME --offering NAME", "Ask for a group of instances.",
     "An existing group with the same specification is answered alike; with another it is refused. With "
     "--wait, until all run, or, where they say so, are well.",
     provision_options, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON | MF_CLI_WAITS, run_provision},
    {"apply", "-f group.yaml", "Make a group as a file says, or scale it to what the file says.",
     "Keys: group, count, image, offering; min, policy, spread, fit, labels, require, rules, spares, "
     "network, health, user_data or user_data_file.",
     apply_options, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON | MF_CLI_WAITS, run_apply},
    {"scale", "GROUP COUNT", "Change how many instances a group has; the highest slots go first.", NULL,
     scale_options, 2, 2, MF_CLI_CONNECTS | MF_CLI_JSON | MF_CLI_WAITS, run_scale},
    {"destroy", "GROUP | GROUP/SLOT | UUID", "End a group, or one instance, whose slot is then reborn.", NULL,
     destroy_options, 1, 1, MF_CLI_CONNECTS | MF_CLI_JSON | MF_CLI_WAITS, run_destroy},
    {0},
};
