/* Lists: groups, instances, nodes; as tables or as one JSON array whose keys are the fields of the row's
 * record. */
#include "json.h"
#include "output.h"
#include "wait.h"
#include <stdio.h>
#include <string.h>

static void copy_next(char after[201], struct mf_str next)
{
    mf_str_format(after, 201, "%.*s", (int)next.len, next.ptr ? next.ptr : "");
}

/* What only waits for an absent node to prove it gone is shown on request: nobody can use it, and it uses
 * nothing. */
static void drop_rows(struct mf_cli *cli, json_t *array, bool (*drop)(const json_t *row))
{
    size_t i = mf_cli_get(cli, "all") ? 0 : json_array_size(array);
    while (i-- > 0)
        if (drop(json_array_get(array, i)))
            json_array_remove(array, i);
}

static bool state_is(const json_t *row, const char *word)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    return state && !strcmp(state, word);
}

static bool is_tombstone(const json_t *row)
{
    return state_is(row, "tombstone");
}

static bool is_ended(const json_t *row)
{
    return state_is(row, "ending") && json_integer_value(json_object_get(row, "left")) == 0;
}

/* Those that are well, of those that are wanted. */
static json_t *spares_shown(const json_t *row)
{
    json_int_t spares = json_integer_value(json_object_get(row, "spares"));
    return spares ? json_sprintf("%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                                 json_integer_value(json_object_get(row, "spares_running")), spares)
                  : json_string("-");
}

enum { PRIORITY = 50 }; /* of whoever says none */

/* What is said of where, as key=value; what is not said is not shown. */
static json_t *rules_shown(const json_t *row)
{
    json_t *shown = json_object(), *value, *item;
    const char *key;
    size_t i;
    json_object_foreach(json_object_get(row, "rules"), key, value)
    {
        char list[512] = "";
        json_array_foreach(value, i, item)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? "+" : "",
                     json_string_value(json_object_get(item, "group")));
        if (!strcmp(key, "priority") && json_integer_value(value) == PRIORITY)
            continue;
        if (json_is_array(value) && *list)
            json_object_set_new(shown, key, json_string(list));
        else if (json_string_length(value) || json_is_integer(value) || json_object_size(value))
            json_object_set(shown, key, value);
    }
    return shown;
}

static int run_groups(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"GROUP", "group", MF_COLUMN_TEXT},         {"STATE", "state", MF_COLUMN_TEXT},
        {"DESIRED", "desired", MF_COLUMN_NUMBER},   {"MIN", "min", MF_COLUMN_NUMBER},
        {"RUNNING", "running", MF_COLUMN_NUMBER},   {"READY", "ready", MF_COLUMN_NUMBER},
        {"SPARES", "spares_shown", MF_COLUMN_TEXT}, {"PENDING", "pending", MF_COLUMN_NUMBER},
        {"IMAGE", "image", MF_COLUMN_TEXT},         {"OFFERING", "offering", MF_COLUMN_TEXT},
        {"POLICY", "policy", MF_COLUMN_TEXT},       {"SPREAD", "spread", MF_COLUMN_TEXT},
        {"RULES", "rules_shown", MF_COLUMN_TEXT},   {"LABELS", "labels", MF_COLUMN_TEXT},
        {"AGE", "created_ms", MF_COLUMN_AGE},       {0},
    };
    char after[201] = "";
    size_t i;
    json_t *row, *array = json_array();
    do {
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_LIST_GROUPS, .list_groups = {.after = mf_str(after)}};
        int r = mf_cli_request(cli, &ask, &reply);
        if (r) {
            json_decref(array);
            return r;
        }
        mf_json_rows(array, &mf_rec_group_row_desc, reply.message.groups.rows.items,
                     reply.message.groups.rows.n);
        copy_next(after, reply.message.groups.next);
        mayfly_reply_free(&reply);
    } while (*after);
    drop_rows(cli, array, is_ended);
    json_array_foreach(array, i, row) if (!cli->json)
    {
        json_object_set_new(row, "spares_shown", spares_shown(row));
        json_object_set_new(row, "rules_shown", rules_shown(row));
    }
    return mf_output_rows(cli, array, columns, "no groups");
}

static void take_instances(void *arg, const struct mf_msg_instances *page)
{
    mf_json_rows(arg, &mf_rec_instance_row_desc, page->rows.items, page->rows.n);
}

/* In a table what is said of what runs stands beside the state. */
static json_t *instance_state(const json_t *row)
{
    bool ready = json_integer_value(json_object_get(row, "ready_ms")) > 0;
    return json_sprintf("%s%s%s", json_string_value(json_object_get(row, "state")), ready ? ",ready" : "",
                        json_is_true(json_object_get(row, "spare")) ? ",spare" : "");
}

