/* vocabulary.c - see vocabulary.h. */
#include "vocabulary.h"
#include "group_rules.h"

#define HELPS "use one of those, or restart the broker: it forgets what its newest snapshot has not"

static bool full_key(const struct mf_broker *b, const char *field, struct mf_str key, char text[256])
{
    if (mf_rules_by_host(key) || mf_pool_takes_key(b->pool, key))
        return false;
    mf_str_format(text, 256, "%s: %.*s is new, and there were %d names of labels before; " HELPS, field,
                  MF_STR_ARG(key), MF_POOL_KEYS_MAX);
    return true;
}

static bool full_labels(const struct mf_broker *b, const char *field, const struct mf_labels *labels,
                        char text[256])
{
    for (uint32_t i = 0; i < labels->n; i++) {
        const struct mf_label *label = &labels->items[i];
        if (full_key(b, field, label->key, text))
            return true;
        if (mf_pool_takes_label(b->pool, label->key, label->value))
            continue;
        mf_str_format(text, 256, "%s: %.*s has a new value, and there were %d labels before; " HELPS, field,
                      MF_STR_ARG(label->key), MF_POOL_LABELS_MAX);
        return true;
    }
    return false;
}

bool mf_vocabulary_full_class(const struct mf_broker *b, struct mf_str class, char text[256])
{
    if (mf_pool_takes_class(b->pool, class))
        return false;
    mf_str_format(text, 256, "class: %.*s is new, and there were %d classes before; " HELPS,
                  MF_STR_ARG(class), MF_POOL_CLASSES_MAX);
    return true;
}

bool mf_vocabulary_full_hello(const struct mf_broker *b, const struct mf_msg_hello *hello, char text[256])
{
    return full_labels(b, "hello.labels", &hello->labels, text) ||
           mf_vocabulary_full_class(b, hello->class, text);
}

bool mf_vocabulary_full_rules(const struct mf_broker *b, const struct mf_labels *require,
                              const struct mf_rec_rules *r, char text[256])
{
    return full_key(b, "rules.spread_by", r->spread_by, text) ||
           full_key(b, "rules.pack_by", r->pack_by, text) ||
           full_key(b, "rules.apart_by", r->apart_by, text) ||
           full_key(b, "rules.with_by", r->with_by, text) ||
           full_key(b, "rules.headroom", r->headroom, text) || full_labels(b, "require", require, text) ||
           full_labels(b, "rules.prefer", &r->prefer, text) ||
           full_labels(b, "rules.forbid", &r->forbid, text);
}
