/* One provision alone on the null driver, keys on: request sent to instance.running received, against its
 * floor timed in the same rounds: one raw CURVE round trip through one ROUTER-ROUTER hop plus two one-row
 * SQLite FULL commits. bench-provision BROKER KEY_FILE SCRATCH_DIR [ROUNDS] Prints one JSON object; the ratio
 * is p50 / (hop p50 + 2 x commit p50). */
#include "bench.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct hop { /* client DEALER - ROUTER frontend | ROUTER backend - worker DEALER, all CURVE */
    void *context, *frontend, *backend, *worker, *client;
};

static void curve_server(void *socket, const char *secret)
{
    int on = 1;
    zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 41);
}

static void curve_client(void *socket, const char *server_public)
{
    char public[41], secret[41];
    zmq_curve_keypair(public, secret);
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_public, 41);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public, 41);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 41);
}

/* Every message is [worker id][client id][payload] one way and back: the least a broker does. */
static void *hop_run(void *arg)
{
    struct hop *hop = arg;
    for (;;) {
        zmq_pollitem_t items[2] = {{.socket = hop->frontend, .events = ZMQ_POLLIN},
                                   {.socket = hop->backend, .events = ZMQ_POLLIN}};
        if (zmq_poll(items, 2, -1) < 0)
            return NULL;
        char id[256], payload[1024];
        if (items[0].revents) {
            int n = zmq_recv(hop->frontend, id, sizeof id, 0),
                m = zmq_recv(hop->frontend, payload, sizeof payload, 0);
            if (n < 0 || m < 0)
                return NULL;
            zmq_send(hop->backend, "worker", 6, ZMQ_SNDMORE);
            zmq_send(hop->backend, id, (size_t)n, ZMQ_SNDMORE);
            zmq_send(hop->backend, payload, (size_t)m, 0);
        }
        if (items[1].revents) {
            char from[256];
            int k = zmq_recv(hop->backend, from, sizeof from, 0),
                n = zmq_recv(hop->backend, id, sizeof id, 0),
                m = zmq_recv(hop->backend, payload, sizeof payload, 0);
            if (k < 0 || n < 0 || m < 0)
                return NULL;
            zmq_send(hop->frontend, id, (size_t)n, ZMQ_SNDMORE);
            zmq_send(hop->frontend, payload, (size_t)m, 0);
        }
    }
}

static void *hop_worker(void *arg)
{
    struct hop *hop = arg;
    char id[256], payload[1024];
    for (;;) {
        int n = zmq_recv(hop->worker, id, sizeof id, 0),
            m = n < 0 ? -1 : zmq_recv(hop->worker, payload, sizeof payload, 0);
        if (n < 0 || m < 0)
            return NULL;
        zmq_send(hop->worker, id, (size_t)n, ZMQ_SNDMORE);
        zmq_send(hop->worker, payload, (size_t)m, 0);
    }
}

