/* Where instances may be, as people write it. What contradicts itself is the broker's to refuse: it alone
 * knows all the groups. */
#include "rule_options.h"
#include "check.h"
#include <stdio.h>
#include <string.h>

enum { GROUPS_MAX = 8, SKEW_MAX = 10000, NODE_MAX = 4096, PRIORITY_MAX = 100 };

static const struct mf_enum_desc *words_of(const char *enum_id)
{
    const struct mf_enum_desc *desc;
    for (unsigned i = 0; (desc = mf_enum_desc(i)); i++)
        if (!strcmp(desc->id, enum_id))
            return desc;
    MF_CHECK(!"the table has these words");
    return NULL;
}

int mf_cli_word(const struct mf_cli *cli, const char *name, const char *enum_id, unsigned *ret_value)
{
    const struct mf_enum_desc *desc = words_of(enum_id);
    const char *text = mf_cli_get(cli, name);
    char list[256] = "";
    unsigned value = text ? mf_enum_value(desc, mf_str(text)) : 0;
    if (text && !value) {
        for (unsigned i = 1; i < desc->n; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 1 ? " or " : "",
                     desc->words[i]);
        return mf_cli_misuse(cli, "--%s %s: it is %s", name, text, list);
    }
    if (text)
        *ret_value = value;
    return 0;
}

/* A label's key is a name; host is one that every node has. */
static int read_key(const struct mf_cli *cli, const char *name, struct mf_str *ret_key)
{
    const char *text = mf_cli_get(cli, name);
    if (text && !mf_name_valid(mf_str(text)))
        return mf_cli_misuse(cli, "--%s %s: it is the key of a label alone, as in --%s rack", name, text,
                             name);
    if (text)
        *ret_key = mf_str(text);
    return 0;
}

static int read_groups(struct mf_cli *cli, const char *name, struct mf_rec_group_name **ret_items,
                       uint32_t *ret_n)
{
    struct mf_rec_group_name *items = mf_arena_alloc(&cli->arena, GROUPS_MAX * sizeof *items);
    uint32_t n = 0;
    for (const char *text; (text = mf_cli_nth(cli, name, (int)n)); n++) {
        if (n == GROUPS_MAX)
            return mf_cli_misuse(cli, "--%s: there are more than %d", name, GROUPS_MAX);
        if (!mf_name_valid(mf_str(text)))
            return mf_cli_misuse(cli, "--%s %s: it is not the name of a group", name, text);
        items[n].group = mf_str(text);
    }
    *ret_items = items;
    *ret_n = n;
    return 0;
}

/* 0 is another wish than none. */
static int read_priority(const struct mf_cli *cli, struct mf_rec_rules *rules)
{
    int r = mf_cli_number(cli, "priority", 0, PRIORITY_MAX, &rules->priority);
    for (unsigned i = 0; i < mf_rec_rules_desc.n_fields && mf_cli_get(cli, "priority"); i++)
        if (!strcmp(mf_rec_rules_desc.fields[i].name, "priority"))
            rules->has |= UINT64_C(1) << i;
    return r;
}

int mf_cli_rules(struct mf_cli *cli, struct mf_rec_rules *ret_rules)
{
    struct mf_rec_rules rules = {0};
    if (mf_cli_labels(cli, "prefer", &rules.prefer) || mf_cli_labels(cli, "forbid", &rules.forbid) ||
        read_key(cli, "spread-by", &rules.spread_by) || read_key(cli, "pack-by", &rules.pack_by) ||
        mf_cli_number(cli, "max-skew", 1, SKEW_MAX, &rules.max_skew) ||
        mf_cli_number(cli, "node-max", 1, NODE_MAX, &rules.node_max) ||
        read_groups(cli, "apart", &rules.apart.items, &rules.apart.n) ||
        read_key(cli, "apart-by", &rules.apart_by) ||
        read_groups(cli, "with", &rules.with.items, &rules.with.n) ||
        read_key(cli, "with-by", &rules.with_by) || read_priority(cli, &rules) ||
        read_key(cli, "headroom", &rules.headroom))
        return MF_EXIT_MISUSE;
    *ret_rules = rules;
    return 0;
}
