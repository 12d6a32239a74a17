/* incarnation.h - whether the guests end with this worker, and the word for this life of it. */
#ifndef MF_INCARNATION_H
#define MF_INCARNATION_H

#include <stdbool.h>
#include <stddef.h>

enum { MF_INCARNATION_TEXT = 33 };

/* Of PID 1 of our pid namespace: when that ends, everything in the namespace has. Another host's boot,
 * another namespace or another PID 1 in it is another word. False, with the reason, if it cannot be seen. */
bool mf_incarnation(const char *boot_id, char ret_word[MF_INCARNATION_TEXT], char why_not[256]);

#endif
