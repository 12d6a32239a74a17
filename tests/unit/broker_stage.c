/* broker_stage.c - see broker_stage.h. */
#include "broker_stage.h"
#include "describe.h"
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these first */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const mf_ms WALL = 1750000000000; /* the wall clock at virtual zero */

/* ------------------------------------------------------------------ the trace */

__attribute__((format(printf, 2, 3))) static void note(struct stage *s, const char *format, ...)
{
    char line[2048];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    mf_buf_append(&s->trace, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* Ids and digests are left out: they are chance, and the subject says who it is. */
static void note_fields(struct stage *s, const struct mf_desc *desc, const char *what)
{
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];
        const void *at = what + field->offset;
        const struct mf_str *str = at;
        if (field->kind == MF_F_U64 && *(const uint64_t *)at)
            note(s, " %s=%llu", field->name, *(const unsigned long long *)at);
        else if (field->kind == MF_F_BOOL && *(const bool *)at)
            note(s, " %s", field->name);
        else if ((field->kind == MF_F_STR || field->kind == MF_F_NAME) && str->len)
            note(s, " %s=\"%.*s\"", field->name, (int)str->len, str->ptr);
        else if (field->kind == MF_F_ENUM && *(const unsigned *)at)
            note(s, " %s=%s", field->name, field->words->words[*(const unsigned *)at]);
    }
}

static void note_row(struct stage *s, const struct mf_broker_row *row)
{
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_event event;

    assert_int_equal(mf_event_decode(row->kind, row->data, &arena, &event, &error), 0);
    note(s, "%6lld  %3llu <- %-3llu %-20s %.*s", (long long)(row->time_ms - WALL),
         (unsigned long long)row->seq, (unsigned long long)row->cause, mf_kind_desc(row->kind)->wire,
         (int)row->subject.len, row->subject.ptr);
    note_fields(s, mf_kind_desc(row->kind), (const char *)&event.cluster_created);
    note(s, "\n");
    mf_arena_free(&arena);
}

static void note_sent(struct stage *s, uint64_t peer, const struct mf_message *m)
{
    int node = stage_node_of(s, peer);

    note(s, "%6lld        to ", (long long)s->now);
    if (node >= 0)
        note(s, "node-%d", node);
    else
        note(s, "%s", peer == STAGE_CLIENT ? "client" : peer == STAGE_MONITOR ? "monitor" : "a peer");
    note(s, ": %s", mf_kind_desc(m->kind)->wire);
    if (m->kind == MF_MSG_ORDER_CREATE)
        note(s, " %.*s/%llu#%llu", (int)m->order_create.group.len, m->order_create.group.ptr,
             (unsigned long long)m->order_create.slot, (unsigned long long)m->order_create.generation);
    if (m->kind == MF_MSG_ORDER_CREATE || m->kind == MF_MSG_ORDER_DESTROY)
        note(s, " order %llu epoch %llu", (unsigned long long)m->order_create.order_id,
             (unsigned long long)m->order_create.epoch);
    if (m->kind == MF_MSG_ERROR)
        note(s, " %.*s: %.*s", (int)m->error.code.len, m->error.code.ptr, (int)m->error.text.len,
             m->error.text.ptr);
    note(s, "\n");
}

/* ------------------------------------------------------------------ the fake edge */

static void keep_row(struct stage *s, const struct mf_broker_row *row)
{
    struct stage_row kept = {.row = *row, .bytes = malloc(row->subject.len + row->data.len + 1)};

    if (s->n_rows)
        assert_int_equal(row->seq, s->rows[s->n_rows - 1].row.seq + 1);
    memcpy(kept.bytes, row->subject.ptr, row->subject.len);
    memcpy(kept.bytes + row->subject.len, row->data.ptr, row->data.len);
    kept.row.subject.ptr = kept.bytes;
    kept.row.data.ptr = kept.bytes + row->subject.len;
    s->rows = realloc(s->rows, (s->n_rows + 1) * sizeof(*s->rows));
    s->rows[s->n_rows++] = kept;
    note_row(s, row);
}

