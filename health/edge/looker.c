/* looker.c - libcurl's multi interface over an epoll descriptor of our own. A TCP look is a request that ends
 * once it is connected. Nothing is followed, resolved, reused or kept: addresses are numeric, redirects are
 * answers, proxies of the environment are not for us. */
#include "looker.h"

#include "check.h"
#include "program.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MAGIC = 0x6c6f6f6b, A_TURN = 32 /* ready sockets served in one turn */ };

struct look {
    struct mf_looker *looker;
    CURL *easy;
    uint64_t number;
    enum mf_check_kind kind;
    size_t body;
    struct look *prev, *next;
};

struct mf_looker {
    unsigned magic;
    int epoll;
    CURLM *multi;
    mf_looker_done *done;
    void *arg;
    mf_ms deadline;
    struct look *looks;
};

/* ------------------------------------------------------------------ what libcurl asks of a loop */

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct mf_looker *self = arg;
    struct epoll_event event = {.data.fd = fd};

    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL); /* it may be closed already */
        return 0;
    }
    /* a kernel that takes no more leaves it to the look's timeout */
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(self->epoll, EPOLL_CTL_MOD, fd, &event) < 0)
        (void)epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event);
    return 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct mf_looker *self = arg;

    self->deadline = timeout_ms < 0 ? INT64_MAX : mf_now() + timeout_ms;
    return 0;
}

/* An answer that does not end is no worse than its first line: it is read up to a bound, and cut off. */
static size_t drop_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct look *look = arg;

    look->body += size * n;
    return look->body > MF_LOOKER_BODY_MAX ? 0 : size * n;
}

/* ------------------------------------------------------------------ one look */

static void end(struct look *look)
{
    struct mf_looker *self = look->looker;

    if (look->prev)
        look->prev->next = look->next;
    else
        self->looks = look->next;
    if (look->next)
        look->next->prev = look->prev;
    (void)curl_multi_remove_handle(self->multi, look->easy); /* of one that never got in: refused, and fine */
    curl_easy_cleanup(look->easy);
    free(look);
}

static bool set_options(struct look *look, const struct mf_health_look *ask)
{
    char url[512];
    bool v6 = strchr(ask->address, ':') != NULL;
    CURL *e = look->easy;

    mf_str_format(url, sizeof(url), v6 ? "http://[%s]:%u/%s" : "http://%s:%u/%s", ask->address, ask->port,
                  ask->path[0] == '/' ? ask->path + 1 : ask->path);
    return !curl_easy_setopt(e, CURLOPT_PRIVATE, look) && !curl_easy_setopt(e, CURLOPT_URL, url) &&
           !curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") && !curl_easy_setopt(e, CURLOPT_PROXY, "") &&
           !curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L) && !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) &&
           !curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L) &&
           !curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(e, CURLOPT_USERAGENT, "mayfly-health/" MAYFLY_VERSION) &&
           !curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms) &&
           !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, drop_body) &&
           !curl_easy_setopt(e, CURLOPT_WRITEDATA, look) &&
           !curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, look->kind == MF_CHECK_KIND_TCP ? 1L : 0L);
}

void mf_looker_begin(struct mf_looker *self, const struct mf_health_look *ask)
{
    struct look *look = calloc(1, sizeof(*look));

    MF_MAGIC(self, MAGIC);
    MF_CHECK(look);
    *look = (struct look){.looker = self, .number = ask->number, .kind = ask->kind, .next = self->looks};
    if (self->looks)
        self->looks->prev = look;
    self->looks = look;
    look->easy = curl_easy_init();
    MF_CHECK(look->easy);
    if (set_options(look, ask) && curl_multi_add_handle(self->multi, look->easy) == CURLM_OK)
        return;
    end(look);
    self->done(self->arg, ask->number, MF_LOOK_VOID, "libcurl refused it");
}

