/* copy.h - the broker's store, copied while it works: what backup keeps and plan plays with. */
#ifndef MF_CLI_COPY_H
#define MF_CLI_COPY_H

#include "cli.h"

/* Into fd, which path names. 0 or an exit code, said. */
int mf_cli_copy_store(struct mf_cli *cli, int fd, const char *path, uint64_t *ret_size);

#endif
