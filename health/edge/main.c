/* main.c - mayfly-health: settings, key, sockets, then the loop. Exit codes: 0 ended by a signal, 1 could not
 * run, 2 misuse. */
#include "check.h"
#include "http.h"
#include "monitor.h"
#include "program.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct settings {
    char *broker, *key, *name, *pulse_bind, *pulse_advertise, *pid_file, *http, *http_file, *log_format,
        *check_networks;
    int64_t check_guests, check_looks;
    bool probe, verbose;
};

#define AT(field) offsetof(struct settings, field)
static const struct mf_setting table[] = {
    {"broker", MF_SET_STRING, AT(broker), 1, 255, NULL, true,
     "the broker's client endpoint, tcp://HOST:PORT"},
    {"key", MF_SET_STRING, AT(key), 1, 4095, NULL, true,
     "this monitor's NAME.cert_secret, made by: mayfly key create --role monitor NAME"},
    {"name", MF_SET_STRING, AT(name), 0, MF_NAME_MAX, NULL, false,
     "this monitor's name; must be the key's, which is the default"},
    {"pulse-bind", MF_SET_STRING, AT(pulse_bind), 1, 255, "*:0", false,
     "where pulses come in, UDP HOST:PORT; port 0 takes any"},
    {"pulse-advertise", MF_SET_STRING, AT(pulse_advertise), 0, 100, NULL, false,
     "where keepers send them, if that is another HOST:PORT"},
    {"probe", MF_SET_BOOL, AT(probe), 0, 0, "true", false,
     "ask for second opinions: probe quiet nodes, directly and through their peers"},
    {"check-networks", MF_SET_STRING, AT(check_networks), 0, MF_NETWORKS_TEXT, NULL, false,
     "guests are looked at only where they have addresses in these networks, as in 10.0.0.0/8,fd00::/8; by "
     "default anywhere but loopback, link-local and multicast addresses"},
    {"check-guests", MF_SET_INT, AT(check_guests), 1, 1000000, "10000", false,
     "most guests that are looked at"},
    {"check-looks", MF_SET_INT, AT(check_looks), 1, 4096, "256", false,
     "most looks at guests that are under way at once; each needs a file descriptor"},
    {"pid-file", MF_SET_STRING, AT(pid_file), 0, 4095, NULL, false, "file for the process id"},
    {"http", MF_SET_STRING, AT(http), 1, 100, "127.0.0.1:7111", false, MF_HTTP_DOC},
    {"http-file", MF_SET_STRING, AT(http_file), 1, 4000, NULL, false, MF_HTTP_FILE_DOC},
    {"log-format", MF_SET_STRING, AT(log_format), 1, 10, NULL, false, MF_LOG_FORMAT_DOC},
    {"verbose", MF_SET_BOOL, AT(verbose), 0, 0, "false", false, "log more"},
};

static struct mf_monitor *the_monitor;

static void dump_at_panic(void)
{
    if (the_monitor)
        mf_monitor_dump(the_monitor);
}

static int load_key(const struct settings *settings, struct mf_key *ret_key, char error[512])
{
    int r = mf_key_load(settings->key, ret_key, error);
    if (r < 0)
        return r;
    if (ret_key->role != MF_ROLE_MONITOR) {
        mf_str_format(error, 512,
                      "%s: is a key of role %s; make one with: mayfly key create --role monitor NAME",
                      settings->key, mf_role_word(ret_key->role));
        return -EINVAL;
    }
    if (settings->name && *settings->name && strcmp(settings->name, ret_key->name) != 0) {
        mf_str_format(error, 512, "%s: is the key of %s, not of %s; leave --name away or take the other key",
                      settings->key, ret_key->name, settings->name);
        return -EINVAL;
    }
    return 0;
}

static int open_networks(const char *text, struct mf_networks *ret_networks, char error[512])
{
    char why[512];
    int r = mf_networks_parse(text ? text : "", ret_networks, why);
    if (r < 0)
        mf_str_format(error, 512, "check-networks: %s", why);
    return r;
}

static int open_monitor(const struct settings *settings, int signals, char error[512])
{
    struct mf_key key;
    struct mf_health_config config;
    struct mf_pulse_socket *pulses = NULL;
    int r = load_key(settings, &key, error);
    if (r < 0)
        return r;
    mf_log_open("mayfly-health", key.name, settings->verbose ? MF_LOG_DEBUG : MF_LOG_INFO);
    mf_health_config_default(&config);
    config.probe = settings->probe;
    randombytes_buf(&config.seed, sizeof(config.seed));
    config.check_guests = (uint32_t)settings->check_guests;
    config.check_looks = (uint32_t)settings->check_looks;
    mf_str_format(config.name, sizeof(config.name), "%s", key.name);
    r = open_networks(settings->check_networks, &config.check_networks, error);
    if (r == 0)
        r = mf_pidfile(settings->pid_file, error);
    if (r == 0)
        r = mf_pulse_socket_open(settings->pulse_bind, settings->broker, &pulses, config.pulse_address,
                                 error);
    if (r < 0)
        return r;
    if (settings->pulse_advertise && *settings->pulse_advertise)
        mf_str_format(config.pulse_address, sizeof(config.pulse_address), "%s", settings->pulse_advertise);
    mf_log(MF_LOG_INFO, "listening for pulses", "address=%s", config.pulse_address);
    r = mf_monitor_open(&config, settings->broker, &key, pulses, signals, &the_monitor, error);
    return r < 0 ? r : mf_monitor_serve(the_monitor, settings->http, settings->http_file, error);
}

int main(int argc, char **argv)
{
    int signals = mf_signals_open();
    mf_notify_open();
    struct settings settings = {0};
    struct mf_arena arena = {0};
    struct mf_networks networks;
    char error[1024], quoted[512];
    if (signals < 0) {
        fprintf(stderr, "mayfly-health: no signalfd: %s\n", strerror(-signals));
        return 1;
    }
    int r = mf_settings_load("mayfly-health", "hears who is alive and tells the broker", table,
                             sizeof(table) / sizeof(table[0]), argc, argv, &arena, &settings, error);
    if (r >= 0 && (mf_log_format_open(settings.log_format, error) < 0 ||
                   open_networks(settings.check_networks, &networks, error) < 0 ||
                   (settings.http && mf_http_check(settings.http, error) < 0))) /* NULL after --help */
        r = -EINVAL;
    if (r != 0) {
        if (r < 0)
            fprintf(stderr, "mayfly-health: %s\n", error);
        mf_arena_free(&arena);
        return r < 0 ? 2 : 0;
    }
    mf_log_open("mayfly-health", settings.name, settings.verbose ? MF_LOG_DEBUG : MF_LOG_INFO);
    mf_panic_hook = dump_at_panic;
    r = open_monitor(&settings, signals, error);
    if (r < 0) {
        mf_log(MF_LOG_ERROR, "cannot run", "error=%s", mf_log_quote(error, quoted));
    } else if ((r = mf_monitor_run(the_monitor)) < 0) {
        mf_log(MF_LOG_ERROR, "the loop ended", "error=\"%s\"", strerror(-r));
    } else {
        mf_log(MF_LOG_INFO, "ended by a signal", NULL);
    }
    mf_monitor_close(&the_monitor);
    mf_arena_free(&arena);
    return r < 0;
}
