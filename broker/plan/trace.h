/* trace.h - requests over time, from a CSV file: offering, count, at_s, life_s and perhaps group. */
#ifndef MF_TRACE_H
#define MF_TRACE_H

#include "heap.h"
#include "message.h"

struct mf_trace_row {
    size_t line;
    struct mf_str offering, group; /* group empty: one of its own */
    uint64_t count;
    mf_ms at, life; /* life 0: it stays */
    /* what became of it, for whoever runs it */
    struct mf_timer end; /* when its life is over */
    struct mf_trace_row *next_of_group;
    uint64_t first_slot, placed, at_once, waited_ms;
    mf_ms longest_ms;
    char name[MF_NAME_MAX + 1];
    char *refused; /* in the arena */
};
struct mf_trace {
    struct mf_trace_row *rows;
    size_t n;
};

/* 0, or -EINVAL with "FILE:LINE: sentence". Everything lives in the arena, but the rows are the caller's to
 * free. */
int mf_trace_read(const char *path, struct mf_arena *arena, struct mf_trace *ret_trace, char error[512]);

#endif
