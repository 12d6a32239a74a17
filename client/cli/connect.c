/* Where commands meet the library: the connection as flags and environment say, requests with their errors
 * said, files. */
#include "cli.h"
#include "json.h"
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *setting(const struct mf_cli *cli, const char *flag, const char *variable)
{
    const char *value = mf_cli_get(cli, flag);
    if (!value)
        value = getenv(variable);
    return value && *value ? value : NULL;
}

static int connect_as_said(struct mf_cli *cli)
{
    struct mayfly_error error;
    uint64_t timeout_ms = 0;
    struct mayfly_options options = {.endpoint = setting(cli, "broker", "MAYFLY_BROKER"),
                                     .key_file = setting(cli, "key", "MAYFLY_KEY")};
    const char *timeout = setting(cli, "timeout-ms", "MAYFLY_TIMEOUT_MS");
    if (!options.endpoint)
        return mf_cli_misuse(cli, "which broker? say --broker tcp://HOST:PORT or set MAYFLY_BROKER (of a dev "
                                  "cluster: eval \"$(mayfly "
                                  "dev env --state DIR)\")");
    if (!options.key_file)
        return mf_cli_misuse(cli, "which key? say --key FILE or set MAYFLY_KEY to a secret certificate made "
                                  "by `mayfly key create`");
    if (timeout && mf_cli_parse_number(cli, "--timeout-ms", timeout, 1, 86400000, &timeout_ms))
        return MF_EXIT_MISUSE;
    options.timeout_ms = (int64_t)timeout_ms;
    if (mayfly_open(&options, &cli->client, &error))
        return mf_cli_error(cli, &error);
    return 0;
}

int mf_cli_error(const struct mf_cli *cli, const struct mayfly_error *error)
{
    if (error->local && error->code == MF_E_UNAVAILABLE)
        return mf_cli_fail(
            cli, "%s (--broker or MAYFLY_BROKER, --key or MAYFLY_KEY; on a dev cluster: mayfly dev status)",
            error->text);
    if (error->local)
        return mf_cli_fail(cli, "%s", error->text);
    return mf_cli_fail(cli, "refused (%s): %s%s", mf_error_code(error->code), error->text,
                       error->retry ? " (the same may succeed later)" : "");
}

int mf_cli_request(struct mf_cli *cli, const struct mf_message *request, struct mayfly_reply *ret_reply)
{
    struct mayfly_error error;
    int r = cli->client ? 0 : connect_as_said(cli);
    if (r)
        return r;
    r = mayfly_request(cli->client, request, 0, ret_reply, &error);
    if (r == -EINVAL && error.local)
        return mf_cli_misuse(cli, "%s", error.text);
    return r ? mf_cli_error(cli, &error) : 0;
}

static int read_all(struct mf_cli *cli, int fd, const char *path, size_t max, const char *too_large,
                    struct mf_str *ret_bytes)
{
    char *bytes = mf_arena_alloc(&cli->arena, max + 1);
    size_t len = 0;
    while (len <= max) {
        ssize_t n = read(fd, bytes + len, max + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mf_cli_fail(cli, "%s: %s", path, strerror(errno));
        if (!n)
            break;
        len += (size_t)n;
    }
    if (len > max)
        return mf_cli_fail(cli, "%s: %s", path, too_large);
    *ret_bytes = (struct mf_str){bytes, (uint32_t)len};
    return 0;
}

int mf_cli_read_file(struct mf_cli *cli, const char *path, size_t max, const char *too_large,
                     struct mf_str *ret_bytes)
{
    struct stat st;
    if (!strcmp(path, "-"))
        return read_all(cli, STDIN_FILENO, "stdin", max, too_large, ret_bytes);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mf_cli_fail(cli, "%s: %s", path, strerror(errno));
    int r;
    if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
        r = mf_cli_fail(cli, "%s: is a directory; name a file", path);
    else
        r = read_all(cli, fd, path, max, too_large, ret_bytes);
    close(fd);
    return r;
}

void mf_cli_accepted(const struct mf_cli *cli, const struct mf_msg_accepted *accepted, const char *what, ...)
{
    va_list arguments;
    if (cli->json) {
        mf_output_object(mf_json_struct(mf_kind_desc(MF_MSG_ACCEPTED), accepted));
        return;
    }
    va_start(arguments, what);
    vprintf(what, arguments);
    va_end(arguments);
    printf(" accepted as event %" PRIu64 "\n", accepted->seq);
    if (accepted->text.len)
        printf("%.*s\n", (int)accepted->text.len, accepted->text.ptr);
    fflush(stdout); /* what it waits for may take long */
}
