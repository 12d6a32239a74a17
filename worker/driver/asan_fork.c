/* asan_fork.c - lets a program of many threads fork while AddressSanitizer is its allocator.
 *
 * libvirt forks from the thread that creates a guest and allocates in the child before it executes QEMU.
 * glibc makes its own allocator ready for that; AddressSanitizer's does so only from GCC 14 and LLVM 18 on.
 * Before that, a child forked while another thread is inside malloc inherits a lock that nobody will ever
 * release, and the create hangs for ever. So nobody may be inside the allocator while someone forks: every
 * entry of it takes the gate shared, a fork takes it alone. Compiled only into sanitised programs that link
 * libvirt. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* What libasan calls its own entries; the plain names below take their place in the whole process. */
void *__interceptor_malloc(size_t size);
void *__interceptor_calloc(size_t n, size_t size);
void *__interceptor_realloc(void *p, size_t size);
void *__interceptor_reallocarray(void *p, size_t n, size_t size);
void *__interceptor_memalign(size_t alignment, size_t size);
void *__interceptor_aligned_alloc(size_t alignment, size_t size);
int __interceptor_posix_memalign(void **ret_p, size_t alignment, size_t size);
char *__interceptor_strdup(const char *text);
char *__interceptor___strdup(const char *text);
char *__interceptor_strndup(const char *text, size_t n);
char *__interceptor___strndup(const char *text, size_t n);
void __interceptor_free(void *p);

/* The loader allocates before AddressSanitizer has its shadow: nothing here may be checked by it. */
#define UNCHECKED __attribute__((no_sanitize("address", "undefined")))

static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
static __thread bool forking
    __attribute__((tls_model("initial-exec"))); /* this thread holds the gate alone */

UNCHECKED static void enter(void)
{
    if (!forking)
        pthread_rwlock_rdlock(&gate);
}

UNCHECKED static void leave(void)
{
    if (!forking)
        pthread_rwlock_unlock(&gate);
}

static void before_fork(void)
{
    pthread_rwlock_wrlock(&gate);
    forking = true;
}

static void after_fork(void)
{
    forking = false;
    pthread_rwlock_unlock(&gate);
}

static void after_fork_in_child(void)
{
    forking = false;
    gate = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER; /* whoever waited at it is not here */
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

#define GUARDED(type, name, params, args)                                                                    \
    type name params;                                                                                        \
    UNCHECKED type name params                                                                               \
    {                                                                                                        \
        enter();                                                                                             \
        type result = __interceptor_##name args;                                                             \
        leave();                                                                                             \
        return result;                                                                                       \
    }

/* LeakSanitizer knows the loader's own tables by who asked for them; now it sees us, so it is told. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:ld-linux-x86-64.so";
}

GUARDED(void *, malloc, (size_t size), (size))
GUARDED(void *, calloc, (size_t n, size_t size), (n, size))
GUARDED(void *, realloc, (void *p, size_t size), (p, size))
GUARDED(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
GUARDED(void *, memalign, (size_t alignment, size_t size), (alignment, size))
GUARDED(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
GUARDED(int, posix_memalign, (void **ret_p, size_t alignment, size_t size), (ret_p, alignment, size))
GUARDED(char *, strdup, (const char *text), (text))
GUARDED(char *, __strdup, (const char *text), (text))
GUARDED(char *, strndup, (const char *text, size_t n), (text, n))
GUARDED(char *, __strndup, (const char *text, size_t n), (text, n))

void free(void *p);
UNCHECKED void free(void *p)
{
    enter();
    __interceptor_free(p);
    leave();
}
