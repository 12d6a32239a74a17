/* The ledger: I1 from the client's side. Each request is asked one at a time and seen through, so what its
 * groups must be in the end follows from the answers alone. */
#include "client_ledger.h"
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_sim_ledger_init(struct mf_sim_ledger *self, struct mf_sim_world *world, enum mf_role role,
                        const char *name)
{
    self->world = world;
    snprintf(self->key, sizeof(self->key), "%s:%s", mf_role_word(role), name);
    for (int i = 0; i < MF_SIM_GROUPS; i++)
        snprintf(self->groups[i].name, sizeof(self->groups[i].name), "%s-g%d", name, i);
}

void mf_sim_ledger_free(struct mf_sim_ledger *self)
{
    for (size_t i = 0; i < self->n; i++) {
        mf_arena_free(&self->entries[i]->arena);
        free(self->entries[i]);
    }
    free(self->entries);
}

struct mf_sim_entry *mf_sim_ledger_add(struct mf_sim_ledger *self, int group)
{
    void *entries = self->entries;
    mf_sim_grow(&entries, self->n, &self->cap, sizeof(*self->entries));
    self->entries = entries;
    struct mf_sim_entry *entry = mf_sim_alloc(sizeof(*entry));
    entry->group = group;
    snprintf(entry->request_id, sizeof(entry->request_id), "r%zu", self->n);
    return self->entries[self->n++] = entry;
}

struct mf_sim_entry *mf_sim_ledger_find(const struct mf_sim_ledger *self, struct mf_str request_id)
{
    for (size_t i = 0; i < self->n; i++)
        if (mf_str_is(request_id, self->entries[i]->request_id))
            return self->entries[i];
    return NULL;
}

static void take_effect(struct mf_sim_ledger *self, const struct mf_sim_entry *entry)
{
    struct mf_sim_intent *group = entry->group < 0 ? NULL : &self->groups[entry->group];
    if (!group)
        return;
    switch (entry->message.kind) {
    case MF_MSG_PROVISION:
        if (!group->active)
            *group = (struct mf_sim_intent){.active = true, .spec = entry->spec};
        group->desired = entry->message.provision.count;
        mf_str_format(group->name, sizeof(group->name), "%.*s", (int)entry->message.provision.group.len,
                      entry->message.provision.group.ptr);
        break;
    case MF_MSG_SCALE:
        group->desired = entry->message.scale.count;
        break;
    case MF_MSG_DESTROY:
        if (mf_str_is(entry->message.destroy.target, group->name))
            group->active = false;
        break;
    default:
        break;
    }
}

void mf_sim_ledger_accepted(struct mf_sim_ledger *self, struct mf_sim_entry *entry,
                            const struct mf_msg_accepted *message)
{
    if (entry->answer == MF_SIM_REFUSED || (entry->answer == MF_SIM_ACCEPTED && entry->seq != message->seq)) {
        mf_sim_fail(self->world, "I1",
                    "%s %s was answered differently before: accepted %llu, now accepted %llu", self->key,
                    entry->request_id, (unsigned long long)entry->seq, (unsigned long long)message->seq);
        return;
    }
    if (entry->answer == MF_SIM_ACCEPTED)
        return;
    entry->answer = MF_SIM_ACCEPTED;
    entry->seq = message->seq;
    take_effect(self, entry);
}

void mf_sim_ledger_refused(struct mf_sim_ledger *self, struct mf_sim_entry *entry,
                           const struct mf_msg_error *message)
{
    enum mf_errcode code = mf_error_value(message->code);
    if (mf_error_retry(code))
        return; /* no answer yet: the client asks again */
    if (entry->answer == MF_SIM_ACCEPTED || (entry->answer == MF_SIM_REFUSED && entry->code != code)) {
        mf_sim_fail(self->world, "I1", "%s %s was answered differently before, now: %.*s", self->key,
                    entry->request_id, (int)message->code.len, message->code.ptr);
        return;
    }
    entry->answer = MF_SIM_REFUSED;
    entry->code = code;
}

static void check_entry(const struct mf_sim_ledger *self, const struct mf_sim_entry *entry)
{
    const struct mf_sim_request *request =
        mf_sim_model_request(self->world->model, self->key, entry->request_id);
    if (entry->answer == MF_SIM_ACCEPTED && (!request || !request->accepted || request->seq != entry->seq))
        mf_sim_fail(self->world, "I1", "%s %s was accepted as row %llu, which the log does not say",
                    self->key, entry->request_id, (unsigned long long)entry->seq);
    if (entry->answer == MF_SIM_REFUSED && request && request->accepted)
        mf_sim_fail(self->world, "I1", "%s %s was refused, but done by row %llu", self->key,
                    entry->request_id, (unsigned long long)request->seq);
}

void mf_sim_ledger_check(const struct mf_sim_ledger *self)
{
    for (size_t i = 0; i < self->n; i++)
        check_entry(self, self->entries[i]);
    for (int i = 0; i < MF_SIM_GROUPS; i++) {
        const struct mf_sim_intent *intent = &self->groups[i];
        const struct mf_sim_group *group = mf_sim_model_active_group(self->world->model, intent->name);
        if (intent->active != (group != NULL) || (group && group->desired != intent->desired))
            mf_sim_fail(
                self->world, "I1", "by its answers group %s is %s with %llu slots, by the log %s with %llu",
                intent->name, intent->active ? "active" : "ended", (unsigned long long)intent->desired,
                group ? "active" : "ended", group ? (unsigned long long)group->desired : 0ull);
    }
}
