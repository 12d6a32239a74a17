/* exposition.c - lines of text. */
#include "exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const uint64_t bounds_us[MF_HISTOGRAM_BOUNDS] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000};

static void append(struct mf_buf *buf, const char *text, int len, size_t size)
{
    mf_buf_append(buf, text, len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1);
}

void mf_metric_begin(struct mf_buf *buf, const char *name, enum mf_metric kind, const char *help)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    char text[600];

    append(buf, text,
           snprintf(text, sizeof(text), "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]),
           sizeof(text));
}

void mf_metric_sample(struct mf_buf *buf, const char *name, const char *label, const char *word, double value)
{
    char text[256];
    int len = label ? snprintf(text, sizeof(text), "%s{%s=\"%s\"} %.15g\n", name, label, word, value)
                    : snprintf(text, sizeof(text), "%s %.15g\n", name, value);

    append(buf, text, len, sizeof(text));
}

void mf_metric_one(struct mf_buf *buf, const char *name, enum mf_metric kind, const char *help, double value)
{
    mf_metric_begin(buf, name, kind, help);
    mf_metric_sample(buf, name, NULL, NULL, value);
}

void mf_metric_rows(struct mf_buf *buf, enum mf_metric kind, const struct mf_metric_row *rows)
{
    for (; rows->name; rows++)
        mf_metric_one(buf, rows->name, kind, rows->help, rows->value);
}

void mf_metric_words(struct mf_buf *buf, const char *name, enum mf_metric kind, const char *help,
                     const char *label, const struct mf_metric_word *words)
{
    mf_metric_begin(buf, name, kind, help);
    for (; words->word; words++)
        mf_metric_sample(buf, name, label, words->word, words->value);
}

void mf_histogram_add(struct mf_histogram *self, uint64_t us)
{
    size_t i = 0;

    while (i < MF_HISTOGRAM_BOUNDS && us > bounds_us[i])
        i++;
    self->counts[i]++;
    self->us += us;
}

void mf_metric_histogram(struct mf_buf *buf, const char *name, const char *help,
                         const struct mf_histogram *histogram)
{
    char bucket[80], bound[24];
    uint64_t sum = 0;

    mf_metric_begin(buf, name, MF_HISTOGRAM, help);
    snprintf(bucket, sizeof(bucket), "%s_bucket", name);
    for (size_t i = 0; i <= MF_HISTOGRAM_BOUNDS; i++) {
        sum += histogram->counts[i];
        snprintf(bound, sizeof(bound), "%g", i < MF_HISTOGRAM_BOUNDS ? (double)bounds_us[i] / 1e6 : 0);
        mf_metric_sample(buf, bucket, "le", i < MF_HISTOGRAM_BOUNDS ? bound : "+Inf", (double)sum);
    }
    snprintf(bucket, sizeof(bucket), "%s_sum", name);
    mf_metric_sample(buf, bucket, NULL, NULL, (double)histogram->us / 1e6);
    snprintf(bucket, sizeof(bucket), "%s_count", name);
    mf_metric_sample(buf, bucket, NULL, NULL, (double)sum);
}

uint64_t mf_metric_clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
