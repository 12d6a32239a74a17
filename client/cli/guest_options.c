/* When a guest is well, as people write it. */
#include "guest_options.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* -- times */

bool mf_duration_parse(struct mf_str text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    uint64_t value = 0;
    uint32_t i = 0;
    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9' && i < 12; i++)
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    if (!i)
        return false;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        if (mf_str_is((struct mf_str){text.ptr + i, text.len - i}, units[u].unit)) {
            *ret_ms = value * units[u].ms;
            return true;
        }
    return false;
}

int mf_cli_duration(const struct mf_cli *cli, const char *name, uint64_t max_ms, uint64_t *ret_ms)
{
    const char *text = mf_cli_get(cli, name);
    uint64_t ms;
    if (!text)
        return 0;
    if (!mf_duration_parse(mf_str(text), &ms))
        return mf_cli_misuse(cli, "--%s %s: is not a time, as 1500ms, 30s or 5m", name, text);
    if (!ms || ms > max_ms)
        return mf_cli_misuse(cli, "--%s %s: is not within 1ms..%" PRIu64 "s", name, text, max_ms / 1000);
    *ret_ms = ms;
    return 0;
}

/* -- checks */

__attribute__((format(printf, 2, 3))) static int refuse(char error[256], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, 256, format, args);
    va_end(args);
    return -EINVAL;
}

static struct mf_str cut(const char **at, const char *stops)
{
    size_t n = strcspn(*at, stops);
    struct mf_str piece = {*at, (uint32_t)n};
    *at += n;
    return piece;
}

static bool parse_number(struct mf_str text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i > 5)
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_value = value;
    return text.len && value && value <= max;
}

static int take_setting(const char **at, struct mf_rec_check *check, char error[256])
{
    struct mf_str key = cut(at, "=,"), value = {0};
    bool ok = **at == '=';
    if (ok) {
        ++*at;
        value = cut(at, ",");
    }
    if (mf_str_is(key, "every"))
        ok = ok && mf_duration_parse(value, &check->every_ms);
    else if (mf_str_is(key, "timeout"))
        ok = ok && mf_duration_parse(value, &check->timeout_ms);
    else if (mf_str_is(key, "fall"))
        ok = ok && parse_number(value, 100, &check->fall);
    else
        return refuse(error, "\"%.*s\" is not one of every=TIME, timeout=TIME, fall=N", (int)key.len,
                      key.ptr);
    return ok ? 0
              : refuse(error, "%.*s=%.*s: it is %s", (int)key.len, key.ptr, (int)value.len,
                       value.ptr ? value.ptr : "",
                       mf_str_is(key, "fall") ? "a number of 1 to 100" : "a time, as 1500ms or 5s");
}

int mf_check_parse(const char *text, struct mf_rec_check *ret_check, char error[256])
{
    struct mf_rec_check check = {0};
    const char *at = text;
    check.kind = mf_check_kind_value(cut(&at, ":,"));
    if (!check.kind || *at != ':')
        return refuse(error, "it begins with tcp:PORT or http:PORT/PATH");
    at++;
    if (!parse_number(cut(&at, "/,"), 65535, &check.port))
        return refuse(error, "its port is a number of 1 to 65535");
    if (*at == '/' && check.kind != MF_CHECK_KIND_HTTP)
        return refuse(error, "only http has a path");
    if (*at == '/')
        check.path = cut(&at, ",");
    while (*at == ',') {
        at++;
        int r = take_setting(&at, &check, error);
        if (r)
            return r;
    }
    *ret_check = check;
    return 0;
}

/* -- all of it */

enum { CHECKS_MAX = 4, HOUR_MS = 3600000 };

static int read_checks(struct mf_cli *cli, struct mf_rec_guest_health *health)
{
    struct mf_rec_check *checks = mf_arena_alloc(&cli->arena, CHECKS_MAX * sizeof *checks);
    char error[256];
    uint32_t n = 0;
    for (const char *text; (text = mf_cli_nth(cli, "check", (int)n)); n++) {
        if (n == CHECKS_MAX)
            return mf_cli_misuse(cli, "--check: there are more than %d", CHECKS_MAX);
        if (mf_check_parse(text, &checks[n], error))
            return mf_cli_misuse(cli, "--check %s: %s", text, error);
    }
    health->checks.items = checks;
    health->checks.n = n;
    return 0;
}

int mf_cli_health(struct mf_cli *cli, struct mf_rec_guest_health *ret_health)
{
    struct mf_rec_guest_health health = {.watchdog = mf_cli_get(cli, "watchdog") != NULL};
    const char *ready = mf_cli_get(cli, "ready");
    if (ready)
        health.ready = mf_readiness_value(mf_str(ready));
    if (ready && !health.ready)
        return mf_cli_misuse(cli, "--ready %s: it is none, port or agent", ready);
    if (mf_cli_duration(cli, "boot-limit", HOUR_MS, &health.boot_ms) ||
        mf_cli_duration(cli, "ping", HOUR_MS, &health.ping_ms) ||
        mf_cli_number(cli, "ping-fall", 1, 100, &health.ping_fall) || read_checks(cli, &health))
        return MF_EXIT_MISUSE;
    *ret_health = health;
    return 0;
}
