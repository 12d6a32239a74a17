/* watches.c - see watches.h. Monitors are told of each guest that is current and well, has an address, and
 * whose group has checks. Their words are kept like votes on nodes: in memory, and said again while they are
 * meant. What a majority of the known monitors says ends the guest, unless
 *
 * - the monitor that says it misses most of the guests that it saw before: then it rather is blind, and its
 *   words are held;
 * - the cluster is frozen, the broker doubts itself, or the guest's node is away or in doubt: that decides;
 * - so many ended for this reason lately that one more would be too many: it waits for its turn. */
#include "watches.h"
#include "address.h"
#include "check.h"
#include "grace.h"
#include "journal.h"
#include "out.h"
#include "votes.h"
#include "wellbeing.h"

#include <stdlib.h>
#include <string.h>

enum { MISSED = 2, BOOT_MS = 300000 }; /* missed: fewer are no reason to doubt a monitor's sight */

/* ------------------------------------------------------------------ who is looked at */

static bool is_wanted(const struct mf_instance *inst)
{
    return inst->current && mf_instance_well(inst) && mf_watch_address_of(inst).len &&
           mf_group_of(inst)->health.checks.n;
}

static void tell(struct mf_broker *b, const struct mf_monitor *monitor, const struct mf_watch *watch)
{
    struct mf_message message = {.kind = MF_MSG_MONITOR_GUEST, .monitor_guest = {.id = watch->id}};

    if (!monitor->peer)
        return;
    if (watch->told) {
        const struct mf_rec_guest_health *health = &mf_group_of(watch->inst)->health;
        message.monitor_guest.address = mf_str(watch->address);
        message.monitor_guest.checks.items = health->checks.items;
        message.monitor_guest.checks.n = health->checks.n;
    }
    mf_send(b, monitor->peer, &message);
}

static void tell_all(struct mf_broker *b, const struct mf_watch *watch)
{
    for (size_t i = 0; i < b->n_monitors; i++)
        tell(b, &b->monitors[i], watch);
}

void mf_watches_tell(struct mf_broker *b, const struct mf_monitor *monitor)
{
    for (const struct mf_watch *watch = b->watches.first; watch; watch = watch->next)
        if (watch->told)
            tell(b, monitor, watch);
}

/* ------------------------------------------------------------------ words that are held */

static void say_held(struct mf_broker *b, const struct mf_monitor *monitor,
                     const struct mf_msg_monitor_checked *word)
{
    struct mf_event event = {
        .kind = MF_EV_CHECKS_HELD,
        .checks_held = {.monitor = mf_str(monitor->name), .known = word->known, .passing = word->passing}};

    mf_journal(b, 0, &event, mf_str("cluster"));
    b->watches.held_seq = b->seq;
}

static void say_released(struct mf_broker *b)
{
    struct mf_event event = {
        .kind = MF_EV_CHECKS_RELEASED,
        .checks_released = {.reason =
                                mf_str("they pass, are gone, or their monitor sees most of the others")}};

    mf_journal(b, b->watches.held_seq, &event, mf_str("cluster"));
    b->watches.held_seq = 0;
}

/* To be called before anything more happens in this feed: the rows tell it in order. */
static void settle_held(struct mf_broker *b)
{
    if (b->watches.held_seq && !b->watches.n_held)
        say_released(b);
}

/* ------------------------------------------------------------------ words */

static struct mf_word *word_of(struct mf_watch *watch, const struct mf_monitor *monitor)
{
    for (uint32_t i = 0; i < watch->n_words; i++)
        if (watch->words[i].monitor == monitor->id)
            return &watch->words[i];
    return NULL;
}

static struct mf_word *keep_word(struct mf_watch *watch, const struct mf_monitor *monitor)
{
    struct mf_word *word = word_of(watch, monitor);

    if (word)
        return word;
    watch->words = realloc(watch->words, (watch->n_words + 1) * sizeof(*watch->words));
    MF_CHECK(watch->words != NULL);
    word = &watch->words[watch->n_words++];
    *word = (struct mf_word){.monitor = monitor->id};
    return word;
}

static void set_held(struct mf_broker *b, struct mf_word *word, bool held)
{
    b->watches.n_held += (size_t)held - (size_t)word->held;
    word->held = held;
}

static void forget_word(struct mf_broker *b, struct mf_watch *watch, struct mf_word *word)
{
    set_held(b, word, false);
    *word = watch->words[--watch->n_words];
    b->watches.n_failing -= watch->n_words == 0;
}

