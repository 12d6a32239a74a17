/* report.h - what a plan comes to, as one JSON object. */
#ifndef MF_PLAN_REPORT_H
#define MF_PLAN_REPORT_H

#include "rehearsal.h"
#include "trace.h"
#include <jansson.h>

struct mf_plan_report {
    const struct mf_rehearsal *rehearsal;
    json_t *steps;          /* an array of mf_report_step */
    json_t *before, *after; /* censuses */
    json_t *requests;       /* NULL: none were asked */
    uint64_t seq;           /* newest row of the copy */
};

/* The step that is just over: what was asked, its births, when the last thing of it happened. */
json_t *mf_report_step(const struct mf_rehearsal *rehearsal, const char *what);
/* A trace that was run; append to an array of them. */
void mf_report_trace(json_t *requests, const char *path, const struct mf_trace *trace);
/* Takes the references. */
json_t *mf_report(const struct mf_plan_report *report);

#endif