static void keep_sent(struct stage *s, uint64_t peer, const struct mf_message *message)
{
    struct stage_sent *sent = &s->sent[s->n_sent];
    struct mf_buf head = {0};
    struct mf_decode_error error;
    int node;

    assert_true(s->n_sent < STAGE_SENT_MAX);
    *sent = (struct stage_sent){.peer = peer};
    mf_message_encode(message, &head, &sent->body);
    if (mf_message_decode((struct mf_str){head.ptr, (uint32_t)head.len},
                          (struct mf_str){sent->body.ptr, (uint32_t)sent->body.len}, &sent->arena,
                          &sent->message, &error))
        fail_msg("%s", error.text);
    mf_buf_free(&head);
    s->n_sent++;
    node = stage_node_of(s, peer);
    if (message->kind == MF_MSG_WELCOME && node >= 0)
        s->epoch[node] = message->welcome.epoch;
    note_sent(s, peer, message);
}

static void drain(struct stage *s)
{
    struct mf_broker_action action;

    while (mf_broker_poll(s->b, &action)) {
        switch (action.kind) {
        case MF_BROKER_APPEND:
            keep_row(s, &action.row);
            break;
        case MF_BROKER_SEND:
            keep_sent(s, action.peer, action.message);
            break;
        case MF_BROKER_CLOSE:
            s->closed[s->n_closed++ % 64] = action.peer;
            break;
        case MF_BROKER_STREAM_READ:
            snprintf(s->read_type, sizeof(s->read_type), "%.*s", (int)action.type_prefix.len,
                     action.type_prefix.ptr);
            snprintf(s->read_subject, sizeof(s->read_subject), "%.*s", (int)action.subject_prefix.len,
                     action.subject_prefix.ptr);
            s->reads[s->n_reads++ % 64] = action;
            break;
        case MF_BROKER_SNAPSHOT:
            s->n_snapshots++;
            break;
        }
    }
}

static void feed_one(struct stage *s, struct mf_broker_event *event)
{
    s->fed = s->now;
    event->wall_ms = WALL + s->now;
    mf_broker_feed(s->b, s->now, event);
    mf_broker_check(s->b);
    drain(s);
}

void stage_breaker(struct stage *s, uint32_t nodes)
{
    s->config.breaker_nodes = s->b->config.breaker_nodes = nodes;
}

void stage_commit(struct stage *s, uint64_t seq)
{
    feed_one(s, &(struct mf_broker_event){.kind = MF_BROKER_COMMITTED, .seq = seq});
}

/* An edge that is never late: every deadline before now was kept. */
static void keep_deadlines(struct stage *s)
{
    mf_ms now = s->now, deadline;

    while (s->started && !s->late && (deadline = mf_broker_deadline(s->b)) < now) {
        s->now = deadline > s->fed ? deadline : s->fed;
        feed_one(s, &(struct mf_broker_event){.kind = MF_BROKER_TICK});
        assert_true(mf_broker_deadline(s->b) > s->now);
    }
    s->now = now;
}

void stage_feed(struct stage *s, struct mf_broker_event event)
{
    keep_deadlines(s);
    feed_one(s, &event);
    s->started = true;
    while (!s->hold && s->n_rows && mf_broker_committed(s->b) < s->rows[s->n_rows - 1].row.seq)
        stage_commit(s, s->rows[s->n_rows - 1].row.seq);
}

void stage_pass(struct stage *s, mf_ms ms)
{
    mf_ms end = s->now + ms;

    while (s->now < end) {
        mf_ms deadline = mf_broker_deadline(s->b);
        s->now = deadline < end ? (deadline > s->now ? deadline : s->now) : end;
        stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_TICK});
        assert_true(mf_broker_deadline(s->b) > s->now); /* or the edge would spin */
    }
}

