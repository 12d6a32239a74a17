/* A real QEMU create through Mayfly (request sent to instance.running received) against a plain loop that
 * makes overlay and seed and calls virDomainCreateXML with the same XML on an embedded libvirt of its own;
 * interleaved, warm, each guest destroyed before the next. bench-create BROKER KEY_FILE SCRATCH_DIR KERNEL
 * INITRD [ROUNDS] Prints one JSON object; the ratio is the two medians'. */
#include "bench.h"
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

static double raw_once(struct raw *raw)
{
    struct raw_guest guest;
    raw_name(raw, &guest);
    double began = bench_us();
    raw_create(raw, &guest);
    double took = bench_us() - began;
    raw_destroy(&guest);
    return took;
}

static int measure(int argc, char **argv)
{
    int rounds = argc > 6 ? atoi(argv[6]) : 40;
    if (rounds < 3 || rounds > 10000)
        bench_die("ROUNDS: 3..10000");
    struct raw raw;
    raw_open(&raw, argv[3], argv[4], argv[5]);
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

int main(int argc, char **argv)
{
    if (argc < 6)
        bench_die("usage: bench-create BROKER KEY_FILE SCRATCH_DIR KERNEL INITRD [ROUNDS]");
    return raw_under_reaper(measure, argc, argv);
}
