/* template.h - Mayfly's own templates: `{{ group }}` and a few fields more, replaced when an instance is
 * born. A text is one if its first line is MF_TEMPLATE_LINE, which is taken away. There is no logic in it:
 * whoever wants that has the guest's own tools. `{{ "text" }}` is the text between the quotes, `{{ "{{" }}` a
 * pair of braces. Pure. */
#ifndef MF_TEMPLATE_H
#define MF_TEMPLATE_H

#include "message.h"

#define MF_TEMPLATE_LINE "## template: mayfly"
enum { MF_TEMPLATE_MAX = 2 * MF_USER_DATA_MAX }; /* what one may become */

struct mf_template_values {
    struct mf_str group, slot, generation, node, tenant, id, name;
    struct mf_labels labels;
};

bool mf_template_is(struct mf_str text);
/* What stands below the first line. */
struct mf_str mf_template_body(struct mf_str text);

/* Append the body with its fields replaced; without values, only look whether that can be done (which labels
 * there are is not known then). -EBADMSG with a sentence: the line, and the name of a field. */
int mf_template_render(struct mf_str text, const struct mf_template_values *values, struct mf_buf *buf,
                       char error[512]);

#endif