void stage_raw(struct stage *s)
{
    *s = (struct stage){.next_handle = 1000, .sent = calloc(STAGE_SENT_MAX, sizeof(*s->sent))};
    mf_broker_config_default(&s->config);
    s->config.placement =
        mf_place_policy_named(MF_POLICY_NAME_SPREAD); /* births go where there is most room */
    s->config.seed = 42;
    s->config.breaker_nodes = 0; /* these stages are small, and lose most of their nodes; see stage_breaker */
    s->b = mf_broker_new(&s->config);
}

void stage_open(struct stage *s)
{
    stage_raw(s);
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_START});
    stage_pass(s, STAGE_GRACE);
    stage_client(s, (struct mf_message){.kind = MF_MSG_IMAGE_ADD,
                                        .image_add = {.request_id = mf_str("i"),
                                                      .image = {.name = mf_str("tiny"),
                                                                .kernel = mf_str("vmlinuz"),
                                                                .kernel_sha256 = {{1}},
                                                                .initrd = mf_str("initrd"),
                                                                .initrd_sha256 = {{2}}}}});
    stage_client(
        s, (struct mf_message){
               .kind = MF_MSG_OFFERING_ADD,
               .offering_add = {
                   .request_id = mf_str("o"),
                   .offering = {.name = mf_str("small"), .vcpus = 1, .memory_mib = 100, .disk_mib = 1000}}});
}

void stage_forget_sent(struct stage *s)
{
    for (size_t i = 0; i < s->n_sent; i++) {
        mf_arena_free(&s->sent[i].arena);
        mf_buf_free(&s->sent[i].body);
    }
    s->n_sent = 0;
}

static void forget_rows(struct stage *s, size_t keep)
{
    while (s->n_rows > keep)
        free(s->rows[--s->n_rows].bytes);
}

void stage_close(struct stage *s)
{
    mf_broker_destroy(&s->b);
    assert_null(s->b);
    stage_forget_sent(s);
    forget_rows(s, 0);
    free(s->rows);
    free(s->sent);
    mf_buf_free(&s->trace);
}

struct mf_broker *stage_load(const struct stage *s, const struct stage_record *records, size_t n_records,
                             size_t from_row)
{
    struct mf_broker *b = mf_broker_new(&s->config);
    char text[256];

    for (size_t i = 0; i < n_records; i++)
        if (mf_broker_load_snapshot(b, mf_str(records[i].id),
                                    (struct mf_str){records[i].data.ptr, (uint32_t)records[i].data.len},
                                    text))
            fail_msg("%s", text);
    for (size_t i = from_row; i < s->n_rows; i++)
        if (mf_broker_load_row(b, &s->rows[i].row, text))
            fail_msg("%s", text);
    mf_broker_check(b);
    return b;
}

void stage_restart(struct stage *s, size_t keep_rows)
{
    mf_broker_destroy(&s->b);
    forget_rows(s, keep_rows);
    s->config.seed++;
    s->started = false;
    s->b = stage_load(s, NULL, 0, 0);
    memset(s->worker, 0, sizeof(s->worker));
    note(s, "%6lld        -- the broker starts again\n", (long long)s->now);
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_START});
}

/* ------------------------------------------------------------------ players */

static struct mf_digest body_digest(const struct mf_message *m)
{
    struct mf_buf head = {0}, body = {0};
    struct mf_digest digest;

    mf_message_encode(m, &head, &body);
    digest = mf_digest_make(body.ptr, body.len);
    mf_buf_free(&head);
    mf_buf_free(&body);
    return digest;
}

void stage_say(struct stage *s, uint64_t handle, enum mf_role role, const char *name,
               struct mf_message message)
{
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_MESSAGE,
                                           .peer = {.handle = handle, .role = role, .name = mf_str(name)},
                                           .message = &message,
                                           .body_digest = body_digest(&message)});
}

