/* `mayfly dev up --set KEY=VALUE`: the cluster's own broker.yaml, judged by the broker itself before anything
 * starts. */
#include "dev.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What stands in YAML as it is, so that nothing needs quoting. */
static bool is_plain(const char *text, const char *others)
{
    if (!isalnum((unsigned char)*text) && *text != '/')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr(others, *text))
            return false;
    return true;
}

static int write_line(struct mf_cli *cli, FILE *file, const char *pair)
{
    char key[64];
    const char *equals = strchr(pair, '=');
    size_t len = equals ? (size_t)(equals - pair) : 0;
    if (!len || len >= sizeof key)
        return mf_cli_misuse(cli, "--set %s: it is KEY=VALUE, as --set silence_ms=2000", pair);
    for (size_t i = 0; i < len; i++)
        key[i] = pair[i] == '-' ? '_' : pair[i];
    key[len] = 0;
    if (!is_plain(key, "_") || !is_plain(equals + 1, "_-.:/*"))
        return mf_cli_misuse(cli, "--set %s: a key is letters, digits and _, a value also . : / * -", pair);
    fprintf(file, "%s: %s\n", key, equals + 1);
    return 0;
}

/* Nothing said: an earlier cluster in this directory keeps what it had. */
int mf_dev_write_settings(struct mf_cli *cli, const struct mf_dev *dev)
{
    char path[MF_DEV_PATH];
    const char *pair;
    int r = 0;
    if (!mf_cli_nth(cli, "set", 0))
        return 0;
    FILE *file = fopen(mf_dev_path(dev, path, "broker.yaml"), "we");
    if (!file)
        return mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    for (int i = 0; !r && (pair = mf_cli_nth(cli, "set", i)); i++)
        r = write_line(cli, file, pair);
    if (fclose(file) && !r)
        r = mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    if (r)
        unlink(path);
    return r;
}

int mf_dev_check_settings(struct mf_cli *cli, const struct mf_dev *dev, char *const broker_command[])
{
    if (!mf_cli_nth(cli, "set", 0) || !mf_dev_run_tool(cli, dev, "settings", broker_command))
        return 0;
    mf_dev_show_log(dev, "settings");
    return mf_cli_fail(cli, "the broker does not take these settings; `mayfly-broker --help` lists its own");
}
