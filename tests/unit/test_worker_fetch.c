/* The image cache and its thread, fed from file:// URLs (what a network can do wrong is in
 * tests/e2e/test_images.py): single flight, what is published and what is not, damage, eviction, room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fetch.h"
#include "listings.h"
#include "scratch.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, NEWS_MAX = 256 };

struct world {
    char dir[64];
    struct mf_fetch_config config;
    struct mf_fetch *fetch;
    pthread_mutex_t lock;
    pthread_cond_t heard;
    enum mf_errcode codes[64];
    char texts[64][512];
    bool told[64];
    struct mf_msg_file_progress news[NEWS_MAX];
    size_t n_news;
    bool damaged;
};

static void hear_fetched(void *arg, uint64_t ticket, enum mf_errcode code, const char *text)
{
    struct world *world = arg;
    pthread_mutex_lock(&world->lock);
    world->codes[ticket] = code;
    snprintf(world->texts[ticket], sizeof world->texts[ticket], "%s", text);
    world->told[ticket] = true;
    pthread_cond_broadcast(&world->heard);
    pthread_mutex_unlock(&world->lock);
}

static void hear_file(void *arg, const struct mf_msg_file_progress *file, bool tell)
{
    struct world *world = arg;
    pthread_mutex_lock(&world->lock);
    if (tell && world->n_news < NEWS_MAX)
        world->news[world->n_news++] = *file;
    world->damaged |= mf_str_eq(file->text, mf_str("the file in this node's cache was damaged; dropped"));
    pthread_cond_broadcast(&world->heard);
    pthread_mutex_unlock(&world->lock);
}

static void begin(struct world *world)
{
    char error[512];
    assert_int_equal(mf_fetch_open(&world->config, &world->fetch, error), 0);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    snprintf(world->dir, sizeof world->dir, "/tmp/mf-fetch-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->heard, NULL);
    world->config = (struct mf_fetch_config){.state = world->dir,
                                             .cache_mib = 5,
                                             .stall_s = 5,
                                             .fetched = hear_fetched,
                                             .file = hear_file,
                                             .arg = world};
    begin(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    assert_true(mf_fetch_close(&world->fetch, 10000));
    scratch_remove(world->dir);
    free(world);
    return 0;
}

static void restart(struct world *world)
{
    assert_true(mf_fetch_close(&world->fetch, 10000));
    memset(world->told, 0, sizeof world->told);
    world->n_news = 0;
    begin(world);
}

/* An origin's file of so many MiB, all of one letter. */
static struct mf_rec_image origin(struct world *world, char letter, size_t mib, char url[128])
{
    char *bytes = malloc(mib * MIB);
    memset(bytes, letter, mib * MIB);
    snprintf(url, 128, "file://%s/%c", world->dir, letter);
    FILE *file = fopen(url + 7, "w");
    assert_int_equal(fwrite(bytes, 1, mib * MIB, file), mib * MIB);
    fclose(file);
    struct mf_rec_image image = {.name = mf_str("debian"), .disk = mf_str(url)};
    assert_int_equal(EVP_Digest(bytes, mib * MIB, image.disk_sha256.bytes, NULL, EVP_sha256(), NULL), 1);
    free(bytes);
    return image;
}

/* A deadline that only a broken test meets. */
static void await(struct world *world, const bool *told)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&world->lock);
    while (!*told)
        assert_int_equal(pthread_cond_timedwait(&world->heard, &world->lock, &until), 0);
    pthread_mutex_unlock(&world->lock);
}

static enum mf_errcode fetch(struct world *world, uint64_t ticket, const struct mf_rec_image *image)
{
    mf_fetch_want(world->fetch, ticket, image);
    await(world, &world->told[ticket]);
    return world->codes[ticket];
}

static unsigned count_news(struct world *world, enum mf_image_progress state)
{
    unsigned n = 0;
    pthread_mutex_lock(&world->lock);
    for (size_t i = 0; i < world->n_news; i++)
        n += world->news[i].state == state;
    pthread_mutex_unlock(&world->lock);
    return n;
}

