/* A real QEMU create through Mayfly (request sent to instance.running received) against a plain loop that
 * makes overlay and seed and calls virDomainCreateXML with the same XML on an embedded libvirt of its own;
 * interleaved, warm, each guest destroyed before the next. bench-create BROKER KEY_FILE SCRATCH_DIR KERNEL
 * INITRD [ROUNDS] Prints one JSON object; the ratio is the two medians'. */
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

struct raw {
    virConnectPtr connection;
    const char *dir, *kernel, *initrd;
    struct mf_random random;
};

static void raw_open(struct raw *raw)
{
    char error[512], root[600], uri[700];
    snprintf(root, sizeof root, "%s/libvirt", raw->dir);
    snprintf(uri, sizeof uri, "qemu:///embed?root=%s", root);
    mkdir(root, 0700);
    if (mf_embed_prepare(root, error) < 0 || mf_events_start(error) < 0)
        bench_die("%s", error);
    raw->connection = virConnectOpen(uri);
    if (!raw->connection)
        bench_die("%s does not open", uri);
    mf_random_seed(&raw->random, (uint64_t)bench_us());
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

static double raw_once(struct raw *raw)
{
    char disk[600], seed[600], meta[600], user[600], console[600], text[MF_UUID_TEXT], error[512];
    snprintf(disk, sizeof disk, "%s/disk.qcow2", raw->dir);
    snprintf(seed, sizeof seed, "%s/seed.iso", raw->dir);
    snprintf(meta, sizeof meta, "%s/meta-data", raw->dir);
    snprintf(user, sizeof user, "%s/user-data", raw->dir);
    snprintf(console, sizeof console, "%s/console.log", raw->dir);
    struct mf_driver_spec spec = {.id = mf_uuid_make(&raw->random, 1700000000000),
                                  .epoch = 1,
                                  .vcpus = 1,
                                  .memory_mib = 128,
                                  .disk_mib = 64,
                                  .kernel = raw->kernel,
                                  .initrd = raw->initrd,
                                  .cmdline = "console=ttyS0 quiet",
                                  .seed = seed,
                                  .disk = disk,
                                  .console = console};
    mf_str_format(spec.name, sizeof spec.name, "default/raw/0#1");
    double began = bench_us();
    snprintf(error, sizeof error, "instance-id: %s\nlocal-hostname: raw-0\n", mf_uuid_text(spec.id, text));
    write_file(meta, error);
    write_file(user, "#!/bin/sh\n");
    run((const char *const[]){"genisoimage", "-quiet", "-output", seed, "-volid", "cidata", "-joliet",
                              "-rock", meta, user, NULL});
    run((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", disk, "64M", NULL});
    write_file(console, "");
    struct mf_buf xml = {0};
    if (mf_domain_xml(&spec, "qemu", &xml, error) < 0)
        bench_die("%s", error);
    mf_buf_append(&xml, "", 1);
    virDomainPtr domain = virDomainCreateXML(raw->connection, xml.ptr, 0);
    double took = bench_us() - began;
    if (!domain)
        bench_die("the plain create failed: %s", virGetLastErrorMessage());
    virDomainDestroy(domain);
    virDomainFree(domain);
    mf_buf_free(&xml);
    unlink(disk);
    unlink(seed);
    unlink(console);
    return took;
}

static int measure(int argc, char **argv)
{
    int rounds = argc > 6 ? atoi(argv[6]) : 40;
    if (rounds < 3 || rounds > 10000)
        bench_die("ROUNDS: 3..10000");
    struct raw raw = {.dir = argv[3], .kernel = argv[4], .initrd = argv[5]};
    raw_open(&raw);
    struct bench_client client;
    bench_client_open(&client, argv[1], argv[2]);
    bench_client_follow(&client, 1, "instance.running");
    bench_client_follow(&client, 2, "instance.gone");
    double *plain = calloc((size_t)rounds, sizeof *plain), *whole = calloc((size_t)rounds, sizeof *whole);
    unsigned long run_id = (unsigned long)(bench_us() * 1000) & 0xffffffff;
    for (int i = -2; i < rounds; i++) { /* two rounds to warm both roots up */
        int at = i < 0 ? 0 : i;
        plain[at] = raw_once(&raw);
        whole[at] = bench_client_birth(&client, run_id, i + 2, mf_str("#!/bin/sh\n"));
    }
    double plain_p50 = bench_percentile(plain, (size_t)rounds, .5),
           whole_p50 = bench_percentile(whole, (size_t)rounds, .5);
    printf("{\"bench\": \"create-qemu\", \"rounds\": %d, \"plain_ms_p50\": %.1f, \"mayfly_ms_p50\": %.1f, "
           "\"plain_ms_p90\": %.1f, "
           "\"mayfly_ms_p90\": %.1f, \"ratio_p50\": %.3f}\n",
           rounds, plain_p50 / 1e3, whole_p50 / 1e3, bench_percentile(plain, (size_t)rounds, .9) / 1e3,
           bench_percentile(whole, (size_t)rounds, .9) / 1e3, whole_p50 / plain_p50);
    fflush(stdout);
    virConnectClose(raw.connection);
    return 0;
}

/* Only a process that does not link libvirt's QEMU driver at work may reap its orphans promptly: the parent
 * does. */
int main(int argc, char **argv)
{
    if (argc < 6)
        bench_die("usage: bench-create BROKER KEY_FILE SCRATCH_DIR KERNEL INITRD [ROUNDS]");
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
