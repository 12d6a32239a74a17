/* origin.h - where a file comes from: a URL, and what becomes of one try to read it. */
#ifndef MF_ORIGIN_H
#define MF_ORIGIN_H

#include "message.h"
#include <curl/curl.h>

enum { MF_ORIGIN_TEXT = 200 };

/* The URL as it may be shown: without name, password, query and fragment; cut to fit. */
void mf_origin_show(const char *url, char text[MF_ORIGIN_TEXT]);

struct mf_origin_limits {
    long connect_ms, stall_s;
    const char *ca_file; /* NULL: the system's */
};
/* Everything but where the bytes go and which are wanted. 0, or -EINVAL with a sentence for a URL that is
 * none, or a file that is no plain file. */
int mf_origin_prepare(CURL *easy, const char *url, const struct mf_origin_limits *limits, char error[256]);

enum mf_origin_verdict {
    MF_ORIGIN_DONE,
    MF_ORIGIN_AGAIN,   /* it may come if tried again */
    MF_ORIGIN_STALLED, /* likewise, but the try took long */
    MF_ORIGIN_AFRESH,  /* it will not go on from where the last try ended */
    MF_ORIGIN_NEVER    /* something has to be mended first */
};
/* What a finished try means, and the rest of a sentence that says why it was not done. */
enum mf_origin_verdict mf_origin_judge(CURL *easy, CURLcode code, const char *said, char why[256]);

#endif
