/* driver_libvirt_kvm.c - is KVM to be believed? A device may be there, and a hypervisor offer it, and guests
 * hang nevertheless: a boot decides, of a guest as small as can be, within a time limit. What came of it is
 * remembered until the machine's next boot. */
#include "driver_libvirt.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KVM_LIMIT_MS = 2000, PATH_TEXT = 4096, LOOK_MS = 20, DISK_BYTES = 1 << 20 };

static size_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    return strlen(text);
}

/* A boot sector, at the beginning of a disk that is large enough for every controller's BIOS. */
static int write_disk(const char *path, const uint8_t *code, size_t len)
{
    uint8_t sector[512] = {0};
    memcpy(sector, code, len);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    int r = mf_libvirt_write(path, sector, sizeof sector);
    return r == 0 && truncate(path, DISK_BYTES) < 0 ? -errno : r;
}

/* ---- a QEMU of our own */

/* It writes 42 to the debug port: mov $0xf4,%dx; mov $42,%al; out %al,(%dx); hlt. QEMU then exits with
 * 42 * 2 + 1. */
static const uint8_t debug_exit[] = {0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee, 0xf4, 0xeb, 0xfd};

static bool boots_here(const char *root, char note[512])
{
    char sector[PATH_TEXT], drive[PATH_TEXT + 64], said[256];
    mf_str_format(sector, sizeof sector, "%s/probe.img", root);
    mf_str_format(drive, sizeof drive, "driver=raw,node-name=d,file.driver=file,file.filename=%s", sector);
    const char *const argv[] = {"qemu-system-x86_64",
                                "-accel",
                                "kvm",
                                "-machine",
                                "pc",
                                "-m",
                                "16",
                                "-nodefaults",
                                "-display",
                                "none",
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=0x04",
                                "-blockdev",
                                drive,
                                "-device",
                                "ide-hd,drive=d",
                                "-no-reboot",
                                NULL};
    int status = 0, r = write_disk(sector, debug_exit, sizeof debug_exit);
    if (r == 0)
        r = mf_process_run(argv, KVM_LIMIT_MS, &status, said, sizeof said);
    unlink(sector);
    if (r == -ETIMEDOUT)
        mf_str_format(note, 512, "/dev/kvm is there, but no guest booted with it within %d ms", KVM_LIMIT_MS);
    else if (r < 0)
        mf_str_format(note, 512, "cannot try KVM (%s)", strerror(-r));
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 42 * 2 + 1)
        mf_str_format(note, 512, "KVM does not work here (%s)", said[0] ? said : "QEMU ended");
    else
        return true;
    return false;
}

/* ---- a daemon's */

/* It switches itself off: mov $0x604,%dx; mov $0x2000,%ax; out %ax,(%dx); hlt. */
static const uint8_t power_off[] = {0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd};

static void forget(virDomainPtr domain)
{
    if (!domain)
        return;
    (void)virDomainDestroy(domain);
    (void)virDomainUndefine(domain);
    virDomainFree(domain);
}

/* A domain that is defined stays when its guest has ended, and tells how. */
static bool powers_off(virDomainPtr domain, mf_ms limit_ms)
{
    mf_ms until = mf_monotonic_ms() + limit_ms;
    int state, reason;
    while (virDomainGetState(domain, &state, &reason, 0) == 0) {
        if (state == VIR_DOMAIN_SHUTOFF)
            return reason == VIR_DOMAIN_SHUTOFF_SHUTDOWN;
        if (mf_monotonic_ms() >= until)
            break;
        poll(NULL, 0, LOOK_MS);
    }
    return false;
}

