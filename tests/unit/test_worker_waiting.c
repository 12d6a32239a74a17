/* Births whose image must be fetched first: they take no lane, one fetch serves them all, its failure is
 * theirs and nobody else's, and nothing is fetched that nobody waits for but a warm-up. And what the cache
 * says of its files. */
#include "worker_trace.h"

static void fences(struct mf_worker_config *config)
{
    config->fences = true;
    config->create_lanes = 2;
}

static struct trace *welcomed(void)
{
    struct trace *t = trace_new(fences);
    trace_listed(t, "");
    trace_up(t);
    trace_listed(t, "");
    trace_welcome(t, 1, 5);
    trace_skip(t);
    return t;
}

static void create(struct trace *t, uint64_t order, unsigned id, unsigned file)
{
    trace_create_of(t, order, id, 60000, file, MF_POLICY_UNSET);
}

static void one_fetch_serves_all(void **state)
{
    struct trace *t = welcomed();
    for (unsigned id = 1; id <= 3; id++)
        create(t, 10 + id, id, 7);
    trace_expect(t, "1000 say order-ack 11 epoch=1\n1000 fetch 1 7\n"
                    "1000 say order-ack 12 epoch=1\n1000 say order-ack 13 epoch=1\n");
    trace_fetched(t, 1, MF_E_OK);
    trace_expect(t, "1000 create 1\n1000 create 2\n"); /* two lanes */
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK);
    trace_done(t, MF_OPERATION_CREATE, 2, MF_E_DRIVER);
    trace_expect(t, "1000 say order-result #1 order=11 epoch=1 create 1 ok took=0\n1000 create 3\n"
                    "1000 say order-result #2 order=12 epoch=1 create 2 driver (it broke) took=0\n");
    create(t, 14, 4, 7); /* it is here still */
    trace_expect(t, "1000 say order-ack 14 epoch=1\n1000 create 4\n");
    trace_done(t, MF_OPERATION_CREATE, 3, MF_E_OK);
    trace_skip(t);
    trace_done(t, MF_OPERATION_CREATE, 4, MF_E_OK); /* the last one: from here on it may be evicted */
    trace_expect(t, "1000 fetch-over 1\n1000 say order-result #4 order=14 epoch=1 create 4 ok took=0\n");
    create(t, 15, 5, 7);
    trace_expect(t, "1000 say order-ack 15 epoch=1\n1000 fetch 2 7\n");
    trace_free(&t);
}

static void others_do_not_wait(void **state)
{
    struct trace *t = welcomed();
    create(t, 11, 1, 7); /* its origin is stalled */
    create(t, 12, 2, 7);
    create(t, 13, 3, 8);
    trace_create(t, 14, 4, 60000); /* from the image root */
    trace_skip(t);
    trace_fetched(t, 2, MF_E_OK);
    trace_expect(t, "1000 create 3\n");
    trace_free(&t);
    t = welcomed();
    create(t, 11, 1, 7);
    trace_skip(t);
    trace_create(t, 14, 4, 60000);
    trace_expect(t, "1000 say order-ack 14 epoch=1\n1000 create 4\n");
    trace_free(&t);
}

static void its_failure_is_theirs(void **state)
{
    struct trace *t = welcomed();
    create(t, 11, 1, 7);
    create(t, 12, 2, 8);
    create(t, 13, 3, 7);
    trace_skip(t);
    trace_fetched(t, 1, MF_E_IMAGE);
    trace_expect(t, "1000 say order-result #1 order=11 epoch=1 create 1 image (HTTP 404) took=0\n"
                    "1000 say order-result #2 order=13 epoch=1 create 3 image (HTTP 404) took=0\n"
                    "1000 fetch-over 1\n");
    trace_fetched(t, 1, MF_E_OK); /* late, of a fetch that is over */
    trace_expect(t, "");
    trace_fetched(t, 2, MF_E_DISK_FULL);
    trace_expect(t, "1000 say order-result #3 order=12 epoch=1 create 2 disk-full (HTTP 404) took=0\n"
                    "1000 fetch-over 2\n");
    trace_free(&t);
}

static void what_ends_while_it_waits(void **state)
{
    struct trace *t = welcomed();
    trace_create_of(t, 11, 1, 300, 7, MF_POLICY_UNSET); /* runs out */
    create(t, 12, 2, 7);                                /* destroyed */
    create(t, 13, 3, 8);                                /* its epoch ends */
    trace_file(t, 7, MF_IMAGE_PROGRESS_FETCHING, "the origin is silent; it is tried again", true);
    trace_skip(t);
    trace_pass(t, 300);
    trace_expect(
        t, "1300 say order-result #1 order=11 epoch=1 create 1 deadline (its time ran out while image 7 "
           "was fetched: the origin is silent; it is tried again) took=300\n");
    trace_destroy(t, 22, 2);
    trace_expect(t, "1300 say order-ack 22 epoch=1\n1300 fetch-over 1\n"
                    "1300 say order-result #2 order=12 epoch=1 create 2 deadline (destroyed before it began) "
                    "took=300\n1300 destroy 2 grace=0\n");
    trace_hello_again(t);
    trace_expect(t, "1300 list 3\n");
    trace_listed(t, "");
    trace_expect(t, "1300 fetch-over 2\n1300 say hello term=5 epoch=1 [2:destroying]\n");
    trace_free(&t);
}

