/* Reading scenarios. */
#include "script.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mf_sim_script_time(const char *text, mf_ms *ret_ms)
{
    char *end;
    double value = strtod(text, &end);
    double unit = strcmp(end, "ms") == 0  ? 1
                  : strcmp(end, "s") == 0 ? 1000
                  : strcmp(end, "m") == 0 ? 60000
                                          : 0;
    *ret_ms = (mf_ms)(value * unit);
    return end != text && unit > 0;
}

const char *mf_sim_statement_option(const struct mf_sim_statement *self, const char *key)
{
    size_t len = strlen(key);
    for (unsigned i = 0; i < self->n; i++)
        if (strncmp(self->words[i], key, len) == 0 && self->words[i][len] == '=')
            return self->words[i] + len + 1;
    return NULL;
}

static void split(struct mf_sim_statement *self)
{
    char *rest = NULL;
    self->split[sizeof(self->split) - 1] = 0;
    for (char *word = strtok_r(self->split, " \t\n", &rest); word && self->n < MF_SIM_WORDS;
         word = strtok_r(NULL, " \t\n", &rest))
        self->words[self->n++] = word;
}

static int wrong(char error[512], const struct mf_sim_script *script, unsigned line, const char *why)
{
    snprintf(error, 512, "%s line %u: %s; see tests/scenarios/README.md", script->path, line, why);
    return -EINVAL;
}

static int read_cluster(struct mf_sim_script *self, const struct mf_sim_statement *s, char error[512])
{
    const char *nodes = mf_sim_statement_option(s, "nodes"),
               *monitors = mf_sim_statement_option(s, "monitors"),
               *racks = mf_sim_statement_option(s, "racks");
    if (self->nodes || !nodes)
        return wrong(error, self, s->line, "one cluster nodes=N comes first");
    self->nodes = (uint32_t)strtoul(nodes, NULL, 10);
    self->monitors = monitors ? (uint32_t)strtoul(monitors, NULL, 10) : 1;
    self->racks = racks ? (uint32_t)strtoul(racks, NULL, 10) : 1;
    if (!self->nodes || self->nodes > 1000 || !self->monitors || self->monitors > 3 || !self->racks)
        return wrong(error, self, s->line, "1..1000 nodes, 1..3 monitors, 1 rack or more");
    return 0;
}

#define TIMES(X)                                                                                             \
    X(pulse_ms)                                                                                              \
    X(silence_ms)                                                                                            \
    X(agent_grace_ms)                                                                                        \
    X(alive_ms)                                                                                              \
    X(create_ms)                                                                                             \
    X(destroy_ms)                                                                                            \
    X(resend_ms)                                                                                             \
    X(monitor_ms)                                                                                            \
    X(lease_ms) X(renew_ms) X(breaker_window_ms) X(backoff_ms) X(backoff_max_ms) X(request_keep_ms)
#define NUMBERS(X)                                                                                           \
    X(doubt_percent)                                                                                         \
    X(breaker_nodes)                                                                                         \
    X(breaker_percent) X(breaker_domain_percent) X(orders_per_node) X(list_page) X(snapshot_rows)

static int read_setting(struct mf_sim_script *self, const struct mf_sim_statement *s, char error[512])
{
    if (s->n != 3)
        return wrong(error, self, s->line, "set KEY VALUE");
    uint64_t value = strtoull(s->words[2], NULL, 10);
#define TIME(field)                                                                                          \
    if (strcmp(s->words[1], #field) == 0)                                                                    \
        return self->broker.field = (mf_ms)value, 0;
#define NUMBER(field)                                                                                        \
    if (strcmp(s->words[1], #field) == 0)                                                                    \
        return self->broker.field = (uint32_t)value, 0;
    TIMES(TIME)
    NUMBERS(NUMBER)
    if (strcmp(s->words[1], "retain_rows") == 0)
        return self->retain_rows = value, 0;
    return wrong(error, self, s->line, "there is no such setting of the broker");
}

static bool is_verb(const char *word)
{
    static const char *const verbs[] = {"provision", "scale",     "kill", "stop",  "freeze", "thaw",
                                        "start",     "cut",       "heal", "clock", "driver", "disk",
                                        "operator",  "subscribe", "mark", "expect"};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(word, verbs[i]) == 0)
            return true;
    return false;
}

static int take(struct mf_sim_script *self, const struct mf_sim_statement *s, char error[512])
{
    if (strcmp(s->words[0], "cluster") == 0)
        return read_cluster(self, s, error);
    if (!self->nodes)
        return wrong(error, self, s->line, "the first statement is cluster nodes=N");
    if (strcmp(s->words[0], "set") == 0)
        return read_setting(self, s, error);
    if (!is_verb(s->words[0]))
        return wrong(error, self, s->line, "there is no such statement");
    if (self->n == MF_SIM_STATEMENTS)
        return wrong(error, self, s->line, "too many statements");
    struct mf_sim_statement *copy = &self->statements[self->n++];
    *copy = *s;
    memcpy(copy->split, copy->text, sizeof(copy->split));
    copy->n = 0;
    split(copy);
    return 0;
}

int mf_sim_script_read(struct mf_sim_script *self, const char *path, char error[512])
{
    char line[256];
    int r = 0;
    *self = (struct mf_sim_script){.path = path, .retain_rows = UINT64_MAX};
    mf_broker_config_default(&self->broker);
    memset(self->broker.pulse_secret, 7, sizeof(self->broker.pulse_secret));
    FILE *file = fopen(path, "re");
    if (!file)
        return snprintf(error, 512, "%s: %s", path, strerror(errno)), -EINVAL;
    for (unsigned n = 1; !r && fgets(line, sizeof(line), file); n++) {
        struct mf_sim_statement statement = {.line = n};
        line[strcspn(line, "#\n")] = 0;
        memcpy(statement.text, line, sizeof(line));
        memcpy(statement.split, line, sizeof(line));
        split(&statement);
        if (statement.n)
            r = take(self, &statement, error);
    }
    fclose(file);
    return r ? r : self->n ? 0 : wrong(error, self, 0, "there is nothing to play");
}
