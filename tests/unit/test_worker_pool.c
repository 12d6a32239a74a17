/* The agent's threads: a hung job holds up nothing in another lane, finished ones come back, a stop does not
 * wait for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pool.h"
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>

struct work {
    struct mf_job job;
    sem_t *begun, *wait; /* of one that hangs */
    unsigned n;
};

static void run(struct mf_job *job)
{
    struct work *work = (struct work *)job;
    if (work->wait) {
        sem_post(work->begun);
        sem_wait(work->wait);
    }
    work->n++;
}

static struct work *work_new(unsigned n)
{
    struct work *work = calloc(1, sizeof *work);
    *work = (struct work){.job.run = run, .n = n};
    return work;
}

static struct work *work_hanging(sem_t *begun, sem_t *wait, unsigned n)
{
    struct work *work = work_new(n);
    work->begun = begun;
    work->wait = wait;
    return work;
}

static unsigned take(struct mf_pool *pool)
{
    struct pollfd ready = {.fd = mf_pool_fd(pool), .events = POLLIN};
    struct mf_job *job;
    while (!(job = mf_pool_take(pool)))
        assert_int_equal(poll(&ready, 1, 10000), 1);
    unsigned n = ((struct work *)job)->n;
    free(job);
    return n;
}

static void drop(struct mf_job *job)
{
    free(job);
}

static const unsigned threads[MF_LANE_COUNT] = {
    [MF_LANE_CREATE] = 2, [MF_LANE_DESTROY] = 1, [MF_LANE_LIST] = 1, [MF_LANE_READ] = 1, [MF_LANE_SHELL] = 1};

static void lanes(void **state)
{
    sem_t begun, hang;
    sem_init(&begun, 0, 0);
    sem_init(&hang, 0, 0);
    struct mf_pool *pool = mf_pool_new(threads);
    assert_non_null(pool);
    mf_pool_post(pool, MF_LANE_CREATE, &work_hanging(&begun, &hang, 10)->job);
    mf_pool_post(pool, MF_LANE_CREATE, &work_hanging(&begun, &hang, 20)->job);
    mf_pool_post(pool, MF_LANE_CREATE, &work_new(30)->job); /* waits for a thread */
    mf_pool_post(pool, MF_LANE_LIST, &work_new(40)->job);
    assert_int_equal(take(pool), 41);
    mf_pool_push(pool, &work_new(50)->job);
    assert_int_equal(take(pool), 50);
    assert_null(mf_pool_take(pool));
    sem_wait(&begun);
    sem_wait(&begun);
    assert_false(mf_pool_stop(pool, 20)); /* two hang */
    sem_post(&hang);
    sem_post(&hang);
    assert_true(mf_pool_stop(pool, 10000));
    mf_pool_free(&pool, drop); /* the finished and the never begun */
    assert_null(pool);
    sem_destroy(&begun);
    sem_destroy(&hang);
}

static void many(void **state)
{
    struct mf_pool *pool = mf_pool_new(threads);
    unsigned sum = 0;
    for (unsigned i = 0; i < 1000; i++)
        mf_pool_post(pool, i % MF_LANE_COUNT, &work_new(0)->job);
    for (unsigned i = 0; i < 1000; i++)
        sum += take(pool);
    assert_int_equal(sum, 1000);
    assert_true(mf_pool_stop(pool, 10000));
    mf_pool_free(&pool, drop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lanes), cmocka_unit_test(many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
