/* console.h - keeps the serial logs of guests bounded.
 *
 * QEMU appends to a plain file, so a guest neither blocks nor dies when the agent is away. A thread looks
 * once a second and cuts the oldest part off a file that outgrew its limit: the newest MF_CONSOLE_KEEP bytes
 * always stay. */
#ifndef MF_CONSOLE_H
#define MF_CONSOLE_H

#include "ids.h"

enum { MF_CONSOLE_KEEP = 256 * 1024, MF_CONSOLE_LIMIT = 2 * MF_CONSOLE_KEEP };

struct mf_console;

struct mf_console *mf_console_new(void); /* NULL if no thread can be had */
void mf_console_destroy(struct mf_console **self);
void mf_console_add(struct mf_console *self, struct mf_uuid id, const char *path); /* again is fine */
void mf_console_remove(struct mf_console *self, struct mf_uuid id);                /* fine if unknown */
/* Cut one file now if it is above the limit; 0 or negative errno. */
int mf_console_trim(const char *path);

#endif
