/* mime.h - whether a MIME message is whole (RFC 2045, 2046): its multipart parts have a boundary, begin and
 * end.
 */
#ifndef MF_MIME_H
#define MF_MIME_H

#include "message.h"

/* It begins like one: with a header that only such messages have. */
bool mf_mime_is(struct mf_str text);
int mf_mime_check(struct mf_str text, char error[512]); /* 0, or -EBADMSG with a sentence */

#endif
