/* yaml_record.h - a YAML mapping into a struct of the message table: the table knows each key's kind and
 * bounds, libyaml its line. As strict as the command line: an unknown key, a wrong type, a tab or a key said
 * twice is refused with file and line. */
#ifndef MF_CLI_YAML_RECORD_H
#define MF_CLI_YAML_RECORD_H

#include "message.h"
#include <yaml.h>

struct mf_yaml {
    const char *file;
    yaml_document_t document;
    struct mf_arena *arena; /* all that is read lives there */
    char *error;            /* 512 bytes */
};

/* Parse the text; on success mf_yaml_close it. 0, or -EINVAL with "FILE:LINE: sentence". */
int mf_yaml_open(struct mf_yaml *self, const char *file, struct mf_str text, struct mf_arena *arena,
                 char error[512]);
void mf_yaml_close(struct mf_yaml *self);

/* Always -EINVAL. Lines count from 0, as libyaml's do. */
__attribute__((format(printf, 3, 4))) int mf_yaml_bad(const struct mf_yaml *self, size_t line,
                                                      const char *format, ...);
yaml_node_t *mf_yaml_node(const struct mf_yaml *self, int index);
int mf_yaml_scalar(const struct mf_yaml *self, const char *name, yaml_node_t *node, struct mf_str *ret_text);

enum { MF_YAML_FIELDS = 64 };
struct mf_yaml_lines { /* 1-based, by the field's place in the table; 0: not said */
    size_t at[MF_YAML_FIELDS];
};
/* `is` says which of the record's fields a file may hold (NULL: all), and may take a key of another name
 * itself: 1 it did, 0 it does not know it, negative: refused. */
struct mf_yaml_keys {
    bool (*is)(const struct mf_field *field);
    int (*other)(const struct mf_yaml *self, struct mf_str key, yaml_node_t *node, void *arg);
    void *arg;
};
int mf_yaml_record(const struct mf_yaml *self, const struct mf_desc *desc, const struct mf_yaml_keys *keys,
                   yaml_node_t *node, void *record, struct mf_yaml_lines *ret_lines);
/* Is the whole record as the table wants it? The line is that of the key that is not. */
int mf_yaml_check(const struct mf_yaml *self, const struct mf_message *message, const char *within,
                  const struct mf_desc *desc, const struct mf_yaml_lines *lines);

#endif
