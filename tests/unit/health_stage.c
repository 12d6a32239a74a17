/* health_stage.c - plays the world around a monitor's core. */
#include "health_stage.h"

enum { ECHO_MS = 2, RELAYED_ECHO_MS = 4 };

struct health_stage stage;

static void trace_alive(const struct mf_msg_monitor_alive *alive)
{
    char line[300];
    if (alive->suspended && !stage.last_alive.suspended) {
        mf_str_format(line, sizeof(line), "%lld suspended: %.*s\n", (long long)(stage.now - stage.mark),
                      (int)alive->reason.len, alive->reason.ptr);
        mf_buf_append(&stage.trace, line, strlen(line));
    } else if (!alive->suspended && stage.last_alive.suspended) {
        mf_str_format(line, sizeof(line), "%lld resumed\n", (long long)(stage.now - stage.mark));
        mf_buf_append(&stage.trace, line, strlen(line));
    }
    stage.last_alive = *alive;
    stage.alives++;
}

static void trace_checked(const struct mf_msg_monitor_checked *c, char line[200])
{
    size_t guest = 0;
    while (guest < GUESTS && !mf_uuid_eq(stage.guests[guest].id, c->id))
        guest++;
    mf_str_format(line, 200, "%lld g%zu %s%s %llu/%llu%s%.*s\n", (long long)(stage.now - stage.mark), guest,
                  c->failed ? "fails" : "passes", c->never_passed ? ", never passed" : "",
                  (unsigned long long)c->passing, (unsigned long long)c->known, c->text.len ? " " : "",
                  (int)c->text.len, c->text.len ? c->text.ptr : "");
}

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
    else if (message->kind == MF_MSG_MONITOR_CHECKED)
        trace_checked(&message->monitor_checked, line);
    else {
        assert_int_equal(message->kind, MF_MSG_MONITOR_ALIVE);
        trace_alive(&message->monitor_alive);
    }
    if (message->kind == MF_MSG_MONITOR_VERDICT)
        stage.last_verdict = *v;
    mf_buf_append(&stage.trace, line, strlen(line));
}

/* -- the network of probes, as keepers make it */

static struct stage_node *by_address(const char *address)
{
    for (size_t i = 0; i < NODES; i++)
        if (strcmp(stage.nodes[i].address, address) == 0)
            return &stage.nodes[i];
    fail_msg("nobody has the address %s", address);
    return NULL;
}

static size_t place_of(const struct stage_node *node)
{
    return (size_t)(node - stage.nodes);
}

/* One datagram, now. */
static bool reaches(size_t from, size_t to)
{
    return !stage.cut[from][to] && mf_random_below(&stage.random, 100) >= stage.loss;
}

/* A probe came to `node` from `from`; its echo goes back there, and to the monitor. */
static void answer(struct stage_node *node, size_t from, const uint8_t *bytes, mf_ms after_ms)
{
    struct mf_pulse echo = {
        .kind = MF_PULSE_ECHO, .epoch = node->epoch, .flags = node->agent_dead ? 0 : MF_PULSE_AGENT_ALIVE};
    struct mf_pulse probe;
    assert_int_equal(mf_pulse_peek(bytes, MF_PULSE_SIZE, &probe), 0);
    if (!reaches(from, place_of(node)))
        return;
    assert_true(probe.kind == MF_PULSE_PROBE && mf_pulse_verify(bytes, node->key));
    node->probed++;
    node->nonce = probe.nonce;
    if (!node->pulsing || !reaches(place_of(node), from) || !reaches(from, MONITOR) ||
        probe.epoch != node->epoch)
        return;
    assert_true(stage.n_echoes < ON_THE_WAY);
    struct stage_datagram *datagram = &stage.echoes[stage.n_echoes++];
    mf_str_format(echo.node, sizeof(echo.node), "%s", node->name);
    echo.counter = ++node->counter;
    echo.nonce = probe.nonce;
    datagram->due = stage.now + after_ms;
    mf_pulse_encode(&echo, node->key, datagram->bytes);
}

