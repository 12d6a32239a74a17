/* driver_guest.c - see driver_guest.h. */
#include "driver_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const struct mf_driver_ops *const ops = &mf_driver_libvirt;
struct mf_driver *driver;
char error[512];
static const char *image;
static char cmdline[1024];

bool guest_image(const char *folder)
{
    char path[512];
    image = folder;
    snprintf(path, sizeof path, "%s/cmdline", image);
    FILE *file = fopen(path, "re");
    if (file && fgets(cmdline, sizeof cmdline, file))
        cmdline[strcspn(cmdline, "\n")] = 0;
    if (file)
        fclose(file);
    if (cmdline[0] && geteuid() == 0 && access("/usr/bin/qemu-system-x86_64", X_OK) == 0)
        return true;
    printf("SKIPPED: real guests need root, QEMU and the tiny guest (deploy/images/tiny/build.sh)\n");
    return false;
}

int driver_open(const struct mf_driver_config *config)
{
    if (ops->open(config, &driver, error) == 0)
        return 0;
    printf("open: %s\n", error);
    return -1;
}

int driver_close(void **state)
{
    if (driver)
        ops->close(driver);
    driver = NULL;
    return 0;
}

void guest_say(struct guest *self, struct mf_uuid id, const char *dir)
{
    memset(self, 0, sizeof *self);
    self->id = id;
    mf_uuid_text(id, self->text);
    snprintf(self->dir, sizeof self->dir, "%s", dir);
    snprintf(self->kernel, sizeof self->kernel, "%s/vmlinuz", image);
    snprintf(self->initrd, sizeof self->initrd, "%s/initrd", image);
    snprintf(self->disk, sizeof self->disk, "%s/disk.qcow2", self->dir);
    snprintf(self->console, sizeof self->console, "%s/console.log", self->dir);
    snprintf(self->seed, sizeof self->seed, "%s/seed.iso", self->dir);
    self->spec = (struct mf_driver_spec){.id = id,
                                         .name = "default/web/3#1",
                                         .epoch = 4,
                                         .vcpus = 1,
                                         .memory_mib = 128,
                                         .disk_mib = 64,
                                         .kernel = self->kernel,
                                         .initrd = self->initrd,
                                         .cmdline = cmdline,
                                         .dir = self->dir,
                                         .disk = self->disk,
                                         .console = self->console,
                                         .seed = self->seed,
                                         .offering = &self->offering,
                                         .health = &self->health};
}

int64_t create(const struct guest *self)
{
    int64_t pid = -1;
    if (ops->create(driver, &self->spec, &pid, error) < 0)
        fail_msg("create: %s", error);
    return pid;
}
