/* operators.h - what operators ask of nodes, images and the cluster: cordon, uncordon, forget, release; and
 * the way to those files that carry out the rest. */
#ifndef MF_BROKER_OPERATORS_H
#define MF_BROKER_OPERATORS_H

#include "asked.h"

void mf_operator_subject(const struct mf_message *message, char text[MF_SUBJECT_MAX]);
void mf_operator_request(struct mf_asked *a);

#endif