static unsigned files_in_cache(struct world *world)
{
    char path[128];
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/images/sha256", world->dir);
    DIR *dir = opendir(path);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void path_of(struct world *world, const struct mf_rec_image *image, char path[256])
{
    char text[MF_DIGEST_TEXT];
    snprintf(path, 256, "%s/images/sha256/%s", world->dir, mf_digest_text(image->disk_sha256, text));
}

static void fails_with(struct world *world, uint64_t ticket, const struct mf_rec_image *image,
                       enum mf_errcode code, const char *word)
{
    assert_int_equal(fetch(world, ticket, image), code);
    assert_non_null(strstr(world->texts[ticket], "image debian: "));
    if (!strstr(world->texts[ticket], word))
        fail_msg("'%s' is not in: %s", word, world->texts[ticket]);
    mf_fetch_drop(world->fetch, ticket);
}

static void many_wants_one_copy(void **state)
{
    struct world *world = *state;
    char url[128], path[256];
    struct stat st;
    struct mf_rec_image image = origin(world, 'a', 2, url);
    for (uint64_t ticket = 0; ticket < 50; ticket++)
        mf_fetch_want(world->fetch, ticket, &image);
    for (uint64_t ticket = 0; ticket < 50; ticket++) {
        await(world, &world->told[ticket]);
        assert_int_equal(world->codes[ticket], MF_E_OK);
    }
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_CACHED), 1);
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_FETCHING), 1);
    path_of(world, &image, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 2 * MIB);
    assert_int_equal(st.st_mode & 0777, 0644);
    unlink(url + 7); /* from here on the origin is not needed */
    restart(world);
    assert_int_equal(fetch(world, 1, &image), MF_E_OK);
    assert_int_equal(world->n_news, 0);
}

static void what_is_not_published(void **state)
{
    struct world *world = *state;
    char url[128], page[128];
    struct mf_rec_image image = origin(world, 'b', 1, url);
    image.disk_sha256.bytes[5] ^= 1;
    fails_with(world, 1, &image, MF_E_IMAGE, "have digest");
    snprintf(page, sizeof page, "file://%s/page", world->dir);
    scratch_write(page + 7, "<!DOCTYPE html><p>sign in", 25);
    image.disk = mf_str(page);
    fails_with(world, 2, &image, MF_E_IMAGE, "web page");
    image.disk = mf_str("file:///dev/zero");
    fails_with(world, 3, &image, MF_E_IMAGE, "not a plain file");
    image.disk = mf_str("file:///nonexistent/image?token=secret");
    fails_with(world, 4, &image, MF_E_IMAGE, "No such file");
    assert_null(strstr(world->texts[4], "secret"));
    image.disk = mf_str("http://user:secret@127.0.0.1:1/image?token=secret");
    mf_fetch_want(world->fetch, 5, &image); /* nobody listens there; given up by us */
    mf_fetch_drop(world->fetch, 5);
    image.disk = mf_str("http://:x");
    fails_with(world, 6, &image, MF_E_IMAGE, "URL");
    assert_int_equal(files_in_cache(world), 0);
}

static void another_origin_helps(void **state)
{
    struct world *world = *state;
    char url[128];
    struct mf_rec_image good = origin(world, 'c', 1, url), bad = good;
    bad.disk = mf_str("file:///nonexistent/c");
    mf_fetch_want(world->fetch, 1, &bad);
    mf_fetch_want(world->fetch, 2, &good);
    await(world, &world->told[2]);
    await(world, &world->told[1]);
    assert_int_equal(world->codes[2], MF_E_OK);
    assert_int_equal(world->codes[1], MF_E_IMAGE);
}

static void damage_is_found_and_mended(void **state)
{
    struct world *world = *state;
    char url[128], path[256];
    struct mf_rec_image image = origin(world, 'd', 2, url);
    assert_int_equal(fetch(world, 1, &image), MF_E_OK);
    mf_fetch_drop(world->fetch, 1);
    path_of(world, &image, path);
    scratch_poke(path, 1000000, false); /* changed under our feet */
    assert_int_equal(fetch(world, 2, &image), MF_E_OK);
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_FAILED), 1); /* and fetched anew */
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_CACHED), 2);
    assert_int_equal(truncate(path, 1 << 20), 0); /* while no agent ran */
    restart(world);
    assert_int_equal(fetch(world, 3, &image), MF_E_OK);
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_CACHED), 1);
}

static void rechecked_in_time(void **state)
{
    struct world *world = *state;
    char url[128], path[256];
    struct mf_rec_image image = origin(world, 'e', 1, url);
    assert_int_equal(fetch(world, 1, &image), MF_E_OK);
    mf_fetch_drop(world->fetch, 1);
    path_of(world, &image, path);
    scratch_poke(path, 0, true); /* the same size and time */
    world->config.recheck_s = 1;
    restart(world);
    await(world, &world->damaged);
    assert_int_equal(files_in_cache(world), 0);
}

