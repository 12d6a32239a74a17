/* incarnation.c - see incarnation.h. A namespace's number alone would not do, for numbers are used again; nor
 * would the time of its PID 1's start alone, for two may start at once. */
#include "incarnation.h"
#include "message.h"
#include "pulse.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    START_TIME = 22,
    STATE = 3 /* fields of /proc/PID/stat, from 1; the name before STATE may hold anything */
};

static bool read_start(char ret_text[32])
{
    char text[1024];
    int fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return false;
    text[len] = 0;
    const char *at = strrchr(text, ')');
    for (int field = STATE; at && field <= START_TIME; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %31[0-9]", ret_text) == 1;
}

bool mf_incarnation(const char *boot_id, char ret_word[MF_INCARNATION_TEXT], char why_not[256])
{
    char namespace[64], start[32], text[256];
    uint8_t digest[16];
    ssize_t len = readlink("/proc/self/ns/pid", namespace, sizeof namespace - 1);
    if (len <= 0 || !read_start(start)) {
        mf_str_format(why_not, 256, "/proc tells neither pid namespace nor PID 1: %s", strerror(errno));
        return false;
    }
    namespace[len] = 0;
    mf_pulse_boot(mf_str_format(text, sizeof text, "%s %s %s", boot_id, namespace, start), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(ret_word + 2 * i, 3, "%02x", digest[i]);
    return true;
}
