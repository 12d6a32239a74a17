/* main.c - mayfly-broker: settings, keys, one loop. All that thinks is in broker/core; all that turns is in
 * loop.c. */
#include "loop.h"
#include "check.h"
#include "http.h"
#include "policy_settings.h"
#include "program.h"
#include "restore.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct settings {
    char *state, *keys, *secret_key_file, *client, *worker, *tail, *pid_file, *restore, *http, *http_file,
        *log_format, *placement_policy, *placement_weights;
    struct mf_place_policy placement; /* as these two say */
    int64_t retain_rows, snapshot_rows;
    int64_t pulse_ms, silence_ms, agent_grace_ms, alive_ms, create_ms, destroy_ms, resend_ms, monitor_ms;
    int64_t lease_ms, renew_ms, doubt_percent;
    int64_t breaker_nodes, breaker_percent, breaker_domain_percent, breaker_window_ms;
    int64_t backoff_ms, backoff_max_ms, request_keep_ms, orders_per_node, list_page;
};

#define TEXT(field, flag, standard, required, doc)                                                           \
    {                                                                                                        \
        flag, MF_SET_STRING, offsetof(struct settings, field), 1, 4000, standard, required, doc              \
    }
#define NUMBER(field, flag, min, max, standard, doc)                                                         \
    {                                                                                                        \
        flag, MF_SET_INT, offsetof(struct settings, field), min, max, standard, false, doc                   \
    }
#define TIME(field, flag, min, max, standard, doc)                                                           \
    {                                                                                                        \
        flag, MF_SET_MS, offsetof(struct settings, field), min, max, standard, false, doc                    \
    }

static const struct mf_setting table[] = {
    TEXT(state, "state", NULL, true,
         "Directory of the store (broker.db) and of `endpoints`; made if absent."),
    TEXT(keys, "keys", NULL, true, "Key directory, as `mayfly key init` makes it."),
    TEXT(secret_key_file, "secret-key-file", NULL, false,
         "Key that seals user-data in the store; default KEYS/user-data.secret, made if absent."),
    TEXT(client, "client", "tcp://127.0.0.1:7100", false, "Client endpoint; port * takes a free one."),
    TEXT(worker, "worker", "tcp://127.0.0.1:7101", false, "Worker endpoint."),
    TEXT(tail, "tail", "tcp://127.0.0.1:7102", false, "Event tail endpoint."),
    TEXT(pid_file, "pid-file", NULL, false, "Write the pid here, locked."),
    TEXT(http, "http", "127.0.0.1:7110", false, MF_HTTP_DOC),
    TEXT(http_file, "http-file", NULL, false, MF_HTTP_FILE_DOC),
    TEXT(log_format, "log-format", NULL, false, MF_LOG_FORMAT_DOC),
    TEXT(
        restore, "restore", NULL, false,
        "A copy made by `mayfly backup`: go on from it, as another history. --state must hold no store yet."),
    NUMBER(retain_rows, "retain-rows", 0, INT64_MAX, "1000000",
           "Events kept for streams below a snapshot; bounds the disk."),
    NUMBER(snapshot_rows, "snapshot-rows", 0, UINT32_MAX, "100000",
           "A snapshot after so many events; 0: never."),
    TIME(pulse_ms, "pulse-ms", 10, 10000, "200", "Pulse interval."),
    TIME(silence_ms, "silence-ms", 30, 600000, "1200",
         "Silence alone that makes a node failed; at least 3 pulses."),
    TIME(agent_grace_ms, "agent-grace-ms", 0, 86400000, "30000",
         "How long an agent may be dead under a living keeper."),
    TIME(alive_ms, "alive-ms", 10, 60000, "1000", "How often a worker says that its session lives."),
    TIME(create_ms, "create-ms", 100, 3600000, "120000", "Deadline of a create."),
    TIME(destroy_ms, "destroy-ms", 100, 3000000, "60000", "Deadline of a destroy, beyond its grace."),
    TIME(resend_ms, "resend-ms", 10, 60000, "500", "First resend of an order that was not acknowledged."),
    TIME(monitor_ms, "monitor-ms", 100, 600000, "2000", "A monitor unheard for so long is lost."),
    TIME(lease_ms, "lease-ms", 100, 3600000, "10000",
         "How long an at-most instance outlives its link to the broker, and how long its successor waits."),
    TIME(renew_ms, "renew-ms", 0, 1800000, "0",
         "How often such a lease is renewed; at most half of it; 0: a fifth of it."),
    NUMBER(
        doubt_percent, "doubt-percent", 1, 100, "50",
        "A monitor that hears a smaller share of the connected nodes gives no verdict; 1: it always does."),
    NUMBER(breaker_nodes, "breaker-nodes", 0, 1000000, "4",
           "Of so many known nodes up, too many failures at once are held back; 0: never."),
    NUMBER(breaker_percent, "breaker-percent", 1, 100, "30",
           "Of all nodes, how many may fail at once (at least one)."),
    NUMBER(breaker_domain_percent, "breaker-domain-percent", 1, 100, "60",
           "Of the nodes with one label rack=, if there are three or more, how many may fail at once."),
    TIME(breaker_window_ms, "breaker-window-ms", 0, 3600000, "10000",
         "A failure counts for so long, and until what it lost runs again."),
    TIME(backoff_ms, "backoff-ms", 1, 600000, "500", "First delay after a failed birth."),
    TIME(backoff_max_ms, "backoff-max-ms", 1, 3600000, "60000", "Longest delay after failed births."),
    TIME(request_keep_ms, "request-keep-ms", 1000, INT64_MAX / 2, "86400000",
         "How long a request_id is remembered."),
    NUMBER(orders_per_node, "orders-per-node", 1, 100000, "256", "Orders in flight to one node."),
    NUMBER(list_page, "list-page", 1, 500, "500", "Rows of one list reply."),
    TEXT(placement_policy, "placement-policy", "room", false,
         "Which of the nodes that fit is taken, for groups that do not say: spread, best-fit, first-fit, l2, "
         "dot, "
         "balance or room."),
    TEXT(placement_weights, "placement-weights", NULL, false,
         "Its weights, numbers with commas between them; default the policy's own."),
};

