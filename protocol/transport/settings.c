/* settings.c - flags over a file over defaults, from one table. The flags are read twice: once to find
 * --config and --help and to refuse what is wrong, and once more, after the file, to have the last word. */
#include "program.h"

#include "check.h"
#include "settings_values.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_CONFIG = 1, OPTION_CHECK, OPTION_HELP, OPTION_VERSION, OPTION_FIRST = 256 };

static struct option *make_options(struct mf_settings *self)
{
    struct option *options = mf_arena_alloc(self->arena, (self->n + 5) * sizeof(*options));
    for (size_t i = 0; i < self->n; i++)
        options[i] = (struct option){
            self->table[i].name, self->table[i].kind == MF_SET_BOOL ? optional_argument : required_argument,
            NULL, OPTION_FIRST + (int)i};
    options[self->n] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
    options[self->n + 1] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    options[self->n + 2] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    options[self->n + 3] = (struct option){"check-config", no_argument, NULL, OPTION_CHECK};
    return options;
}

static int fail_flag(struct mf_settings *self, int option, const char *word)
{
    if (option == ':')
        return mf_settings_fail(self, "%s: needs a value; see --help", word);
    char name[64];
    if (isprint(optopt)) /* a short one; there are none */
        mf_str_format(name, sizeof(name), "-%c", optopt);
    else
        mf_str_format(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    const char *nearest = mf_settings_nearest(self, name + strspn(name, "-"));
    return mf_settings_fail(self, "%s: no such flag%s%s; see --help", name,
                            nearest ? ", did you mean --" : "", nearest ? nearest : "");
}

struct flags {
    const char *config;
    int question; /* OPTION_HELP or OPTION_VERSION */
    bool check;
};

/* `apply` puts the values; without it they are only found. */
static int read_flags(struct mf_settings *self, int argc, char **argv, bool apply, struct flags *ret_flags)
{
    const struct option *options = make_options(self);
    int option, r = 0;
    optind = 0;
    opterr = 0;
    while (r == 0 && (option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
        char where[80];
        if (option == ':' || option == '?')
            return fail_flag(self, option, argv[optind - 1]);
        if (option == OPTION_CONFIG)
            ret_flags->config = optarg;
        else if (option == OPTION_HELP || option == OPTION_VERSION)
            ret_flags->question = option;
        else if (option == OPTION_CHECK)
            ret_flags->check = true;
        else if (apply) {
            size_t i = (size_t)(option - OPTION_FIRST);
            mf_str_format(where, sizeof(where), "--%s", self->table[i].name);
            self->given[i] = true;
            r = mf_settings_put(self, i, optarg ? optarg : "true", where);
        }
    }
    if (r == 0 && optind < argc)
        return mf_settings_fail(self, "%.80s: an argument was not expected here; see --help", argv[optind]);
    return r;
}

static const char *value_word(enum mf_setting_kind kind)
{
    static const char *const words[] = {[MF_SET_STRING] = "TEXT",
                                        [MF_SET_INT] = "NUMBER",
                                        [MF_SET_BOOL] = "",
                                        [MF_SET_MS] = "TIME",
                                        [MF_SET_LABELS] = "KEY=VALUE"};
    return words[kind];
}

static void print_help(const struct mf_settings *self, const char *program, const char *purpose)
{
    printf("%s - %s\n\nusage: %s [--config FILE] [--FLAG VALUE]...\n\n", program, purpose, program);
    for (size_t i = 0; i < self->n; i++) {
        const struct mf_setting *s = &self->table[i];
        char flag[80];
        mf_str_format(flag, sizeof(flag), "--%s %s", s->name, value_word(s->kind));
        printf("  %-28s %s%s%s%s%s\n", flag, s->doc, s->standard && *s->standard ? " (default " : "",
               s->standard ? s->standard : "", s->standard && *s->standard ? ")" : "",
               s->required ? " (required)" : "");
    }
    printf("  %-28s %s\n  %-28s %s\n  %-28s %s\n  %-28s %s\n", "--config FILE",
           "YAML file of the same settings, keys with _ for -; flags win over it", "--check-config",
           "read all settings, say what is wrong, and end", "--help", "this text", "--version",
           "the version");
}

static int put_defaults(struct mf_settings *self)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < self->n; i++)
        if (self->table[i].standard)
            r = mf_settings_put(self, i, self->table[i].standard, self->table[i].name);
    MF_CHECK(r == 0); /* a default that breaks its own bounds is a bug in the table */
    return r;
}

static int check_required(struct mf_settings *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->table[i].required && !self->given[i])
            return mf_settings_fail(self, "--%s is missing: %s", self->table[i].name, self->table[i].doc);
    return 0;
}

int mf_settings_load(const char *program, const char *purpose, const struct mf_setting *table, size_t n,
                     int argc, char **argv, struct mf_arena *arena, void *ret_settings, char error[1024])
{
    struct mf_settings self = {
        .table = table, .n = n, .arena = arena, .target = ret_settings, .error = error};
    struct flags flags = {0};
    self.given = mf_arena_alloc(arena, n ? n : 1);
    int r = read_flags(&self, argc, argv, false, &flags);
    if (r == 0 && flags.question) {
        if (flags.question == OPTION_HELP)
            print_help(&self, program, purpose);
        else
            printf("%s %s\n", program, MAYFLY_VERSION);
        return 1;
    }
    if (r == 0)
        r = put_defaults(&self);
    if (r == 0 && flags.config)
        r = mf_settings_read_yaml(&self, flags.config);
    if (r == 0)
        r = read_flags(&self, argc, argv, true, &flags);
    if (r == 0)
        r = check_required(&self);
    return r == 0 && flags.check ? 1 : r;
}