static void pass_on(struct stage_node *peer, const uint8_t *bytes)
{
    struct mf_relay relay;
    struct mf_address address;
    char text[MF_ADDRESS_TEXT];
    assert_int_equal(mf_relay_peek(bytes, MF_RELAY_SIZE, &relay), 0);
    if (!reaches(MONITOR, place_of(peer)) || !peer->pulsing)
        return;
    assert_true(mf_relay_verify(bytes, peer->key) && strcmp(relay.head.node, peer->name) == 0 &&
                relay.head.epoch == peer->epoch);
    peer->relays++;
    memcpy(address.host, relay.address, sizeof(address.host));
    address.port = relay.port;
    answer(by_address(mf_address_text(&address, text)), place_of(peer), relay.probe, RELAYED_ECHO_MS);
}

static void datagram_left(const struct mf_health_action *action)
{
    struct stage_node *node = by_address(action->address);
    stage.sent++;
    if (action->len == MF_RELAY_SIZE) {
        pass_on(node, action->bytes);
    } else {
        assert_int_equal(action->len, MF_PULSE_SIZE);
        answer(node, MONITOR, action->bytes, ECHO_MS);
    }
}

static void deliver_echoes(void)
{
    for (size_t i = 0; i < stage.n_echoes;)
        if (stage.echoes[i].due <= stage.now) {
            struct stage_datagram datagram = stage.echoes[i];
            stage.echoes[i] = stage.echoes[--stage.n_echoes];
            stage_feed_bytes(datagram.bytes, sizeof(datagram.bytes));
        } else {
            i++;
        }
}

void stage_cut_way(size_t from, size_t to)
{
    stage.cut[from][to] = true;
}

void stage_cut(size_t a, size_t b)
{
    stage_cut_way(a, b);
    stage_cut_way(b, a);
}

void stage_heal(void)
{
    memset(stage.cut, 0, sizeof(stage.cut));
}

/* -- guests that are looked at */

static void look_begun(const struct mf_health_look *look)
{
    struct stage_look *out = &stage.looks[stage.n_looks++];
    struct stage_guest *guest = stage.guests;
    assert_true(stage.n_looks <= ON_THE_WAY);
    while (strcmp(guest->address, look->address) != 0)
        assert_true(++guest < stage.guests + GUESTS);
    guest->looked++;
    stage.begun++;
    *out = (struct stage_look){.number = look->number,
                               .how = guest->unreachable               ? MF_LOOK_VOID
                                      : guest->broken || guest->silent ? MF_LOOK_FAILED
                                                                       : MF_LOOK_PASSED,
                               .due = stage.now + (guest->silent ? look->timeout_ms : LOOK_MS),
                               .text = guest->silent ? "timed out" : "refused"};
}

static void finish_looks(void)
{
    for (size_t i = 0; i < stage.n_looks;)
        if (stage.looks[i].due <= stage.now) {
            struct stage_look look = stage.looks[i];
            stage.looks[i] = stage.looks[--stage.n_looks];
            stage_feed(&(struct mf_health_event){
                .kind = MF_HEALTH_LOOKED, .look = look.number, .how = look.how, .text = look.text});
        } else {
            i++;
        }
}

void stage_told_guest_as(size_t guest, struct mf_rec_check check)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_GUEST};
    message.monitor_guest.id = stage.guests[guest].id;
    message.monitor_guest.address = mf_str(stage.guests[guest].address);
    message.monitor_guest.checks.items = &check;
    message.monitor_guest.checks.n = 1;
    stage_feed_message(&message);
}

void stage_told_guest(size_t guest)
{
    stage_told_guest_as(guest,
                        (struct mf_rec_check){.kind = MF_CHECK_KIND_TCP, .port = 80, .every_ms = 1000});
}

void stage_withdrawn(size_t guest)
{
    stage_feed_message(
        &(struct mf_message){.kind = MF_MSG_MONITOR_GUEST, .monitor_guest = {.id = stage.guests[guest].id}});
}

/* -- feeding */

