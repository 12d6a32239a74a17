/* driver_libvirt_shell.c - shells: guests made ahead, one of which a create takes over instead of making its
 * own. Nine tenths of a create is libvirt asking a new QEMU about its CPUs; a shell has that behind it.
 *
 * A shell is a domain with an id of its own, paused before its first instruction, with a disk, a seed and a
 * console in a folder of its own. The agent writes the seed of the instance into the shell's (the same file:
 * QEMU has it open), renames the folder to the instance's, and then the domain's metadata is made to say
 * whose it is, and it is resumed. From then on the instance is known by the domain (metadata `id`), and by
 * the process (open files below instances/ID).
 *
 * The crumb of a shell, ROOT/guests/SHELL, stands from before its disk is made until its guest was let run.
 * So an agent that finds one finds a guest that has not lived: it is ended, whatever was done to it already.
 */
#include "driver_libvirt.h"
#include "check.h"
#include "process.h"
#include "shell_process.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mf_shell { /* under the driver's lock */
    struct mf_uuid id, instance;
    struct mf_digest kind;
    bool taken; /* a create is busy with it, or it is the instance's */
};

static struct mf_shell *find(struct mf_driver *self, struct mf_uuid id)
{
    return mf_map_get(self->shells, id.bytes, sizeof id.bytes);
}

static struct mf_shell *obtain(struct mf_driver *self, struct mf_uuid id)
{
    struct mf_shell *shell = find(self, id);
    if (shell)
        return shell;
    shell = calloc(1, sizeof *shell);
    MF_CHECK(shell);
    shell->id = id;
    mf_map_put(self->shells, id.bytes, sizeof id.bytes, shell);
    return shell;
}

void mf_shell_forget(struct mf_driver *self, struct mf_uuid id)
{
    free(mf_map_del(self->shells, id.bytes, sizeof id.bytes));
}

/* ---- kinds */

/* Two guests are of one kind if their domains differ in nothing but what a create can still change. */
int mf_libvirt_shell_kind(struct mf_driver *self, const struct mf_driver_spec *spec,
                          struct mf_digest *ret_kind, char error[512])
{
    const struct mf_rec_offering *offering = spec->offering;
    if (!self->embed || !spec->disk || !spec->seed || !spec->dir ||
        (offering && (offering->pinned || offering->hugepages))) {
        mf_str_format(error, 512, "no shells of this kind");
        return -ENOTSUP;
    }
    struct mf_driver_spec kind = *spec;
    struct mf_buf text = {0};
    struct mf_domain_host host;
    char more[64];
    kind.id = (struct mf_uuid){0};
    kind.epoch = 0;
    kind.at_most = false;
    kind.dir = kind.disk = kind.seed = "/";
    kind.console = spec->console ? "/" : NULL;
    mf_str_format(kind.name, sizeof kind.name, "%s", MF_SHELL_NAME);
    int r = mf_libvirt_host_cells(self, spec, &host, error);
    if (r == 0)
        r = mf_domain_xml(&kind, &host, &text, error);
    mf_str_format(more, sizeof more, "%llu %d ", (unsigned long long)spec->disk_mib, (int)spec->base_format);
    mf_buf_append(&text, more, strlen(more) + 1);
    for (const char *const *word =
             (const char *const[]){spec->base ? spec->base : "", spec->network ? spec->network : "", NULL};
         *word; word++)
        mf_buf_append(&text, *word, strlen(*word) + 1);
    *ret_kind = mf_digest_make(text.ptr, text.len);
    mf_buf_free(&text);
    return r;
}

/* ---- the agent's side */

int mf_libvirt_shell_make(struct mf_driver *self, const struct mf_driver_spec *spec, struct mf_digest kind,
                          char error[512])
{
    struct mf_driver_spec shell = *spec;
    int64_t pid;
    shell.as_shell = true;
    shell.at_most = false;
    mf_str_format(shell.name, sizeof shell.name, "%s", MF_SHELL_NAME);
    int r = mf_libvirt_create(self, &shell, &pid, error);
    if (r < 0)
        return r;
    pthread_mutex_lock(&self->lock);
    mf_guest_forget(self, spec->id); /* it is none yet */
    obtain(self, spec->id)->kind = kind;
    pthread_mutex_unlock(&self->lock);
    return 0;
}

