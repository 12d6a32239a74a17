/* script.c - commands on stdin, one a line; what was measured on stdout, one JSON object a line.
 *
 *   kill N silent|crash      N random nodes at once: cut off with their connection open, or dead and closed
 *   return                   all of them
 *   loss PERCENT             of every datagram the swarm sends
 *   stall MS EVERY_MS        each node now and then stands still for so long; MS 0 ends it
 *   die N                    N random guests end by themselves
 *   await-replaced MS        until each guest of the last kill is ordered anew; tells how long it took
 *   report                   counts
 *   quit                     (so does the end of stdin) */
#include "swarm.h"
#include "check.h"
#include "program.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

struct swarm_script {
    char line[4096];
    size_t len;
    /* of the last kill */
    struct mf_map *lost; /* ids of guests on killed nodes that no order replaces yet: to `lost` itself */
    size_t n_lost;
    mf_ms killed_at, *waits; /* when each was ordered anew, after the kill */
    size_t n_ordered;
    struct swarm_alarm patience; /* of an await; and what comes behind it */
    bool waiting, ended;
};

static void tell_replaced(struct swarm *swarm);
static void obey_lines(struct swarm *swarm);

/* -- measures */

void swarm_script_joined(struct swarm *swarm)
{
    printf("{\"measure\":\"joined\",\"nodes\":%zu,\"ms\":%" PRId64 "}\n", swarm->n_nodes,
           swarm->now - swarm->opened);
    fflush(stdout);
}

void swarm_script_ordered(struct swarm *swarm, const struct mf_msg_order_create *order)
{
    struct swarm_script *s = swarm->script;
    swarm->counts.orders++;
    if (!s->lost || mf_uuid_is_zero(order->replaces) || !mf_map_del_uuid(s->lost, order->replaces))
        return;
    s->waits[s->n_ordered++] = mf_now() - s->killed_at;
    if (s->waiting && s->n_ordered == s->n_lost)
        tell_replaced(swarm);
}

static void go_on(struct swarm *swarm, struct swarm_alarm *alarm)
{
    obey_lines(swarm);
}

static int ascending(const void *a, const void *b)
{
    mf_ms x = *(const mf_ms *)a, y = *(const mf_ms *)b;
    return (x > y) - (x < y);
}

static void tell_replaced(struct swarm *swarm)
{
    struct swarm_script *s = swarm->script;
    size_t n = s->n_ordered;
    s->waiting = false;
    s->patience.fire = go_on;
    swarm_set(swarm, &s->patience, swarm->now);
    qsort(s->waits, n, sizeof *s->waits, ascending);
    printf("{\"measure\":\"replaced\",\"lost\":%zu,\"ordered\":%zu,\"first_ms\":%" PRId64
           ",\"p50_ms\":%" PRId64 ",\"last_ms\":%" PRId64 "}\n",
           s->n_lost, n, n ? s->waits[0] : -1, n ? s->waits[n / 2] : -1, n ? s->waits[n - 1] : -1);
    fflush(stdout);
}

static void patience_over(struct swarm *swarm, struct swarm_alarm *alarm)
{
    tell_replaced(swarm);
}

static void await_replaced(struct swarm *swarm, mf_ms ms)
{
    struct swarm_script *s = swarm->script;
    s->waiting = true;
    s->patience.fire = patience_over;
    swarm_set(swarm, &s->patience, swarm->now + ms);
    if (s->n_ordered == s->n_lost)
        tell_replaced(swarm);
}

