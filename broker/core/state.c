/* state.c - copies that a struct owns, sorted vectors, look-ups and subjects. */
#include "state.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

void *mf_calloc(size_t size)
{
    void *memory = calloc(1, size);

    MF_CHECK(memory != NULL);
    return memory;
}

void mf_alarm_set(struct mf_broker *b, struct mf_rare_alarm **at, enum mf_alarm_kind kind, void *owner,
                  mf_ms when)
{
    if (!*at)
        *at = mf_calloc(sizeof(**at));
    (*at)->alarm.kind = kind;
    (*at)->owner = owner;
    (*at)->at = at;
    mf_heap_set(&b->alarms, &(*at)->alarm.timer, when);
}

void mf_alarm_unset(struct mf_broker *b, struct mf_rare_alarm **at)
{
    if (!*at)
        return;
    mf_heap_unset(&b->alarms, &(*at)->alarm.timer);
    free(*at);
    *at = NULL;
}

struct mf_str mf_own_str(struct mf_str s)
{
    if (s.len == 0)
        return (struct mf_str){NULL, 0};
    char *copy = mf_calloc((size_t)s.len + 1);
    memcpy(copy, s.ptr, s.len);
    return (struct mf_str){copy, s.len};
}

void mf_free_str(struct mf_str *s)
{
    free((char *)s->ptr);
    *s = (struct mf_str){NULL, 0};
}

struct mf_labels mf_own_labels(struct mf_labels labels)
{
    struct mf_labels copy = {.n = labels.n};

    if (labels.n == 0)
        return copy;
    copy.items = mf_calloc(labels.n * sizeof(*copy.items));
    for (uint32_t i = 0; i < labels.n; i++)
        copy.items[i] = (struct mf_label){mf_own_str(labels.items[i].key), mf_own_str(labels.items[i].value)};
    return copy;
}

void mf_free_labels(struct mf_labels *labels)
{
    for (uint32_t i = 0; i < labels->n; i++) {
        mf_free_str(&labels->items[i].key);
        mf_free_str(&labels->items[i].value);
    }
    free(labels->items);
    *labels = (struct mf_labels){NULL, 0};
}

struct mf_rec_guest_health mf_own_health(struct mf_rec_guest_health health)
{
    struct mf_rec_check *checks = health.checks.n ? mf_calloc(health.checks.n * sizeof(*checks)) : NULL;

    for (uint32_t i = 0; i < health.checks.n; i++) {
        checks[i] = health.checks.items[i];
        checks[i].path = mf_own_str(checks[i].path);
    }
    health.checks.items = checks;
    health.ready =
        health.ready ? health.ready : MF_READINESS_NONE; /* as rows of before it was asked have it */
    return health;
}

void mf_free_health(struct mf_rec_guest_health *health)
{
    for (uint32_t i = 0; i < health->checks.n; i++)
        mf_free_str(&health->checks.items[i].path);
    free(health->checks.items);
    *health = (struct mf_rec_guest_health){0};
}

static bool check_eq(const struct mf_rec_check *a, const struct mf_rec_check *c)
{
    return a->kind == c->kind && a->port == c->port && mf_str_eq(a->path, c->path) &&
           a->every_ms == c->every_ms && a->timeout_ms == c->timeout_ms && a->fall == c->fall;
}

bool mf_health_eq(struct mf_rec_guest_health a, struct mf_rec_guest_health c)
{
    if (a.ready != c.ready || a.boot_ms != c.boot_ms || a.ping_ms != c.ping_ms ||
        a.ping_fall != c.ping_fall || a.watchdog != c.watchdog || a.checks.n != c.checks.n)
        return false;
    for (uint32_t i = 0; i < a.checks.n; i++)
        if (!check_eq(&a.checks.items[i], &c.checks.items[i]))
            return false;
    return true;
}

static bool labels_have(struct mf_labels labels, const struct mf_label *want)
{
    for (uint32_t i = 0; i < labels.n; i++)
        if (mf_str_eq(labels.items[i].key, want->key))
            return mf_str_eq(labels.items[i].value, want->value);
    return false;
}

bool mf_labels_eq(struct mf_labels a, struct mf_labels b)
{
    if (a.n != b.n)
        return false;
    for (uint32_t i = 0; i < a.n; i++)
        if (!labels_have(b, &a.items[i]))
            return false;
    return true;
}

int mf_str_cmp(struct mf_str a, struct mf_str b)
{
    uint32_t n = a.len < b.len ? a.len : b.len;
    int cmp = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return cmp ? cmp : (a.len > b.len) - (a.len < b.len);
}

