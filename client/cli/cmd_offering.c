/* Offerings: what may be bought. */
#include "json.h"
#include "output.h"
#include "spec.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SPEC_MAX = 65536 };

/* --disk-bytes-s is disk_bytes_s: every number and switch of the table has its option. */
static int take_options(const struct mf_cli *cli, struct mf_rec_offering *offering)
{
    const struct mf_desc *desc = &mf_rec_offering_desc;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];
        void *at = (char *)offering + field->offset;
        char option[64];
        snprintf(option, sizeof option, "%s", field->name);
        for (char *c = option; (c = strchr(c, '_'));)
            *c = '-';
        if (field->kind == MF_F_U64 && mf_cli_number(cli, option, field->min, field->max, at))
            return MF_EXIT_MISUSE;
        if (field->kind == MF_F_BOOL && mf_cli_get(cli, option))
            *(bool *)at = true;
    }
    return 0;
}

static int read_file(struct mf_cli *cli, const char *file, struct mf_rec_offering *offering)
{
    struct mf_str text;
    char error[512];
    int r = mf_cli_read_file(cli, file, SPEC_MAX, "too large for an offering", &text);
    if (r)
        return r;
    return mf_spec_parse_offering(file, text, cli->args[0], &cli->arena, offering, error)
               ? mf_cli_fail(cli, "%s", error)
               : 0;
}

static int run_add(struct mf_cli *cli)
{
    const char *file = mf_cli_get(cli, "file"), *class = mf_cli_get(cli, "class"),
               *id = mf_cli_get(cli, "request-id");
    struct mayfly_reply reply = {0};
    struct mf_message ask = {
        .kind = MF_MSG_OFFERING_ADD,
        .offering_add = {.request_id = mf_str(id ? id : ""), .offering = {.name = mf_str(cli->args[0])}}};
    struct mf_rec_offering *offering = &ask.offering_add.offering;
    int r = file ? read_file(cli, file, offering) : 0;
    if (!r)
        r = take_options(cli, offering);
    if (!r && class)
        offering->class = mf_str(class);
    if (!r && (!offering->vcpus || !offering->memory_mib || !offering->disk_mib))
        r = mf_cli_misuse(cli, "it needs --vcpus, --memory-mib and --disk-mib, or a --file that says them");
    if (!r)
        r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    mf_cli_accepted(cli, &reply.message.accepted, "offering %s:", cli->args[0]);
    mayfly_reply_free(&reply);
    return MF_EXIT_OK;
}

/* -- list */

static uint64_t number(const json_t *row, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(row, key));
}

static const char *rate(uint64_t bytes, char text[32])
{
    if (!bytes)
        snprintf(text, 32, "no cap");
    else if (bytes % (1 << 20) == 0)
        snprintf(text, 32, "%" PRIu64 " MiB/s", bytes >> 20);
    else
        snprintf(text, 32, "%" PRIu64 " B/s", bytes);
    return text;
}

static json_t *operations(uint64_t iops)
{
    return iops ? json_sprintf("%" PRIu64 "/s", iops) : json_string("no cap");
}

static json_t *burst(const json_t *row)
{
    uint64_t percent = number(row, "disk_burst_percent");
    return percent > 100
               ? json_sprintf("%" PRIu64 "%% for %" PRIu64 " s", percent, number(row, "disk_burst_s"))
               : json_string("-");
}

static json_t *cpu(const json_t *row)
{
    uint64_t quota = number(row, "cpu_quota_percent");
    if (json_is_true(json_object_get(row, "pinned")))
        return json_string(json_is_true(json_object_get(row, "hugepages")) ? "pinned, hugepages" : "pinned");
    if (!quota)
        return json_sprintf("%" PRIu64 " shares", number(row, "cpu_shares"));
    return json_sprintf("%" PRIu64 " shares, at most %" PRIu64 "%%", number(row, "cpu_shares"), quota);
}

static void show_caps(json_t *row)
{
    char text[32];
    json_object_set_new(row, "disk_rate", json_string(rate(number(row, "disk_bytes_s"), text)));
    json_object_set_new(row, "disk_ops", operations(number(row, "disk_iops")));
    json_object_set_new(row, "burst", burst(row));
    json_object_set_new(row, "net_rate", json_string(rate(number(row, "net_bytes_s"), text)));
    json_object_set_new(row, "cpu", cpu(row));
}

static int run_list(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"OFFERING", "name", MF_COLUMN_TEXT},
        {"CLASS", "class", MF_COLUMN_TEXT},
        {"VCPUS", "vcpus", MF_COLUMN_NUMBER},
        {"MEMORY MIB", "memory_mib", MF_COLUMN_NUMBER},
        {"DISK MIB", "disk_mib", MF_COLUMN_NUMBER},
        {"DISK RATE", "disk_rate", MF_COLUMN_TEXT},
        {"DISK OPS", "disk_ops", MF_COLUMN_TEXT},
        {"BURST", "burst", MF_COLUMN_TEXT},
        {"NETWORK", "net_rate", MF_COLUMN_TEXT},
        {"CPU", "cpu", MF_COLUMN_TEXT},
        {0},
    };
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_OFFERINGS};
    size_t i;
    json_t *row, *array;
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    array = json_array();
    mf_json_rows(array, &mf_rec_offering_desc, reply.message.offerings.rows.items,
                 reply.message.offerings.rows.n);
    mayfly_reply_free(&reply);
    if (!cli->json)
        json_array_foreach(array, i, row) show_caps(row);
    return mf_output_rows(cli, array, columns, "no offerings; add one (mayfly offering add)");
}

static const struct mf_cli_option add_options[] = {
    {"file", "FILE",
     "Read it from YAML (keys as these, with _ for -); - is stdin. What is said here goes before.", 'f'},
    {"vcpus", "N", "Virtual CPUs of the guest.", 0},
    {"memory-mib", "N", "Its memory, MiB.", 0},
    {"disk-mib", "N", "Its ephemeral disk, MiB.", 0},
    {"class", "NAME", "Node class it runs on (default standard).", 0},
    {"disk-bytes-s", "N", "Most bytes a second its disk may move (default 67108864).", 0},
    {"disk-iops", "N", "Most operations a second of its disk (default 1000).", 0},
    {"disk-burst-percent", "N", "So many percent of both for a while (default: no burst).", 0},
    {"disk-burst-s", "N", "How long a burst lasts, seconds (default 1).", 0},
    {"net-bytes-s", "N", "Most bytes a second in each direction of its network (default: no cap).", 0},
    {"cpu-shares", "N", "Its weight among neighbours that want the CPU at once (default 100 a vcpu).", 0},
    {"cpu-quota-percent", "N", "Most of each vcpu's time that it may use (default: all).", 0},
    {"uncapped", NULL, "Its disk has no caps but those said here.", 0},
    {"pinned", NULL, "Each vcpu has a host CPU of its own, in one NUMA cell where it fits.", 0},
    {"hugepages", NULL, "Its memory is huge pages of the host.", 0},
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0},
    {0},
};

const struct mf_cli_command mf_commands_offering[] = {
    {"offering add", "NAME --vcpus N --memory-mib N --disk-mib N | NAME --file FILE",
     "Give an offering a name: what an instance gets, and what it may do to its neighbours.", NULL,
     add_options, 1, 1, MF_CLI_CONNECTS | MF_CLI_JSON, run_add},
    {"offering list", "", "List the offerings, with their caps.", NULL, NULL, 0, 0,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_list},
    {"offerings", "", "The same as offering list.", NULL, NULL, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON,
     run_list},
    {0},
};
