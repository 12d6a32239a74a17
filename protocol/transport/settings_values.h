/* settings_values.h - between flags (settings.c) and file (settings_yaml.c): a setting's value from its text,
 * checked by the table. */
#ifndef MF_SETTINGS_VALUES_H
#define MF_SETTINGS_VALUES_H

#include "program.h"

struct mf_settings {
    const struct mf_setting *table;
    size_t n;
    struct mf_arena *arena;
    char *target; /* the struct that is being filled */
    bool *given;  /* by file or flag, for `required` */
    char *error;  /* 1024 bytes */
};

/* Each returns 0, or -EINVAL with the error complete; `where` opens it: "--pulse-ms" or "health.yaml:3:
 * pulse_ms". */
int mf_settings_put(struct mf_settings *self, size_t index, const char *text, const char *where);
int mf_settings_put_label(struct mf_settings *self, size_t index, struct mf_str key, struct mf_str value,
                          const char *where);
int mf_settings_fail(struct mf_settings *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The setting whose name is nearest to this word, or NULL if none is near: for "did you mean". */
const char *mf_settings_nearest(const struct mf_settings *self, const char *name);

int mf_settings_read_yaml(struct mf_settings *self, const char *path);

#endif
