/* group.yaml into a provision, and offering.yaml into an offering. */
#include "spec.h"
#include "yaml_record.h"
#include <errno.h>
#include <string.h>

static bool is_key(const struct mf_field *field)
{
    return strcmp(field->name, "request_id") != 0 && strcmp(field->name, "apply") != 0;
}

struct file_key { /* user_data_file, which no message has */
    const char *path;
    size_t line; /* 1-based */
};

static int take_file(const struct mf_yaml *yaml, struct mf_str key, yaml_node_t *node, void *arg)
{
    struct file_key *file = arg;
    struct mf_str text;
    if (!mf_str_is(key, "user_data_file"))
        return 0;
    if (file->line)
        return mf_yaml_bad(yaml, node->start_mark.line, "user_data_file is said twice, first on line %zu",
                           file->line);
    if (mf_yaml_scalar(yaml, "user_data_file", node, &text))
        return -EINVAL;
    file->path = text.ptr;
    file->line = node->start_mark.line + 1;
    return text.len ? 1 : mf_yaml_bad(yaml, node->start_mark.line, "user_data_file: names no file");
}

static int check_missing(const struct mf_yaml *yaml, const struct mf_desc *desc,
                         bool (*is)(const struct mf_field *), const struct mf_yaml_lines *lines)
{
    for (unsigned i = 0; i < desc->n_fields; i++)
        if (desc->fields[i].required && is(&desc->fields[i]) && !lines->at[i])
            return mf_yaml_bad(yaml, 0, "%s is missing", desc->fields[i].name);
    return 0;
}

static yaml_node_t *root_of(struct mf_yaml *yaml, const char *needs, const char *example)
{
    yaml_node_t *root = yaml_document_get_root_node(&yaml->document);
    if (root && root->type == YAML_MAPPING_NODE)
        return root;
    if (!root)
        mf_yaml_bad(yaml, 0, "is empty; it needs %s", needs);
    else
        mf_yaml_bad(yaml, root->start_mark.line, "expected a mapping of keys, as in \"%s\"", example);
    return NULL;
}

static int read_group(struct mf_yaml *yaml, struct mf_spec *spec)
{
    const struct mf_desc *desc = mf_kind_desc(MF_MSG_PROVISION);
    struct file_key file = {0};
    struct mf_yaml_keys keys = {.is = is_key, .other = take_file, .arg = &file};
    struct mf_message message = {.kind = MF_MSG_PROVISION};
    struct mf_yaml_lines lines;
    yaml_node_t *root = root_of(yaml, "group, count, image and offering", "group: web");
    int r = root ? mf_yaml_record(yaml, desc, &keys, root, &spec->provision, &lines) : -EINVAL;
    if (!r)
        r = check_missing(yaml, desc, is_key, &lines);
    if (!r && file.line && spec->provision.user_data.bytes.ptr)
        r = mf_yaml_bad(yaml, file.line - 1, "user_data_file: there is user_data already; say one of them");
    spec->user_data_file = file.path;
    message.provision = spec->provision;
    message.provision.request_id = mf_str("unsent");
    return r ? r : mf_yaml_check(yaml, &message, "provision.", desc, &lines);
}

int mf_spec_parse(const char *file, struct mf_str text, struct mf_arena *arena, struct mf_spec *ret_spec,
                  char error[512])
{
    struct mf_spec spec = {0};
    struct mf_yaml yaml;
    int r = mf_yaml_open(&yaml, file, text, arena, error);
    if (r)
        return r;
    r = read_group(&yaml, &spec);
    mf_yaml_close(&yaml);
    if (!r)
        *ret_spec = spec;
    return r;
}

static bool any(const struct mf_field *field)
{
    return strcmp(field->name, "name") != 0;
}

static int read_offering(struct mf_yaml *yaml, const char *name, struct mf_rec_offering *offering)
{
    struct mf_message message = {.kind = MF_MSG_OFFERING_ADD,
                                 .offering_add = {.request_id = mf_str("unsent")}};
    struct mf_yaml_keys keys = {0};
    struct mf_yaml_lines lines;
    yaml_node_t *root = root_of(yaml, "vcpus, memory_mib and disk_mib", "vcpus: 2");
    int r = root ? mf_yaml_record(yaml, &mf_rec_offering_desc, &keys, root, offering, &lines) : -EINVAL;
    if (!r)
        r = check_missing(yaml, &mf_rec_offering_desc, any, &lines);
    if (!r && offering->name.len && !mf_str_is(offering->name, name))
        r = mf_yaml_bad(yaml, lines.at[0] - 1, "name: the file says \"%.80s\", the command \"%.80s\"",
                        offering->name.ptr, name);
    offering->name = mf_str(name);
    message.offering_add.offering = *offering;
    return r ? r : mf_yaml_check(yaml, &message, "offering-add.offering.", &mf_rec_offering_desc, &lines);
}

int mf_spec_parse_offering(const char *file, struct mf_str text, const char *name, struct mf_arena *arena,
                           struct mf_rec_offering *ret_offering, char error[512])
{
    struct mf_rec_offering offering = {0};
    struct mf_yaml yaml;
    int r = mf_yaml_open(&yaml, file, text, arena, error);
    if (r)
        return r;
    r = read_offering(&yaml, name, &offering);
    mf_yaml_close(&yaml);
    if (!r)
        *ret_offering = offering;
    return r;
}
