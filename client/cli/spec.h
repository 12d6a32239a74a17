/* spec.h - group.yaml, what `mayfly apply` reads, and offering.yaml, what `mayfly offering add --file` reads.
 * Their keys are the fields of provision and of an offering, as docs/PROTOCOL.md has them.
 *
 *     group: web
 *     count: 6
 *     min: 4                 # optional, as all below but image and offering
 *     image: tiny
 *     offering: small
 *     policy: at-least       # or at-most
 *     spread: host           # or none
 *     fit: best-fit          # or spread, room, balance, l2, dot; default: the cluster's
 *     labels: {team: shop}   # the group's own
 *     require: {rack: r1}    # a node must have
 *     rules:
 *       prefer: {disk: nvme}
 *       forbid: {gpu: "yes"}
 *       spread_by: rack
 *       max_skew: 1
 *       apart: [db, cache]   # groups
 *     spares: 1              # booted beyond count, to take the place of one that fails
 *     network: default       # as its nodes know it
 *     health:
 *       ready: port          # or agent, or none
 *       boot_ms: 120000
 *       ping_ms: 5000
 *       watchdog: true
 *       checks:
 *         - {kind: http, port: 8080, path: /healthz, every_ms: 2000, fall: 3}
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
int mf_spec_parse_offering(const char *file, struct mf_str text, const char *name, struct mf_arena *arena,
                           struct mf_rec_offering *ret_offering, char error[512]);

#endif
