/* So many guests made by a plain loop, one after another and then all at once in THREADS threads; they run on
 * while the next are made, as they do where they are wanted. bench-raw SCRATCH_DIR KERNEL INITRD [COUNT
 * [THREADS]] Prints one JSON object. */
#include "bench.h"
#include "raw.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT_MAX = 64 };

struct crowd {
    struct raw raw;
    struct raw_guest guests[COUNT_MAX];
    int count, next;
    pthread_mutex_t lock;
};

static void *create_some(void *arg)
{
    struct crowd *crowd = arg;
    for (;;) {
        pthread_mutex_lock(&crowd->lock);
        int mine = crowd->next < crowd->count ? crowd->next++ : -1;
        pthread_mutex_unlock(&crowd->lock);
        if (mine < 0)
            return NULL;
        raw_create(&crowd->raw, &crowd->guests[mine]);
    }
}

static double create_all(struct crowd *crowd, int count, int threads)
{
    pthread_t ids[COUNT_MAX];
    crowd->count = count;
    crowd->next = 0;
    for (int i = 0; i < count; i++)
        raw_name(&crowd->raw, &crowd->guests[i]);
    double began = bench_us();
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, create_some, crowd) != 0)
            bench_die("no threads left");
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    double took = bench_us() - began;
    for (int i = 0; i < count; i++)
        raw_destroy(&crowd->guests[i]);
    return took / 1e3;
}

static int measure(int argc, char **argv)
{
    static struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int count = argc > 4 ? atoi(argv[4]) : 5, threads = argc > 5 ? atoi(argv[5]) : 4;
    if (count < 1 || count > COUNT_MAX || threads < 1 || threads > COUNT_MAX)
        bench_die("COUNT and THREADS: 1..%d", COUNT_MAX);
    raw_open(&crowd.raw, argv[1], argv[2], argv[3]);
    create_all(&crowd, 1, 1); /* warm */
    double serial = create_all(&crowd, count, 1), parallel = create_all(&crowd, count, threads);
    printf("{\"bench\": \"raw-creates\", \"count\": %d, \"one_after_another_ms\": %.0f, \"threads\": %d, "
           "\"at_once_ms\": %.0f}\n",
           count, serial, threads, parallel);
    fflush(stdout);
    virConnectClose(crowd.raw.connection);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        bench_die("usage: bench-raw SCRATCH_DIR KERNEL INITRD [COUNT [THREADS]]");
    return raw_under_reaper(measure, argc, argv);
}
