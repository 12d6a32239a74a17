/* trace.h - requests for VMs as they came: a CSV of `vmid,cpu,mem,at,lt` (vCPUs, GB, arrival and lifetime in
 * seconds), plain or gzipped; and the rows at which experiments start, a number each. */
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>
#include <stdint.h>

struct request {
    uint32_t vcpus, memory_mib;
    int64_t at_s, life_s;
    uint32_t kind; /* of like size; below trace.n_kinds */
};
struct kind {
    uint32_t vcpus, memory_mib;
};
struct trace {
    struct request *requests;
    size_t n;
    struct kind *kinds;
    uint32_t n_kinds;
};

/* 0, or -errno with the file, the line, what is wrong and how to mend it. Ids must rise by one, arrivals may
 * not fall, lifetimes and sizes are positive and at most a million (memory: GB, fractions of a MiB are
 * rounded up). */
int trace_read(const char *path, struct trace *ret_trace, char error[512]);
void trace_free(struct trace *self);
/* Row numbers, 0-based, each below n; at least one. */
int windows_read(const char *path, size_t n, size_t **ret_rows, size_t *ret_n, char error[512]);

#endif