static void report(struct swarm *swarm)
{
    const struct swarm_counts *c = &swarm->counts;
    struct rusage usage;
    size_t up = 0, guests = 0;
    getrusage(RUSAGE_SELF, &usage);
    for (size_t i = 0; i < swarm->n_nodes; i++) {
        const struct swarm_node *node = &swarm->nodes[i];
        up += node->state == SWARM_UP && mf_worker_welcomed(node->worker);
        guests += node->n_guests;
    }
    printf("{\"measure\":\"report\",\"up\":%zu,\"guests\":%zu,\"messages\":%" PRIu64 ",\"orders\":%" PRIu64
           ",\"creates\":%" PRIu64 ",\"destroys\":%" PRIu64 ",\"deaths\":%" PRIu64 ",\"beats\":%" PRIu64
           ",\"echoes\":%" PRIu64 ",\"relays\":%" PRIu64 ",\"fenced\":%" PRIu64 ",\"dropped\":%" PRIu64
           ",\"rss_kib\":%ld,\"cpu_ms\":%ld}\n",
           up, guests, c->messages, c->orders, c->creates, c->destroys, c->deaths, c->beats, c->echoes,
           c->relays, c->fenced, c->dropped, usage.ru_maxrss,
           (long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
               (long)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
    fflush(stdout);
}

/* -- faults */

static void forget_lost(struct swarm_script *s)
{
    mf_map_destroy(&s->lost);
    free(s->waits);
    s->waits = NULL;
    s->n_lost = s->n_ordered = 0;
}

static void note_lost(struct swarm_script *s, const struct swarm_node *node)
{
    for (size_t i = 0; i < node->n_guests; i++)
        mf_map_put_uuid(s->lost, node->guests[i].id, s);
    s->n_lost += node->n_guests;
}

static struct swarm_node *random_up(struct swarm *swarm)
{
    size_t at = (size_t)mf_random_below(&swarm->random, swarm->n_nodes);
    for (size_t i = 0; i < swarm->n_nodes; i++) {
        struct swarm_node *node = &swarm->nodes[(at + i) % swarm->n_nodes];
        if (node->state == SWARM_UP)
            return node;
    }
    return NULL;
}

static void kill_nodes(struct swarm *swarm, unsigned long n, bool crash)
{
    struct swarm_script *s = swarm->script;
    struct swarm_node *node;
    forget_lost(s);
    s->lost = mf_map_new();
    s->killed_at = mf_now();
    printf("{\"measure\":\"killed\",\"how\":\"%s\",\"wall_ms\":%" PRId64 ",\"nodes\":[",
           crash ? "crash" : "silent", mf_wall());
    for (unsigned long i = 0; i < n && (node = random_up(swarm)); i++) {
        note_lost(s, node);
        printf("%s\"%s\"", i ? "," : "", node->name);
        swarm_node_kill(node, crash);
    }
    s->waits = calloc(s->n_lost + 1, sizeof *s->waits);
    MF_CHECK(s->waits);
    printf("],\"guests\":%zu,\"took_ms\":%" PRId64 "}\n", s->n_lost, mf_now() - s->killed_at);
    fflush(stdout);
}

static void return_all(struct swarm *swarm)
{
    for (size_t i = 0; i < swarm->n_nodes; i++)
        if (swarm->nodes[i].state == SWARM_SILENT || swarm->nodes[i].state == SWARM_CRASHED)
            swarm_node_return(&swarm->nodes[i]);
}

static void stall(struct swarm *swarm, unsigned long ms, unsigned long every_ms)
{
    swarm->stall_ms = (mf_ms)ms;
    swarm->stall_every_ms = (mf_ms)(every_ms ? every_ms : 1);
    for (size_t i = 0; i < swarm->n_nodes; i++)
        swarm_keeper_stall_soon(&swarm->nodes[i]);
}

static void die(struct swarm *swarm, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++)
        swarm_guests_die(&swarm->nodes[mf_random_below(&swarm->random, swarm->n_nodes)]);
}

/* -- lines */

static void obey(struct swarm *swarm, char *line)
{
    char word[32] = "", how[16] = "";
    unsigned long a = 0, b = 0;
    if (sscanf(line, "kill %lu %15s", &a, how) == 2 && (!strcmp(how, "silent") || !strcmp(how, "crash")))
        kill_nodes(swarm, a, !strcmp(how, "crash"));
    else if (sscanf(line, "loss %lu", &a) == 1 && a <= 100)
        swarm->loss_percent = (unsigned)a;
    else if (sscanf(line, "stall %lu %lu", &a, &b) >= 1)
        stall(swarm, a, b);
    else if (sscanf(line, "die %lu", &a) == 1)
        die(swarm, a);
    else if (sscanf(line, "await-replaced %lu", &a) == 1)
        await_replaced(swarm, (mf_ms)a);
    else if (sscanf(line, "%31s", word) == 1 && !strcmp(word, "return"))
        return_all(swarm);
    else if (!strcmp(word, "report"))
        report(swarm);
    else if (!strcmp(word, "quit"))
        swarm->stopping = true;
    else if (*word)
        fprintf(stderr, "mayfly-swarm: no such command: %s\n", line);
}

/* Lines that came behind an await stay in the buffer until it is over. */
static void obey_lines(struct swarm *swarm)
{
    struct swarm_script *s = swarm->script;
    char *end;
    while (!s->waiting && (end = memchr(s->line, '\n', s->len))) {
        size_t used = (size_t)(end - s->line) + 1;
        char line[sizeof s->line];
        memcpy(line, s->line, used);
        line[used - 1] = 0;
        memmove(s->line, end + 1, s->len -= used);
        obey(swarm, line);
    }
    if (s->ended && !s->waiting)
        swarm->stopping = true;
}

void swarm_script_read(struct swarm *swarm)
{
    struct swarm_script *s = swarm->script;
    ssize_t n = read(STDIN_FILENO, s->line + s->len, sizeof s->line - s->len);
    if (n > 0)
        s->len += (size_t)n;
    if (n <= 0 || s->len == sizeof s->line) { /* its end, or more than anybody has to say at once */
        epoll_ctl(swarm->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        s->ended = true;
    }
    obey_lines(swarm);
}

void swarm_script_open(struct swarm *swarm)
{
    swarm->script = calloc(1, sizeof *swarm->script);
    MF_CHECK(swarm->script);
    printf("{\"measure\":\"open\",\"client\":\"%s\",\"key\":\"%s\"}\n", swarm->cluster.client,
           swarm->cluster.admin_key);
    fflush(stdout);
    swarm_poll(swarm, STDIN_FILENO, SWARM_SOURCE_SCRIPT, false);
}

void swarm_script_close(struct swarm *swarm)
{
    if (!swarm->script)
        return;
    forget_lost(swarm->script);
    free(swarm->script);
}