void stage_client(struct stage *s, struct mf_message message)
{
    stage_say(s, STAGE_CLIENT, MF_ROLE_OPERATOR, "ann", message);
}

void stage_monitor(struct stage *s, struct mf_message message)
{
    stage_say(s, STAGE_MONITOR, MF_ROLE_MONITOR, "health-0", message);
}

uint64_t stage_monitor_handle(int monitor)
{
    return monitor == 0 ? STAGE_MONITOR : 100 + (uint64_t)monitor;
}

void stage_monitor_as(struct stage *s, int monitor, struct mf_message message)
{
    char name[16];

    snprintf(name, sizeof(name), "health-%d", monitor);
    stage_say(s, stage_monitor_handle(monitor), MF_ROLE_MONITOR, name, message);
}

void stage_worker(struct stage *s, int node, struct mf_message message)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", node);
    stage_say(s, s->worker[node], MF_ROLE_WORKER, name, message);
}

void stage_gone(struct stage *s, uint64_t handle)
{
    stage_feed(s, (struct mf_broker_event){.kind = MF_BROKER_PEER_GONE, .peer = {.handle = handle}});
}

int stage_node_of(const struct stage *s, uint64_t handle)
{
    for (int i = 0; i < STAGE_NODES; i++)
        if (s->worker[i] == handle && handle)
            return i;
    return -1;
}

struct mf_message stage_hello_message(int node)
{
    static char machines[STAGE_NODES][16];

    snprintf(machines[node], sizeof(machines[node]), "machine-%d", node);
    return (struct mf_message){.kind = MF_MSG_HELLO,
                               .hello = {.machine_id = mf_str(machines[node]),
                                         .boot_id = mf_str("boot-1"),
                                         .started_ms = 1,
                                         .capacity = {.vcpus = 4, .memory_mib = 1000, .disk_mib = 10000},
                                         .class = mf_str("standard"),
                                         .driver = mf_str("null"),
                                         .fences = true}};
}

void stage_hello_as(struct stage *s, int node, struct mf_message hello)
{
    s->worker[node] = ++s->next_handle;
    s->epoch[node] = 0; /* it does nothing until it is welcomed */
    stage_worker(s, node, hello);
}

void stage_hello(struct stage *s, int node, const struct mf_rec_guest *guests, uint32_t n)
{
    struct mf_message hello = stage_hello_message(node);

    hello.hello.guests.items = (struct mf_rec_guest *)guests;
    hello.hello.guests.n = n;
    stage_hello_as(s, node, hello);
}

void stage_monitor_hello(struct stage *s)
{
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_HELLO,
                                         .monitor_hello = {.pulse_address = mf_str("127.0.0.1:7000")}});
}

void stage_verdict(struct stage *s, int node, enum mf_verdict verdict)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", node);
    stage_monitor(s, (struct mf_message){.kind = MF_MSG_MONITOR_VERDICT,
                                         .monitor_verdict = {.node = mf_str(name),
                                                             .epoch = s->epoch[node],
                                                             .verdict = verdict,
                                                             .evidence = MF_EVIDENCE_CLOSED,
                                                             .silent_ms = 1200}});
}

void stage_vote(struct stage *s, int monitor, int node, enum mf_verdict verdict, enum mf_evidence evidence)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%d", node);
    stage_monitor_as(s, monitor,
                     (struct mf_message){.kind = MF_MSG_MONITOR_VERDICT,
                                         .monitor_verdict = {.node = mf_str(name),
                                                             .epoch = s->epoch[node],
                                                             .verdict = verdict,
                                                             .evidence = evidence,
                                                             .silent_ms = 1200,
                                                             .asked = 3,
                                                             .echoes = 1}});
}

struct mf_message stage_provision_message(struct stage *s, const char *group, uint64_t count)
{
    static char id[8][32];
    char *mine = id[s->next_request % 8];

