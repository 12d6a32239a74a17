/* image_options.h - `mayfly image add`'s options into an image. */
#ifndef MF_CLI_IMAGE_OPTIONS_H
#define MF_CLI_IMAGE_OPTIONS_H

#include "cli.h"

/* What it points into lives in the arena. 0 or an exit code, said. */
int mf_cli_image(struct mf_cli *cli, struct mf_rec_image *ret_image);

#endif
