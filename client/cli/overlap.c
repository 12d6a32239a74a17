/* The longest beginning of one text that is the end of another, by Knuth, Morris and Pratt. */
#include "overlap.h"
#include "check.h"
#include <stdlib.h>

/* fails[i]: of the first i + 1 bytes, the longest beginning that is their end, too. */
static uint32_t *make_fails(struct mf_str text)
{
    uint32_t *fails = calloc(text.len + 1, sizeof *fails), k = 0;
    MF_CHECK(fails);
    for (uint32_t i = 1; i < text.len; i++) {
        while (k && text.ptr[i] != text.ptr[k])
            k = fails[k - 1];
        k += text.ptr[i] == text.ptr[k];
        fails[i] = k;
    }
    return fails;
}

uint32_t mf_overlap(struct mf_str before, struct mf_str now)
{
    uint32_t *fails = make_fails(now), k = 0;
    for (uint32_t i = 0; i < before.len && now.len; i++) {
        while (k && (k == now.len || before.ptr[i] != now.ptr[k]))
            k = fails[k - 1];
        k += before.ptr[i] == now.ptr[k];
    }
    free(fails);
    return k;
}