static void forget_words(struct mf_broker *b, struct mf_watch *watch)
{
    while (watch->n_words)
        forget_word(b, watch, &watch->words[0]);
}

void mf_watches_drop(struct mf_broker *b, const struct mf_monitor *monitor)
{
    for (struct mf_watch *watch = b->watches.first; watch; watch = watch->next) {
        struct mf_word *word = word_of(watch, monitor);
        if (word)
            forget_word(b, watch, word);
    }
    settle_held(b);
}

/* ------------------------------------------------------------------ told of addresses */

static void unlink_watch(struct mf_broker *b, struct mf_watch *watch)
{
    *(watch->prev ? &watch->prev->next : &b->watches.first) = watch->next;
    if (watch->next)
        watch->next->prev = watch->prev;
}

static struct mf_watch *make(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_watch *watch = mf_calloc(sizeof(*watch));

    watch->inst = inst;
    watch->id = inst->id;
    watch->next = b->watches.first;
    if (watch->next)
        watch->next->prev = watch;
    return b->watches.first = inst->watch = watch;
}

/* An IP address without a port; what is none is as good as no address. */
static bool is_address(struct mf_str s)
{
    struct mf_address address;
    char text[MF_WATCH_ADDRESS + 8];

    if (s.len == 0 || s.len >= MF_WATCH_ADDRESS)
        return false;
    mf_str_format(text, sizeof(text), memchr(s.ptr, ':', s.len) ? "[%.*s]:1" : "%.*s:1", MF_STR_ARG(s));
    return mf_address_parse(text, &address) == 0;
}

void mf_watch_address(struct mf_broker *b, struct mf_node *node, const struct mf_msg_guest_address *told)
{
    struct mf_instance *inst = mf_instance_find(b, told->id);
    struct mf_watch *watch = inst ? inst->watch : NULL;
    char address[MF_WATCH_ADDRESS] = "";

    if (!inst || inst->node != node)
        return;
    if (is_address(told->address))
        mf_str_format(address, sizeof(address), "%.*s", MF_STR_ARG(told->address));
    if (!watch && !address[0])
        return;
    if (!watch)
        watch = make(b, inst);
    watch->moved |= strcmp(watch->address, address) != 0;
    memcpy(watch->address, address, sizeof(address));
    watch->epoch = node->epoch;
    mf_watch_touch(b, inst);
}

struct mf_str mf_watch_address_of(const struct mf_instance *inst)
{
    const struct mf_watch *watch = inst->watch;

    if (!watch || !inst->node || watch->epoch != inst->node->epoch || !mf_instance_runs(inst))
        return (struct mf_str){NULL, 0};
    return mf_str(watch->address);
}

/* ------------------------------------------------------------------ changes */

void mf_watch_touch(struct mf_broker *b, struct mf_instance *inst)
{
    struct mf_watch *watch = inst->watch;

    if (!watch || watch->in_changed)
        return;
    watch->in_changed = true;
    watch->next_changed = b->watches.changed;
    b->watches.changed = watch;
}

static void destroy(struct mf_broker *b, struct mf_watch *watch)
{
    unlink_watch(b, watch);
    free(watch->words);
    free(watch);
}

/* Within a row: monitors are told once the rows of this feed are made. */
void mf_watch_gone(struct mf_broker *b, struct mf_instance *inst)
{
    if (!inst->watch)
        return;
    mf_watch_touch(b, inst);
    inst->watch->inst = NULL;
    inst->watch = NULL;
}

void mf_watches_free(struct mf_broker *b)
{
    while (b->watches.first)
        destroy(b, b->watches.first);
}

static void look_again(struct mf_broker *b, struct mf_watch *watch)
{
    bool wanted = watch->inst && is_wanted(watch->inst);

    if (wanted == watch->told && !(wanted && watch->moved))
        return;
    b->watches.n_told += (size_t)wanted - (size_t)watch->told;
    watch->told = wanted;
    watch->moved = false;
    forget_words(b, watch); /* they were about something else */
    tell_all(b, watch);
}

void mf_watches_flush(struct mf_broker *b)
{
    while (b->watches.changed) {
        struct mf_watch *watch = b->watches.changed;
        b->watches.changed = watch->next_changed;
        watch->in_changed = false;
        look_again(b, watch);
        if (!watch->inst)
            destroy(b, watch);
    }
    settle_held(b);
}

/* ------------------------------------------------------------------ what they come to */