static void list_for(struct world *world, const char *below, const char *name,
                     const struct mf_rec_image *image)
{
    char dir[256], error[512];
    snprintf(dir, sizeof dir, "%s/%s", world->dir, below);
    (void)mkdir(dir, 0755); /* it may be there */
    snprintf(dir, sizeof dir, "%s/%s/%s", world->dir, below, name);
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(mf_listing_write(dir, image, error), 0);
}

static void the_least_recently_used_goes(void **state)
{
    struct world *world = *state;
    char urls[6][128], path[256];
    struct mf_rec_image images[6];
    for (int i = 0; i < 6; i++)
        images[i] = origin(world, (char)('f' + i), i == 5 ? 3 : 1, urls[i]);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(fetch(world, i, &images[i]), MF_E_OK);
        if (i != 1) /* a birth waits with it */
            mf_fetch_drop(world->fetch, i);
    }
    list_for(world, "instances", "0190", &images[0]); /* it runs */
    list_for(world, "shells", "0191", &images[2]);
    assert_int_equal(fetch(world, 10, &images[3]), MF_E_OK); /* used anew, so 4 is older */
    mf_fetch_drop(world->fetch, 10);
    fails_with(world, 11, &images[5], MF_E_DISK_FULL, "image-cache-mib"); /* 3 MiB: more than may go */
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_EVICTED), 0);
    assert_int_equal(files_in_cache(world), 5);
    images[5] = origin(world, 'x', 1, urls[5]);
    assert_int_equal(fetch(world, 12, &images[5]), MF_E_OK);
    mf_fetch_drop(world->fetch, 12);
    for (int i = 0; i < 6; i++) {
        path_of(world, &images[i], path);
        assert_int_equal(access(path, F_OK) == 0, i != 4);
    }
    snprintf(path, sizeof path, "%s/instances", world->dir);
    scratch_remove(path);
    images[5] = origin(world, 'y', 3, urls[5]);
    assert_int_equal(fetch(world, 13, &images[5]), MF_E_OK);
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_EVICTED), 4);
    assert_int_equal(files_in_cache(world), 3); /* what a birth needs, what a shell has, and the new one */
}

static void what_will_never_fit(void **state)
{
    struct world *world = *state;
    char small[128], big[128];
    struct mf_rec_image image = origin(world, 'm', 1, small), huge = origin(world, 'n', 6, big);
    assert_int_equal(fetch(world, 1, &image), MF_E_OK);
    mf_fetch_drop(world->fetch, 1);
    fails_with(world, 2, &huge, MF_E_DISK_FULL, "raise image-cache-mib (5)");
    assert_int_equal(count_news(world, MF_IMAGE_PROGRESS_EVICTED), 0); /* nothing had to go for it */
    world->config.reserve_mib = 1u << 30;                              /* a PiB is not free */
    restart(world);
    image = origin(world, 'o', 1, small);
    fails_with(world, 3, &image, MF_E_DISK_FULL, "disk-reserve-mib");
}

static void a_part_is_resumed(void **state)
{
    struct world *world = *state;
    enum { PART = 1500000 };
    char url[128], path[256], part[300];
    struct mf_rec_image image = origin(world, 'p', 2, url);
    path_of(world, &image, path);
    snprintf(part, sizeof part, "%s.part", path);
    scratch_copy(url + 7, part, PART);
    restart(world);
    assert_int_equal(fetch(world, 1, &image), MF_E_OK);
    mf_fetch_drop(world->fetch, 1);
    struct mf_rec_image other = origin(world, 'q', 2, url);
    path_of(world, &other, path); /* a part of something else: begun anew */
    snprintf(part, sizeof part, "%s.part", path);
    scratch_copy("/dev/zero", part, PART);
    restart(world);
    assert_int_equal(fetch(world, 2, &other), MF_E_OK);
    assert_int_equal(files_in_cache(world), 2);
}

static void old_parts_are_swept(void **state)
{
    struct world *world = *state;
    char url[128], path[256], part[300];
    struct mf_rec_image image = origin(world, 'r', 1, url);
    path_of(world, &image, path);
    snprintf(part, sizeof part, "%s.part", path);
    scratch_age(part, 2 * 24 * 3600);
    restart(world);
    assert_int_equal(files_in_cache(world), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(many_wants_one_copy),        TEST(what_is_not_published), TEST(another_origin_helps),
        TEST(damage_is_found_and_mended), TEST(rechecked_in_time),     TEST(the_least_recently_used_goes),
        TEST(what_will_never_fit),        TEST(a_part_is_resumed),     TEST(old_parts_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
