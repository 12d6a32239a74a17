/* mayfly-agent - opens everything in order: settings, the keeper's greeting, the key, the hypervisor, the
 * threads; then the loop turns. What fails here is said in one sentence; the keeper tries again, slower and
 * slower, unless the settings themselves are wrong. */
#include "agent.h"
#include "check.h"
#include "incarnation.h"
#include "program.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { EXIT_FAILED = 1, EXIT_MISUSE = 2, STOP_MS = 2000 };

static struct mf_agent agent;

static void describe_panic(void)
{
    struct mf_buf buf = {0};
    if (agent.worker)
        mf_worker_describe(agent.worker, &buf);
    if (write(STDERR_FILENO, buf.ptr ? buf.ptr : "", buf.len) < 0)
        return;
}

static void driver_says_died(void *arg, struct mf_uuid id, enum mf_death how, const char *text)
{
    struct mf_agent *self = arg;
    struct mf_work *work = mf_work_new(self, MF_WORK_DIED);
    work->id = id;
    work->how = how;
    mf_str_format(work->text, sizeof work->text, "%s", text ? text : "");
    mf_pool_push(self->pool, &work->job);
}

static void push(struct mf_agent *self, enum mf_work_kind kind, struct mf_uuid id, enum mf_ailment ailment,
                 const char *text)
{
    struct mf_work *work = mf_work_new(self, kind);
    work->id = id;
    work->ailment = ailment;
    mf_str_format(work->text, sizeof work->text, "%s", text);
    mf_pool_push(self->pool, &work->job);
}

static void driver_says_ready(void *arg, struct mf_uuid id)
{
    push(arg, MF_WORK_READY, id, MF_AILMENT_UNSET, "");
}

static void driver_says_unwell(void *arg, struct mf_uuid id, enum mf_ailment how, const char *text)
{
    push(arg, MF_WORK_UNWELL, id, how, text);
}

static void driver_says_address(void *arg, struct mf_uuid id, const char *address)
{
    push(arg, MF_WORK_ADDRESS, id, MF_AILMENT_UNSET, address);
}

static void driver_notes(void *arg, const char *text)
{
    char quoted[512];
    mf_log(MF_LOG_WARNING, "of this hypervisor", "text=%s", mf_log_quote(text, quoted));
}

static int check_identity(struct mf_agent *self, char error[512])
{
    int r = mf_key_load(self->settings.key, &self->key, error);
    if (r < 0)
        return r;
    const char *told = self->settings.node && *self->settings.node ? self->settings.node : self->start.node;
    if (self->key.role != MF_ROLE_WORKER)
        snprintf(error, 512, "key %.200s is a %s's; make one with: mayfly key create --role worker NAME",
                 self->settings.key, mf_role_word(self->key.role));
    else if (*told && strcmp(told, self->key.name) != 0)
        snprintf(error, 512, "key %.200s is node %s's, but this is told to be node %.63s", self->settings.key,
                 self->key.name, told);
    else
        return 0;
    return -1;
}

static int open_driver(struct mf_agent *self, char error[512])
{
    const struct mf_agent_settings *s = &self->settings;
    struct mf_agent_const *fixed = &self->fixed;
    static char root[4096];
    mf_str_format(root, sizeof root, "%s/%s", s->state, s->driver);
    mkdir(root, 0711);
    fixed->settings = s;
    fixed->holds = &self->holds;
    mf_holds_init(&self->holds);
    fixed->sweep = &self->sweep;
    pthread_mutex_init(&self->sweep.lock, NULL);
    fixed->ops = mf_driver_by_name(s->driver);
    mf_str_format(fixed->node, sizeof fixed->node, "%s", self->key.name);
    if (!fixed->ops) {
        snprintf(error, 512, "driver %s is not in this build", s->driver);
        return -1;
    }
    static struct mf_driver_network networks[MF_AGENT_NETWORKS];
    for (uint32_t i = 0; i < s->network.n; i++)
        if (mf_driver_network_parse(s->network.items[i].key, s->network.items[i].value, &networks[i], error) <
            0)
            return -1;
    static struct mf_driver_config config;
    config = (struct mf_driver_config){
        .uri = s->uri,
        .root = root,
        .domain_type = s->domain_type,
        .null_program = s->null_program,
        .script = s->null_script,
        .capacity = {.vcpus = (uint64_t)s->vcpus,
                     .memory_mib = (uint64_t)s->memory_mib,
                     .disk_mib = (uint64_t)s->disk_mib,
                     .disk_iops = (uint64_t)s->disk_iops,
                     .disk_bytes_s = (uint64_t)s->disk_bytes_s,
                     .net_bytes_s = (uint64_t)s->net_bytes_s},
        .cpu_ratio_percent = (uint32_t)s->cpu_ratio_percent,
        .reserve_cpus = (uint32_t)s->reserve_cpus,
        .reserve_memory_mib = s->reserve_memory_mib,
        .died = driver_says_died,
        .ready = driver_says_ready,
        .unwell = driver_says_unwell,
        .address = driver_says_address,
        .note = driver_notes,
        .networks = networks,
        .n_networks = s->network.n,
        .lease_file = s->lease_file && *s->lease_file ? s->lease_file : NULL,
        .arg = self,
    };
    int r = fixed->ops->open(&config, &fixed->driver, error);
    if (r < 0)
        return r;
    fixed->caps = fixed->ops->caps(fixed->driver);
    if (error[0]) {
        char quoted[512];
        mf_log(MF_LOG_WARNING, "driver opened", "but=%s", mf_log_quote(error, quoted));
    }
    return 0;
}