/* It saw these guests before, and now it does not see most of them. */
static bool is_blind(const struct mf_broker *b, const struct mf_msg_monitor_checked *word)
{
    uint64_t known = word->known, passing = word->passing < known ? word->passing : known;

    return known - passing >= MISSED && passing * 100 < known * b->config.doubt_percent;
}

/* Where nothing says that it is ready, only its first pass does: until then it may be booting. */
static bool may_be_booting(const struct mf_broker *b, const struct mf_instance *inst,
                           const struct mf_msg_monitor_checked *word)
{
    return word->never_passed && !inst->ready_ms && b->wall_ms - inst->running_ms < BOOT_MS;
}

/* So many may end for this reason in a window, and each pays for its part of it. */
static bool is_too_soon(const struct mf_broker *b, mf_ms *ret_paid)
{
    mf_ms window = b->config.breaker_window_ms, paid = b->watches.paid;
    size_t limit = b->watches.n_told * b->config.breaker_percent / 100;

    if (paid < b->now - window)
        paid = b->now - window;
    *ret_paid = paid + window / (mf_ms)(limit ? limit : 1);
    return b->config.breaker_nodes && *ret_paid > b->now;
}

static bool must_wait(const struct mf_broker *b, const struct mf_instance *inst)
{
    return b->frozen_by.len || mf_grace(b) || !mf_node_up(inst->node) || inst->node->doubts.n;
}

static size_t standing(const struct mf_watch *watch)
{
    size_t n = 0;

    for (uint32_t i = 0; i < watch->n_words; i++)
        n += !watch->words[i].held;
    return n;
}

static void judge(struct mf_broker *b, struct mf_watch *watch, struct mf_str text)
{
    mf_ms paid;

    if (standing(watch) < mf_quorum(b) || must_wait(b, watch->inst) || is_too_soon(b, &paid))
        return;
    b->watches.paid = paid;
    mf_well_ailing(
        b, watch->inst,
        &(struct mf_ailing){.how = MF_AILMENT_CHECK, .text = text.len ? text : mf_str("its check fails")});
}

static void failed(struct mf_broker *b, struct mf_watch *watch, const struct mf_monitor *monitor,
                   const struct mf_msg_monitor_checked *said)
{
    struct mf_word *word;

    if (may_be_booting(b, watch->inst, said))
        return;
    b->watches.n_failing += watch->n_words == 0;
    word = keep_word(watch, monitor);
    set_held(b, word, is_blind(b, said));
    if (word->held && !b->watches.held_seq)
        say_held(b, monitor, said);
    settle_held(b);
    judge(b, watch, said->text);
}

void mf_watches_word(struct mf_broker *b, const struct mf_monitor *monitor,
                     const struct mf_msg_monitor_checked *said)
{
    struct mf_instance *inst = mf_instance_find(b, said->id);
    struct mf_watch *watch = inst ? inst->watch : NULL;
    struct mf_word *word;

    if (!watch || !watch->told || watch->in_changed) { /* it looks at what is over */
        tell(b, monitor, &(struct mf_watch){.id = said->id});
        return;
    }
    word = word_of(watch, monitor);
    if (said->failed && !monitor->suspended) {
        failed(b, watch, monitor, said);
    } else if (word) {
        forget_word(b, watch, word);
        settle_held(b);
    }
}

/* ------------------------------------------------------------------ looking in */

static bool is_known(const struct mf_broker *b, uint32_t monitor)
{
    for (size_t i = 0; i < b->n_monitors; i++)
        if (b->monitors[i].id == monitor)
            return true;
    return false;
}

void mf_watches_check(const struct mf_broker *b)
{
    size_t told = 0, held = 0, failing = 0;

    for (const struct mf_watch *watch = b->watches.first; watch; watch = watch->next) {
        MF_CHECK(watch->inst && watch->inst->watch == watch && mf_uuid_eq(watch->inst->id, watch->id));
        MF_CHECK(watch->told == is_wanted(watch->inst));
        MF_CHECK(watch->told || !watch->n_words);
        for (uint32_t i = 0; i < watch->n_words; i++) {
            MF_CHECK(is_known(b, watch->words[i].monitor));
            held += watch->words[i].held;
        }
        told += watch->told;
        failing += watch->n_words > 0;
    }
    MF_CHECK(told == b->watches.n_told && held == b->watches.n_held && failing == b->watches.n_failing);
    MF_CHECK(!held || b->watches.held_seq);
}