/* 0: no answer of a server came at all. */
static long status_of(const struct look *look)
{
    long status = 0;

    (void)curl_easy_getinfo(look->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int system_error(const struct look *look)
{
    long number = 0;

    (void)curl_easy_getinfo(look->easy, CURLINFO_OS_ERRNO, &number);
    return (int)number;
}

/* Nothing left this host: it has no socket to give, or no way to that network. Libcurl has no number for a
 * socket that it did not get. */
static bool is_ours(const struct look *look, CURLcode result)
{
    int number = system_error(look);

    return result == CURLE_COULDNT_CONNECT &&
           (number == 0 || number == EADDRNOTAVAIL || number == ENETUNREACH || number == ENETDOWN ||
            number == ENOBUFS || number == ENOMEM || number == EMFILE || number == ENFILE);
}

static bool is_cut_off(const struct look *look)
{
    return look->body > MF_LOOKER_BODY_MAX;
}

static enum mf_look_end end_of(const struct look *look, CURLcode result)
{
    long status = status_of(look);
    bool whole = result == CURLE_OK || is_cut_off(look);
    bool good = look->kind == MF_CHECK_KIND_TCP || (status >= 200 && status < 400);

    if (is_ours(look, result))
        return MF_LOOK_VOID;
    return whole && good ? MF_LOOK_PASSED : MF_LOOK_FAILED;
}

static void say_why(const struct look *look, CURLcode result, char text[100])
{
    int number = system_error(look);

    if (result == CURLE_OK && look->kind == MF_CHECK_KIND_TCP)
        mf_str_format(text, 100, "connected");
    else if (result == CURLE_OK || is_cut_off(look))
        mf_str_format(text, 100, "answered %ld", status_of(look));
    else if (result == CURLE_UNSUPPORTED_PROTOCOL)
        mf_str_format(text, 100, "answered, but not in HTTP");
    else if (result == CURLE_COULDNT_CONNECT && number)
        mf_str_format(text, 100, "%s", strerror(number));
    else
        mf_str_format(text, 100, "%s", curl_easy_strerror(result));
}

static void tell_ends(struct mf_looker *self)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(self->multi, &left))) {
        struct look *look = NULL;
        char text[100] = "";
        CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        MF_CHECK(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&look) == CURLE_OK &&
                 look);
        enum mf_look_end how = end_of(look, result);
        uint64_t number = look->number;
        say_why(look, result, text);
        end(look);
        self->done(self->arg, number, how, text);
    }
}

/* ------------------------------------------------------------------ all of them */

static void act(struct mf_looker *self, curl_socket_t fd, int what)
{
    int running;

    (void)curl_multi_socket_action(self->multi, fd, what,
                                   &running); /* of a socket that just ended: nothing */
}

void mf_looker_turn(struct mf_looker *self, mf_ms now)
{
    struct epoll_event events[A_TURN];
    int n = epoll_wait(self->epoll, events, A_TURN, 0);

    MF_MAGIC(self, MAGIC);
    for (int i = 0; i < n; i++)
        act(self, events[i].data.fd,
            (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
    if (self->deadline <= now) {
        self->deadline = INT64_MAX;
        act(self, CURL_SOCKET_TIMEOUT, 0);
    }
    tell_ends(self);
}

mf_ms mf_looker_deadline(const struct mf_looker *self)
{
    return self->deadline;
}

int mf_looker_fd(const struct mf_looker *self)
{
    return self->epoll;
}

int mf_looker_open(mf_looker_done *done, void *arg, struct mf_looker **ret_looker, char error[512])
{
    struct mf_looker *self = calloc(1, sizeof(*self));

    MF_CHECK(self);
    *self = (struct mf_looker){.magic = MAGIC,
                               .epoll = epoll_create1(EPOLL_CLOEXEC),
                               .done = done,
                               .arg = arg,
                               .deadline = INT64_MAX};
    if (self->epoll < 0) {
        int r = -errno;
        mf_str_format(error, 512, "no epoll descriptor for looking at guests: %s", strerror(errno));
        free(self);
        return r;
    }
    MF_CHECK(curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK);
    self->multi = curl_multi_init();
    MF_CHECK(self->multi);
    curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    *ret_looker = self;
    return 0;
}

void mf_looker_close(struct mf_looker **self)
{
    struct mf_looker *looker = *self;

    if (!looker)
        return;
    MF_MAGIC(looker, MAGIC);
    while (looker->looks)
        end(looker->looks);
    curl_multi_cleanup(looker->multi);
    curl_global_cleanup();
    close(looker->epoll);
    free(looker);
    *self = NULL;
}
