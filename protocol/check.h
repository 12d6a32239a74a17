/* check.h - assertions that stay on in release. A failed one is a bug of ours: it prints the expression and
 * what the panic hook describes, then aborts. The world's faults are never asserted. */
#ifndef MF_CHECK_H
#define MF_CHECK_H

#define MF_CHECK(expression)                                                                                 \
    do {                                                                                                     \
        if (__builtin_expect(!(expression), 0))                                                              \
            mf_panic(__FILE__, __LINE__, __func__, #expression);                                             \
    } while (0)

/* Called once, before abort, to print state to stderr. */
extern void (*mf_panic_hook)(void);
_Noreturn void mf_panic(const char *file, int line, const char *function, const char *expression);

/* For whoever counts which rows of the cores' tables are ever taken; NULL but in a simulator. */
extern void (*mf_move_hook)(const char *table, unsigned state, unsigned event);
static inline void mf_move_taken(const char *table, unsigned state, unsigned event)
{
    if (__builtin_expect(mf_move_hook != 0, 0))
        mf_move_hook(table, state, event);
}

/* A struct that crosses a void * has `unsigned magic` first. */
#define MF_MAGIC(self, value) MF_CHECK((self) && (self)->magic == (value))

#endif
