/* What can be provisioned: images and offerings. */
#include "image_file.h"
#include "json.h"
#include "output.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int send_named(struct mf_cli *cli, const struct mf_message *ask, const char *what, const char *name)
{
    struct mayfly_reply reply = {0};
    int r = mf_cli_request(cli, ask, &reply);
    if (!r && cli->json)
        mf_output_object(mf_json_struct(mf_kind_desc(MF_MSG_ACCEPTED), &reply.message.accepted));
    else if (!r)
        printf("%s %s: accepted as event %" PRIu64 "\n", what, name, reply.message.accepted.seq);
    mayfly_reply_free(&reply);
    return r;
}

static const char *image_root(const struct mf_cli *cli)
{
    const char *root = mf_cli_get(cli, "image-root");
    return root ? root : getenv("MAYFLY_IMAGE_ROOT");
}

static int run_image_add(struct mf_cli *cli)
{
    const char *root = image_root(cli), *kernel = mf_cli_get(cli, "kernel"),
               *initrd = mf_cli_get(cli, "initrd"), *cmdline = mf_cli_get(cli, "cmdline"),
               *id = mf_cli_get(cli, "request-id");
    struct mf_image_file kernel_file, initrd_file;
    char error[1024];
    if (!kernel || !initrd)
        return mf_cli_misuse(cli, "--%s is missing", kernel ? "initrd" : "kernel");
    if (!root || !*root)
        return mf_cli_misuse(
            cli, "where do the nodes have their images? say --image-root DIR or set MAYFLY_IMAGE_ROOT");
    if (mf_image_file_read(root, kernel, MF_IMAGE_KERNEL, &kernel_file, error) ||
        mf_image_file_read(root, initrd, MF_IMAGE_INITRD, &initrd_file, error))
        return mf_cli_fail(cli, "%s", error);
    struct mf_message ask = {.kind = MF_MSG_IMAGE_ADD,
                             .image_add = {.request_id = mf_str(id ? id : ""),
                                           .image = {.name = mf_str(cli->args[0]),
                                                     .kernel = mf_str(kernel_file.path),
                                                     .kernel_sha256 = kernel_file.sha256,
                                                     .initrd = mf_str(initrd_file.path),
                                                     .initrd_sha256 = initrd_file.sha256,
                                                     .cmdline = mf_str(cmdline ? cmdline : "")}}};
    return send_named(cli, &ask, "image", cli->args[0]);
}

static int run_offering_add(struct mf_cli *cli)
{
    const char *class = mf_cli_get(cli, "class"), *id = mf_cli_get(cli, "request-id");
    struct mf_message ask = {
        .kind = MF_MSG_OFFERING_ADD,
        .offering_add = {.request_id = mf_str(id ? id : ""),
                         .offering = {.name = mf_str(cli->args[0]), .class = mf_str(class ? class : "")}}};
    struct mf_rec_offering *offering = &ask.offering_add.offering;
    if (!mf_cli_get(cli, "vcpus") || !mf_cli_get(cli, "memory-mib") || !mf_cli_get(cli, "disk-mib"))
        return mf_cli_misuse(cli, "it needs --vcpus, --memory-mib and --disk-mib");
    if (mf_cli_number(cli, "vcpus", 1, 4096, &offering->vcpus) ||
        mf_cli_number(cli, "memory-mib", 16, 16777216, &offering->memory_mib) ||
        mf_cli_number(cli, "disk-mib", 1, 1073741824, &offering->disk_mib))
        return MF_EXIT_MISUSE;
    return send_named(cli, &ask, "offering", cli->args[0]);
}

static int run_images(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"IMAGE", "name", MF_COLUMN_TEXT},
        {"KERNEL", "kernel", MF_COLUMN_TEXT},
        {"INITRD", "initrd", MF_COLUMN_TEXT},
        {"CMDLINE", "cmdline", MF_COLUMN_TEXT},
        {"KERNEL SHA-256", "kernel_sha256", MF_COLUMN_TEXT},
        {0},
    };
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_IMAGES};
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    json_t *array = json_array();
    mf_json_rows(array, &mf_rec_image_desc, reply.message.images.rows.items, reply.message.images.rows.n);
    mayfly_reply_free(&reply);
    return mf_output_rows(cli, array, columns, "no images; add one (mayfly image add)");
}

static int run_offerings(struct mf_cli *cli)
{
    static const struct mf_column columns[] = {
        {"OFFERING", "name", MF_COLUMN_TEXT},
        {"VCPUS", "vcpus", MF_COLUMN_NUMBER},
        {"MEMORY MIB", "memory_mib", MF_COLUMN_NUMBER},
        {"DISK MIB", "disk_mib", MF_COLUMN_NUMBER},
        {"CLASS", "class", MF_COLUMN_TEXT},
        {0},
    };
    struct mayfly_reply reply = {0};
    struct mf_message ask = {.kind = MF_MSG_LIST_OFFERINGS};
    int r = mf_cli_request(cli, &ask, &reply);
    if (r)
        return r;
    json_t *array = json_array();
    mf_json_rows(array, &mf_rec_offering_desc, reply.message.offerings.rows.items,
                 reply.message.offerings.rows.n);
    mayfly_reply_free(&reply);
    return mf_output_rows(cli, array, columns, "no offerings; add one (mayfly offering add)");
}

static const struct mf_cli_option image_options[] = {
    {"kernel", "FILE", "The kernel, below the image root.", 0},
    {"initrd", "FILE", "The initial RAM disk, below the image root.", 0},
    {"cmdline", "TEXT", "The kernel's command line.", 0},
    {"image-root", "DIR", "The folder that every node has alike; else MAYFLY_IMAGE_ROOT.", 0},
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0},
    {0},
};
static const struct mf_cli_option offering_options[] = {
    {"vcpus", "N", "Virtual CPUs of the guest.", 0},
    {"memory-mib", "N", "Its memory, MiB.", 0},
    {"disk-mib", "N", "Its ephemeral disk, MiB.", 0},
    {"class", "NAME", "Node class it runs on (default standard).", 0},
    {"request-id", "ID", "The same id with the same request is done once (default: made here).", 0},
    {0},
};

const struct mf_cli_command mf_commands_image[] = {
    {"image add", "NAME --kernel FILE --initrd FILE",
     "Give an image a name; its files are known by their SHA-256.", NULL, image_options, 1, 1,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_image_add},
    {"image list", "", "List the images.", NULL, NULL, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON, run_images},
    {"offering add", "NAME --vcpus N --memory-mib N --disk-mib N",
     "Give an offering a name: what an instance gets.", NULL, offering_options, 1, 1,
     MF_CLI_CONNECTS | MF_CLI_JSON, run_offering_add},
    {"offering list", "", "List the offerings.", NULL, NULL, 0, 0, MF_CLI_CONNECTS | MF_CLI_JSON,
     run_offerings},
    {0},
};
