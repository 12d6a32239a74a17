/* mayfly: the command line. All of it is in the library beside, so that tests can call it. */
#include "cli.h"

int main(int argc, char **argv)
{
    return mf_cli_main(argc, argv);
}