void stage_feed(const struct mf_health_event *event)
{
    struct mf_health_action action;
    mf_health_feed(stage.core, stage.now, event);
    mf_health_check(stage.core);
    while (mf_health_poll(stage.core, &action)) {
        struct mf_buf head = {0}, body = {0};
        if (action.kind == MF_HEALTH_DATAGRAM) {
            datagram_left(&action);
            continue;
        }
        if (action.kind == MF_HEALTH_LOOK) {
            look_begun(&action.look);
            continue;
        }
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
                             .guests = node->guests,
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
    struct mf_label rack = {.key = mf_str("rack"), .value = mf_str(node->rack)};
    message.monitor_node = (struct mf_msg_monitor_node){.probe_address = mf_str(node->address),
                                                        .labels = {&rack, node->rack[0] ? 1 : 0},
                                                        .node = mf_str(node->name),
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
    for (size_t i = 0; i < stage.n_echoes; i++)
        if (stage.echoes[i].due < next)
            next = stage.echoes[i].due;
    for (size_t i = 0; i < stage.n_looks; i++)
        if (stage.looks[i].due < next)
            next = stage.looks[i].due;
    return next < stage.now ? stage.now : next;
}

void stage_run_to(mf_ms ms)
{
    while (next_time() <= stage.mark + ms) {
        stage.now = next_time();
        for (size_t i = 0; i < NODES; i++)
            if (stage.nodes[i].pulsing && stage.nodes[i].next <= stage.now) {
                stage.nodes[i].next += PULSE_MS;
                if (reaches(i, MONITOR))
                    stage_beat(&stage.nodes[i]);
            }
        deliver_echoes();
        finish_looks();
        stage_feed_kind(MF_HEALTH_TICK);
    }
    stage.now = stage.mark + ms;
}

void stage_set_mark(void)
{
    stage.mark = stage.now;
    mf_buf_clear(&stage.trace);
}

bool stage_said(const char *words)
{
    mf_buf_append(&stage.trace, "", 1);
    stage.trace.len--;
    return strstr(stage.trace.ptr, words) != NULL;
}

void stage_assert_trace(const char *expected)
{
    mf_buf_append(&stage.trace, "", 1);
    assert_string_equal(stage.trace.ptr, expected);
    mf_buf_clear(&stage.trace);
}

void stage_begin_some(size_t n)
{
    stage_feed_kind(MF_HEALTH_LINK_UP);
    stage_welcome();
    for (size_t i = 0; i < n; i++) {
        stage_told(&stage.nodes[i], true, MF_NODE_STATE_READY);
        stage_start_pulsing(&stage.nodes[i]);
    }
    stage_run_to(1000);
    stage_set_mark();
}

void stage_begin_two(void)
{
    stage_begin_some(2);
}

static struct mf_health *new_core(bool probe)
{
    struct mf_health_config config;
    mf_health_config_default(&config);
    mf_str_format(config.name, sizeof(config.name), "health-0");
    mf_str_format(config.pulse_address, sizeof(config.pulse_address), "127.0.0.1:7000");
    config.probe = probe;
    return mf_health_new(&config);
}

void stage_without_probes(void)
{
    mf_health_destroy(&stage.core);
    stage.core = new_core(false);
}

int stage_begin(void **state)
{
    memset(&stage, 0, sizeof(stage));
    mf_random_seed(&stage.random, 1);
    stage.core = new_core(true);
    stage.now = stage.mark = 100000;
    for (size_t i = 0; i < GUESTS; i++) {
        stage.guests[i].id.bytes[0] = (uint8_t)(i + 1);
        mf_str_format(stage.guests[i].address, sizeof(stage.guests[i].address), "10.1.0.%zu", i + 1);
    }
    for (size_t i = 0; i < NODES; i++) {
        mf_str_format(stage.nodes[i].name, sizeof(stage.nodes[i].name), "n%zu", i);
        mf_str_format(stage.nodes[i].address, sizeof(stage.nodes[i].address), "10.0.0.%zu:7711", i + 1);
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