bool mf_libvirt_shell_take(struct mf_driver *self, struct mf_digest kind, struct mf_uuid *ret_shell)
{
    struct mf_shell *shell, *found = NULL;
    size_t cursor = 0;
    pthread_mutex_lock(&self->lock);
    while (!found && mf_map_next(self->shells, &cursor, (void **)&shell))
        if (!shell->taken && mf_digest_eq(shell->kind, kind))
            found = shell;
    if (found) {
        found->taken = true;
        *ret_shell = found->id;
    }
    pthread_mutex_unlock(&self->lock);
    return found != NULL;
}

size_t mf_libvirt_shells(struct mf_driver *self, struct mf_driver_shell *ret_shells, size_t max)
{
    struct mf_shell *shell;
    size_t cursor = 0, n = 0;
    pthread_mutex_lock(&self->lock);
    while (n < max && mf_map_next(self->shells, &cursor, (void **)&shell))
        if (mf_uuid_is_zero(shell->instance))
            ret_shells[n++] = (struct mf_driver_shell){shell->id, shell->kind, shell->taken};
    pthread_mutex_unlock(&self->lock);
    return n;
}

/* ---- a create takes one over */

static int rename_domain(virDomainPtr domain, const struct mf_driver_spec *spec,
                         const struct mf_domain_host *host, char error[512])
{
    struct mf_buf element = {0};
    char id[MF_UUID_TEXT];
    mf_buf_append(&element, "<guest id='", sizeof "<guest id='" - 1);
    mf_buf_append(&element, mf_uuid_text(spec->id, id), MF_UUID_TEXT - 1);
    mf_buf_append(&element, "'", 1);
    mf_domain_attributes(spec, host, &element);
    mf_buf_append(&element, "/>", sizeof "/>");
    int r = virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, element.ptr, "mayfly",
                                 MF_DOMAIN_NAMESPACE, VIR_DOMAIN_AFFECT_LIVE);
    mf_buf_free(&element);
    return r < 0 ? mf_libvirt_error(error, "cannot give the shell its identity") : 0;
}

static void belongs(struct mf_driver *self, struct mf_uuid id, struct mf_uuid instance)
{
    pthread_mutex_lock(&self->lock);
    struct mf_shell *shell = obtain(self, id);
    shell->taken = true;
    shell->instance = instance;
    mf_guest_obtain(self, instance)->shell = id;
    pthread_mutex_unlock(&self->lock);
}

int mf_shell_claim(struct mf_driver *self, virConnectPtr conn, const struct mf_driver_spec *spec,
                   const struct mf_domain_host *host, virDomainPtr *ret_domain, char error[512])
{
    virDomainPtr domain;
    belongs(self, spec->shell, spec->id);
    int r = mf_domain_lookup(conn, spec->shell, &domain, error);
    if (r == -ENOENT)
        mf_str_format(error, 512, "the shell that was to become it has ended");
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r;
    r = rename_domain(domain, spec, host, error);
    if (r == 0)
        r = mf_crumb_leave(self, spec->id, spec->disk, error);
    if (r == 0)
        *ret_domain = domain;
    else
        virDomainFree(domain);
    return r == 0 ? 0 : -ESTALE;
}

/* ---- what libvirt's domains and events stand for */

bool mf_shell_instance(struct mf_driver *self, virDomainPtr domain, struct mf_uuid *ret_id)
{
    char name[sizeof MF_SHELL_NAME + MF_UUID_TEXT], text[MF_UUID_TEXT];
    struct mf_uuid id;
    if (virDomainGetUUID(domain, id.bytes) < 0)
        return false;
    mf_str_format(name, sizeof name, "%s-%s", MF_SHELL_NAME, mf_uuid_text(id, text));
    *ret_id = id;
    if (strcmp(virDomainGetName(domain), name) != 0)
        return true;
    pthread_mutex_lock(&self->lock);
    struct mf_shell *shell = find(self, id);
    *ret_id = shell ? shell->instance : (struct mf_uuid){0};
    pthread_mutex_unlock(&self->lock);
    return !mf_uuid_is_zero(*ret_id);
}

/* Its folder is the agent's to remove. */
void mf_shell_ended(struct mf_driver *self, virDomainPtr domain)
{
    struct mf_uuid id;
    if (virDomainGetUUID(domain, id.bytes) < 0)
        return;
    pthread_mutex_lock(&self->lock);
    struct mf_shell *shell = find(self, id);
    bool idle = shell && !shell->taken;
    if (idle)
        mf_shell_forget(self, id);
    pthread_mutex_unlock(&self->lock);
    if (!idle)
        return;
    mf_crumb_clean(self, id);
    mf_log_remove(self, id);
}

