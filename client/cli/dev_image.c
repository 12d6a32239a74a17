/* The image `tiny` and the offering `small` that a dev cluster has from the start. */
#include "dev.h"
#include "image_file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONSOLE "console=ttyS0"

static bool has_tiny(const char *root)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/tiny/vmlinuz", root) >= (int)sizeof path || access(path, R_OK))
        return false;
    return snprintf(path, sizeof path, "%s/tiny/initrd", root) < (int)sizeof path && !access(path, R_OK);
}

static int use_root(struct mf_cli *cli, struct mf_dev *dev, const char *root)
{
    char absolute[PATH_MAX];
    if (!realpath(root, absolute) || strlen(absolute) >= sizeof dev->image_root || strchr(absolute, '\n'))
        return mf_cli_fail(cli, "the image root %s: %s", root,
                           errno ? strerror(errno) : "its path is too long");
    memcpy(dev->image_root, absolute, strlen(absolute) + 1);
    return 0;
}

static int write_dummy(struct mf_cli *cli, const char *path, const void *bytes, size_t len)
{
    if (!access(path, F_OK))
        return 0;
    FILE *file = fopen(path, "we");
    bool ok = file && fwrite(bytes, 1, len, file) == len;
    if (file && fclose(file))
        ok = false;
    return ok ? 0 : mf_cli_fail(cli, "%s: cannot be written: %s", path, strerror(errno));
}

/* Nothing boots under the null driver: a kernel's header and an archive's are enough for digests to be right.
 */
static int make_dummies(struct mf_cli *cli, struct mf_dev *dev)
{
    static const char initrd[] = "070701000000000000000000000000000000000000000100000000000000000000000000000"
                                 "000000000000000000B00000000TRAILER!!!\0\0\0";
    char path[MF_DEV_PATH], kernel[1024] = {0};
    memcpy(kernel + 0x1fe, "\x55\xaa", 2);
    memcpy(kernel + 0x202, "HdrS", 4);
    int r = mf_dev_make_dir(cli, mf_dev_path(dev, path, "images/tiny"), 0755);
    if (!r)
        r = write_dummy(cli, mf_dev_path(dev, path, "images/tiny/vmlinuz"), kernel, sizeof kernel);
    if (!r)
        r = write_dummy(cli, mf_dev_path(dev, path, "images/tiny/initrd"), initrd, sizeof initrd);
    if (!r)
        r = write_dummy(cli, mf_dev_path(dev, path, "images/tiny/cmdline"), CONSOLE "\n", sizeof CONSOLE);
    return r ? r : use_root(cli, dev, mf_dev_path(dev, path, "images"));
}

/* The builder of the source tree that this program was built in, some folders up. */
static bool find_builder(char path[MF_DEV_PATH])
{
    char self[MF_DEV_PATH];
    mf_dev_program("mayfly", self);
    for (char *slash; (slash = strrchr(self, '/')) && slash != self;) {
        *slash = 0;
        if (snprintf(path, MF_DEV_PATH, "%s/deploy/images/tiny/build.sh", self) < MF_DEV_PATH &&
            !access(path, R_OK))
            return true;
    }
    return false;
}

static int build_tiny(struct mf_cli *cli, struct mf_dev *dev)
{
    char root[MF_DEV_PATH], builder[MF_DEV_PATH];
    if (!find_builder(builder))
        return mf_cli_fail(
            cli,
            "no image tiny: make it with deploy/images/tiny/build.sh DIR, then say --image-root DIR or set "
            "MAYFLY_IMAGE_ROOT");
    mf_dev_path(dev, root, "images");
    char *args[] = {"/bin/sh", builder, root, NULL};
    printf("image      building tiny (once)\n");
    if (mf_dev_run_tool(cli, dev, "image", args)) {
        mf_cli_fail(cli, "%s failed", builder);
        mf_dev_show_log(dev, "image");
        return MF_EXIT_FAILED;
    }
    return use_root(cli, dev, root);
}

int mf_dev_prepare_images(struct mf_cli *cli, struct mf_dev *dev)
{
    char beside[MF_DEV_PATH], own[MF_DEV_PATH];
    const char *said = mf_cli_get(cli, "image-root"), *variable = getenv("MAYFLY_IMAGE_ROOT");
    if (!strcmp(dev->driver, "null") && !said)
        return make_dummies(cli, dev);
    if (said)
        return has_tiny(said) ? use_root(cli, dev, said)
                              : mf_cli_fail(cli,
                                            "%s: has no tiny/vmlinuz and tiny/initrd; make them with "
                                            "deploy/images/tiny/build.sh %s",
                                            said, said);
    if (variable && *variable && has_tiny(variable))
        return use_root(cli, dev, variable);
    mf_dev_program("../images", beside);
    mf_dev_path(dev, own, "images");
    if (has_tiny(beside))
        return use_root(cli, dev, beside);
    return has_tiny(own) ? use_root(cli, dev, own) : build_tiny(cli, dev);
}

static void read_cmdline(const struct mf_dev *dev, char *text, size_t size)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tiny/cmdline", dev->image_root);
    FILE *file = fopen(path, "re");
    snprintf(text, size, "%s", CONSOLE);
    if (!file)
        return;
    if (fgets(text, (int)size, file))
        text[strcspn(text, "\n")] = 0;
    fclose(file);
}

static int send_add(struct mf_cli *cli, const struct mf_message *ask)
{
    struct mayfly_reply reply = {0};
    struct mayfly_error error;
    int r = mayfly_request(cli->client, ask, 0, &reply, &error);
    mayfly_reply_free(&reply);
    if (r && !error.local && error.code == MF_E_EXISTS)
        return 0; /* made by an earlier up, and changed since: it is the user's now */
    return r ? mf_cli_error(cli, &error) : 0;
}

int mf_dev_add_standards(struct mf_cli *cli, const struct mf_dev *dev)
{
    struct mf_local_file kernel, initrd;
    char error[1024], cmdline[1024], kernel_path[MF_DEV_PATH], initrd_path[MF_DEV_PATH];
    struct mf_message small = {
        .kind = MF_MSG_OFFERING_ADD,
        .offering_add = {
            .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 128, .disk_mib = 64}}};
    snprintf(kernel_path, sizeof kernel_path, "%s/tiny/vmlinuz", dev->image_root);
    snprintf(initrd_path, sizeof initrd_path, "%s/tiny/initrd", dev->image_root);
    if (mf_image_file_read(dev->image_root, kernel_path, MF_IMAGE_KERNEL, &kernel, error) ||
        mf_image_file_read(dev->image_root, initrd_path, MF_IMAGE_INITRD, &initrd, error))
        return mf_cli_fail(cli, "%s", error);
    read_cmdline(dev, cmdline, sizeof cmdline);
    struct mf_message tiny = {.kind = MF_MSG_IMAGE_ADD,
                              .image_add = {.image = {.name = mf_str("tiny"),
                                                      .kernel = mf_str(kernel.path),
                                                      .kernel_sha256 = kernel.sha256,
                                                      .initrd = mf_str(initrd.path),
                                                      .initrd_sha256 = initrd.sha256,
                                                      .cmdline = mf_str(cmdline)}}};
    int r = send_add(cli, &small);
    return r ? r : send_add(cli, &tiny);
}
