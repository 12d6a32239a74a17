/* checks.c - guests that are looked at, the looks that are out, and what they come to. */
#include "checks.h"
#include "arena.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { EVERY_MS = 5000, TIMEOUT_MS = 2000, FALL = 3 };
enum { JITTER = 5 };  /* a fifth of the interval in all */
enum { A_TURN = 16 }; /* looks begun in one turn of the loop, which has pulses to read */

void mf_checks_begin(struct mf_checks *self, const struct mf_health_config *config)
{
    MF_CHECK(config->check_looks > 0);
    *self = (struct mf_checks){.guests = mf_map_new(),
                               .out = mf_map_new(),
                               .networks = config->check_networks,
                               .guests_max = config->check_guests,
                               .looks_max = config->check_looks,
                               .next_look = 1};
    mf_random_seed(&self->random, config->seed ^ 0x636865636b73);
}

/* ------------------------------------------------------------------ what is known of one guest */

/* A guest passes while none of its checks failed last, and none still waits for its first answer. */
static bool passes(const struct mf_watched *guest)
{
    for (unsigned i = 0; i < guest->n; i++)
        if (!guest->looked[i].passed || guest->looked[i].failed)
            return false;
    return true;
}

static bool passed_once(const struct mf_watched *guest)
{
    for (unsigned i = 0; i < guest->n; i++)
        if (!guest->looked[i].passed)
            return false;
    return true;
}

static void count(struct mf_checks *self, struct mf_watched *guest, bool known)
{
    bool once = known && passed_once(guest), now = known && passes(guest);

    self->once += (size_t)once - (size_t)guest->counted_once;
    self->now += (size_t)now - (size_t)guest->counted_now;
    guest->counted_once = once;
    guest->counted_now = now;
}

/* The check that makes it failing; NULL if none does. */
static const struct mf_looked *worst(const struct mf_watched *guest)
{
    for (unsigned i = 0; i < guest->n; i++)
        if (guest->looked[i].failed >= guest->looked[i].fall)
            return &guest->looked[i];
    return NULL;
}

static void judge(struct mf_checks *self, struct mf_watched *guest, mf_ms now)
{
    bool failing = worst(guest) != NULL;

    count(self, guest, true);
    if (failing == guest->failing)
        return;
    guest->failing = failing;
    self->failing += failing ? 1 : (size_t)-1;
    mf_heap_set(&self->says, &guest->say, now);
}

/* ------------------------------------------------------------------ told of guests */

/* Whoever did not have an answer yet has none any more; the look has its end all the same. */
static void disown(struct mf_checks *self, struct mf_looked *looked)
{
    mf_heap_unset(&self->due, &looked->timer);
    if (looked->out)
        mf_map_del_u64(self->out, looked->out);
    looked->out = 0;
}

static void forget(struct mf_checks *self, struct mf_watched *guest)
{
    count(self, guest, false);
    self->failing -= guest->failing;
    for (unsigned i = 0; i < guest->n; i++)
        disown(self, &guest->looked[i]);
    mf_heap_unset(&self->says, &guest->say);
    mf_map_del_uuid(self->guests, guest->id);
    free(guest);
}

void mf_checks_forget(struct mf_checks *self)
{
    struct mf_watched *guest;

    for (size_t cursor = 0; mf_map_next(self->guests, &cursor, (void **)&guest);)
        forget(self, guest);
    self->resting = false;
}

void mf_checks_turn(struct mf_checks *self)
{
    self->begun = 0;
}

void mf_checks_free(struct mf_checks *self)
{
    mf_checks_forget(self);
    mf_map_destroy(&self->guests);
    mf_map_destroy(&self->out);
    mf_heap_free(&self->due);
    mf_heap_free(&self->says);
}

