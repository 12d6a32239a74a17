/* exposition.h - what /metrics is made of: the text format of Prometheus 0.0.4. A family is begun once, then
 * its samples follow. Labels have one key and a word of a closed set: never a name that somebody outside
 * chose. */
#ifndef MF_EXPOSITION_H
#define MF_EXPOSITION_H

#include "message.h"

enum mf_metric { MF_COUNTER, MF_GAUGE, MF_HISTOGRAM };

void mf_metric_begin(struct mf_buf *buf, const char *name, enum mf_metric kind, const char *help);
void mf_metric_sample(struct mf_buf *buf, const char *name, const char *label, const char *word,
                      double value);
/* A family of one sample without labels. */
void mf_metric_one(struct mf_buf *buf, const char *name, enum mf_metric kind, const char *help, double value);

struct mf_metric_row { /* of a table that ends with a NULL name: such families, all of one kind */
    const char *name, *help;
    double value;
};
void mf_metric_rows(struct mf_buf *buf, enum mf_metric kind, const struct mf_metric_row *rows);

struct mf_metric_word { /* of a table that ends with a NULL word: the samples of one family */
    const char *word;
    double value;
};
void mf_metric_words(struct mf_buf *buf, const char *name, enum mf_metric kind, const char *help,
                     const char *label, const struct mf_metric_word *words);

/* How long something took, counted by size; zero-initialised is empty. */
enum { MF_HISTOGRAM_BOUNDS = 16 }; /* half a millisecond to a minute, and beyond */
struct mf_histogram {
    uint64_t counts[MF_HISTOGRAM_BOUNDS + 1], us;
};
void mf_histogram_add(struct mf_histogram *self, uint64_t us);
void mf_metric_histogram(struct mf_buf *buf, const char *name, const char *help,
                         const struct mf_histogram *histogram);

uint64_t mf_metric_clock_us(void); /* to measure with */
/* process_*, as every Prometheus client has them, and mayfly_build_info. */
void mf_metrics_process(struct mf_buf *buf);

#endif
