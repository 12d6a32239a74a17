/* A small fuzzer that any compiler builds: valid inputs from the table, changed at random, given to the very
 * function that libFuzzer calls. Reproducible: the seed is printed, and an input that crashes can be replayed
 * from a file.
 *
 *   PROGRAM --rounds N [--seed S]     mutate (the ordinary test run)
 *   PROGRAM --seeds DIR               write one valid input of each kind, as a corpus for libFuzzer
 *   PROGRAM FILE...                   replay */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX = 1 << 20 };

static void insert(struct mf_buf *buf, size_t at, const void *bytes, size_t len)
{
    mf_buf_append(buf, bytes, len); /* makes the room */
    memmove(buf->ptr + at + len, buf->ptr + at, buf->len - len - at);
    memcpy(buf->ptr + at, bytes, len);
}

static void cut_out(struct mf_buf *buf, size_t at, size_t len)
{
    memmove(buf->ptr + at, buf->ptr + at + len, buf->len - at - len);
    buf->len -= len;
}

/* Bytes that mean much in msgpack: containers that promise the world, odd types, edges. */
static char telling_byte(struct mf_random *random)
{
    static const char bytes[] =
        "\x00\x01\x7f\x80\x81\x8f\x90\x91\x9f\xa0\xa1\xbf\xc0\xc1\xc2\xc3\xc4\xc6\xc7\xca\xcb\xcc\xcf"
        "\xd0\xd3\xd4\xd9\xdb\xdc\xdd\xde\xdf\xe0\xff";

    return bytes[mf_random_below(random, sizeof(bytes) - 1)];
}

static void mutate(struct mf_buf *buf, struct mf_random *random)
{
    size_t at = mf_random_below(random, buf->len + 1), left = buf->len - at;
    size_t len = left ? 1 + mf_random_below(random, left < 16 ? left : 16) : 0;
    char byte = telling_byte(random), chunk[16];

    switch (mf_random_below(random, 7)) {
    case 0:
        if (left)
            buf->ptr[at] = (char)(buf->ptr[at] ^ (1 << mf_random_below(random, 8)));
        break;
    case 1:
        if (left)
            buf->ptr[at] = byte;
        break;
    case 2:
        insert(buf, at, &byte, 1);
        break;
    case 3:
        cut_out(buf, at, len);
        break;
    case 4:
        if (len)
            memcpy(chunk, buf->ptr + at, len);
        insert(buf, at, chunk, len);
        break;
    case 5:
        insert(buf, at, "\xdf\xff\xff\xff\xff", 5);
        break;
    case 6:
        if (mf_random_below(random, 4) == 0)
            buf->len = at;
        break;
    }
}

/* From a copy that ends where its memory ends: reading past it is then seen. */
static void run(const struct mf_buf *buf)
{
    uint8_t *copy = malloc(buf->len ? buf->len : 1);

    if (buf->len)
        memcpy(copy, buf->ptr, buf->len);
    LLVMFuzzerTestOneInput(copy, buf->len);
    free(copy);
}

static int run_rounds(unsigned long rounds, uint64_t seed)
{
    struct mf_random random;
    struct mf_buf buf = {0};
    unsigned index = 0;

    printf("%lu rounds from seed %llu\n", rounds, (unsigned long long)seed);
    mf_random_seed(&random, seed);
    for (unsigned long round = 0; round < rounds; round++) {
        const char *name;

        mf_buf_clear(&buf);
        if (!mf_fuzz_seed(index++, &random, &buf, &name)) {
            index = 0;
            continue;
        }
        run(&buf);
        for (uint64_t n = mf_random_below(&random, 8); n > 0; n--) {
            mutate(&buf, &random);
            run(&buf);
        }
    }
    mf_buf_free(&buf);
    return 0;
}

static int write_seeds(const char *dir)
{
    struct mf_random random;
    struct mf_buf buf = {0};
    const char *name;

    if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
        perror(dir);
        return 1;
    }
    mf_random_seed(&random, 1);
    for (unsigned index = 0; mf_fuzz_seed(index, &random, &buf, &name); index++) {
        char path[4096];
        FILE *file;

        mf_str_format(path, sizeof(path), "%s/%s", dir, name);
        file = fopen(path, "wb");
        if (!file || fwrite(buf.ptr, 1, buf.len, file) != buf.len || fclose(file) != 0) {
            perror(path);
            return 1;
        }
        mf_buf_clear(&buf);
    }
    mf_buf_free(&buf);
    return 0;
}

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct mf_buf buf = {.ptr = malloc(INPUT_MAX), .cap = INPUT_MAX};

    if (!file) {
        perror(path);
        mf_buf_free(&buf);
        return 1;
    }
    buf.len = fread(buf.ptr, 1, INPUT_MAX, file);
    fclose(file);
    run(&buf);
    mf_buf_free(&buf);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc == 5 && strcmp(argv[3], "--seed") == 0 ? strtoull(argv[4], NULL, 10) : 1;
    int failed = 0;

    if ((argc == 3 || argc == 5) && strcmp(argv[1], "--rounds") == 0)
        return run_rounds(strtoul(argv[2], NULL, 10), seed);
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2]);
    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: %s --rounds N [--seed S] | --seeds DIR | FILE...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
