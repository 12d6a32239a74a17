/* user_data.h - is user-data what it says it is? Whoever sends it, takes it or hands it to a guest asks here,
 * so that a broken one is refused where it can still be mended. What is checked is the wrapping: gzip, MIME
 * parts, Mayfly's own templates, and that text is text. What no rule here knows is handed on as it is: it is
 * between the guest and whoever wrote it. Pure. */
#ifndef MF_USER_DATA_H
#define MF_USER_DATA_H

#include "message.h"

enum {
    MF_USER_DATA_INFLATED_MAX = 1 << 20, /* of gzip: more is refused before it is made */
    MF_USER_DATA_DEPTH_MAX = 4,          /* MIME parts that hold MIME parts */
    MF_USER_DATA_PARTS_MAX = 256         /* in all */
};

/* 0, or -EBADMSG with a sentence that holds nothing of the bytes but, of a template, a field's name. */
int mf_user_data_check(struct mf_str bytes, char error[512]);

/* Append what a template becomes, or else the bytes as they are. The same errors. */
struct mf_template_values;
int mf_user_data_render(struct mf_str bytes, const struct mf_template_values *values, struct mf_buf *buf,
                        char error[512]);

#endif
