/* offerings.h - what may be bought: made whole, judged, and held against the nodes there are. */
#ifndef MF_BROKER_OFFERINGS_H
#define MF_BROKER_OFFERINGS_H

#include "asked.h"
#include "state.h"

/* With its defaults filled in, so that lists show what is true. Strings are not copied. */
struct mf_rec_offering mf_offering_whole(const struct mf_rec_offering *rec);
void mf_offering_add(struct mf_asked *a, const struct mf_msg_offering_add *m);
/* Why no node that is known could host it even if it were empty; empty if one could, or none is known. */
struct mf_str mf_offering_homeless(const struct mf_broker *b, const struct mf_rec_offering *offering,
                                   const struct mf_labels *require, char text[256]);

#endif
