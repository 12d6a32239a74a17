/* fetch.h - the thread that keeps the image cache: it alone touches it. Wants come in from the loop and are
 * answered by callbacks, from the thread. However many want a file, it is fetched once; a file that no want
 * waits for is not fetched any further. */
#ifndef MF_FETCH_H
#define MF_FETCH_H

#include "image_files.h"

struct mf_fetch;
struct mf_fetch_config {
    const char *state; /* absolute directory; must outlive the thread, as ca_file */
    uint64_t cache_mib, reserve_mib;
    int64_t recheck_s; /* every file's bytes are looked at again after so long; 0: never */
    int64_t stall_s;   /* an origin that sends nothing for so long is given up, and tried again */
    const char *ca_file;
    /* All that a want needs is here, and stays until it is dropped; or why not. */
    void (*fetched)(void *arg, uint64_t ticket, enum mf_errcode code, const char *text);
    /* What became of a file; tell: it is news, not what was found at the start. */
    void (*file)(void *arg, const struct mf_msg_file_progress *file, bool tell);
    void *arg;
};
int mf_fetch_open(const struct mf_fetch_config *config, struct mf_fetch **ret_fetch, char error[512]);
/* The thread ends; what is under way stays to be resumed. False if it did not end in time: it hangs in a file
 * system, and only the process's end helps. */
bool mf_fetch_close(struct mf_fetch **self, mf_ms limit_ms);

void mf_fetch_want(struct mf_fetch *self, uint64_t ticket, const struct mf_rec_image *image); /* copied */
void mf_fetch_drop(struct mf_fetch *self, uint64_t ticket);

struct mf_fetch_counts { /* for /metrics, from any thread */
    uint64_t cache_bytes, fetched_bytes, fetches_done, fetches_failed, evicted, damaged;
    uint64_t under_way;
};
void mf_fetch_count(struct mf_fetch *self, struct mf_fetch_counts *ret_counts);

#endif
