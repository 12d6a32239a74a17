/* place_stage.c - see place_stage.h. */
#include "place_stage.h"
#include "check.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Node i is in rack r<i / in_rack>, and has cells if asked. */
void place_open_racks(struct stage *s, int nodes, int in_rack, uint32_t n_cells)
{
    static struct mf_rec_cell cells[2] = {{.vcpus = 2, .memory_mib = 500}, {.vcpus = 2, .memory_mib = 500}};

    stage_open(s);
    stage_monitor_hello(s);
    for (int i = 0; i < nodes; i++) {
        struct mf_message hello = stage_hello_message(i);
        char rack[16];
        struct mf_label label = {mf_str("rack"), mf_str_format(rack, sizeof(rack), "r%d", i / in_rack)};
        hello.hello.labels = (struct mf_labels){&label, 1};
        hello.hello.cells.items = cells;
        hello.hello.cells.n = n_cells;
        hello.hello.cpu_ratio_percent = n_cells ? 200 : 0;
        stage_hello_as(s, i, hello);
    }
    stage_forget_sent(s);
}

int place_node_of(const struct stage *s, const char *group, uint32_t slot)
{
    const struct mf_instance *inst = stage_current(s, group, slot);

    return inst && inst->node ? atoi(inst->node->name.ptr + strlen("node-")) : -1;
}

char place_told[1100]; /* with the newest that was accepted */

void place_provision(struct stage *s, const char *group, uint64_t count, struct mf_rec_rules rules)
{
    struct mf_message message = stage_provision_message(s, group, count);
    const struct mf_message *answer;

    message.provision.rules = rules;
    stage_client(s, message);
    answer = stage_last(s, STAGE_CLIENT, MF_MSG_ACCEPTED);
    assert_non_null(answer);
    mf_str_format(place_told, sizeof(place_told), "%.*s", MF_STR_ARG(answer->accepted.text));
    stage_answer_all(s);
}

void place_assert_refused(struct stage *s, struct mf_message message, const char *with)
{
    const struct mf_message *answer;
    char text[1100];

    stage_forget_sent(s);
    stage_client(s, message);
    answer = stage_last(s, STAGE_CLIENT, MF_MSG_ERROR);
    assert_non_null(answer);
    assert_true(mf_str_is(answer->error.code, "invalid"));
    mf_str_format(text, sizeof(text), "%.*s", MF_STR_ARG(answer->error.text));
    if (!strstr(text, with))
        fail_msg("\"%s\" does not say \"%s\"", text, with);
}

bool place_says(struct mf_str text, const char *what)
{
    char copy[1100];

    mf_str_format(copy, sizeof(copy), "%.*s", MF_STR_ARG(text));
    return strstr(copy, what) != NULL;
}

struct mf_rec_group_name place_named(const char *name)
{
    return (struct mf_rec_group_name){.group = mf_str(name)};
}

struct mf_str place_why(struct stage *s, const char *group, uint32_t slot)
{
    const struct mf_message *m;

    stage_forget_sent(s);
    stage_client(
        s, (struct mf_message){.kind = MF_MSG_LIST_INSTANCES,
                               .list_instances = {.request_id = mf_str("why"), .group = mf_str(group)}});
    m = stage_last(s, STAGE_CLIENT, MF_MSG_INSTANCES);
    assert_non_null(m);
    for (uint32_t i = 0; i < m->instances.rows.n; i++)
        if (m->instances.rows.items[i].slot == slot)
            return m->instances.rows.items[i].reason;
    return (struct mf_str){NULL, 0};
}