static int run_instances(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"INSTANCE", "name", MF_COLUMN_TEXT},     {"STATE", "shown", MF_COLUMN_TEXT},
        {"NODE", "node", MF_COLUMN_TEXT},         {"CELLS", "cells_shown", MF_COLUMN_TEXT},
        {"ADDRESS", "address", MF_COLUMN_TEXT},   {"IMAGE", "image", MF_COLUMN_TEXT},
        {"OFFERING", "offering", MF_COLUMN_TEXT}, {"AGE", "created_ms", MF_COLUMN_AGE},
        {"CAUSE", "cause", MF_COLUMN_NUMBER},     {"ID", "id", MF_COLUMN_TEXT},
        {"REASON", "reason", MF_COLUMN_TEXT},     {0},
    };
    const char *group = mf_cli_get(cli, "group");
    uint64_t seq;
    size_t i;
    json_t *row, *array = json_array();
    int r = mf_list_instances(cli, group ? mf_str(group) : (struct mf_str){0}, take_instances, array, &seq);
    if (r) {
        json_decref(array);
        return r;
    }
    drop_rows(cli, array, is_tombstone);
    json_array_foreach(array, i, row)
    {
        json_object_set_new(row, "name",
                            json_sprintf("%s/%" JSON_INTEGER_FORMAT "#%" JSON_INTEGER_FORMAT,
                                         json_string_value(json_object_get(row, "group")),
                                         json_integer_value(json_object_get(row, "slot")),
                                         json_integer_value(json_object_get(row, "generation"))));
        if (cli->json)
            continue;
        json_object_set_new(row, "shown", instance_state(row));
        json_object_set_new(row, "cells_shown", mf_json_cells(row));
    }
    return mf_output_rows(cli, array, columns, "no instances");
}

/* In a table the words that keep births away stand beside the state. */
static json_t *node_state(const json_t *row)
{
    static const char *const flags[] = {"cordoned", "draining", "quarantined"};
    char text[128];
    int n = snprintf(text, sizeof text, "%s", json_string_value(json_object_get(row, "state")));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_true(json_object_get(row, flags[i])))
            n += snprintf(text + n, sizeof text - (size_t)n, ",%s", flags[i]);
    return json_string(text);
}

static json_t *cells_of_node(const json_t *row)
{
    size_t n = json_array_size(json_object_get(row, "cells"));
    return n ? json_integer((json_int_t)n) : json_string("-");
}

static int run_nodes(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"NODE", "name", MF_COLUMN_TEXT},
        {"STATE", "shown", MF_COLUMN_TEXT},
        {"LINK", "connected", MF_COLUMN_TEXT},
        {"EPOCH", "epoch", MF_COLUMN_NUMBER},
        {"INSTANCES", "instances", MF_COLUMN_NUMBER},
        {"FREE CPUS", "free.vcpus", MF_COLUMN_NUMBER},
        {"OF", "capacity.vcpus", MF_COLUMN_NUMBER},
        {"FREE MIB", "free.memory_mib", MF_COLUMN_NUMBER},
        {"OF", "capacity.memory_mib", MF_COLUMN_NUMBER},
        {"FREE DISK", "free.disk_mib", MF_COLUMN_NUMBER},
        {"OF", "capacity.disk_mib", MF_COLUMN_NUMBER},
        {"CELLS", "cells_shown", MF_COLUMN_NUMBER},
        {"CPU RATIO", "cpu_ratio_percent", MF_COLUMN_NUMBER},
        {"CLASS", "class", MF_COLUMN_TEXT},
        {"DRIVER", "driver", MF_COLUMN_TEXT},
        {"LABELS", "labels", MF_COLUMN_TEXT},
        {"REASON", "reason", MF_COLUMN_TEXT},
        {0},
    };
    char after[201] = "";
    size_t i;
    json_t *row, *array = json_array();
    do {
        struct mayfly_reply reply = {0};
        struct mf_message ask = {.kind = MF_MSG_LIST_NODES, .list_nodes = {.after = mf_str(after)}};
        int r = mf_cli_request(cli, &ask, &reply);
        if (r) {
            json_decref(array);
            return r;
        }
        mf_json_rows(array, &mf_rec_node_row_desc, reply.message.nodes.rows.items,
                     reply.message.nodes.rows.n);
        copy_next(after, reply.message.nodes.next);
        mayfly_reply_free(&reply);
    } while (*after);
    json_array_foreach(array, i, row)
    {
        json_object_set(row, "name", json_object_get(row, "node"));
        if (cli->json)
            continue;
        json_object_set_new(row, "shown", node_state(row));
        json_object_set_new(row, "cells_shown", cells_of_node(row));
    }
    return mf_output_rows(cli, array, columns, "no nodes; start a worker (mayfly-keeper)");
}

static const struct mf_cli_option groups_options[] = {
    {"all", NULL, "Also ended ones that wait for absent nodes.", 'a'}, {0}};
static const struct mf_cli_option instances_options[] = {
    {"group", "NAME", "Only of this group.", 'g'},
    {"all", NULL, "Also tombstones: what must never run again, on absent nodes.", 'a'},
    {0}};

const struct mf_cli_command mf_commands_list[] = {
    {"groups", "", "List the groups.", NULL, groups_options, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON, run_groups},
    {"instances", "", "List the instances that are not gone.", NULL, instances_options, 0, 0,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_instances},
    {"nodes", "", "List the nodes, with capacity and what is free.", NULL, NULL, 0, 0,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_nodes},
    {0},
};
