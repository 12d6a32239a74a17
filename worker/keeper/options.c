/* options.c - the keeper's few flags. Everything after `--` is the agent's. */
#include "keeper.h"
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAY_MS = 86400000 };

static const char usage[] =
    "Usage: mayfly-keeper [FLAGS] -- AGENT-FLAGS...\n"
    "Keeps a node: starts and restarts mayfly-agent, watches its guests, pulses to the monitors.\n"
    "\n"
    "  --node NAME          this node's name; must be the one in the agent's key (default: the key's)\n"
    "  --agent PROGRAM      the agent (default: mayfly-agent beside this program)\n"
    "  --pid-file FILE      written and locked while this process lives\n"
    "  --probe-bind H:P     where probes are answered, numeric, UDP (default 127.0.0.1:0; port 0: any free "
    "one)\n"
    "  --probe-host HOST    where peers reach that, if H is 0.0.0.0 or [::]\n"
    "  --watchdog DEVICE    guards this keeper while at-most guests run, e.g. /dev/watchdog (default: none)\n"
    "  --drain-on-stop MS   told to stop, have the node drained first, for at most MS (default 0: no drain)\n"
    "  --log-format WORD    logfmt or json, the agent's too (default: what MAYFLY_LOG_FORMAT says, else "
    "logfmt)\n"
    "  --boot-id TEXT       take this for the host's boot id (tests)\n"
    "  --help, --version\n";

static const struct option flags[] = {
    {"node", required_argument, NULL, 'n'},
    {"agent", required_argument, NULL, 'a'},
    {"pid-file", required_argument, NULL, 'p'},
    {"probe-bind", required_argument, NULL, 'b'},
    {"probe-host", required_argument, NULL, 'o'},
    {"boot-id", required_argument, NULL, 'i'},
    {"watchdog", required_argument, NULL, 'w'},
    {"drain-on-stop", required_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {"log-format", required_argument, NULL, 'f'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static int refuse(char error[512], const char *flag, const char *value, const char *what)
{
    snprintf(error, 512, "%s: '%.200s' %s", flag, value, what);
    return -EINVAL;
}

static bool parse_ms(const char *text, mf_ms *ret_ms)
{
    char *end;
    errno = 0;
    long long ms = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || ms > DAY_MS)
        return false;
    *ret_ms = ms;
    return true;
}

static int take(struct mf_keeper_options *options, int flag, char error[512])
{
    struct sockaddr_storage address;
    switch (flag) {
    case 'n':
        if (!mf_name_valid(mf_str(optarg)))
            return refuse(error, "--node", optarg, "is no name: [a-z0-9][a-z0-9-]{0,62}");
        mf_str_format(options->node, sizeof options->node, "%s", optarg);
        return 0;
    case 'a':
        options->agent = optarg;
        return 0;
    case 'p':
        options->pid_file = optarg;
        return 0;
    case 'b':
        if (strlen(optarg) >= sizeof options->probe_bind || mf_keeper_address(optarg, &address) < 0)
            return refuse(error, "--probe-bind", optarg, "is no numeric HOST:PORT");
        mf_str_format(options->probe_bind, sizeof options->probe_bind, "%s", optarg);
        return 0;
    case 'o':
        if (!*optarg || strlen(optarg) >= sizeof options->probe_host)
            return refuse(error, "--probe-host", optarg, "is no host");
        mf_str_format(options->probe_host, sizeof options->probe_host, "%s", optarg);
        return 0;
    case 'w':
        if (access(optarg, W_OK) < 0)
            return refuse(error, "--watchdog", optarg, "cannot be written to");
        options->watchdog = optarg;
        return 0;
    case 'd':
        if (!parse_ms(optarg, &options->drain_ms))
            return refuse(error, "--drain-on-stop", optarg, "is no number of milliseconds up to a day");
        return 0;
    case 'f':
        setenv(MF_LOG_FORMAT_VARIABLE, optarg, 1); /* the agent inherits it */
        return mf_log_format_choose(optarg, &options->log_format, error);
    case 'i':
        if (!*optarg || strlen(optarg) >= sizeof options->boot_id)
            return refuse(error, "--boot-id", optarg, "must have 1 to 64 bytes");
        mf_str_format(options->boot_id, sizeof options->boot_id, "%s", optarg);
        return 0;
    default:
        snprintf(error, 512, "see mayfly-keeper --help");
        return -EINVAL;
    }
}

static int read_boot_id(struct mf_keeper_options *options, char error[512])
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    FILE *file = fopen(path, "re");
    if (!file || !fgets(options->boot_id, sizeof options->boot_id, file)) {
        int r = errno ? -errno : -EIO;
        snprintf(error, 512, "%s: %s; give --boot-id", path, strerror(-r));
        if (file)
            fclose(file);
        return r;
    }
    fclose(file);
    options->boot_id[strcspn(options->boot_id, "\n")] = 0;
    return 0;
}

/* mayfly-agent beside this very program. */
static const char *default_agent(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "mayfly-agent");
    if (n <= 0)
        return "mayfly-agent";
    path[n] = 0;
    char *slash = strrchr(path, '/');
    memcpy(slash ? slash + 1 : path, "mayfly-agent", sizeof "mayfly-agent");
    return path;
}

int mf_keeper_options_parse(int argc, char **argv, struct mf_keeper_options *ret_options, char error[512])
{
    struct mf_keeper_options options = {.probe_bind = "127.0.0.1:0"};
    optind = 1;
    for (int flag; (flag = getopt_long(argc, argv, "+", flags, NULL)) != -1;) {
        if (flag == 'h' || flag == 'v') {
            fputs(flag == 'h' ? usage : "mayfly-keeper " MAYFLY_VERSION "\n", stdout);
            return 1;
        }
        int r = take(&options, flag, error);
        if (r < 0)
            return r;
    }
    if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
        return refuse(error, "command line", argv[optind],
                      "is unexpected; the agent's own flags come after --");
    int r = mf_log_format_choose(NULL, &options.log_format, error);
    if (r < 0)
        return r;
    if (!options.boot_id[0]) {
        r = read_boot_id(&options, error);
        if (r < 0)
            return r;
    }
    if (!options.agent)
        options.agent = default_agent();
    options.agent_args = argv + optind;
    *ret_options = options;
    return 0;
}
