/* raw.c - see raw.h. */
#include "raw.h"
#include "bench.h"
#include "domain_xml.h"
#include "driver_libvirt.h"
#include "process.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void raw_open(struct raw *self, const char *dir, const char *kernel, const char *initrd)
{
    char error[512], root[600], uri[700];
    *self = (struct raw){.dir = dir, .kernel = kernel, .initrd = initrd};
    snprintf(root, sizeof root, "%s/libvirt", dir);
    snprintf(uri, sizeof uri, "qemu:///embed?root=%s", root);
    mkdir(root, 0700);
    if (mf_embed_prepare(root, error) < 0 || mf_events_start(error) < 0)
        bench_die("%s", error);
    self->connection = virConnectOpen(uri);
    if (!self->connection)
        bench_die("%s does not open: %s", uri, virGetLastErrorMessage());
    mf_random_seed(&self->random, (uint64_t)bench_us());
}

void raw_name(struct raw *self, struct raw_guest *ret_guest)
{
    char id[MF_UUID_TEXT];
    *ret_guest = (struct raw_guest){.id = mf_uuid_make(&self->random, 1700000000000)};
    mf_uuid_text(ret_guest->id, id);
    snprintf(ret_guest->disk, sizeof ret_guest->disk, "%s/%s.qcow2", self->dir, id);
    snprintf(ret_guest->seed, sizeof ret_guest->seed, "%s/%s.iso", self->dir, id);
    snprintf(ret_guest->console, sizeof ret_guest->console, "%s/%s.log", self->dir, id);
}

static void run(const char *const argv[])
{
    int status;
    char said[256];
    if (mf_process_run(argv, 30000, &status, said, sizeof said) < 0 || status)
        bench_die("%s: %s", argv[0], said);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file))
        bench_die("%s: %s", path, strerror(errno));
}

static void make_seed(const struct raw *self, const struct raw_guest *guest)
{
    char folder[700], meta[800], user[800], text[200], id[MF_UUID_TEXT];
    snprintf(folder, sizeof folder, "%s.d", guest->seed);
    snprintf(meta, sizeof meta, "%s/meta-data", folder);
    snprintf(user, sizeof user, "%s/user-data", folder);
    snprintf(text, sizeof text, "instance-id: %s\nlocal-hostname: raw-0\n", mf_uuid_text(guest->id, id));
    mkdir(folder, 0700);
    write_file(meta, text);
    write_file(user, "#!/bin/sh\n");
    run((const char *const[]){"genisoimage", "-quiet", "-output", guest->seed, "-volid", "cidata", "-joliet",
                              "-rock", meta, user, NULL});
    unlink(meta);
    unlink(user);
    rmdir(folder);
}

void raw_create(struct raw *self, struct raw_guest *guest)
{
    char error[512];
    struct mf_driver_spec spec = {.id = guest->id,
                                  .epoch = 1,
                                  .vcpus = 1,
                                  .memory_mib = 128,
                                  .disk_mib = 64,
                                  .kernel = self->kernel,
                                  .initrd = self->initrd,
                                  .cmdline = "console=ttyS0 quiet",
                                  .seed = guest->seed,
                                  .disk = guest->disk,
                                  .console = guest->console};
    mf_str_format(spec.name, sizeof spec.name, "default/raw/0#1");
    make_seed(self, guest);
    run((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", guest->disk, "64M", NULL});
    write_file(guest->console, "");
    struct mf_buf xml = {0};
    if (mf_domain_xml(&spec, &(struct mf_domain_host){.type = "qemu"}, &xml, error) < 0)
        bench_die("%s", error);
    mf_buf_append(&xml, "", 1);
    guest->domain = virDomainCreateXML(self->connection, xml.ptr, 0);
    if (!guest->domain)
        bench_die("the plain create failed: %s", virGetLastErrorMessage());
    mf_buf_free(&xml);
}

void raw_destroy(struct raw_guest *guest)
{
    virDomainDestroy(guest->domain);
    virDomainFree(guest->domain);
    unlink(guest->disk);
    unlink(guest->seed);
    unlink(guest->console);
}

int raw_under_reaper(int (*measure)(int argc, char **argv), int argc, char **argv)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (child == 0)
        exit(measure(argc, argv));
    int status, code = 1;
    for (pid_t pid; (pid = waitpid(-1, &status, 0)) > 0;)
        if (pid == child) {
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            break;
        }
    return code;
}
