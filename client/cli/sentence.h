/* sentence.h - one event as a sentence for people. */
#ifndef MF_CLI_SENTENCE_H
#define MF_CLI_SENTENCE_H

#include "message.h"

enum { MF_SENTENCE = 768 };
/* Returns text. Nothing in it can move a terminal's cursor. A kind of a newer broker is shown by its name. */
const char *mf_sentence(const struct mf_rec_event_row *row, char text[MF_SENTENCE]);
/* What others said (a guest, a worker) may hold anything: control characters become '?', in place. */
void mf_sentence_clean(char *text);

#endif