static struct mf_looked made_of(const struct mf_rec_check *check)
{
    mf_ms every = check->every_ms ? (mf_ms)check->every_ms : EVERY_MS;
    mf_ms timeout = check->timeout_ms ? (mf_ms)check->timeout_ms : TIMEOUT_MS;
    struct mf_looked looked = {
        .kind = check->kind,
        .port = (uint16_t)check->port,
        .every_ms = every < MF_CHECKS_EVERY_MIN_MS ? MF_CHECKS_EVERY_MIN_MS : every,
        .timeout_ms = timeout > MF_CHECKS_TIMEOUT_MAX_MS ? MF_CHECKS_TIMEOUT_MAX_MS : timeout,
        .fall = check->fall ? (unsigned)check->fall : FALL,
    };

    mf_str_format(looked.path, sizeof(looked.path), "%.*s", (int)check->path.len,
                  check->path.len ? check->path.ptr : "");
    return looked;
}

static bool same_check(const struct mf_looked *a, const struct mf_rec_check *told)
{
    struct mf_looked b = made_of(told);

    return a->kind == b.kind && a->port == b.port && strcmp(a->path, b.path) == 0 &&
           a->every_ms == b.every_ms && a->timeout_ms == b.timeout_ms && a->fall == b.fall;
}

static bool same(const struct mf_watched *guest, const struct mf_msg_monitor_guest *told)
{
    bool same = mf_str_is(told->address, guest->address) && guest->n == told->checks.n;

    for (unsigned i = 0; same && i < guest->n; i++)
        same = same_check(&guest->looked[i], &told->checks.items[i]);
    return same;
}

static mf_ms jittered(struct mf_checks *self, mf_ms every)
{
    return every - every / (2 * JITTER) +
           (mf_ms)mf_random_below(&self->random, (uint64_t)(every / JITTER) + 1);
}

/* The first looks are spread over the interval: all guests of a broker that came back are told at once. */
static void add(struct mf_checks *self, const struct mf_msg_monitor_guest *told, mf_ms now)
{
    struct mf_watched *guest = calloc(1, sizeof(*guest) + told->checks.n * sizeof(guest->looked[0]));

    MF_CHECK(guest);
    guest->id = told->id;
    mf_str_format(guest->address, sizeof(guest->address), "%.*s", (int)told->address.len, told->address.ptr);
    mf_map_put_uuid(self->guests, told->id, guest);
    for (; guest->n < told->checks.n; guest->n++) {
        struct mf_looked *looked = &guest->looked[guest->n];
        *looked = made_of(&told->checks.items[guest->n]);
        looked->guest = guest;
        mf_heap_set(&self->due, &looked->timer,
                    now + (mf_ms)mf_random_below(&self->random, (uint64_t)looked->every_ms));
    }
}

void mf_checks_told(struct mf_checks *self, const struct mf_msg_monitor_guest *told, mf_ms now)
{
    struct mf_watched *guest = mf_map_get_uuid(self->guests, told->id);
    char address[MF_GUEST_ADDRESS];

    if (guest && same(guest, told))
        return;
    if (guest)
        forget(self, guest);
    if (!told->address.len || !told->checks.n)
        return;
    mf_str_format(address, sizeof(address), "%.*s", (int)told->address.len, told->address.ptr);
    if (told->address.len >= sizeof(address) || !mf_networks_have(&self->networks, address))
        self->outside++;
    else if (mf_map_size(self->guests) >= self->guests_max)
        self->beyond++;
    else
        add(self, told, now);
}

/* ------------------------------------------------------------------ looks */

bool mf_checks_poll(struct mf_checks *self, mf_ms now, struct mf_health_look *ret_look)
{
    struct mf_looked *looked;

    if (self->resting || self->n_out >= self->looks_max || self->begun >= A_TURN)
        return false;
    looked = (struct mf_looked *)mf_heap_take(&self->due, now);
    if (!looked)
        return false;
    looked->out = self->next_look++;
    mf_map_put_u64(self->out, looked->out, looked);
    self->n_out++;
    self->begun++;
    *ret_look = (struct mf_health_look){.number = looked->out,
                                        .address = looked->guest->address,
                                        .port = looked->port,
                                        .kind = looked->kind,
                                        .path = looked->path,
                                        .timeout_ms = looked->timeout_ms};
    return true;
}