    snprintf(mine, sizeof(id[0]), "p%llu", (unsigned long long)++s->next_request);
    return (struct mf_message){.kind = MF_MSG_PROVISION,
                               .provision = {.request_id = mf_str(mine),
                                             .group = mf_str(group),
                                             .count = count,
                                             .image = mf_str("tiny"),
                                             .offering = mf_str("small")}};
}

void stage_provision(struct stage *s, const char *group, uint64_t count)
{
    stage_client(s, stage_provision_message(s, group, count));
}

void stage_provision_at_most(struct stage *s, const char *group, uint64_t count)
{
    struct mf_message message = stage_provision_message(s, group, count);

    message.provision.policy = MF_POLICY_AT_MOST;
    stage_client(s, message);
}

void stage_ask_lease(struct stage *s, int node)
{
    stage_worker(s, node,
                 (struct mf_message){.kind = MF_MSG_LEASE_ASK,
                                     .lease_ask = {.epoch = s->epoch[node], .ask_id = ++s->next_report}});
}

void stage_scale(struct stage *s, const char *group, uint64_t count)
{
    char id[32];

    snprintf(id, sizeof(id), "s%llu", (unsigned long long)++s->next_request);
    stage_client(
        s, (struct mf_message){.kind = MF_MSG_SCALE,
                               .scale = {.request_id = mf_str(id), .group = mf_str(group), .count = count}});
}

void stage_destroy(struct stage *s, const char *target)
{
    char id[32];

    snprintf(id, sizeof(id), "d%llu", (unsigned long long)++s->next_request);
    stage_client(s, (struct mf_message){.kind = MF_MSG_DESTROY,
                                        .destroy = {.request_id = mf_str(id), .target = mf_str(target)}});
}

const struct mf_message *stage_last(const struct stage *s, uint64_t peer, enum mf_kind kind)
{
    for (size_t i = s->n_sent; i-- > 0;)
        if ((!peer || s->sent[i].peer == peer) && s->sent[i].message.kind == kind)
            return &s->sent[i].message;
    return NULL;
}

size_t stage_count_sent(const struct stage *s, enum mf_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_sent; i++)
        n += s->sent[i].message.kind == kind;
    return n;
}

void stage_answer(struct stage *s, int node, const struct mf_message *order, const char *code)
{
    bool create = order->kind == MF_MSG_ORDER_CREATE;

    stage_worker(
        s, node,
        (struct mf_message){.kind = MF_MSG_ORDER_RESULT,
                            .order_result = {.report_id = ++s->next_report,
                                             .order_id = create ? order->order_create.order_id
                                                                : order->order_destroy.order_id,
                                             .epoch = s->epoch[node],
                                             .id = create ? order->order_create.id : order->order_destroy.id,
                                             .operation = create ? MF_OPERATION_CREATE : MF_OPERATION_DESTROY,
                                             .code = mf_str(code)}});
}

void stage_answer_all(struct stage *s)
{
    for (size_t i = 0; i < s->n_sent; i++) {
        struct mf_message order = s->sent[i].message; /* the list grows while we go */
        int node = stage_node_of(s, s->sent[i].peer);
        if (node >= 0 && (order.kind == MF_MSG_ORDER_CREATE || order.kind == MF_MSG_ORDER_DESTROY))
            stage_answer(s, node, &order, "ok");
    }
    stage_forget_sent(s);
}

void stage_death_as(struct stage *s, int node, struct mf_uuid id, enum mf_death how, const char *text)
{
    stage_worker(s, node,
                 (struct mf_message){.kind = MF_MSG_FACT_DEATH,
                                     .fact_death = {.report_id = ++s->next_report,
                                                    .epoch = s->epoch[node],
                                                    .id = id,
                                                    .how = how,
                                                    .text = mf_str(text)}});
}

void stage_death(struct stage *s, int node, struct mf_uuid id)
{
    stage_death_as(s, node, id, MF_DEATH_EXITED, "killed by signal 9");
}

