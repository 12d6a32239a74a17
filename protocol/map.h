/* map.h - a small hash map from byte keys (a UUID, a name, a number) to pointers, for the cores.
 *
 * Keys are copied in; values stay the caller's and are never NULL. The order of mf_map_next is the order of
 * insertion, kept through removals, so that a core that walks a map does the same thing every time it is fed
 * the same events. Open addressing with backward-shift deletion over a dense table of entries; load at most
 * 3/4.
 *
 * The hash is FNV-1a without a seed, so that a run repeats exactly. Whoever may choose keys (the name of a
 * group: a holder of a key of ours) could choose names that collide, and make look-ups among them slow. */
#ifndef MF_MAP_H
#define MF_MAP_H

#include "ids.h"
#include "message.h"
#include <stdbool.h>
#include <stddef.h>

struct mf_map;

struct mf_map *mf_map_new(void);
void mf_map_destroy(struct mf_map **self); /* not the values; NULL and pointer to NULL are fine */
void mf_map_clear(struct mf_map *self);
size_t mf_map_size(const struct mf_map *self);

void *mf_map_get(const struct mf_map *self, const void *key, size_t len); /* NULL if absent */
void *mf_map_put(struct mf_map *self, const void *key, size_t len,
                 void *value);                                      /* returns the old value, NULL if none */
void *mf_map_del(struct mf_map *self, const void *key, size_t len); /* returns the value, NULL if absent */

/* Walk: `size_t cursor = 0; while (mf_map_next(map, &cursor, (void **)&value))`. Deleting any entry while
 * walking is allowed (one that was not reached yet is then not visited); entries put while walking are
 * visited, unless the walk is over already. */
bool mf_map_next(const struct mf_map *self, size_t *cursor, void **ret_value);
/* The same with the key; it lives until the map is next changed. */
bool mf_map_next_key(const struct mf_map *self, size_t *cursor, struct mf_str *ret_key, void **ret_value);

static inline void *mf_map_get_uuid(const struct mf_map *self, struct mf_uuid id)
{
    return mf_map_get(self, id.bytes, sizeof(id.bytes));
}
static inline void *mf_map_put_uuid(struct mf_map *self, struct mf_uuid id, void *value)
{
    return mf_map_put(self, id.bytes, sizeof(id.bytes), value);
}
static inline void *mf_map_del_uuid(struct mf_map *self, struct mf_uuid id)
{
    return mf_map_del(self, id.bytes, sizeof(id.bytes));
}
static inline void *mf_map_get_str(const struct mf_map *self, struct mf_str key)
{
    return mf_map_get(self, key.ptr, key.len);
}
static inline void *mf_map_put_str(struct mf_map *self, struct mf_str key, void *value)
{
    return mf_map_put(self, key.ptr, key.len, value);
}
static inline void *mf_map_del_str(struct mf_map *self, struct mf_str key)
{
    return mf_map_del(self, key.ptr, key.len);
}
static inline void *mf_map_get_u64(const struct mf_map *self, uint64_t key)
{
    return mf_map_get(self, &key, sizeof(key));
}
static inline void *mf_map_put_u64(struct mf_map *self, uint64_t key, void *value)
{
    return mf_map_put(self, &key, sizeof(key), value);
}
static inline void *mf_map_del_u64(struct mf_map *self, uint64_t key)
{
    return mf_map_del(self, &key, sizeof(key));
}

#endif
