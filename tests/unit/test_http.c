/* test_http.c - the pages of a program, asked for by strangers of every kind. The loop is this test: it turns
 * only when it says so, and never waits for anybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "exposition.h"
#include "http.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 10 };

struct world {
    struct mf_http *http;
    bool ready;
    unsigned made; /* how often metrics were asked for */
    mf_ms now;
    char answer[ANSWER_MAX];
};

static bool is_ready(void *arg, char why_not[512])
{
    struct world *w = arg;

    if (!w->ready)
        mf_str_format(why_not, 512, "not yet");
    return w->ready;
}

static void make_metrics(void *arg, struct mf_buf *buf)
{
    struct world *w = arg;

    mf_metric_one(buf, "test_made_total", MF_COUNTER, "How often.", ++w->made);
}

static int begin(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct mf_http_pages pages = {.ready = is_ready, .metrics = make_metrics, .arg = w};
    char error[512] = "";

    w->now = 1000;
    if (mf_http_open("127.0.0.1:0", NULL, &pages, &w->http, error) < 0)
        fail_msg("%s", error);
    *state = w;
    return 0;
}

static int finish(void **state)
{
    struct world *w = *state;

    mf_http_close(&w->http);
    free(w);
    return 0;
}

/* One turn, if anything is due within this time. */
static bool turn(struct world *w, int most_ms)
{
    struct pollfd item = {.fd = mf_http_fd(w->http), .events = POLLIN};
    int n = poll(&item, 1, (int)mf_http_wait(w->http, most_ms));

    mf_http_serve(w->http, n > 0, w->now);
    return n > 0;
}