/* ------------------------------------------------------------------ what is */

struct mf_instance *stage_current(const struct stage *s, const char *group, uint32_t slot)
{
    const struct mf_group *g = mf_group_active(s->b, mf_str(group));

    return g && slot < g->n_slots ? g->slots[slot]->current : NULL;
}

const struct stage_row *stage_row_of(const struct stage *s, enum mf_kind kind)
{
    for (size_t i = s->n_rows; i-- > 0;)
        if (s->rows[i].row.kind == kind)
            return &s->rows[i];
    return NULL;
}

size_t stage_count_rows(const struct stage *s, enum mf_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_rows; i++)
        n += s->rows[i].row.kind == kind;
    return n;
}

size_t stage_count_state(const struct stage *s, enum mf_instance_state state)
{
    struct mf_broker_instance_view view;
    size_t cursor = 0, n = 0;

    while (mf_broker_next_instance(s->b, &cursor, &view))
        n += view.state == state;
    return n;
}

void stage_golden(struct stage *s, const char *name)
{
    char path[512], *text;
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/%s.trace", MAYFLY_TRACES, name);
    if (getenv("MAYFLY_TRACE_WRITE")) {
        file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(s->trace.ptr, 1, s->trace.len, file), s->trace.len);
        assert_int_equal(fclose(file), 0);
        return;
    }
    file = fopen(path, "r");
    if (!file)
        fail_msg("%s is missing; run with MAYFLY_TRACE_WRITE=1 to write it", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    rewind(file);
    text = calloc(1, (size_t)size + 1);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    fclose(file);
    mf_buf_append(&s->trace, "", 1);
    if (strcmp(text, s->trace.ptr) != 0) {
        fprintf(stderr,
                "---- now:\n%s---- %s differs; MAYFLY_TRACE_WRITE=1 writes it anew, then read the diff\n",
                s->trace.ptr, path);
        free(text);
        fail_msg("trace %s differs", name);
    }
    free(text);
}

struct records {
    struct stage_record items[1024];
    size_t n;
};

static void record(void *arg, const char *id, struct mf_str data)
{
    struct records *records = arg;
    struct stage_record *r = &records->items[records->n++];

    assert_true(records->n <= sizeof(records->items) / sizeof(*records->items));
    snprintf(r->id, sizeof(r->id), "%s", id);
    mf_buf_append(&r->data, data.ptr, data.len);
}

static void same(const struct stage *s, struct mf_broker *other)
{
    struct mf_buf lived = {0}, loaded = {0};

    mf_describe_fold(s->b, &lived);
    mf_describe_fold(other, &loaded);
    mf_buf_append(&lived, "", 1);
    mf_buf_append(&loaded, "", 1);
    assert_string_equal(lived.ptr, loaded.ptr);
    mf_buf_free(&lived);
    mf_buf_free(&loaded);
    mf_broker_destroy(&other);
}

void stage_reloads(const struct stage *s)
{
    struct records *records = calloc(1, sizeof(*records));

    same(s, stage_load(s, NULL, 0, 0));
    mf_broker_snapshot(s->b, record, records);
    same(s, stage_load(s, records->items, records->n, s->n_rows));
    while (records->n)
        mf_buf_free(&records->items[--records->n].data);
    free(records);
}

void stage_operator(struct stage *s, enum mf_kind kind, const char *name)
{
    struct mf_message message = {.kind = kind};
    char id[32];

    snprintf(id, sizeof(id), "w%llu", (unsigned long long)++s->next_request);
    if (kind == MF_MSG_IMAGE_RELEASE)
        message.image_release =
            (struct mf_msg_image_release){.request_id = mf_str(id), .image = mf_str(name)};
    else /* the bodies of the words about nodes are alike */
        message.node_cordon = (struct mf_msg_node_cordon){.request_id = mf_str(id), .node = mf_str(name)};
    stage_client(s, message);
}