static bool try(virConnectPtr conn, const char *xml, const char *type, mf_ms limit_ms, char note[512])
{
    virDomainPtr domain = virDomainDefineXML(conn, xml);
    bool began = domain && virDomainCreate(domain) == 0, boots = false;
    if (!began)
        mf_str_format(note, 512, "the hypervisor offers %s, but starts no guest with it: %s", type,
                      virGetLastErrorMessage());
    else if (!(boots = powers_off(domain, limit_ms)))
        mf_str_format(note, 512, "the hypervisor offers %s, but no guest booted with it within %d ms", type,
                      (int)limit_ms);
    forget(domain);
    return boots;
}

bool mf_libvirt_boots(virConnectPtr conn, const char *root, const char *type, mf_ms limit_ms, char note[512])
{
    char disk[PATH_TEXT], name[64];
    struct mf_buf xml = {0};
    mf_str_format(disk, sizeof disk, "%s/probe.img", root);
    mf_str_format(name, sizeof name, "mayfly-probe-%016llx", (unsigned long long)mf_hash(root, strlen(root)));
    mf_probe_xml(name, type, disk, &xml);
    forget(virDomainLookupByName(conn, name)); /* of a worker that was killed while it tried */
    int r = write_disk(disk, power_off, sizeof power_off);
    if (r < 0)
        mf_str_format(note, 512, "cannot write %.200s: %s", disk, strerror(-r));
    bool boots = r == 0 && try(conn, xml.ptr, type, limit_ms, note);
    unlink(disk);
    mf_buf_free(&xml);
    return boots;
}

/* ---- which it is */

bool mf_libvirt_offers_kvm(virConnectPtr conn)
{
    char *text = virConnectGetCapabilities(conn);
    bool offers = text && strstr(text, "<domain type='kvm'");
    free(text);
    return offers;
}

static bool boots_with_kvm(const struct mf_driver *self, virConnectPtr conn, char note[512])
{
    if (self->embed)
        return boots_here(self->root, note);
    return mf_libvirt_boots(conn, self->root, "kvm", KVM_LIMIT_MS, note);
}

/* By a boot, or by what came of the last one. A daemon and a QEMU of our own may differ. */
static const char *tried(const struct mf_driver *self, virConnectPtr conn, char note[512])
{
    char path[PATH_TEXT], known[128], boot[64], line[128];
    mf_str_format(path, sizeof path, "%s/domain-type%s", self->root, self->embed ? "" : "-of-daemon");
    read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    size_t len = strlen(boot);
    if (read_file(path, known, sizeof known) > len && strncmp(known, boot, len) == 0) {
        if (strcmp(known + len, " kvm") == 0)
            return "kvm";
        mf_str_format(note, 512,
                      "KVM did not work here when it was tried; remove %.200s to have it tried again", path);
        return "qemu";
    }
    const char *type = boots_with_kvm(self, conn, note) ? "kvm" : "qemu";
    mf_str_format(line, sizeof line, "%s %s\n", boot, type);
    (void)mf_libvirt_write(path, line, strlen(line)); /* only spares the next start a look */
    return type;
}

static const char *choose(const struct mf_driver *self, virConnectPtr conn, char note[512])
{
    if (self->embed && access("/dev/kvm", R_OK | W_OK) < 0) {
        mf_str_format(note, 512, "/dev/kvm: %s", strerror(errno));
        return "qemu";
    }
    /* A QEMU of our own is tried first: libvirt takes long to find out about a KVM that hangs. */
    if (self->embed && strcmp(tried(self, conn, note), "qemu") == 0)
        return "qemu";
    if (!mf_libvirt_offers_kvm(conn)) {
        mf_str_format(note, 512, "the hypervisor at %.150s offers no KVM", self->uri);
        return "qemu";
    }
    return self->embed || !self->local ? "kvm" : tried(self, conn, note);
}

const char *mf_libvirt_kvm_or_qemu(const struct mf_driver *self, virConnectPtr conn, char note[512])
{
    char why[512] = "";
    const char *type = choose(self, conn, why);
    if (strcmp(type, "qemu") == 0)
        mf_str_format(note, 512, "%.470s: guests are emulated", why);
    return type;
}
