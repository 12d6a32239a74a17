/* Images: what guests boot, and which nodes have it at hand. */
#include "image_options.h"
#include "json.h"
#include "output.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct mf_str request_id(const struct mf_cli *cli)
{
    const char *id = mf_cli_get(cli, "request-id");
    return mf_str(id ? id : "");
}

static int send_image(struct mf_cli *cli, const struct mf_message *ask, const char *what)
{
    struct mayfly_reply reply = {0};
    int r = mf_cli_request(cli, ask, &reply);
    if (!r)
        mf_cli_accepted(cli, &reply.message.accepted, "image %s: %s", cli->args[0], what);
    mayfly_reply_free(&reply);
    return r;
}

static int run_add(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_IMAGE_ADD, .image_add = {.request_id = request_id(cli)}};
    int r = mf_cli_image(cli, &ask.image_add.image);
    return r ? r : send_image(cli, &ask, "add");
}

static int run_remove(struct mf_cli *cli)
{
    struct mf_message ask = {.kind = MF_MSG_IMAGE_REMOVE,
                             .image_remove = {.request_id = request_id(cli), .image = mf_str(cli->args[0])}};
    return send_image(cli, &ask, "remove");
}

/* -- warm */

static int read_nodes(struct mf_cli *cli, const char *text, struct mf_msg_image_warm *warm)
{
    uint32_t n = 0;
    struct mf_rec_node_name *nodes =
        mf_arena_alloc(&cli->arena, (strlen(text) / 2 + 1) * sizeof *nodes); /* a name and a comma each */
    for (const char *at = text; *at; at += strspn(at, ",")) {
        struct mf_str name = {at, (uint32_t)strcspn(at, ",")};
        if (name.len)
            nodes[n++] = (struct mf_rec_node_name){.node = name};
        at += name.len;
    }
    if (!n)
        return mf_cli_misuse(cli, "--nodes: names none; write --nodes node-1,node-2");
    warm->nodes.items = nodes;
    warm->nodes.n = n;
    return 0;
}

static int run_warm(struct mf_cli *cli)
{
    const char *nodes = mf_cli_get(cli, "nodes"), *all = mf_cli_get(cli, "all"),
               *stop = mf_cli_get(cli, "stop");
    struct mf_message ask = {
        .kind = MF_MSG_IMAGE_WARM,
        .image_warm = {.request_id = request_id(cli), .image = mf_str(cli->args[0]), .stop = stop != NULL}};
    if ((nodes != NULL) + (all != NULL) + (stop != NULL) != 1)
        return mf_cli_misuse(cli, "which nodes? say --nodes node-1,node-2, or --all, or --stop");
    int r = nodes ? read_nodes(cli, nodes, &ask.image_warm) : 0;
    return r ? r : send_image(cli, &ask, "warm");
}

/* -- lists */

static const char *word_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

/* For a table: what is fetched, and what it is known by. */
static void show_image(json_t *row)
{
    const char *disk = word_of(row, "disk");
    bool by_url =
        strstr(disk, "://") || strstr(word_of(row, "kernel"), "://") || strstr(word_of(row, "initrd"), "://");
    json_object_set_new(row, "from", json_string(by_url ? "origin" : "image root"));
    json_object_set(row, "sha256", json_object_get(row, *disk ? "disk_sha256" : "kernel_sha256"));
}

static int run_list(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"IMAGE", "name", MF_COLUMN_TEXT},
        {"KERNEL", "kernel", MF_COLUMN_TEXT},
        {"INITRD", "initrd", MF_COLUMN_TEXT},
        {"DISK", "disk", MF_COLUMN_TEXT},
        {"FORMAT", "disk_format", MF_COLUMN_TEXT},
        {"FROM", "from", MF_COLUMN_TEXT},
        {"CMDLINE", "cmdline", MF_COLUMN_TEXT},
        {"SHA-256", "sha256", MF_COLUMN_TEXT},
        {0},
    };
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_IMAGES};
    size_t i;
    json_t *row, *array = json_array();
    int r = mf_cli_request(cli, &ask, &reply);
    if (!r)
        mf_json_rows(array, &mf_rec_image_desc, reply.message.images.rows.items, reply.message.images.rows.n);
    mayfly_reply_free(&reply);
    if (r) {
        json_decref(array);
        return r;
    }
    if (!cli->json)
        json_array_foreach(array, i, row) show_image(row);
    return mf_output_rows(cli, array, columns, "no images; add one (mayfly image add)");
}

