/* driver_world.h - what tests of drivers need around one: a folder, ids, deaths that were told, and a parent
 * that reaps as the keeper does (a process that uses libvirt must not). */
#ifndef MF_DRIVER_WORLD_H
#define MF_DRIVER_WORLD_H

#include "driver.h"

extern char mf_world_root[64]; /* a fresh folder under /tmp */

/* Runs each phase in a process of its own, below this one as subreaper; then ends what is left below the root
 * and removes it. */
int mf_world_run(int (*const phases[])(void), size_t n);

struct mf_uuid mf_world_id(void);                   /* a new one */
const char *mf_world_path(const char *format, ...); /* below the root; a static buffer each of 8 turns */
bool mf_world_exists(const char *path);
bool mf_world_file_has(const char *path, const char *text);
void mf_world_write(const char *path, const char *text);
const char *mf_world_seed(const char *id, const char *user_data); /* a NoCloud ISO; its path */

/* The callback of mf_driver_config, and what it was told. */
void mf_world_died(void *arg, struct mf_uuid id, enum mf_death how, const char *text);
enum mf_death mf_world_await_death(struct mf_uuid id, mf_ms limit_ms); /* UNSET at the limit */
bool mf_world_told(struct mf_uuid id);

/* Look again and again, with a bound, until it is so. */
#define MF_WORLD_AWAIT(condition, limit_ms)                                                                  \
    do {                                                                                                     \
        mf_ms await_end_ = mf_monotonic_ms() + (limit_ms);                                                   \
        while (!(condition) && mf_monotonic_ms() < await_end_)                                               \
            mf_world_pause();                                                                                \
        assert_true(condition);                                                                              \
    } while (0)
void mf_world_pause(void); /* 5 ms between two looks */

#endif
