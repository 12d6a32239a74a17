/* What placement thinks: place --explain, capacity; and headroom, what it keeps free. */
#include "json.h"
#include "output.h"
#include "rule_options.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROWS_MAX = 500 };

/* -- place --explain */

static struct mf_str option_str(const struct mf_cli *cli, const char *name)
{
    const char *value = mf_cli_get(cli, name);
    return value ? mf_str(value) : (struct mf_str){0};
}

static int words_of_explain(const struct mf_cli *cli, struct mf_msg_explain *explain)
{
    unsigned policy = 0, spread = 0, fit = 0;
    if (mf_cli_word(cli, "policy", "policy", &policy) || mf_cli_word(cli, "spread", "spread", &spread) ||
        mf_cli_word(cli, "fit", "fit", &fit))
        return MF_EXIT_MISUSE;
    explain->policy = policy;
    explain->spread = spread;
    explain->fit = fit;
    return 0;
}

/* Either something that is, or a wish: of both, nobody could say which was meant. */
static int check_meaning(const struct mf_cli *cli)
{
    static const char *const alone[] = {"explain", "rows", "output", "broker", "key", "timeout-ms", NULL};
    if (!mf_cli_get(cli, "explain"))
        return mf_cli_misuse(cli, "nothing is placed by hand; say --explain to see how it would be");
    if (!cli->n_args && !mf_cli_get(cli, "offering"))
        return mf_cli_misuse(cli, "of what? name a group, a slot or an instance, or say --offering");
    for (int i = 0; cli->n_args && i < cli->n_values; i++) {
        bool fine = false;
        for (const char *const *name = alone; *name; name++)
            fine |= !strcmp(cli->values[i].name, *name);
        if (!fine)
            return mf_cli_misuse(cli, "--%s: %s is asked for as it is; leave one of them out",
                                 cli->values[i].name, cli->args[0]);
    }
    return 0;
}

static void print_summary(const struct mf_msg_explained *explained)
{
    const char *before = ":";
    printf("%" PRIu64 " of %" PRIu64 " nodes could take it", explained->candidates, explained->nodes);
    for (uint32_t i = 0; i < explained->refusals.n; i++, before = ",") {
        const struct mf_rec_refusal_row *row = &explained->refusals.items[i];
        printf("%s %" PRIu64 " %.*s", before, row->nodes, (int)row->refusal.len, row->refusal.ptr);
    }
    printf("\n");
    if (explained->fit.len)
        printf("ranked by %.*s\n", (int)explained->fit.len, explained->fit.ptr);
    if (explained->reason.len)
        printf("it waits all the same: %.*s\n", (int)explained->reason.len, explained->reason.ptr);
}

static int print_explained(struct mf_cli *cli, const struct mf_msg_explained *explained)
{
    static const struct mf_column columns[] = {
        {"NODE", "node", MF_COLUMN_TEXT},
        {"SCORE", "score", MF_COLUMN_NUMBER},
        {"LEVEL", "level", MF_COLUMN_NUMBER},
        {"PREFERRED", "preferred", MF_COLUMN_NUMBER},
        {"WARM", "warm", MF_COLUMN_TEXT},
        {"CELLS", "cells_shown", MF_COLUMN_TEXT},
        {"LAST RESORT", "shunned", MF_COLUMN_TEXT},
        {"REFUSED FOR", "refusal", MF_COLUMN_TEXT},
        {0},
    };
    json_t *array = json_array(), *row;
    size_t i;
    mf_json_rows(array, &mf_rec_candidate_row_desc, explained->rows.items, explained->rows.n);
    json_array_foreach(array, i, row) json_object_set_new(row, "cells_shown", mf_json_cells(row));
    int r = mf_output_rows(cli, array, columns, "no nodes");
    print_summary(explained);
    return r;
}

static int run_place(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_EXPLAIN,
                             .explain = {.target = cli->n_args ? mf_str(cli->args[0]) : (struct mf_str){0},
                                         .offering = option_str(cli, "offering"),
                                         .image = option_str(cli, "image")}};
    struct mayfly_reply reply = {0};
    int r = check_meaning(cli);
    if (!r)
        r = words_of_explain(cli, &ask.explain);
    if (!r)
        r = mf_cli_labels(cli, "require", &ask.explain.require);
    if (!r)
        r = mf_cli_rules(cli, &ask.explain.rules);
    if (!r)
        r = mf_cli_number(cli, "rows", 1, ROWS_MAX, &ask.explain.rows);
    if (!r)
        r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    if (cli->json)
        mf_output_object(mf_json_struct(mf_kind_desc(MF_MSG_EXPLAINED), &reply.message.explained));
    else
        r = print_explained(cli, &reply.message.explained);
    mayfly_reply_free(&reply);
    return r;
}

