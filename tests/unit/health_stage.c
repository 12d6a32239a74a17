/* health_stage.c - plays the world around a monitor's core. */
#include "health_stage.h"

struct health_stage stage;

static void trace_message(const struct mf_message *message)
{
    char line[200] = "";
    const struct mf_msg_monitor_verdict *v = &message->monitor_verdict;
    if (message->kind == MF_MSG_MONITOR_HELLO)
        mf_str_format(line, sizeof(line), "%lld hello\n", (long long)(stage.now - stage.mark));
    else if (message->kind == MF_MSG_MONITOR_VERDICT)
        mf_str_format(line, sizeof(line), "%lld %.*s/%llu %s %s %llu/%llu/%llu\n",
                      (long long)(stage.now - stage.mark), (int)v->node.len, v->node.ptr,
                      (unsigned long long)v->epoch, mf_verdict_word(v->verdict),
                      mf_evidence_word(v->evidence), (unsigned long long)v->silent_ms,
                      (unsigned long long)v->closed_ms, (unsigned long long)v->agent_dead_ms);
    else {
        assert_int_equal(message->kind, MF_MSG_MONITOR_ALIVE);
        stage.last_alive = message->monitor_alive;
        stage.alives++;
    }
    mf_buf_append(&stage.trace, line, strlen(line));
}

void stage_feed(const struct mf_health_event *event)
{
    struct mf_health_action action;
    mf_health_feed(stage.core, stage.now, event);
    mf_health_check(stage.core);
    while (mf_health_poll(stage.core, &action)) {
        struct mf_buf head = {0}, body = {0};
        mf_message_encode(action.message, &head, &body); /* asserts that it obeys the table */
        assert_true(mf_may_send(MF_ROLE_MONITOR, action.message->kind));
        mf_buf_free(&head);
        mf_buf_free(&body);
        trace_message(action.message);
    }
    mf_health_check(stage.core);
}

void stage_feed_kind(enum mf_health_event_kind kind)
{
    stage_feed(&(struct mf_health_event){.kind = kind});
}

void stage_feed_message(const struct mf_message *message)
{
    stage_feed(&(struct mf_health_event){.kind = MF_HEALTH_MESSAGE, .message = message});
}

void stage_pulse_bytes(const struct stage_node *node, uint64_t counter, uint8_t ret_bytes[MF_PULSE_SIZE])
{
    struct mf_pulse pulse = {.kind = MF_PULSE_BEAT,
                             .epoch = node->epoch,
                             .counter = counter,
                             .flags = node->agent_dead ? 0 : MF_PULSE_AGENT_ALIVE};
    mf_str_format(pulse.node, sizeof(pulse.node), "%s", node->name);
    mf_pulse_encode(&pulse, node->key, ret_bytes);
}

void stage_feed_bytes(const uint8_t *bytes, size_t len)
{
    stage_feed(&(struct mf_health_event){.kind = MF_HEALTH_PULSE, .bytes = bytes, .len = len});
}

void stage_beat(struct stage_node *node)
{
    uint8_t bytes[MF_PULSE_SIZE];
    stage_pulse_bytes(node, ++node->counter, bytes);
    stage_feed_bytes(bytes, sizeof(bytes));
}

void stage_told(struct stage_node *node, bool connected, enum mf_node_state state)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_NODE};
    message.monitor_node = (struct mf_msg_monitor_node){.node = mf_str(node->name),
                                                        .epoch = node->epoch,
                                                        .pulse_key = {(const char *)node->key, MF_PULSE_KEY},
                                                        .connected = connected,
                                                        .state = state};
    stage_feed_message(&message);
}

void stage_welcome(void)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_WELCOME};
    message.monitor_welcome = (struct mf_msg_monitor_welcome){
        .term = 1, .pulse_ms = PULSE_MS, .silence_ms = SILENCE_MS, .agent_grace_ms = GRACE_MS};
    stage_feed_message(&message);
}

void stage_start_pulsing(struct stage_node *node)
{
    node->pulsing = true;
    node->next = stage.now;
}

static mf_ms next_time(void)
{
    mf_ms next = mf_health_deadline(stage.core);
    for (size_t i = 0; i < NODES; i++)
        if (stage.nodes[i].pulsing && stage.nodes[i].next < next)
            next = stage.nodes[i].next;
    return next < stage.now ? stage.now : next;
}

void stage_run_to(mf_ms ms)
{
    while (next_time() <= stage.mark + ms) {
        stage.now = next_time();
        for (size_t i = 0; i < NODES; i++)
            if (stage.nodes[i].pulsing && stage.nodes[i].next <= stage.now) {
                stage.nodes[i].next += PULSE_MS;
                stage_beat(&stage.nodes[i]);
            }
        stage_feed_kind(MF_HEALTH_TICK);
    }
    stage.now = stage.mark + ms;
}

void stage_set_mark(void)
{
    stage.mark = stage.now;
    mf_buf_clear(&stage.trace);
}

void stage_assert_trace(const char *expected)
{
    mf_buf_append(&stage.trace, "", 1);
    assert_string_equal(stage.trace.ptr, expected);
    mf_buf_clear(&stage.trace);
}

void stage_begin_two(void)
{
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    for (size_t i = 0; i < 2; i++) {
        stage_told(&stage.nodes[i], true, MF_NODE_STATE_READY);
        stage_start_pulsing(&stage.nodes[i]);
    }
    stage_run_to(1000);
    stage_set_mark();
}

int stage_begin(void **state)
{
    struct mf_health_config config;
    mf_health_config_default(&config);
    mf_str_format(config.name, sizeof(config.name), "health-0");
    mf_str_format(config.pulse_address, sizeof(config.pulse_address), "127.0.0.1:7000");
    stage.core = mf_health_new(&config);
    stage.now = stage.mark = 100000;
    stage.alives = 0;
    mf_buf_clear(&stage.trace);
    memset(stage.nodes, 0, sizeof(stage.nodes));
    for (size_t i = 0; i < NODES; i++) {
        mf_str_format(stage.nodes[i].name, sizeof(stage.nodes[i].name), "n%zu", i);
        memset(stage.nodes[i].key, (int)i + 1, MF_PULSE_KEY);
        stage.nodes[i].epoch = 10 + i;
        stage.nodes[i].counter = 1000000;
    }
    return 0;
}

int stage_end(void **state)
{
    mf_health_destroy(&stage.core);
    assert_null(stage.core);
    mf_buf_free(&stage.trace);
    return 0;
}
