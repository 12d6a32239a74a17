/* `mayfly healthz`: one look at a program's own page, so that a container needs no other tool for its health
 * check. */
#include "cli.h"
#include "dev.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 << 10, LIMIT_MS = 3000 };

struct page {
    char host[256], port[8], path[256];
};

/* [http://]HOST:PORT[/PATH] */
static int take_page(struct mf_cli *cli, const char *text, struct page *ret_page)
{
    const char *from = strncmp(text, "http://", 7) ? text : text + 7, *slash = strchr(from, '/');
    size_t len = slash ? (size_t)(slash - from) : strlen(from), host = len;
    while (host > 0 && from[host - 1] != ':')
        host--;
    bool six = host > 3 && from[0] == '[' && from[host - 2] == ']';
    if (host < 2 || host > 200 || len - host < 1 || len - host > 5 || strlen(slash ? slash : "") > 255 ||
        strspn(from + host, "0123456789") != len - host)
        return mf_cli_misuse(cli, "\"%.100s\" is not HOST:PORT, nor http://HOST:PORT/PATH", text);
    mf_str_format(ret_page->host, sizeof ret_page->host, "%.*s", (int)(host - 1 - (six ? 2 : 0)), from + six);
    mf_str_format(ret_page->port, sizeof ret_page->port, "%.*s", (int)(len - host), from + host);
    if (slash)
        mf_str_format(ret_page->path, sizeof ret_page->path, "%s", slash);
    return 0;
}

/* True when the descriptor is ready in time. */
static bool await(int fd, short what, int64_t until_ms)
{
    int64_t left = until_ms - mf_dev_now_ms();
    struct pollfd item = {.fd = fd, .events = what};
    return left > 0 && poll(&item, 1, (int)left) == 1;
}

/* 0, or what is wrong as an errno. */
static int connect_at(const struct addrinfo *at, int64_t until_ms, int *ret_fd)
{
    int error = 0, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof error;
    if (fd < 0)
        return errno;
    if (connect(fd, at->ai_addr, at->ai_addrlen) < 0)
        error = errno;
    if (error == EINPROGRESS)
        error = await(fd, POLLOUT, until_ms) && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size)
                    ? error
                    : ETIMEDOUT;
    if (error)
        close(fd);
    else
        *ret_fd = fd;
    return error;
}

/* A name may have several addresses, and the program serve one of them: localhost is ::1 and 127.0.0.1. */
static int connect_to(struct mf_cli *cli, const struct page *page, int64_t until_ms, int *ret_fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
    int error = 0, r = getaddrinfo(page->host, page->port, &hints, &all);
    if (r)
        return mf_cli_fail(cli, "%s: %s", page->host, gai_strerror(r));
    for (const struct addrinfo *at = all; at && (at == all || error); at = at->ai_next)
        error = connect_at(at, until_ms, ret_fd);
    freeaddrinfo(all);
    return error ? mf_cli_fail(cli, "%s:%s: %s", page->host, page->port, strerror(error)) : 0;
}

/* All that is answered, until the other end closes; how much. */
static size_t converse(int fd, const struct page *page, int64_t until_ms, char answer[ANSWER_MAX + 1])
{
    char text[600];
    size_t len = 0;
    struct mf_str question =
        mf_str_format(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n",
                      page->path, page->host, page->port);
    ssize_t n = send(fd, question.ptr, question.len, MSG_NOSIGNAL);
    while (n > 0 && len < ANSWER_MAX && await(fd, POLLIN, until_ms))
        if ((n = recv(fd, answer + len, ANSWER_MAX - len, 0)) > 0)
            len += (size_t)n;
    answer[len] = 0;
    return len;
}

static int judge(struct mf_cli *cli, const struct page *page, const char *answer, size_t len)
{
    int status = 0;
    const char *body = strstr(answer, "\r\n\r\n");
    if (!len)
        return mf_cli_fail(cli, "%s:%s does not answer", page->host, page->port);
    if (sscanf(answer, "HTTP/1.%*1[01] %3d ", &status) != 1 || !body)
        return mf_cli_fail(cli, "%s:%s does not speak HTTP", page->host, page->port);
    body += 4;
    if (status != 200)
        return mf_cli_fail(cli, "%d: %.*s", status, (int)strcspn(body, "\r\n"), body);
    fputs(body, stdout);
    return MF_EXIT_OK;
}

static int run_healthz(struct mf_cli *cli)
{
    const char *url = mf_cli_get(cli, "url"), *http = mf_cli_get(cli, "http");
    struct page page = {.path = "/healthz"};
    char answer[ANSWER_MAX + 1];
    uint64_t limit_ms = LIMIT_MS;
    int fd = -1, r;
    if (!url == !http)
        return mf_cli_misuse(cli, "say where: --http HOST:PORT or --url URL");
    if (mf_cli_get(cli, "ready"))
        mf_str_format(page.path, sizeof page.path, "/readyz");
    if ((r = mf_cli_number(cli, "timeout-ms", 1, 600000, &limit_ms)) ||
        (r = take_page(cli, url ? url : http, &page)))
        return r;
    int64_t until_ms = mf_dev_now_ms() + (int64_t)limit_ms;
    if ((r = connect_to(cli, &page, until_ms, &fd)))
        return r;
    size_t len = converse(fd, &page, until_ms, answer);
    close(fd);
    return judge(cli, &page, answer, len);
}

static const struct mf_cli_option healthz_options[] = {
    {"http", "HOST:PORT", "Where the program shows its pages (its --http).", 0},
    {"url", "URL", "The same as a whole address, http://HOST:PORT/PATH.", 0},
    {"ready", NULL, "Is it ready to do its work (/readyz), not only alive (/healthz)?", 0},
    {"timeout-ms", "MS", "How long it may take to answer (default 3000).", 0},
    {0},
};

const struct mf_cli_command mf_commands_healthz[] = {
    {"healthz", "", "Ask a program whether it is well; exit 1 when it is not.",
     "Needs no key: for a container's health check, or a supervisor's.", healthz_options, 0, 0, 0,
     run_healthz},
    {0},
};