/* -- capacity */

static int print_capacities(struct mf_cli *cli, const struct mf_msg_capacities *capacities)
{
    static const struct mf_column plain[] = {{"OFFERING", "offering", MF_COLUMN_TEXT},
                                             {"FIT", "fit", MF_COLUMN_NUMBER},
                                             {"ON NODES", "nodes", MF_COLUMN_NUMBER},
                                             {0}};
    static const struct mf_column kept[] = {{"OFFERING", "offering", MF_COLUMN_TEXT},
                                            {"FIT", "fit", MF_COLUMN_NUMBER},
                                            {"WITH HEADROOM", "fit_headroom", MF_COLUMN_NUMBER},
                                            {"ON NODES", "nodes", MF_COLUMN_NUMBER},
                                            {0}};
    json_t *array = json_array();
    mf_json_rows(array, &mf_rec_capacity_row_desc, capacities->rows.items, capacities->rows.n);
    int r = mf_output_rows(cli, array, capacities->headroom.len ? kept : plain,
                           "no offerings; mayfly offering add makes one");
    if (capacities->headroom.len)
        printf("room is kept for the loss of any one %.*s\n", (int)capacities->headroom.len,
               capacities->headroom.ptr);
    if (capacities->unprotected)
        printf("%" PRIu64 " instances could not be re-placed if their domain were lost now\n",
               capacities->unprotected);
    return r;
}

static int run_capacity(struct mf_cli *cli)
{
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_CAPACITY};
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    if (cli->json)
        mf_output_object(mf_json_struct(mf_kind_desc(MF_MSG_CAPACITIES), &reply.message.capacities));
    else
        r = print_capacities(cli, &reply.message.capacities);
    mayfly_reply_free(&reply);
    return r;
}

/* -- headroom */

static int run_headroom(struct mf_cli *cli)
{
    bool off = !strcmp(cli->args[0], "off");
    struct mayfly_reply reply = {0};
    if (!mf_name_valid(mf_str(cli->args[0])))
        return mf_cli_misuse(cli, "%s: it is host, the key of a label (rack), or off", cli->args[0]);
    struct mf_message ask = {.kind = MF_MSG_HEADROOM,
                             .headroom = {.request_id = option_str(cli, "request-id"),
                                          .level = off ? (struct mf_str){0} : mf_str(cli->args[0])}};
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    mf_cli_accepted(cli, &reply.message.accepted, "headroom %s", cli->args[0]);
    mayfly_reply_free(&reply);
    return r;
}

static const struct mf_cli_option place_options[] = {
    {"explain", NULL, "Say which nodes would take it and why others would not; nothing is placed.", 0},
    {"offering", "NAME", "What it would be given, where no TARGET is named.", 0},
    {"image", "NAME", "What it would boot: nodes that hold it are better.", 0},
    MF_CLI_PLACE_OPTIONS,
    MF_CLI_RULE_OPTIONS,
    {"rows", "N", "So many nodes, the best first, then those that refuse; 1 to 500 (default 20).", 'n'},
    {0},
};
static const struct mf_cli_option headroom_options[] = {
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0}, {0}};

const struct mf_cli_command mf_commands_place[] = {
    {"place", "--explain (GROUP | GROUP/SLOT | UUID | --offering NAME ...)",
     "Explain where an instance would be placed, and why.",
     "Of a group, a slot or an instance: as if it were born now, by its own rules. Or of whatever the "
     "options "
     "describe, as provision has them. LEVEL is what spread and packing say (less is better) and comes "
     "before "
     "SCORE, which is the policy's (more is better).",
     place_options, 0, 1, MF_CLI_CONNECTS | MF_CLI_JSON, run_place},
    {"capacity", "", "Show how many more of each offering fit.",
     "Each as if nothing else came; with headroom kept, also how many the broker would admit.", NULL, 0, 0,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_capacity},
    {"headroom", "host | LABEL | off", "Keep room to re-place any one lost failure domain, or cease to.",
     "For every group that does not say otherwise. What would leave too little is then refused (--override "
     "of provision and scale admits it all the same).",
     headroom_options, 1, 1, MF_CLI_CONNECTS | MF_CLI_JSON, run_headroom},
    {0},
};
