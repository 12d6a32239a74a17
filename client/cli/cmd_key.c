/* Keys: who may come in, and as what. */
#include "cli.h"
#include "keys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *key_dir(const struct mf_cli *cli)
{
    const char *dir = mf_cli_get(cli, "keys");
    if (!dir)
        dir = getenv("MAYFLY_KEYS");
    return dir && *dir ? dir : NULL;
}

static int run_init(struct mf_cli *cli)
{
    char error[512];
    const char *dir = cli->n_args ? cli->args[0] : key_dir(cli);
    if (!dir)
        return mf_cli_misuse(cli, "which directory? mayfly key init DIR (or set MAYFLY_KEYS)");
    if (mf_keys_init(dir, error))
        return mf_cli_fail(cli, "%s", error);
    printf("%s: the broker's key and its secrets; next: mayfly key create --keys %s --role operator NAME\n",
           dir, dir);
    return MF_EXIT_OK;
}

static int run_create(struct mf_cli *cli)
{
    char error[512];
    const char *dir = key_dir(cli), *word = mf_cli_get(cli, "role"), *out = mf_cli_get(cli, "out");
    enum mf_role role = word ? mf_role_value(mf_str(word)) : MF_ROLE_NONE;
    if (!dir)
        return mf_cli_misuse(cli, "which key directory? say --keys DIR or set MAYFLY_KEYS");
    if (role == MF_ROLE_NONE || role == MF_ROLE_BROKER)
        return mf_cli_misuse(cli, "--role is operator, client, reader, worker or monitor");
    if (!mf_name_valid(mf_str(cli->args[0])))
        return mf_cli_misuse(
            cli, "\"%.80s\" is not a name: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit",
            cli->args[0]);
    if (mf_keys_create(dir, role, cli->args[0], out, error))
        return mf_cli_fail(cli, "%s", error);
    if (out)
        printf("%s: the secret of %s:%s; give it to its holder alone\n", out, word, cli->args[0]);
    else
        printf("%s/%s.cert_secret: the secret of %s:%s; give it to its holder alone\n", dir, cli->args[0],
               word, cli->args[0]);
    return MF_EXIT_OK;
}

static const struct mf_cli_option init_options[] = {
    {"keys", "DIR", "The key directory to make; else MAYFLY_KEYS.", 0}, {0}};
static const struct mf_cli_option create_options[] = {
    {"role", "ROLE", "operator, client, reader, worker (its NAME is the node's) or monitor.", 0},
    {"keys", "DIR", "The broker's key directory; else MAYFLY_KEYS.", 0},
    {"out", "FILE", "Where the secret goes (default DIR/NAME.cert_secret).", 0},
    {0},
};

const struct mf_cli_command mf_commands_key[] = {
    {"key init", "[DIR]", "Make a key directory: the broker's own key and its secrets.", NULL, init_options,
     0, 1, 0, run_init},
    {"key create", "--role ROLE NAME", "Make a key that may come in, bound to its role and name.", NULL,
     create_options, 1, 1, 0, run_create},
    {0},
};