void mf_vec_insert(struct mf_vec *vec, size_t at, void *item)
{
    MF_CHECK(at <= vec->n);
    if (vec->n == vec->cap) {
        vec->cap = vec->cap ? vec->cap * 2 : 16;
        vec->items = realloc(vec->items, vec->cap * sizeof(*vec->items));
        MF_CHECK(vec->items != NULL);
    }
    memmove(vec->items + at + 1, vec->items + at, (vec->n - at) * sizeof(*vec->items));
    vec->items[at] = item;
    vec->n++;
}

void mf_vec_remove(struct mf_vec *vec, void *item)
{
    for (size_t i = 0; i < vec->n; i++)
        if (vec->items[i] == item) {
            memmove(vec->items + i, vec->items + i + 1, (vec->n - i - 1) * sizeof(*vec->items));
            vec->n--;
            return;
        }
    MF_CHECK(!"the item is in the vector");
}

/* Nodes, images and offerings are vectors of structs that differ; each begins or is found by its own name. */
static struct mf_str name_of(const struct mf_broker *b, const struct mf_vec *vec, size_t i)
{
    if (vec == &b->nodes)
        return ((const struct mf_node *)vec->items[i])->name;
    if (vec == &b->images)
        return ((const struct mf_image *)vec->items[i])->rec.name;
    return ((const struct mf_offering *)vec->items[i])->rec.name;
}

static size_t from(const struct mf_broker *b, const struct mf_vec *vec, struct mf_str name)
{
    size_t low = 0, high = vec->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mf_str_cmp(name_of(b, vec, mid), name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t mf_named_from(const struct mf_broker *b, const struct mf_vec *vec, struct mf_str name)
{
    return from(b, vec, name);
}

static void *find(const struct mf_broker *b, const struct mf_vec *vec, struct mf_str name)
{
    size_t at = from(b, vec, name);

    return at < vec->n && mf_str_eq(name_of(b, vec, at), name) ? vec->items[at] : NULL;
}

struct mf_node *mf_node_find(const struct mf_broker *b, struct mf_str name)
{
    return find(b, &b->nodes, name);
}

struct mf_image *mf_image_find(const struct mf_broker *b, struct mf_str name)
{
    return find(b, &b->images, name);
}

struct mf_offering *mf_offering_find(const struct mf_broker *b, struct mf_str name)
{
    return find(b, &b->offerings, name);
}

struct mf_group *mf_group_find(const struct mf_broker *b, struct mf_uuid id)
{
    return mf_map_get_uuid(b->groups_by_id, id);
}

struct mf_instance *mf_instance_find(const struct mf_broker *b, struct mf_uuid id)
{
    return mf_map_get_uuid(b->instances, id);
}

size_t mf_groups_from(const struct mf_broker *b, struct mf_str name, struct mf_uuid id)
{
    size_t low = 0, high = b->groups.n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct mf_group *group = b->groups.items[mid];
        int cmp = mf_str_cmp(group->name, name);
        if (cmp == 0)
            cmp = mf_uuid_cmp(group->id, id);
        if (cmp < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct mf_group *mf_group_active(const struct mf_broker *b, struct mf_str name)
{
    for (size_t i = mf_groups_from(b, name, (struct mf_uuid){{0}}); i < b->groups.n; i++) {
        struct mf_group *group = b->groups.items[i];
        if (!mf_str_eq(group->name, name))
            return NULL;
        if (group->state == MF_GROUP_STATE_ACTIVE)
            return group;
    }
    return NULL;
}

struct mf_str mf_subject_instance(const struct mf_instance *inst, char text[MF_SUBJECT_MAX])
{
    const struct mf_group *group = mf_group_of(inst);

    return mf_str_format(text, MF_SUBJECT_MAX, "%.*s/%.*s/%u#%llu", MF_STR_ARG(group->tenant),
                         MF_STR_ARG(group->name), inst->slot->index, (unsigned long long)inst->generation);
}

struct mf_str mf_subject_group(const struct mf_group *group, char text[MF_SUBJECT_MAX])
{
    return mf_str_format(text, MF_SUBJECT_MAX, "%.*s/%.*s", MF_STR_ARG(group->tenant),
                         MF_STR_ARG(group->name));
}

struct mf_str mf_subject_named(const char *kind, struct mf_str name, char text[MF_SUBJECT_MAX])
{
    return mf_str_format(text, MF_SUBJECT_MAX, "%s/%.*s", kind, MF_STR_ARG(name));
}

bool mf_has(const struct mf_desc *desc, const void *what, const char *name)
{
    uint64_t has;

    memcpy(&has, what, sizeof(has));
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (strcmp(desc->fields[i].name, name) == 0)
            return has >> i & 1;
    MF_CHECK(!"the field exists");
    return false;
}
