/* places.h - the directory of each instance, STATE/instances/UUID: its disk, seed and console log, made with
 * it and deleted with it. */
#ifndef MF_PLACES_H
#define MF_PLACES_H

#include "message.h"

/* Make the directory of an instance and tell its path; 0 or negative errno with a sentence. */
int mf_places_make(const char *state, struct mf_uuid id, char ret_dir[4096], char error[512]);
void mf_places_remove(const char *state, struct mf_uuid id);
/* Remove what belongs to none of these instances; how many that were. */
unsigned mf_places_remove_orphans(const char *state, bool (*known)(const void *arg, struct mf_uuid id),
                                  const void *arg);
/* The last `max` bytes of an instance's console log; -ENOENT if it has none. *ret_bytes by malloc. */
int mf_places_console(const char *state, struct mf_uuid id, size_t max, char **ret_bytes, size_t *ret_len);

/* The same of shells, STATE/shells/UUID. */
int mf_places_make_shell(const char *state, struct mf_uuid id, char ret_dir[4096], char error[512]);
void mf_places_shell(const char *state, struct mf_uuid id, char ret_dir[4096]);
void mf_places_remove_shell(const char *state, struct mf_uuid id);
unsigned mf_places_remove_old_shells(const char *state, bool (*known)(const void *arg, struct mf_uuid id),
                                     const void *arg);
/* The shell's directory becomes the instance's; what that had before is moved into it. */
int mf_places_become(const char *state, struct mf_uuid shell, struct mf_uuid id, char error[512]);

#endif
