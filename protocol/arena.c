/* arena.c - blocks in a list, newest first, handed out from their front. Under AddressSanitizer what a reset
 * takes back is poisoned, so that a view kept too long is found by the first test that uses it. */
#include "arena.h"
#include "check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define MF_ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MF_ARENA_POISON 1
#endif
#endif
#ifdef MF_ARENA_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { ALIGN = 16, BLOCK_MIN = 4096, BLOCK_MAX = 256 * 1024 };

struct mf_arena_block {
    struct mf_arena_block *next; /* older */
    size_t size, used;
    _Alignas(ALIGN) char bytes[];
};

static struct mf_arena_block *block_new(size_t size)
{
    struct mf_arena_block *block = malloc(sizeof(*block) + size);

    MF_CHECK(block != NULL);
    *block = (struct mf_arena_block){.size = size};
    ASAN_POISON_MEMORY_REGION(block->bytes, size);
    return block;
}

static void block_free(struct mf_arena_block *block)
{
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->size);
    free(block);
}

/* Blocks double up to a bound; a request larger than that gets a block of its own size. */
static void grow(struct mf_arena *self, size_t need)
{
    size_t size = self->head ? self->head->size * 2 : BLOCK_MIN;
    struct mf_arena_block *block;

    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    block = block_new(size < need ? need : size);
    block->next = self->head;
    self->head = block;
}

void *mf_arena_alloc(struct mf_arena *self, size_t size)
{
    size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    char *at;

    MF_CHECK(need >= size);
    if (need == 0)
        need = ALIGN; /* every allocation has an address of its own */
    if (!self->head || self->head->size - self->head->used < need)
        grow(self, need);
    at = self->head->bytes + self->head->used;
    self->head->used += need;
    self->used += need;
    ASAN_UNPOISON_MEMORY_REGION(at, need);
    return memset(at, 0, need);
}

void mf_arena_reset(struct mf_arena *self)
{
    while (self->head && self->head->next) {
        struct mf_arena_block *block = self->head;

        self->head = block->next;
        block_free(block);
    }
    if (self->head) {
        self->head->used = 0;
        ASAN_POISON_MEMORY_REGION(self->head->bytes, self->head->size);
    }
    self->used = 0;
}

void mf_arena_free(struct mf_arena *self)
{
    mf_arena_reset(self);
    if (self->head)
        block_free(self->head);
    self->head = NULL;
}