static void hop_open(struct hop *hop)
{
    char public[41], secret[41], endpoint[256];
    size_t size = sizeof endpoint;
    zmq_curve_keypair(public, secret);
    hop->context = zmq_ctx_new();
    hop->frontend = zmq_socket(hop->context, ZMQ_ROUTER);
    hop->backend = zmq_socket(hop->context, ZMQ_ROUTER);
    hop->worker = zmq_socket(hop->context, ZMQ_DEALER);
    hop->client = zmq_socket(hop->context, ZMQ_DEALER);
    curve_server(hop->frontend, secret);
    curve_server(hop->backend, secret);
    curve_client(hop->worker, public);
    curve_client(hop->client, public);
    zmq_setsockopt(hop->worker, ZMQ_ROUTING_ID, "worker", 6);
    zmq_bind(hop->frontend, "tcp://127.0.0.1:*");
    zmq_getsockopt(hop->frontend, ZMQ_LAST_ENDPOINT, endpoint, &size);
    zmq_connect(hop->client, endpoint);
    size = sizeof endpoint;
    zmq_bind(hop->backend, "tcp://127.0.0.1:*");
    zmq_getsockopt(hop->backend, ZMQ_LAST_ENDPOINT, endpoint, &size);
    zmq_connect(hop->worker, endpoint);
    int mandatory = 1;
    zmq_setsockopt(hop->backend, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    while (zmq_send(hop->backend, "worker", 6, ZMQ_SNDMORE) < 0) /* until the worker's handshake is done */
        zmq_poll(NULL, 0, 1);
    zmq_send(hop->backend, "nobody", 6, ZMQ_SNDMORE);
    zmq_send(hop->backend, "", 0, 0);
    pthread_t thread;
    if (pthread_create(&thread, NULL, hop_worker, hop) || pthread_detach(thread) ||
        pthread_create(&thread, NULL, hop_run, hop) || pthread_detach(thread))
        bench_die("no thread");
}

static double hop_once(struct hop *hop)
{
    char payload[512] = {0}, back[1024];
    double began = bench_us();
    zmq_send(hop->client, payload, sizeof payload, 0);
    if (zmq_recv(hop->client, back, sizeof back, 0) != sizeof payload)
        bench_die("the hop broke");
    return bench_us() - began;
}

static sqlite3 *store_open(const char *dir)
{
    char path[4096];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/floor.db", dir);
    if (sqlite3_open(path, &db) ||
        sqlite3_exec(db,
                     "pragma journal_mode=wal; pragma synchronous=full; create table if not exists "
                     "events(seq integer primary key, cause, time_ms, type, subject, data)",
                     NULL, NULL, NULL))
        bench_die("%s: %s", path, sqlite3_errmsg(db));
    return db;
}

static double commit_once(sqlite3 *db, sqlite3_stmt *insert)
{
    static const char data[200];
    double began = bench_us();
    sqlite3_bind_text(insert, 1, "instance.running", -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, "default/web/0#1", -1, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 3, data, sizeof data, SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE)
        bench_die("%s", sqlite3_errmsg(db));
    sqlite3_reset(insert);
    return bench_us() - began;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        bench_die("usage: bench-provision BROKER KEY_FILE SCRATCH_DIR [ROUNDS]");
    int rounds = argc > 4 ? atoi(argv[4]) : 500;
    if (rounds < 10 || rounds > 100000)
        bench_die("ROUNDS: 10..100000");
    double *hops = calloc((size_t)rounds, sizeof *hops),
           *commits = calloc(2 * (size_t)rounds, sizeof *commits),
           *whole = calloc((size_t)rounds, sizeof *whole);
    struct hop hop;
    hop_open(&hop);
    sqlite3 *db = store_open(argv[3]);
    sqlite3_stmt *insert;
    if (sqlite3_prepare_v2(db,
                           "insert into events(cause, time_ms, type, subject, data) values(0, 0, ?, ?, ?)",
                           -1, &insert, NULL))
        bench_die("%s", sqlite3_errmsg(db));
    struct bench_client client;
    bench_client_open(&client, argv[1], argv[2]);
    bench_client_follow(&client, 1, "instance.running");
    bench_client_follow(&client, 2, "instance.gone");
    unsigned long run = (unsigned long)(bench_us() * 1000) & 0xffffffff;
    for (int i = -10; i < rounds; i++) { /* ten rounds to warm up */
        int at = i < 0 ? 0 : i;
        hops[at] = hop_once(&hop);
        commits[2 * at] = commit_once(db, insert);
        commits[2 * at + 1] = commit_once(db, insert);
        whole[at] = bench_client_birth(&client, run, i + 10, (struct mf_str){0});
    }
    double hop_p50 = bench_percentile(hops, (size_t)rounds, .5),
           commit_p50 = bench_percentile(commits, 2 * (size_t)rounds, .5);
    double p50 = bench_percentile(whole, (size_t)rounds, .5),
           p99 = bench_percentile(whole, (size_t)rounds, .99);
    printf("{\"bench\": \"provision-null\", \"rounds\": %d, \"hop_us_p50\": %.0f, \"commit_us_p50\": %.0f, "
           "\"floor_us\": %.0f, "
           "\"provision_us_p50\": %.0f, \"provision_us_p99\": %.0f, \"ratio_p50\": %.2f}\n",
           rounds, hop_p50, commit_p50, hop_p50 + 2 * commit_p50, p50, p99, p50 / (hop_p50 + 2 * commit_p50));
    return 0;
}
