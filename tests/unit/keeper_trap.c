/* keeper_trap.c - linked with the keeper's own main: once its loop turns, whoever allocates in this process
 * ends it, and with it the test that runs on it. What is forked may allocate again. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void *volatile proof; /* volatile: an allocation that nobody uses may be left out */
static pid_t armed;          /* the process that may allocate no more */

static void trap(void)
{
    static const char text[] = "keeper_trap: an allocation after the start\n";
    if (armed == 0 || getpid() != armed)
        return;
    armed = 0;
    _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 98 : 97);
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *at, size_t size),
                                              void (*free_hook)(const volatile void *at));

static void on_malloc(const volatile void *at, size_t size)
{
    trap();
}

static void on_free(const volatile void *at)
{
}

__attribute__((constructor)) static void watch_allocator(void)
{
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *at, size_t size);

void *malloc(size_t size)
{
    trap();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    trap();
    return __libc_calloc(n, size);
}

void *realloc(void *at, size_t size)
{
    trap();
    return __libc_realloc(at, size);
}
#endif

/* The first wait is the end of the start. */
int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    armed = getpid();
    if (getenv("KEEPER_TRAP_PROVES_ITSELF"))
        proof = malloc(1);
    return __real_epoll_wait(epoll, events, max, timeout);
}
