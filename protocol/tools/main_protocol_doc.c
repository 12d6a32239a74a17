/* mayfly-protocol-doc - prints docs/PROTOCOL.md: a preamble written by hand, then tables straight from the
 * message table. */
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *desc_name(const struct mf_desc *desc)
{
    return desc->wire ? desc->wire : desc->id;
}

/* A sentence in a cell of a table: a bar would end the cell, a less-than begin a tag. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        if (*text == '<')
            fputs("&lt;", stdout);
        else
            putchar(*text);
    }
}

static void print_bound(uint64_t n)
{
    if (n == UINT64_MAX)
        fputs("2^64-1", stdout);
    else if (n == INT64_MAX)
        fputs("2^63-1", stdout);
    else
        printf("%" PRIu64, n);
}

static void print_range(const char *what, const struct mf_field *field)
{
    printf("%s ", what);
    print_bound(field->min);
    if (field->min != field->max) {
        fputs("..", stdout);
        print_bound(field->max);
    }
}

static void print_kind(const struct mf_field *field)
{
    switch (field->kind) {
    case MF_F_U64:
        print_range("integer", field);
        break;
    case MF_F_BOOL:
        fputs("boolean", stdout);
        break;
    case MF_F_STR:
        print_range("string", field);
        break;
    case MF_F_NAME:
        fputs("name", stdout);
        break;
    case MF_F_BIN:
    case MF_F_BLOB:
        print_range("binary", field);
        break;
    case MF_F_UUID:
        fputs("UUID", stdout);
        break;
    case MF_F_DIGEST:
        fputs("digest", stdout);
        break;
    case MF_F_ENUM:
        printf("word of [%s](#%s)", field->words->id, field->words->id);
        break;
    case MF_F_LABELS:
        printf("labels, at most %" PRIu64, field->max);
        break;
    case MF_F_RAW:
        printf("map, at most %" PRIu64 " bytes", field->max);
        break;
    case MF_F_RECORD:
        printf("record [%s](#%s)", field->record->id, field->record->id);
        break;
    case MF_F_LIST:
        printf("list of [%s](#%s), at most %" PRIu64, field->record->id, field->record->id, field->max);
        break;
    }
}

static void print_fields(const struct mf_desc *desc)
{
    if (desc->n_fields == 0)
        return;
    puts("\n| field | kind | required | since | meaning |\n|---|---|---|---|---|");
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const struct mf_field *field = &desc->fields[i];

        printf("| `%s` | ", field->name);
        print_kind(field);
        printf(" | %s | 1.%u | ", field->required ? "yes" : "", field->since);
        print_text(field->doc);
        puts(" |");
    }
}

static void print_senders(const struct mf_desc *desc)
{
    const char *comma = "";

    for (int role = 1; role < MF_ROLE_COUNT; role++)
        if (mf_may_send((enum mf_role)role, desc->kind)) {
            printf("%s%s", comma, mf_role_word((enum mf_role)role));
            comma = ", ";
        }
}

static void print_messages(void)
{
    puts("## Messages\n\n| message | who may send it | meaning |\n|---|---|---|");
    for (int kind = 1; kind < MF_MSG_COUNT; kind++) {
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);

        printf("| [%s](#%s) | ", desc->wire, desc->wire);
        print_senders(desc);
        fputs(" | ", stdout);
        print_text(desc->doc);
        puts(" |");
    }
    for (int kind = 1; kind < MF_MSG_COUNT; kind++) {
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);

        printf("\n### %s\n\n%s Sent by: ", desc->wire, desc->doc);
        print_senders(desc);
        puts(".");
        print_fields(desc);
    }
}

static void print_events(void)
{
    puts("\n## Event types\n\nThe fields are those of `data` in an [event_row](#event_row). A *root* has "
         "cause 0.");
    for (int kind = MF_MSG_COUNT + 1; kind < MF_KIND_COUNT; kind++) {
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);

        printf("\n### %s\n\n%s%s\n", desc->wire, desc->doc, desc->root ? " A root." : "");
        print_fields(desc);
    }
}

static void print_records(void)
{
    puts("\n## Records\n\nMaps within messages and events.");
    for (unsigned i = 0; mf_record_desc(i); i++) {
        const struct mf_desc *desc = mf_record_desc(i);

        if (strncmp(desc->id, "snap_", 5) == 0)
            continue; /* the broker's store holds these; they never travel */
        printf("\n### %s\n\n%s\n", desc_name(desc), desc->doc);
        print_fields(desc);
    }
}

static void print_words(void)
{
    puts("\n## Sets of words\n\nSets grow: take a word you do not know for \"something else\".");
    for (unsigned i = 0; mf_enum_desc(i); i++) {
        const struct mf_enum_desc *desc = mf_enum_desc(i);

        printf("\n### %s\n\n%s\n\n| word | meaning |\n|---|---|\n", desc->id, desc->doc);
        for (unsigned value = 1; value < desc->n; value++) {
            printf("| `%s` | ", desc->words[value]);
            print_text(desc->docs[value]);
            puts(" |");
        }
    }
}

static void print_errors(void)
{
    puts("\n## Errors\n\n| code | may the same request succeed later? | meaning |\n|---|---|---|");
    for (int i = 0; i < MF_E_COUNT; i++) {
        enum mf_errcode e = (enum mf_errcode)i;

        printf("| `%s` | %s | ", mf_error_code(e), e == MF_E_OK ? "" : mf_error_retry(e) ? "yes" : "no");
        print_text(mf_error_sentence(e));
        puts(" |");
    }
}

static int print_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char bytes[4096];
    size_t n;

    if (!file) {
        perror(path);
        return 1;
    }
    while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
        fwrite(bytes, 1, n, stdout);
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PREAMBLE.md > docs/PROTOCOL.md\n", argv[0]);
        return 2;
    }
    if (print_file(argv[1]))
        return 1;
    print_messages();
    print_events();
    print_records();
    print_words();
    print_errors();
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
