/* What an operator says of nodes, monitors, images and the cluster as a whole: cordon, drain, forget, freeze,
 * thaw; and of domains that nobody knows: list, adopt, purge. */
#include "json.h"
#include "output.h"
#include "wait.h"
#include <inttypes.h>
#include <stdio.h>

/* Every one of these requests is answered by `accepted`; *ret_seq is its own event. */
static int say(struct mf_cli *cli, const struct mf_message *ask, const char *what, uint64_t *ret_seq)
{
    struct mayfly_reply reply = {0};
    int r = mf_cli_request(cli, ask, &reply);
    if (r)
        return r;
    *ret_seq = reply.message.accepted.seq;
    mf_cli_accepted(cli, &reply.message.accepted, "%s: %s", what, cli->command->name);
    mayfly_reply_free(&reply);
    return 0;
}

static struct mf_str request_id(const struct mf_cli *cli)
{
    const char *id = mf_cli_get(cli, "request-id");
    return mf_str(id ? id : ""); /* empty: made by the library */
}

static int tell(struct mf_cli *cli, const struct mf_message *ask)
{
    uint64_t seq;
    return say(cli, ask, cli->n_args ? cli->args[cli->n_args - 1] : "cluster", &seq);
}

static int run_cordon(struct mf_cli *cli)
{
    return tell(cli, &(struct mf_message){
                         .kind = MF_MSG_NODE_CORDON,
                         .node_cordon = {.request_id = request_id(cli), .node = mf_str(cli->args[0])}});
}

static int run_uncordon(struct mf_cli *cli)
{
    return tell(cli, &(struct mf_message){
                         .kind = MF_MSG_NODE_UNCORDON,
                         .node_uncordon = {.request_id = request_id(cli), .node = mf_str(cli->args[0])}});
}

static int run_drain(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_NODE_DRAIN,
                             .node_drain = {.request_id = request_id(cli), .node = mf_str(cli->args[0])}};
    uint64_t seq;
    int r = say(cli, &ask, cli->args[0], &seq);
    return r || !cli->wait ? r : mf_wait_node_drained(cli, cli->args[0], seq);
}

static int run_node_forget(struct mf_cli *cli)
{
    return tell(cli, &(struct mf_message){
                         .kind = MF_MSG_NODE_FORGET,
                         .node_forget = {.request_id = request_id(cli), .node = mf_str(cli->args[0])}});
}

static int run_monitor_forget(struct mf_cli *cli)
{
    return tell(cli, &(struct mf_message){
                         .kind = MF_MSG_MONITOR_FORGET,
                         .monitor_forget = {.request_id = request_id(cli), .monitor = mf_str(cli->args[0])}});
}

static int run_image_release(struct mf_cli *cli)
{
    return tell(cli, &(struct mf_message){
                         .kind = MF_MSG_IMAGE_RELEASE,
                         .image_release = {.request_id = request_id(cli), .image = mf_str(cli->args[0])}});
}

static int run_freeze(struct mf_cli *cli)
{
    const char *reason = mf_cli_get(cli, "reason");
    return tell(cli, &(struct mf_message){
                         .kind = MF_MSG_FREEZE,
                         .freeze = {.request_id = request_id(cli), .reason = mf_str(reason ? reason : "")}});
}

static int run_thaw(struct mf_cli *cli)
{
    return tell(cli, &(struct mf_message){.kind = MF_MSG_THAW, .thaw = {.request_id = request_id(cli)}});
}

/* -- domains that nobody knows */

static int domain_id(const struct mf_cli *cli, struct mf_uuid *ret_id)
{
    struct mf_str text = mf_str(cli->args[1]);
    if (mf_uuid_parse(text.ptr, text.len, ret_id))
        return 0;
    return mf_cli_misuse(cli, "\"%s\" is not a UUID; mayfly domains shows them", cli->args[1]);
}

