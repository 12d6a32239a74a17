/* vocabulary.h - names of classes and labels are numbers to placement, which forgets none while it lives: so
 * that no peer makes it remember ever new ones, there is an end to them, and whoever brings a new one is
 * told. */
#ifndef MF_BROKER_VOCABULARY_H
#define MF_BROKER_VOCABULARY_H

#include "state.h"

/* True, with the field and what helps in text, if it brings a name for which there is no place. */
bool mf_vocabulary_full_hello(const struct mf_broker *b, const struct mf_msg_hello *hello, char text[256]);
bool mf_vocabulary_full_rules(const struct mf_broker *b, const struct mf_labels *require,
                              const struct mf_rec_rules *rules, char text[256]);
bool mf_vocabulary_full_class(const struct mf_broker *b, struct mf_str class, char text[256]);

#endif
