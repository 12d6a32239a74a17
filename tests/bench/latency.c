/* latency.c - runs inside a guest: reads blocks of a device at random, past every cache, and prints how long
 * the reads took. bench-latency DEVICE MIB SECONDS. Small enough for user-data, so no C library comes with
 * it. */
#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK = 4096,
    SAMPLES = 200000,
    SYS_WRITE = 1,
    SYS_OPEN = 2,
    SYS_PREAD = 17,
    SYS_EXIT = 60,
    SYS_CLOCK = 228
};
enum { READ_ONLY = 0, DIRECT = 040000, MONOTONIC = 1 };

static uint32_t took_us[SAMPLES];
static _Alignas(BLOCK) char block[BLOCK];

static long call(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static uint64_t now_us(void)
{
    int64_t time[2];
    call(SYS_CLOCK, MONOTONIC, (long)time, 0, 0);
    return (uint64_t)time[0] * 1000000 + (uint64_t)time[1] / 1000;
}

static uint64_t number(const char *text)
{
    uint64_t n = 0;
    while (*text >= '0' && *text <= '9')
        n = n * 10 + (uint64_t)(*text++ - '0');
    return n;
}

static void say(const char *name, uint64_t value)
{
    char line[64];
    size_t end = sizeof line, at = end;
    do
        line[--at] = (char)('0' + value % 10);
    while (value /= 10);
    size_t len = 0;
    while (name[len])
        len++;
    call(SYS_WRITE, 1, (long)name, (long)len, 0);
    call(SYS_WRITE, 1, (long)(line + at), (long)(end - at), 0);
}

/* Heap sort: no recursion, no memory. */
static void sink(uint32_t *values, size_t at, size_t n)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && values[child + 1] > values[child])
            child++;
        if (values[at] >= values[child])
            return;
        uint32_t value = values[at];
        values[at] = values[child];
        values[child] = value;
    }
}

static void sort(uint32_t *values, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sink(values, i, n);
    for (size_t end = n; end-- > 1;) {
        uint32_t value = values[0];
        values[0] = values[end];
        values[end] = value;
        sink(values, 0, end);
    }
}

static size_t read_for(int fd, uint64_t blocks, uint64_t seconds)
{
    uint64_t state = 88172645463325252ull, end = now_us() + seconds * 1000000;
    size_t n = 0;
    while (n < SAMPLES) {
        state ^= state << 13; /* xorshift */
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t began = now_us();
        if (began >= end || call(SYS_PREAD, fd, (long)block, BLOCK, (long)(state % blocks * BLOCK)) != BLOCK)
            return n;
        took_us[n++] = (uint32_t)(now_us() - began);
    }
    return n;
}

__attribute__((used)) static void measure(long *stack)
{
    char **argv = (char **)(stack + 1);
    long fd = stack[0] == 4 ? call(SYS_OPEN, (long)argv[1], READ_ONLY | DIRECT, 0, 0) : -1;
    if (fd < 0)
        call(SYS_EXIT, 1, 0, 0, 0);
    size_t n = read_for((int)fd, number(argv[2]) * (1024 * 1024 / BLOCK), number(argv[3]));
    sort(took_us, n);
    say("reads=", n);
    say(" p50_us=", n ? took_us[n / 2] : 0);
    say(" p99_us=", n ? took_us[n * 99 / 100] : 0);
    say(" max_us=", n ? took_us[n - 1] : 0);
    call(SYS_WRITE, 1, (long)"\n", 1, 0);
    call(SYS_EXIT, n == 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call measure\n");
