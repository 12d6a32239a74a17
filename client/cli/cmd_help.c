/* `mayfly help` and `mayfly completion bash`: both made from the tables of commands. */
#include "cli.h"
#include <stdio.h>
#include <string.h>

static void print_all(void)
{
    const struct mf_cli_command *command;
    printf("mayfly - a compute cloud whose virtual machines are allowed to die\n\n");
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        printf("  %-16s %s\n", command->name, command->help);
    printf("\nEvery command has its help: mayfly help COMMAND. Connection: --broker and --key, or "
           "MAYFLY_BROKER and MAYFLY_KEY.\n"
           "Exit code: 0 done, 1 refused or failed, 2 misuse.\n");
}

static void print_option(const struct mf_cli_option *option)
{
    char text[80], letter[8] = "    ";
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(text, sizeof text, "%s--%s%s%s", letter, option->name, option->arg ? " " : "",
             option->arg ? option->arg : "");
    printf("  %-30s %s\n", text, option->help);
}

static void print_command(const struct mf_cli_command *command)
{
    const struct mf_cli_option *option;
    printf("mayfly %s%s%s\n\n%s\n", command->name, *command->args ? " " : "", command->args, command->help);
    if (command->more)
        printf("\n%s\n", command->more);
    printf("\n");
    for (size_t cursor = 0; (option = mf_cli_next_option(command, &cursor));)
        print_option(option);
}

static int print_group(struct mf_cli *cli, const char *word)
{
    const struct mf_cli_command *command;
    bool any = false;
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        if (!strncmp(command->name, word, strlen(word)) && command->name[strlen(word)] == ' ') {
            printf("  mayfly %-16s %s\n", command->name, command->help);
            any = true;
        }
    return any ? MF_EXIT_OK : mf_cli_misuse(cli, "there is no command \"%s\"", word);
}

static int run_help(struct mf_cli *cli)
{
    const struct mf_cli_command *command;
    char name[64];
    if (!cli->n_args) {
        print_all();
        return MF_EXIT_OK;
    }
    snprintf(name, sizeof name, "%s%s%s", cli->args[0], cli->n_args > 1 ? " " : "",
             cli->n_args > 1 ? cli->args[1] : "");
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        if (!strcmp(command->name, name)) {
            print_command(command);
            return MF_EXIT_OK;
        }
    return print_group(cli, name);
}

static void print_words(const struct mf_cli_command *command)
{
    const struct mf_cli_option *option;
    printf("    \"%s\") words=\"", command->name);
    for (size_t cursor = 0; (option = mf_cli_next_option(command, &cursor));)
        printf("--%s ", option->name);
    printf("\" ;;\n");
}

static void print_first_words(void)
{
    const struct mf_cli_command *command;
    char last[32] = "";
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));) {
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(command->name, " "), command->name);
        if (strcmp(word, last))
            printf("%s ", word);
        memcpy(last, word, sizeof last);
    }
}

/* One branch of the case for each first word that has second ones. */
static void print_second_words(void)
{
    const struct mf_cli_command *command;
    char open[32] = "";
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));) {
        const char *space = strchr(command->name, ' ');
        char word[32] = "";
        if (space)
            snprintf(word, sizeof word, "%.*s", (int)(space - command->name), command->name);
        if (*open && strcmp(word, open))
            printf("\" ;;\n");
        if (*word && strcmp(word, open))
            printf("    %s) words=\"", word);
        memcpy(open, word, sizeof open);
        if (space)
            printf("%s ", space + 1);
    }
    if (*open)
        printf("\" ;;\n");
}

static int run_completion(struct mf_cli *cli)
{
    const struct mf_cli_command *command;
    if (strcmp(cli->args[0], "bash"))
        return mf_cli_misuse(cli, "completion is made for bash only, not for \"%s\"", cli->args[0]);
    printf("# bash completion of mayfly; use it with: eval \"$(mayfly completion bash)\"\n_mayfly()\n{\n"
           "    local words= command=\"${COMP_WORDS[1]}\" second=\"${COMP_WORDS[2]}\" "
           "current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n        words=\"");
    print_first_words();
    printf("\"\n    else\n    if [ \"$COMP_CWORD\" = 2 ]; then\n    case \"$command\" in\n");
    print_second_words();
    printf("    esac\n    fi\n    case \"$command $second\" in\n");
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        if (strchr(command->name, ' '))
            print_words(command);
    printf("    *)\n    case \"$command\" in\n");
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));)
        if (!strchr(command->name, ' '))
            print_words(command);
    printf("    esac\n    esac\n    fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
           "    [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$current\"))\n}\ncomplete -F "
           "_mayfly mayfly\n");
    return MF_EXIT_OK;
}

const struct mf_cli_command mf_commands_help[] = {
    {"help", "[COMMAND]", "Show what there is, or how a command is used.", NULL, NULL, 0, 2, 0, run_help},
    {"completion", "bash", "Print the shell's completion script.", NULL, NULL, 1, 1, 0, run_completion},
    {0},
};
