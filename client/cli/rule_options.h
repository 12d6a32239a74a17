/* rule_options.h - options that say where the instances of a group may be, and where they had better be:
 * --prefer, --spread-by, --apart and their like; of provision, and of place --explain. */
#ifndef MF_CLI_RULE_OPTIONS_H
#define MF_CLI_RULE_OPTIONS_H

#include "cli.h"

/* 0 or MF_EXIT_MISUSE, said. What it points into lives in the arena. */
int mf_cli_rules(struct mf_cli *cli, struct mf_rec_rules *ret_rules);

/* The value of a word of the table; 0 or MF_EXIT_MISUSE with the words there are. Absent it keeps its value.
 */
int mf_cli_word(const struct mf_cli *cli, const char *name, const char *enum_id, unsigned *ret_value);

#define MF_CLI_PLACE_OPTIONS                                                                                 \
    {"spread", "WORD", "none (default) or host: at most one more than on the least loaded.", 0},             \
        {"policy", "WORD", "at-least (default) or at-most.", 0},                                             \
        {"fit", "WORD",                                                                                      \
         "Of nodes that fit, which: spread, best-fit, room, balance, l2 or dot (default: the cluster's).",   \
         0},                                                                                                 \
    {                                                                                                        \
        "require", "K=V", "A label that a node must have; repeatable.", 0                                    \
    }

#define MF_CLI_RULE_OPTIONS                                                                                  \
    {"prefer", "K=V", "A node with this label is better; repeatable, the more the better.", 0},              \
        {"forbid", "K=V", "A node with this label never hosts it; repeatable.", 0},                          \
        {"spread-by", "LABEL", "Spread over the values of a label (rack, zone) before over hosts.", 0},      \
        {"pack-by", "LABEL", "Use as few values of a label as possible; not with --spread-by.", 0},          \
        {"max-skew", "N", "Refuse where there would be more than N above the fewest of any domain.", 0},     \
        {"node-max", "N", "At most N of the group on one node.", 0},                                         \
        {"apart", "GROUP", "Never in one domain with this group, both ways; repeatable.", 0},                \
        {"apart-by", "LABEL", "The domain of --apart (default: the host).", 0},                              \
        {"with", "GROUP", "Only in a domain that has an instance of this group; repeatable.", 0},            \
        {"with-by", "LABEL", "The domain of --with (default: the host).", 0},                                \
        {"priority", "N", "Of what waits for room the higher goes first, 0 to 100 (default 50).", 0},        \
    {                                                                                                        \
        "headroom", "LEVEL", "Keep room to re-place any one lost host, or rack or other label.", 0           \
    }

#endif