static struct mf_loop *running; /* for the panic hook alone */

static void describe_in_panic(void)
{
    struct mf_buf text = {0};

    if (!running)
        return;
    mf_loop_describe(running, &text);
    if (write(STDERR_FILENO, text.ptr, text.len) < 0) {
        /* nobody reads; the panic goes on */
    }
}

static struct mf_broker_config core_config(const struct settings *s, const uint8_t pulse_secret[32])
{
    struct mf_broker_config c;

    mf_broker_config_default(&c);
    if (getrandom(&c.seed, sizeof(c.seed), 0) != sizeof(c.seed))
        c.seed = (uint64_t)mf_wall();
    memcpy(c.pulse_secret, pulse_secret, sizeof(c.pulse_secret));
    c.pulse_ms = s->pulse_ms;
    c.silence_ms = s->silence_ms;
    c.agent_grace_ms = s->agent_grace_ms;
    c.alive_ms = s->alive_ms;
    c.create_ms = s->create_ms;
    c.destroy_ms = s->destroy_ms;
    c.resend_ms = s->resend_ms;
    c.monitor_ms = s->monitor_ms;
    c.lease_ms = s->lease_ms;
    c.renew_ms = s->renew_ms;
    c.doubt_percent = (uint32_t)s->doubt_percent;
    c.breaker_nodes = (uint32_t)s->breaker_nodes;
    c.breaker_percent = (uint32_t)s->breaker_percent;
    c.breaker_domain_percent = (uint32_t)s->breaker_domain_percent;
    c.breaker_window_ms = s->breaker_window_ms;
    c.backoff_ms = s->backoff_ms;
    c.backoff_max_ms = s->backoff_max_ms;
    c.request_keep_ms = s->request_keep_ms;
    c.orders_per_node = (uint32_t)s->orders_per_node;
    c.list_page = (uint32_t)s->list_page;
    c.snapshot_rows = (uint32_t)s->snapshot_rows;
    c.placement = s->placement;
    return c;
}

/* A connection is a descriptor: take as many as we may have. A file that may not grow is an error of its
 * write, not a death. */
static void set_limits(void)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    /* Large blocks go back to the system when they are freed: the memory of a storm does not stay for good.
     */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int load_keys(const char *dir, struct mf_key *ret_key, uint8_t ret_secret[32],
                     struct mf_keyring **ret_ring, char error[512])
{
    char path[4200];
    int r;

