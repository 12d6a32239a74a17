/* outbox.c - what poll will hand out, in order, and the composing of the messages among it. Everything lives
 * in the arena, which is emptied by the first feed after the last action was handed out. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

struct mf_worker_action *mf_outbox_add(struct mf_worker *self, enum mf_worker_action_kind kind)
{
    if (self->n_actions == self->cap_actions) {
        self->cap_actions = self->cap_actions ? 2 * self->cap_actions : 16;
        self->actions = realloc(self->actions, self->cap_actions * sizeof *self->actions);
        MF_CHECK(self->actions);
    }
    struct mf_worker_action *action = &self->actions[self->n_actions++];
    *action = (struct mf_worker_action){.kind = kind};
    return action;
}

struct mf_message *mf_outbox_say(struct mf_worker *self, enum mf_kind kind)
{
    struct mf_message *message = mf_arena_alloc(&self->arena, sizeof *message);
    message->kind = kind;
    mf_outbox_add(self, MF_WORKER_SEND)->message = message;
    return message;
}

void mf_outbox_session(struct mf_worker *self)
{
    struct mf_worker_action *action = mf_outbox_add(self, MF_WORKER_SESSION);
    action->epoch = self->epoch;
    action->term = self->term;
    action->cluster_id = self->cluster_id;
    action->pulse_key = self->pulse_key;
    action->pulse_ms = self->pulse_ms;
    action->renew_ms = self->renew_ms;
    action->monitors = self->monitors;
    action->n_monitors = self->n_monitors;
}

void mf_outbox_lease(struct mf_worker *self, enum mf_worker_action_kind kind, struct mf_uuid id)
{
    mf_outbox_add(self, kind)->id = id;
}

void mf_outbox_hello(struct mf_worker *self, bool again)
{
    const struct mf_worker_config *config = &self->config;
    struct mf_msg_hello *hello = &mf_outbox_say(self, MF_MSG_HELLO)->hello;
    hello->machine_id = mf_str(config->machine_id);
    hello->boot_id = mf_str(config->boot_id);
    hello->started_ms = (uint64_t)config->started_ms;
    hello->term_seen = self->term;
    hello->cluster_id = self->cluster_id;
    hello->epoch = self->last_epoch;
    hello->capacity = self->capacity;
    hello->cells.n = (uint32_t)self->n_cells;
    hello->cells.items = mf_arena_alloc(&self->arena, sizeof self->cells);
    memcpy(hello->cells.items, self->cells, sizeof self->cells);
    hello->cpu_ratio_percent = config->cpu_ratio_percent;
    hello->class = mf_str(config->class);
    hello->labels = config->labels;
    hello->driver = mf_str(config->driver);
    hello->guests_die_with_me = config->guests_die_with_me;
    hello->probe_address = mf_str(config->probe_address);
    hello->guests.n = mf_guests_inventory(self, &hello->guests.items);
    hello->images.n = (uint32_t)self->n_held;
    hello->images.items = mf_arena_alloc(&self->arena, (self->n_held + 1) * sizeof *self->held);
    if (self->n_held)
        memcpy(hello->images.items, self->held, self->n_held * sizeof *self->held);
    hello->again = again;
    hello->fences = config->fences;
    hello->fences_not = mf_str(config->fences ? "" : config->fences_not);
}

void mf_outbox_inventory(struct mf_worker *self, uint64_t ask_id)
{
    struct mf_msg_inventory *inventory = &mf_outbox_say(self, MF_MSG_INVENTORY)->inventory;
    inventory->ask_id = ask_id;
    inventory->epoch = self->epoch;
    inventory->guests.n = mf_guests_inventory(self, &inventory->guests.items);
}

void mf_outbox_log_tail(struct mf_worker *self, uint64_t ask_id, enum mf_errcode code, struct mf_str log)
{
    struct mf_msg_log_tail *tail = &mf_outbox_say(self, MF_MSG_LOG_TAIL)->log_tail;
    tail->ask_id = ask_id;
    tail->epoch = self->epoch;
    tail->code = mf_str(mf_error_code(code));
    if (code == MF_E_OK)
        tail->text = mf_str_dup(&self->arena, log);
}