static int run_adopt(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_ADOPT,
                             .adopt = {.request_id = request_id(cli), .node = mf_str(cli->args[0])}};
    int r = domain_id(cli, &ask.adopt.id);
    return r ? r : tell(cli, &ask);
}

static int run_purge(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_PURGE,
                             .purge = {.request_id = request_id(cli), .node = mf_str(cli->args[0])}};
    int r = domain_id(cli, &ask.purge.id);
    return r ? r : tell(cli, &ask);
}

static int run_domains(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"NODE", "node", MF_COLUMN_TEXT},
        {"NAME", "name", MF_COLUMN_TEXT},
        {"CLAIMS ITS SLOT", "claims", MF_COLUMN_TEXT},
        {"PURGING", "purging", MF_COLUMN_TEXT},
        {"ID", "id", MF_COLUMN_TEXT},
        {0},
    };
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_DOMAINS};
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    json_t *array = json_array();
    mf_json_rows(array, &mf_rec_domain_row_desc, reply.message.domains.rows.items,
                 reply.message.domains.rows.n);
    if (reply.message.domains.more)
        fprintf(stderr, "There are more than are shown; adopt or purge some of these first.\n");
    mayfly_reply_free(&reply);
    return mf_output_rows(cli, array, columns, "no unknown domains");
}

static const struct mf_cli_option id_options[] = {
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0}, {0}};
static const struct mf_cli_option freeze_options[] = {
    {"reason", "TEXT", "Why; shown by status and in the event.", 'r'},
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0},
    {0}};

enum { PLAIN = MF_CLI_CONNECTS | MF_CLI_JSON };
const struct mf_cli_command mf_commands_operator[] = {
    {"cordon", "NODE", "Keep births away from a node; what runs there stays.", NULL, id_options, 1, 1, PLAIN,
     run_cordon},
    {"uncordon", "NODE", "Let births come to a node again.",
     "It ends a cordon, a drain and a quarantine. Successors that a drain has begun are born all the same.",
     id_options, 1, 1, PLAIN, run_uncordon},
    {"drain", "NODE", "Empty a node: successors elsewhere first, then its instances end.",
     "Nothing migrates. Each instance of an at-least group gets a successor on another node and ends when "
     "that "
     "runs; one of an at-most group ends first, one at a time. The group's min is respected. The node stays "
     "cordoned until mayfly uncordon.",
     id_options, 1, 1, PLAIN | MF_CLI_WAITS, run_drain},
    {"node forget", "NODE", "Forget a node that will not come back.",
     "Its tombstones count as gone by your word, and another machine may take its name. Be sure that nothing "
     "runs there: Mayfly cannot prove it any more.",
     id_options, 1, 1, PLAIN, run_node_forget},
    {"monitor forget", "MONITOR", "Forget a monitor: it counts no more in the majority.", NULL, id_options, 1,
     1, PLAIN, run_monitor_forget},
    {"image release", "IMAGE", "Let births of an image that was blamed go on.", NULL, id_options, 1, 1, PLAIN,
     run_image_release},
    {"freeze", "", "Hold every verdict that a node failed, until thaw.",
     "For work on the network or on racks. Facts still count: a guest whose worker says that it died is "
     "replaced.",
     freeze_options, 0, 0, PLAIN, run_freeze},
    {"thaw", "", "Let held verdicts take effect now, whoever froze the cluster.", NULL, id_options, 0, 0,
     PLAIN, run_thaw},
    {"domains", "", "List domains that carry a name of ours and that the broker does not know.", NULL, NULL,
     0, 0, PLAIN, run_domains},
    {"adopt", "NODE UUID", "Make an unknown domain the current generation of the slot it claims.", NULL,
     id_options, 2, 2, PLAIN, run_adopt},
    {"purge", "NODE UUID", "Destroy an unknown domain, with its disk and seed.", NULL, id_options, 2, 2,
     PLAIN, run_purge},
    {0},
};
