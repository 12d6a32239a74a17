/* check.c - the last words of a program that found itself wrong. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

void (*mf_panic_hook)(void);
void (*mf_move_hook)(const char *table, unsigned state, unsigned event);

_Noreturn void mf_panic(const char *file, int line, const char *function, const char *expression)
{
    void (*hook)(void) = mf_panic_hook;

    mf_panic_hook = NULL; /* a hook that panics itself must not come back here for ever */
    fprintf(stderr, "mayfly panic: %s:%d: %s: %s\n", file, line, function, expression);
    if (hook)
        hook();
    fflush(stderr);
    abort();
}