    mf_str_format(path, sizeof(path), "%s/broker.cert_secret", dir);
    if ((r = mf_key_load(path, ret_key, error)) < 0 || (r = mf_keys_pulse_secret(dir, ret_secret, error)) < 0)
        return r;
    return mf_keyring_open(dir, ret_ring, error);
}

static int run(const struct settings *s, int signals, char error[512])
{
    struct mf_key key;
    struct mf_keyring *ring = NULL;
    uint8_t secret[32];
    char store_path[4200];
    struct mf_loop_options options = {.engine = &mf_store_sqlite, .retain_rows = (uint64_t)s->retain_rows};
    int r;

    if ((r = mf_state_dir(s->state, 0700, error)) < 0 || (r = mf_pidfile(s->pid_file, error)) < 0 ||
        (r = load_keys(s->keys, &key, secret, &ring, error)) < 0)
        return r;
    mf_str_format(store_path, sizeof(store_path), "%s/broker.db", s->state);
    options.store_path = store_path;
    options.state_dir = s->state;
    options.secret_key_file = s->secret_key_file;
    options.keys_dir = s->keys;
    options.key = &key;
    options.ring = ring;
    options.client_endpoint = s->client;
    options.worker_endpoint = s->worker;
    options.tail_endpoint = s->tail;
    options.http = s->http;
    options.http_file = s->http_file;
    options.core = core_config(s, secret);
    if (s->restore) {
        r = mf_restore(options.engine, &options.core, s->restore, store_path, error);
        if (r == 0)
            mf_log(MF_LOG_WARNING, "the store was restored from a copy; another history begins", "copy=%s",
                   s->restore);
    }
    if (r == 0)
        r = mf_loop_open(&options, &running, error);
    if (r == 0) {
        mf_log(MF_LOG_INFO, "ready", "%s http=%s", mf_loop_endpoints(running), mf_loop_http(running));
        mf_ready(mf_loop_endpoints(running));
        r = mf_loop_run(running, signals, error);
        mf_notify_stopping();
        mf_loop_close(&running);
    }
    mf_keyring_close(&ring);
    return r;
}

static int check_together(struct settings *s, char error[1024])
{
    if (s->placement_policy && /* none after --help */
        mf_policy_settings(s->placement_policy, s->placement_weights, &s->placement, error) < 0)
        return -EINVAL;
    if (s->silence_ms < 3 * s->pulse_ms)
        mf_str_format(error, 1024, "--silence-ms must be at least 3 times --pulse-ms");
    else if (2 * s->renew_ms > s->lease_ms)
        mf_str_format(error, 1024, "--renew-ms must be at most half of --lease-ms");
    else
        return s->http ? mf_http_check(s->http, error) : 0; /* none after --help */
    return -EINVAL;
}

int main(int argc, char **argv)
{
    struct mf_arena arena = {0};
    struct settings settings = {0};
    char error[1024] = "", quoted[512];
    int signals = mf_signals_open(), r;

    mf_notify_open();
    r = mf_settings_load("mayfly-broker", "the brain of a Mayfly cluster", table,
                         sizeof(table) / sizeof(table[0]), argc, argv, &arena, &settings, error);
    if (r >= 0 && mf_log_format_open(settings.log_format, error) < 0)
        r = -EINVAL;
    if (r >= 0 && check_together(&settings, error) < 0)
        r = -EINVAL; /* --check-config wants to know, too */
    if (r < 0) {
        fprintf(stderr, "mayfly-broker: %s\n", error);
        mf_arena_free(&arena);
        return 2;
    }
    if (r > 0) { /* help was shown, or the settings were only to be checked */
        mf_arena_free(&arena);
        return 0;
    }
    mf_log_open("mayfly-broker", "broker", MF_LOG_INFO);
    set_limits();
    mf_panic_hook = describe_in_panic;
    r = run(&settings, signals, error);
    if (r < 0)
        mf_log(MF_LOG_ERROR, "cannot go on", "error=%s", mf_log_quote(error, quoted));
    else
        mf_log(MF_LOG_INFO, "stopped", "state=%s", settings.state);
    mf_arena_free(&arena);
    return r < 0;
}