static int open_http(struct mf_agent *self, char error[512])
{
    struct mf_http_pages pages = {.ready = mf_agent_ready, .metrics = mf_agent_metrics, .arg = self};
    return mf_http_open(self->settings.http, self->settings.http_file, &pages, &self->http, error);
}

static int open_pool(struct mf_agent *self, char error[512])
{
    const unsigned threads[MF_LANE_COUNT] = {
        [MF_LANE_CREATE] = (unsigned)self->settings.create_lanes,
        [MF_LANE_DESTROY] = (unsigned)self->settings.destroy_lanes,
        [MF_LANE_LIST] = MF_AGENT_LISTS,
        [MF_LANE_READ] = 1,
        [MF_LANE_SHELL] = self->settings.shells > 0,
    };
    self->pool = mf_pool_new(threads);
    if (!self->pool)
        snprintf(error, 512, "no threads or descriptors left");
    return self->pool ? 0 : -1;
}

static void say_whether_it_fences(const struct mf_agent *self, struct mf_worker_config *config)
{
    unsigned caps = self->fixed.caps;
    bool driver = caps & MF_DRIVER_FENCEABLE, keeper = self->start.flags & MF_KEEPER_FENCES;
    config->fences = driver && keeper;
    if (caps & MF_DRIVER_UNSEEN)
        mf_str_format(
            config->fences_not, sizeof config->fences_not,
            "driver %.63s: its guests' processes are in another pid namespace than this worker; run it "
            "in the hypervisor's (container: --pid host)",
            config->driver);
    else if (!driver)
        mf_str_format(config->fences_not, sizeof config->fences_not,
                      "driver %.63s: its guests are no processes of this machine that its keeper may kill "
                      "(those of a libvirt daemon: with CAP_KILL; container: --pid host --cap-add KILL)",
                      config->driver);
    else if (!keeper)
        mf_str_format(config->fences_not, sizeof config->fences_not, "%s", self->start.text);
    if (!config->fences)
        mf_log(MF_LOG_INFO, "no at-most guests here", "why=\"%s\"", config->fences_not);
}

/* Where they do, each life of this worker is a boot of its own: whatever an earlier one left is dead. */
static void say_whether_guests_die(struct mf_agent *self, struct mf_worker_config *config)
{
    const char *word = self->settings.guests_die_with_me;
    bool own = self->start.pid == 1 && (self->fixed.caps & MF_DRIVER_OWN);
    char boot[MF_INCARNATION_TEXT], why_not[256], quoted[512];
    if (strcmp(word, "yes") != 0 && (strcmp(word, "auto") != 0 || !own))
        return;
    if (!mf_incarnation(config->boot_id, boot, why_not)) {
        mf_log(MF_LOG_WARNING, "that guests end with this worker is not told", "why=%s",
               mf_log_quote(why_not, quoted));
        return;
    }
    self->guests_die = config->guests_die_with_me = true;
    if (!self->settings.boot_id || !*self->settings.boot_id)
        mf_str_format(config->boot_id, sizeof config->boot_id, "%s", boot);
    mf_log(MF_LOG_INFO, "the guests end with this worker", "boot=%s", config->boot_id);
}

