/* spec.h - group.yaml, what `mayfly apply` reads. The file is as strict as the command line: an unknown key,
 * a wrong type, a tab or a key said twice is refused with file and line.
 *
 *     group: web
 *     count: 6
 *     min: 4                 # optional, as all below but image and offering
 *     image: tiny
 *     offering: small
 *     policy: at-least       # or at-most
 *     spread: host           # or none
 *     fit: spread            # or best-fit
 *     labels: {team: shop}   # the group's own
 *     require: {rack: r1}    # a node must have
 *     user_data: |           # or user_data_file: hello.sh, beside this file
 *       #!/bin/sh
 *       echo hello */
#ifndef MF_CLI_SPEC_H
#define MF_CLI_SPEC_H

#include "message.h"

struct mf_spec {
    struct mf_msg_provision provision; /* without request_id */
    const char *user_data_file;        /* NULL, or a path relative to the working directory */
};

/* Parse the text of a file; everything lives in the arena. 0, or -EINVAL with "FILE:LINE: sentence". */
int mf_spec_parse(const char *file, struct mf_str text, struct mf_arena *arena, struct mf_spec *ret_spec,
                  char error[512]);

#endif