static int run_nodes(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"NODE", "node", MF_COLUMN_TEXT},     {"STATE", "state", MF_COLUMN_TEXT},
        {"BYTES", "bytes", MF_COLUMN_NUMBER}, {"OF", "size", MF_COLUMN_NUMBER},
        {"REASON", "reason", MF_COLUMN_TEXT}, {0},
    };
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_HELD, .list_held = {.image = mf_str(cli->args[0])}};
    json_t *array = json_array();
    int r = mf_cli_request(cli, &ask, &reply);
    if (!r)
        mf_json_rows(array, &mf_rec_held_row_desc, reply.message.held.rows.items, reply.message.held.rows.n);
    mayfly_reply_free(&reply);
    if (!r)
        return mf_output_rows(cli, array, columns, "no node has it, or is fetching it (mayfly image warm)");
    json_decref(array);
    return r;
}

#define REQUEST_ID                                                                                           \
    {                                                                                                        \
        "request-id", "ID", "The same id with the same request is done once (default: made here).", 0        \
    }

static const struct mf_cli_option add_options[] = {
    {"kernel", "X", "The kernel: a URL (http, https, file), or a file below the image root.", 0},
    {"initrd", "X", "The initial RAM disk, alike.", 0},
    {"cmdline", "TEXT", "The kernel's command line.", 0},
    {"disk", "X", "The disk, alike; each guest has an overlay of its own on it.", 0},
    {"url", "URL", "The same as --disk.", 0},
    {"disk-format", "WORD", "qcow2 or raw; not needed where the file's name or the local file tells.", 0},
    {"digest", "SHA256", "Of what comes by URL, if that is one file: HEX or sha256:HEX.", 0},
    {"kernel-digest", "SHA256", "Of the kernel.", 0},
    {"initrd-digest", "SHA256", "Of the initial RAM disk.", 0},
    {"disk-digest", "SHA256", "Of the disk.", 0},
    {"digest-file", "FILE", "A SHA256SUMS that names what comes by URL; - is stdin.", 0},
    {"image-root", "DIR", "The folder that every node has alike; else MAYFLY_IMAGE_ROOT.", 0},
    REQUEST_ID,
    {0},
};
static const struct mf_cli_option remove_options[] = {REQUEST_ID, {0}};
static const struct mf_cli_option warm_options[] = {
    {"nodes", "NAMES", "These, with commas between them.", 0},
    {"all", NULL, "Every node, and each that joins from now on.", 'a'},
    {"stop", NULL, "Nodes that join need not fetch it any more.", 0},
    REQUEST_ID,
    {0},
};

const struct mf_cli_command mf_commands_image[] = {
    {"image add", "NAME --url URL --digest SHA256 | NAME --kernel X --initrd X [--disk X]",
     "Give an image a name; its files are known by their SHA-256.",
     "A URL is fetched by each node that needs it, once, and believed only if it is what its digest says.",
     add_options, 1, 1, MF_CLI_CONNECTS | MF_CLI_JSON, run_add},
    {"image remove", "NAME", "Forget an image that no group uses.", NULL, remove_options, 1, 1,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_remove},
    {"image warm", "NAME --nodes A,B | --all | --stop", "Have nodes fetch an image before it is needed.",
     NULL, warm_options, 1, 1, MF_CLI_CONNECTS | MF_CLI_JSON, run_warm},
    {"image nodes", "NAME", "Which nodes have an image, and how far the others are.", NULL, NULL, 1, 1,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_nodes},
    {"image list", "", "List the images.", NULL, NULL, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON, run_list},
    {0},
};