static void open_core(struct mf_agent *self)
{
    const struct mf_agent_settings *s = &self->settings;
    struct mf_worker_config config;
    mf_worker_config_default(&config);
    mf_str_format(config.node, sizeof config.node, "%s", self->key.name);
    mf_str_format(config.machine_id, sizeof config.machine_id, "%s", s->machine_id);
    mf_str_format(config.boot_id, sizeof config.boot_id, "%s",
                  s->boot_id && *s->boot_id ? s->boot_id : self->start.boot_id);
    mf_str_format(config.class, sizeof config.class, "%s", s->class);
    mf_str_format(config.driver, sizeof config.driver, "%s/%s", self->fixed.ops->name,
                  self->fixed.ops->type(self->fixed.driver));
    mf_str_format(config.probe_address, sizeof config.probe_address, "%s", self->start.probe_address);
    config.started_ms = self->start.started_ms;
    say_whether_guests_die(self, &config);
    say_whether_it_fences(self, &config);
    config.labels = s->labels;
    config.cpu_ratio_percent = (uint32_t)s->cpu_ratio_percent;
    config.create_lanes = (uint32_t)s->create_lanes;
    config.destroy_lanes = (uint32_t)s->destroy_lanes;
    config.epoch = self->start.epoch;
    config.term = self->start.term;
    config.cluster_id = self->start.cluster_id;
    self->worker = mf_worker_new(&config);
}

static int open_all(struct mf_agent *self)
{
    char error[512] = "";
    const char *what = "key";
    int r = check_identity(self, error), code = EXIT_FAILED;
    if (r == 0)
        mf_log_open("mayfly-agent", self->key.name, MF_LOG_INFO);
    else
        code = EXIT_MISUSE; /* trying again will not mend it */
    if (r == 0 &&
        (what = "threads", r = open_pool(self, error)) == 0) /* before the driver, whose events it carries */
        what = "driver", r = open_driver(self, error);
    if (r == 0)
        what = "images", r = mf_agent_stock_open(self, error);
    if (r == 0)
        what = "http", r = open_http(self, error);
    if (r < 0) {
        char quoted[512];
        mf_log(MF_LOG_ERROR, "cannot start", "what=%s error=%s", what, mf_log_quote(error, quoted));
        return code;
    }
    open_core(self);
    mf_shell_open(self);
    self->context = zmq_ctx_new();
    MF_CHECK(self->context);
    return 0;
}

static void drop_job(struct mf_job *job)
{
    mf_work_free((struct mf_work *)job);
}

/* A call that hangs in a thread must not keep us: guests live on without us, and the next agent finds them.
 */
static void close_all(struct mf_agent *self)
{
    mf_http_close(&self->http);
    if (self->pool && (!mf_pool_stop(self->pool, STOP_MS) || !mf_images_close(&self->fixed.images, STOP_MS)))
        return;
    if (self->fixed.driver)
        self->fixed.ops->close(self->fixed.driver); /* its events may still come until here */
    mf_pool_free(&self->pool, drop_job);
    if (self->context)
        zmq_ctx_term(self->context);
    mf_worker_destroy(&self->worker);
    mf_shells_free(&self->shells.kinds);
    mf_arena_free(&self->arena);
}

int main(int argc, char **argv)
{
    struct mf_arena arena = {0};
    char error[1024];
    mallopt(M_ARENA_MAX, 1); /* a dozen mostly idle threads need no heap each */
    agent.signals = mf_signals_open();
    mf_log_open("mayfly-agent", "", MF_LOG_INFO);
    int code = mf_agent_settings_load(argc, argv, &arena, &agent.settings, error);
    if (code == 0 && mf_keeper_link_open(&agent.start, error) < 0)
        code = -1;
    if (code != 0) {
        if (code < 0)
            fprintf(stderr, "mayfly-agent: %s\n", error);
        mf_arena_free(&arena);
        return code < 0 ? EXIT_MISUSE : 0;
    }
    mf_panic_hook = describe_panic;
    /* What libarchive sets aside of a seed lies with the guests' own files: /tmp may be anybody's, or
     * read-only. */
    setenv("TMPDIR", agent.settings.state, 1);
    code = open_all(&agent);
    if (code == 0) {
        mf_agent_give_back();
        code = mf_agent_run(&agent);
    }
    close_all(&agent);
    mf_log(MF_LOG_INFO, "ended", "code=%d", code);
    if (agent.pool)
        _exit(code); /* a thread hangs: what exit would take apart, it may still use */
    mf_arena_free(&arena);
    return code;
}
