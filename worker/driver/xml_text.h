/* xml_text.h - text put into XML: every value is escaped, and what XML 1.0 cannot hold is refused. */
#ifndef MF_XML_TEXT_H
#define MF_XML_TEXT_H

#include "message.h"

/* 0, or -EINVAL with a sentence that begins with `what`; NULL is fine. */
int mf_xml_check(const char *what, const char *text, char error[512]);
void mf_xml_put(struct mf_buf *buf, const char *xml); /* as it is */
/* Like printf, of %s (escaped), %u (uint64_t) and nothing else: there is no way to put a value in unescaped.
 */
void mf_xml_format(struct mf_buf *buf, const char *format, ...);

#endif