static void failed(struct mf_checks *self, struct mf_looked *looked, const char *text)
{
    self->failed++;
    if (looked->failed < looked->fall)
        looked->failed++;
    mf_str_format(looked->text, sizeof(looked->text), "%s", text ? text : "");
}

void mf_checks_done(struct mf_checks *self, uint64_t look, enum mf_look_end how, const char *text, mf_ms now)
{
    struct mf_looked *looked = mf_map_del_u64(self->out, look);

    MF_CHECK(self->n_out > 0);
    self->n_out--;
    if (!looked) /* nobody's any more */
        return;
    looked->out = 0;
    mf_heap_set(&self->due, &looked->timer, now + jittered(self, looked->every_ms));
    if (how == MF_LOOK_PASSED) {
        self->passed++;
        looked->passed = true;
        looked->failed = 0;
    } else if (how == MF_LOOK_VOID || look < self->void_below) {
        self->pardoned++;
    } else {
        failed(self, looked, text);
    }
    judge(self, looked->guest, now);
}

void mf_checks_pardon(struct mf_checks *self)
{
    self->void_below = self->next_look;
}

/* What failed just before it was in doubt may have failed for the same reason: it begins to count anew. */
static void begin_anew(struct mf_checks *self, struct mf_watched *guest, mf_ms now)
{
    for (unsigned i = 0; i < guest->n; i++)
        guest->looked[i].failed = 0;
    judge(self, guest, now);
}

void mf_checks_rest(struct mf_checks *self, bool resting, mf_ms now)
{
    struct mf_watched *guest;

    self->resting = resting;
    mf_checks_pardon(self);
    for (size_t cursor = 0; resting && mf_map_next(self->guests, &cursor, (void **)&guest);)
        begin_anew(self, guest, now);
}

/* ------------------------------------------------------------------ words */

static struct mf_str why(const struct mf_watched *guest, struct mf_arena *arena)
{
    const struct mf_looked *looked = worst(guest);
    char *text = mf_arena_alloc(arena, 256);
    bool v6 = strchr(guest->address, ':') != NULL;

    return mf_str_format(text, 256, "%s %s%s%s:%u%.60s: %s, %u in a row", mf_check_kind_word(looked->kind),
                         v6 ? "[" : "", guest->address, v6 ? "]" : "", looked->port, looked->path,
                         looked->text, looked->failed);
}

bool mf_checks_say(struct mf_checks *self, mf_ms now, struct mf_arena *arena,
                   struct mf_msg_monitor_checked *ret_word)
{
    struct mf_watched *guest = (struct mf_watched *)mf_heap_take(&self->says, now);

    if (!guest)
        return false;
    *ret_word = (struct mf_msg_monitor_checked){.id = guest->id,
                                                .failed = guest->failing,
                                                .never_passed = !passed_once(guest),
                                                .known = self->once,
                                                .passing = self->now};
    if (guest->failing) {
        ret_word->text = why(guest, arena);
        mf_heap_set(&self->says, &guest->say, now + MF_CHECKS_SAY_MS);
    }
    return true;
}

/* ------------------------------------------------------------------ looking in */

void mf_checks_check(const struct mf_checks *self)
{
    struct mf_watched *guest;
    size_t once = 0, now = 0, failing = 0;

    MF_CHECK(mf_map_size(self->out) <= self->n_out && self->n_out <= self->looks_max);
    MF_CHECK(mf_map_size(self->guests) <= self->guests_max);
    for (size_t cursor = 0; mf_map_next(self->guests, &cursor, (void **)&guest);) {
        once += guest->counted_once;
        now += guest->counted_now;
        failing += guest->failing;
        MF_CHECK(guest->failing == (worst(guest) != NULL));
        MF_CHECK(!guest->failing || guest->say.place);
        for (unsigned i = 0; i < guest->n; i++)
            MF_CHECK(!guest->looked[i].out != !guest->looked[i].timer.place);
    }
    MF_CHECK(once == self->once && now == self->now && now <= once && failing == self->failing);
}