static int visitor(struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_port = htons((uint16_t)atoi(strchr(mf_http_address(w->http), ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static bool closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* The whole answer, until the other end closes. */
static const char *hear(struct world *w, int fd)
{
    size_t len = 0;

    for (int turns = 0; turns < 2000; turns++) {
        ssize_t n = recv(fd, w->answer + len, ANSWER_MAX - 1 - len, MSG_DONTWAIT);
        if (n > 0)
            len += (size_t)n;
        else if (n == 0 || errno == ECONNRESET)
            break;
        else
            turn(w, 50);
    }
    w->answer[len] = 0;
    close(fd);
    return w->answer;
}

static const char *ask(struct world *w, const char *bytes, size_t len)
{
    int fd = visitor(w);

    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    return hear(w, fd);
}

static const char *get(struct world *w, const char *path)
{
    char text[300];

    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return ask(w, text, strlen(text));
}

static bool answered(const char *answer, int status, const char *body)
{
    char head[32];
    const char *at = strstr(answer, "\r\n\r\n");

    snprintf(head, sizeof(head), "HTTP/1.1 %d ", status);
    return strncmp(answer, head, strlen(head)) == 0 && at && strcmp(at + 4, body) == 0;
}

static void test_the_pages(void **state)
{
    struct world *w = *state;

    assert_true(answered(get(w, "/healthz"), 200, "ok\n"));
    assert_true(answered(get(w, "/readyz"), 503, "not yet\n"));
    w->ready = true;
    assert_true(answered(get(w, "/readyz?verbose=1"), 200, "ready\n"));
    assert_true(
        answered(get(w, "/metrics"), 200,
                 "# HELP test_made_total How often.\n# TYPE test_made_total counter\ntest_made_total 1\n"));
    assert_non_null(strstr(w->answer, "Content-Type: text/plain; version=0.0.4"));
    assert_true(answered(get(w, "/"), 404, "there are /healthz, /readyz and /metrics\n"));
    assert_non_null(strstr(get(w, "/healthz/.."), " 404 "));
}

static void test_metrics_are_made_so_often_at_most(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 20; i++)
        get(w, "/metrics");
    assert_int_equal(w->made, 1);
    w->now += MF_HTTP_FRESH_MS;
    assert_non_null(strstr(get(w, "/metrics"), "test_made_total 2\n"));
}

static void test_other_methods(void **state)
{
    struct world *w = *state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"};
    char text[300];

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        snprintf(text, sizeof(text),
                 "%s /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nabc", methods[i]);
        assert_non_null(strstr(ask(w, text, strlen(text)), "405 Method Not Allowed"));
        assert_non_null(strstr(w->answer, "Allow: GET, HEAD"));
    }
    static const char head[] = "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_true(answered(ask(w, head, strlen(head)), 200, ""));
    assert_int_equal(w->made, 0);
}

static void test_garbage_is_no_request(void **state)
{
    struct world *w = *state;
    char *text = malloc(100000);
    struct mf_random random;

    memset(text, 'x', 100000);
    memcpy(text, "GET /", 5);
    int fd = visitor(w); /* a header without an end */
    for (int i = 0; i < 100 && !closed(fd); i++, turn(w, 10))
        send(fd, text, 1000, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert_null(strstr(hear(w, fd), " 200 "));
    mf_random_seed(&random, 3);
    for (int round = 0; round < 200; round++) {
        size_t len = 1 + mf_random_below(&random, 3000);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)mf_random_next(&random);
        fd = visitor(w);
        send(fd, text, len, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        for (int i = 0; i < 5 && !closed(fd) && turn(w, 5); i++)
            ; /* one that may still become a request is kept, for a while */
        ssize_t n = recv(fd, w->answer, ANSWER_MAX - 1, MSG_DONTWAIT);
        w->answer[n > 0 ? n : 0] = 0;
        assert_null(strstr(w->answer, " 200 "));
        close(fd);
    }
    free(text);
    assert_true(answered(get(w, "/healthz"), 200, "ok\n"));
}

/* However many say nothing, or a byte now and then, the next one is answered. */
static void test_the_silent_keep_nobody_out(void **state)
{
    struct world *w = *state;
    enum { SILENT = 300 };
    static int fds[SILENT];

    for (int i = 0; i < SILENT; i++) {
        fds[i] = visitor(w);
        send(fds[i], "GET /healthz HTTP/1.1\r\nX: ", 1 + (size_t)i % 20, MSG_NOSIGNAL);
        if (i % 7 == 0)
            assert_true(answered(get(w, "/healthz"), 200, "ok\n"));
        turn(w, 0);
    }
    assert_true(answered(get(w, "/healthz"), 200, "ok\n"));
    int open = 0;
    for (int i = 0; i < SILENT; i++) {
        open += !closed(fds[i]);
        close(fds[i]);
    }
    assert_true(open <= MF_HTTP_CONNECTIONS);
}

/* Nothing keeps the loop awake while everybody is idle: not even one who was answered and does not go. */
static void test_idle_visitors_cost_no_turns(void **state)
{
    struct world *w = *state;
    int silent = visitor(w), staying = visitor(w);
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

    send(staying, text, strlen(text), MSG_NOSIGNAL);
    for (int i = 0; i < 50 && !closed(staying); i++) {
        char drop[512];
        turn(w, 10);
        while (recv(staying, drop, sizeof(drop), MSG_DONTWAIT) > 0)
            ;
    }
    assert_true(closed(staying)); /* answered, and let go */
    int busy = 0;
    for (int i = 0; i < 10; i++)
        busy += turn(w, 20) || mf_http_wait(w->http, 20) == 0;
    assert_true(busy <= 4);
    close(silent);
    close(staying);
}

static void test_where(void **state)
{
    static const char *const wrong[] = {"",          "7110",           "localhost:7110", "127.0.0.1",
                                        "[::1:7110", "127.0.0.1:",     "127.0.0.1:x",    "127.0.0.1:70000",
                                        ":7110",     "300.0.0.1:7110", "nonesuch"};
    struct mf_http_pages pages = {.ready = is_ready, .metrics = make_metrics};
    struct world *w = *state;
    struct mf_http *other = NULL;
    char error[512] = "", path[64], text[64] = "";

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(mf_http_check(wrong[i], error), -EINVAL);
        assert_non_null(strstr(error, "--http"));
    }
    assert_int_equal(mf_http_check("none", error), 0);
    assert_int_equal(mf_http_check("[::]:7110", error), 0);
    assert_int_equal(mf_http_check("0.0.0.0:7110", error), 0);
    assert_true(mf_http_open(mf_http_address(w->http), NULL, &pages, &other, error) < 0); /* taken */
    assert_non_null(strstr(error, "--http"));
    assert_int_equal(mf_http_open("none", NULL, &pages, &other, error), 0);
    assert_null(other);
    assert_int_equal(mf_http_fd(other), -1);
    assert_int_equal(mf_http_wait(other, 70), 70);
    mf_http_serve(other, false, 0);
    mf_http_close(&other);
    assert_true(mf_http_open("127.0.0.1:0", "/nowhere/x", &pages, &other, error) < 0);
    snprintf(path, sizeof(path), "/tmp/mf-http-%d", (int)getpid());
    assert_int_equal(mf_http_open("127.0.0.1:0", path, &pages, &other, error), 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    text[strcspn(text, "\n")] = 0;
    assert_string_equal(text, mf_http_address(other));
    mf_http_close(&other);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_a_histogram_adds_up(void **state)
{
    struct mf_histogram h = {0};
    struct mf_buf buf = {0};

    mf_histogram_add(&h, 500);
    mf_histogram_add(&h, 501);
    mf_histogram_add(&h, 3600000000);
    mf_metric_histogram(&buf, "x_seconds", "X.", &h);
    mf_buf_append(&buf, "", 1);
    assert_non_null(strstr(buf.ptr, "x_seconds_bucket{le=\"0.0005\"} 1\nx_seconds_bucket{le=\"0.001\"} 2\n"));
    assert_non_null(strstr(buf.ptr, "x_seconds_bucket{le=\"60\"} 2\nx_seconds_bucket{le=\"+Inf\"} 3\n"
                                    "x_seconds_sum 3600.001001\nx_seconds_count 3\n"));
    mf_buf_free(&buf);
}

static void test_tables(void **state)
{
    const struct mf_metric_row rows[] = {{"x", "X.", 1}, {"y", "Y.", 0.5}, {0}};
    const struct mf_metric_word words[] = {{"a", 2}, {"b", 3}, {0}};
    struct mf_buf buf = {0};

    mf_metric_rows(&buf, MF_GAUGE, rows);
    mf_metric_words(&buf, "z", MF_COUNTER, "Z.", "kind", words);
    mf_buf_append(&buf, "", 1);
    assert_string_equal((const char *)buf.ptr, "# HELP x X.\n# TYPE x gauge\nx 1\n"
                                               "# HELP y Y.\n# TYPE y gauge\ny 0.5\n"
                                               "# HELP z Z.\n# TYPE z counter\n"
                                               "z{kind=\"a\"} 2\nz{kind=\"b\"} 3\n");
    mf_buf_free(&buf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_pages),
        TEST(test_metrics_are_made_so_often_at_most),
        TEST(test_other_methods),
        TEST(test_garbage_is_no_request),
        TEST(test_the_silent_keep_nobody_out),
        TEST(test_idle_visitors_cost_no_turns),
        TEST(test_where),
        cmocka_unit_test(test_a_histogram_adds_up),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
