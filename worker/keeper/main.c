/* mayfly-keeper - see keeper.h. This file only reads the command line and keeps the one struct, whose memory
 * is all there is. */
#include "keeper.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    static struct mf_keeper_options options;
    char error[512];
    int r = mf_keeper_options_parse(argc, argv, &options, error);
    if (r > 0)
        return 0;
    if (r < 0) {
        fprintf(stderr, "mayfly-keeper: %s\n", error);
        return MF_KEEPER_EXIT_MISUSE;
    }
    return mf_keeper_run(&options);
}