bool mf_shell_listed(struct mf_driver *self, const struct mf_domain_identity *identity, struct mf_uuid *id)
{
    if (!mf_uuid_is_zero(identity->instance)) {
        belongs(self, *id, identity->instance);
        *id = identity->instance;
    }
    return strcmp(identity->name, MF_SHELL_NAME) != 0;
}

bool mf_shell_idle_process(struct mf_uuid id, const char *command_line)
{
    char mark[sizeof "-uuid " + MF_UUID_TEXT] = "-uuid ";
    mf_uuid_text(id, mark + sizeof "-uuid " - 1);
    return mf_shell_line(command_line, strlen(command_line) + 1) && strstr(command_line, mark);
}

struct mf_uuid mf_guest_shell(struct mf_driver *self, struct mf_uuid id)
{
    pthread_mutex_lock(&self->lock);
    struct mf_guest *guest = mf_guest_get(self, id);
    struct mf_uuid shell = guest ? guest->shell : (struct mf_uuid){0};
    pthread_mutex_unlock(&self->lock);
    return shell;
}

int mf_guest_lookup(struct mf_driver *self, virConnectPtr conn, struct mf_uuid id, virDomainPtr *ret_domain,
                    char error[512])
{
    struct mf_uuid shell = mf_guest_shell(self, id);
    return mf_domain_lookup(conn, mf_uuid_is_zero(shell) ? id : shell, ret_domain, error);
}

/* ---- beginning and end */

/* Whose shell's crumb is this? */
static bool crumb_of_shell(int folder, const char *name, struct mf_uuid *ret_id)
{
    char target[4096], mark[sizeof "/shells/" + MF_UUID_TEXT + 1];
    ssize_t n = readlinkat(folder, name, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    mf_str_format(mark, sizeof mark, "/shells/%s/", name);
    return n > 0 && mf_uuid_parse(name, strlen(name), ret_id) && strstr(target, mark);
}

/* An instance that was let run, though its agent did not get to say so, is one. */
static bool lives(struct mf_driver *self, struct mf_uuid id, struct mf_uuid *ret_instance)
{
    struct mf_domain_identity identity;
    virDomainPtr domain;
    char ignored[512];
    int state = VIR_DOMAIN_NOSTATE;
    *ret_instance = (struct mf_uuid){0};
    if (mf_domain_lookup(self->lanes[MF_LANE_WATCH], id, &domain, ignored) < 0)
        return false;
    bool known = mf_domain_identity(domain, &identity) && virDomainGetState(domain, &state, NULL, 0) == 0;
    virDomainFree(domain);
    if (known)
        *ret_instance = identity.instance;
    return known && !mf_uuid_is_zero(identity.instance) && state != VIR_DOMAIN_PAUSED;
}

static void settle(struct mf_driver *self, struct mf_uuid id)
{
    struct mf_uuid instance;
    char ignored[512];
    if (lives(self, id, &instance)) {
        mf_crumb_clean(self, id);
    } else if (mf_libvirt_destroy(self, id, 0, ignored) == 0 && !mf_uuid_is_zero(instance)) {
        mf_crumb_clean(self, instance);
    }
}

void mf_shells_settle(struct mf_driver *self)
{
    char path[4096];
    struct dirent *entry;
    struct mf_uuid id;
    mf_str_format(path, sizeof path, "%s/guests", self->root);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        if (crumb_of_shell(dirfd(folder), entry->d_name, &id))
            settle(self, id);
    if (folder)
        closedir(folder);
}

void mf_shells_end(struct mf_driver *self)
{
    struct mf_driver_shell shells[MF_DRIVER_SHELLS_MAX];
    char ignored[512];
    size_t n = mf_libvirt_shells(self, shells, MF_DRIVER_SHELLS_MAX);
    for (size_t i = 0; i < n; i++) { /* all at once, and libvirt is told one by one */
        pid_t pid = mf_process_find_guest(shells[i].id);
        if (pid > 0)
            (void)mf_process_kill_guest(pid, shells[i].id, 0);
    }
    for (size_t i = 0; i < n; i++)
        (void)mf_libvirt_destroy(self, shells[i].id, 0, ignored);
}