static void at_most_waits_for_both(void **state)
{
    struct trace *t = welcomed();
    trace_create_of(t, 11, 1, 60000, 7, MF_POLICY_AT_MOST);
    trace_create_of(t, 12, 2, 60000, 7, MF_POLICY_AT_MOST);
    trace_expect(t, "1000 say order-ack 11 epoch=1\n1000 lease-want 1\n1000 fetch 1 7\n"
                    "1000 say order-ack 12 epoch=1\n1000 lease-want 2\n");
    trace_lease_ready(t, 1);
    trace_expect(t, "");
    trace_fetched(t, 1, MF_E_OK);
    trace_expect(t, "1000 create 1\n");
    trace_lease_ready(t, 2);
    trace_expect(t, "1000 create 2\n");
    trace_free(&t);
    t = welcomed();
    trace_create_of(t, 11, 1, 60000, 7, MF_POLICY_AT_MOST);
    trace_skip(t);
    trace_fetched(t, 1, MF_E_IMAGE); /* the lease is not wanted any more either */
    trace_expect(t, "1000 lease-over 1\n"
                    "1000 say order-result #1 order=11 epoch=1 create 1 image (HTTP 404) took=0\n"
                    "1000 fetch-over 1\n");
    trace_free(&t);
}

static void warmed(void **state)
{
    struct trace *t = welcomed();
    trace_warm(t, 7);
    trace_warm(t, 7);
    trace_expect(t, "1000 fetch 1 7\n");
    create(t, 11, 1, 7); /* a birth joins it */
    trace_destroy(t, 12, 1);
    trace_skip(t); /* and goes: the warm-up goes on */
    trace_down(t);
    trace_fetched(t, 1, MF_E_OK);
    trace_expect(t, "1000 fetch-over 1\n");
    trace_free(&t);
    t = welcomed();
    trace_warm(t, 7);
    create(t, 11, 1, 7);
    trace_skip(t);
    trace_fetched(t, 1, MF_E_OK); /* needed for as long as the birth uses it */
    trace_expect(t, "1000 create 1\n");
    trace_warm(t, 7);
    trace_done(t, MF_OPERATION_CREATE, 1, MF_E_OK);
    trace_expect(t, "1000 fetch-over 1\n1000 say order-result #1 order=11 epoch=1 create 1 ok took=0\n");
    trace_warm(t, 9);
    trace_skip(t);
    trace_fetched(t, 2, MF_E_IMAGE);
    trace_expect(t, "1000 fetch-over 2\n");
    trace_free(&t);
}

static void what_the_cache_says(void **state)
{
    struct trace *t = trace_new(fences);
    trace_file(t, 7, MF_IMAGE_PROGRESS_CACHED, "", false); /* found at the start */
    trace_listed(t, "");
    trace_up(t);
    trace_skip(t);
    trace_listed(t, "");
    trace_expect(t, "1000 say hello term=0 epoch=0 file=7 []\n");
    trace_file(t, 8, MF_IMAGE_PROGRESS_FETCHING, "", true); /* nobody to tell yet */
    trace_expect(t, "");
    trace_welcome(t, 1, 5);
    trace_skip(t);
    trace_file(t, 8, MF_IMAGE_PROGRESS_FETCHING, "", true);
    trace_file(t, 8, MF_IMAGE_PROGRESS_CACHED, "", true);
    trace_file(t, 8, MF_IMAGE_PROGRESS_CACHED, "", true); /* once is enough */
    trace_file(t, 7, MF_IMAGE_PROGRESS_EVICTED, "", true);
    trace_expect(t, "1000 say file-progress epoch=1 file=8 fetching 5/9\n"
                    "1000 say file-progress epoch=1 file=8 cached 5/9\n"
                    "1000 say file-progress epoch=1 file=8 cached 5/9\n"
                    "1000 say file-progress epoch=1 file=7 evicted 5/9\n");
    trace_hello_again(t);
    trace_skip(t);
    trace_listed(t, "");
    trace_expect(t, "1000 say hello term=5 epoch=1 file=8 []\n");
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_fetch_serves_all),   cmocka_unit_test(others_do_not_wait),
        cmocka_unit_test(its_failure_is_theirs),  cmocka_unit_test(what_ends_while_it_waits),
        cmocka_unit_test(at_most_waits_for_both), cmocka_unit_test(warmed),
        cmocka_unit_test(what_the_cache_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
