/* shell_process.h - whose process is a shell's? A shell is a guest made ahead, paused before its first
 * instruction, whose command line was written before anybody knew which instance it would be: it says
 * "-name guest=mayfly-shell-UUID" and "-uuid UUID" with an id of the shell's own. The instance that took it
 * over is read off the files that it has open: they lie in a folder named by the instance's id, since the
 * shell's folder was renamed. Allocates nothing. */
#ifndef MF_SHELL_PROCESS_H
#define MF_SHELL_PROCESS_H

#include "ids.h"

#define MF_SHELL_NAME "mayfly-shell"

/* Does this command line (words ended by zeros, `len` with the last one) belong to a shell? */
bool mf_shell_line(const char *line, size_t len);
/* The id of the folder "instances/ID" or "shells/ID" in which the files lie that are open in `fds` (a
 * process's folder /proc/PID/fd; relative to the folder open as `at`, or AT_FDCWD). 1; 0 if there is none,
 * also if the process is gone; or a negative errno if that cannot be seen. */
int mf_shell_owner(int at, const char *fds, struct mf_uuid *ret_id);

#endif
