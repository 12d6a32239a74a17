/* domain_xml.c - see domain_xml.h.
 *
 * The machine is the smallest that a cloud image still knows: q35 with virtio disk, seed and network, a
 * serial line, ACPI for the power button, a device that tells of a panic, the channels that its health needs,
 * and nothing else. Fewer devices boot sooner. Writes of the
 * ephemeral disk are never flushed (cache unsafe): it dies with its guest, so there is nobody to keep a
 * promise to. */
#include "domain_xml.h"
#include "cells.h"
#include "containment.h"
#include "xml_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *mf_domain_name(const struct mf_driver_spec *spec, char ret_name[MF_DOMAIN_NAME])
{
    enum { WORDS_MAX = 48 };
    const char *words = spec->name;
    if (strncmp(words, "default/", 8) == 0) /* the tenant that everybody has says nothing */
        words += 8;
    size_t n = 0;
    for (; *words && n < WORDS_MAX; words++) {
        bool plain = isascii((unsigned char)*words) && isalnum((unsigned char)*words);
        if (plain)
            ret_name[n++] = *words;
        else if (n && ret_name[n - 1] != '-')
            ret_name[n++] = '-';
    }
    if (!n)
        ret_name[n++] = 'm';
    if (ret_name[n - 1] != '-')
        ret_name[n++] = '-';
    mf_uuid_text(spec->id, ret_name + n);
    return ret_name;
}

static int check_path(const char *what, const char *path, char error[512])
{
    if (!path)
        return 0;
    if (path[0] != '/') {
        mf_str_format(error, 512, "%s is not an absolute path: \"%.200s\"", what, path);
        return -EINVAL;
    }
    if (strlen(path) >= MF_DOMAIN_PATH) {
        mf_str_format(error, 512, "%s is %zu bytes long, at most %d are allowed", what, strlen(path),
                      MF_DOMAIN_PATH - 1);
        return -EINVAL;
    }
    return mf_xml_check(what, path, error);
}

static int check_spec(const struct mf_driver_spec *spec, char error[512])
{
    const struct {
        const char *what, *path;
    } paths[] = {{"kernel", spec->kernel},  {"initrd", spec->initrd}, {"seed", spec->seed},
                 {"disk", spec->disk},      {"base", spec->base},     {"dir", spec->dir},
                 {"console", spec->console}};
    int r = mf_xml_check("name", spec->name, error);
    if (r == 0)
        r = mf_xml_check("cmdline", spec->cmdline, error);
    for (size_t i = 0; i < sizeof paths / sizeof *paths && r == 0; i++)
        r = check_path(paths[i].what, paths[i].path, error);
    if (r < 0)
        return r;
    if (!spec->name[0] || !spec->vcpus || !spec->memory_mib) {
        mf_str_format(error, 512, "a guest needs a name, at least one vcpu and at least one MiB of memory");
        return -EINVAL;
    }
    return 0;
}

/* ---- writing */

static const char *word_of_network(enum mf_network_kind kind)
{
    static const char *const words[] = {
        [MF_NETWORK_USER] = "user",       [MF_NETWORK_LIBVIRT] = "network", [MF_NETWORK_BRIDGE] = "bridge",
        [MF_NETWORK_MACVTAP] = "macvtap", [MF_NETWORK_TAP] = "tap",
    };
    return words[kind];
}

/* What a restarted agent needs to know of it, and nobody else remembers. */
void mf_domain_attributes(const struct mf_driver_spec *spec, const struct mf_domain_host *host,
                          struct mf_buf *buf)
{
    static const struct mf_rec_guest_health none;
    const struct mf_rec_guest_health *health = spec->health ? spec->health : &none;
    mf_xml_format(buf, " name='%s' epoch='%u' disk='%s' console='%s'", spec->name, spec->epoch,
                  spec->disk ? spec->disk : "", spec->console ? spec->console : "");
    if (spec->at_most)
        mf_xml_put(buf, " policy='at-most'");
    if (spec->dir)
        mf_xml_format(buf, " dir='%s'", spec->dir);
    if (health->ready > MF_READINESS_NONE)
        mf_xml_format(buf, " ready='%s'", mf_readiness_word(health->ready));
    if (health->ping_ms)
        mf_xml_format(buf, " ping='%u' fall='%u'", health->ping_ms, health->ping_fall);
    if (host->network && host->network->kind != MF_NETWORK_USER)
        mf_xml_format(buf, " net='%s'", word_of_network(host->network->kind));
    for (unsigned i = 0; i < host->n_cpus; i++) {
        mf_xml_put(buf, i ? "," : " cpus='");
        mf_xml_format(buf, "%u", (uint64_t)host->cpus[i]);
    }
    if (host->n_cpus)
        mf_xml_put(buf, "'");
}

static void put_head(struct mf_buf *buf, const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    char name[MF_DOMAIN_NAME], id[MF_UUID_TEXT];
    mf_xml_format(buf, "<domain type='%s'>\n<name>%s</name>\n<uuid>%s</uuid>\n", host->type,
                  mf_domain_name(spec, name), mf_uuid_text(spec->id, id));
    mf_xml_put(buf, "<metadata><mayfly:guest xmlns:mayfly='" MF_DOMAIN_NAMESPACE "'");
    mf_domain_attributes(spec, host, buf);
    mf_xml_format(buf, "/></metadata>\n<memory unit='MiB'>%u</memory>\n<vcpu", spec->memory_mib);
    mf_cells_affinity(host, buf);
    mf_xml_format(buf, ">%u</vcpu>\n", spec->vcpus);
}

/* Under emulation the plainest CPU is the fastest; under KVM the host's own is. */
static void put_cpu(struct mf_buf *buf, const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    bool kvm = strcmp(host->type, "kvm") == 0;
    mf_xml_put(buf,
               kvm ? "<cpu mode='host-passthrough' check='none'>"
                   : "<cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model>");
    mf_cells_guest(spec, host, buf);
    mf_xml_put(buf, "</cpu>\n");
}

static void put_os(struct mf_buf *buf, const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    mf_xml_put(buf, "<os><type arch='x86_64' machine='q35'>hvm</type>");
    if (spec->kernel)
        mf_xml_format(buf, "<kernel>%s</kernel>", spec->kernel);
    if (spec->initrd)
        mf_xml_format(buf, "<initrd>%s</initrd>", spec->initrd);
    if (spec->cmdline && spec->cmdline[0])
        mf_xml_format(buf, "<cmdline>%s</cmdline>", spec->cmdline);
    if (!spec->kernel)
        mf_xml_put(buf, "<boot dev='hd'/>");
    mf_xml_put(buf, "</os>\n<features><acpi/><apic/></features>\n");
    put_cpu(buf, spec, host);
    mf_xml_put(
        buf,
        "<clock offset='utc'><timer name='hpet' present='no'/></clock>\n"
        "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>\n");
}

/* On the root bus itself: left to libvirt each gets a port of its own to be plugged out by, which nobody
 * does, and which the guest must look behind at every boot. */
enum { SLOT_NETWORK = 2, SLOT_DISK, SLOT_SEED, SLOT_SERIAL };

static void put_slot(struct mf_buf *buf, int slot)
{
    mf_xml_format(buf, "<address type='pci' domain='0' bus='0' slot='%u' function='0'/>", (uint64_t)slot);
}

/* Both disks share one bucket. A disk that fails stops its guest, which is told: a guest that was told itself
 * might go on for ever with a file system that is read-only. */
static void put_disks(struct mf_buf *buf, const struct mf_driver_spec *spec)
{
    if (spec->disk) {
        mf_xml_put(buf, "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe' "
                        "error_policy='stop' rerror_policy='stop' discard='unmap'/>");
        mf_xml_format(buf, "<source file='%s'/><target dev='vda' bus='virtio'/>", spec->disk);
        put_slot(buf, SLOT_DISK);
        mf_containment_disk(spec->offering, buf);
        mf_xml_put(buf, "</disk>\n");
    }
    if (spec->seed) {
        mf_xml_put(buf, "<disk type='file' device='disk'><driver name='qemu' type='raw' "
                        "error_policy='stop' rerror_policy='stop'/>");
        mf_xml_format(buf, "<source file='%s'/><target dev='vdb' bus='virtio'/><readonly/>", spec->seed);
        put_slot(buf, SLOT_SEED);
        mf_containment_disk(spec->offering, buf);
        mf_xml_put(buf, "</disk>\n");
    }
}

static void put_network(struct mf_buf *buf, const struct mf_driver_spec *spec,
                        const struct mf_domain_host *host)
{
    static const struct mf_driver_network user;
    const struct mf_driver_network *network = host->network ? host->network : &user;
    char mac[18], tap[32];
    mf_driver_mac(spec->id, mac);
    switch (network->kind) {
    case MF_NETWORK_USER:
        mf_xml_put(buf, "<interface type='user'>");
        break;
    case MF_NETWORK_LIBVIRT:
        mf_xml_format(buf, "<interface type='network'><source network='%s'/>", network->source);
        break;
    case MF_NETWORK_BRIDGE:
        mf_xml_format(buf, "<interface type='bridge'><source bridge='%s'/>", network->source);
        break;
    case MF_NETWORK_MACVTAP:
        mf_xml_format(buf, "<interface type='direct'><source dev='%s' mode='bridge'/>", network->source);
        break;
    case MF_NETWORK_TAP: /* named after the MAC address */
        mf_str_format(tap, sizeof tap, "%.9s%.2s%.2s%.2s", network->source, mac + 9, mac + 12, mac + 15);
        mf_xml_format(buf, "<interface type='ethernet'><target dev='%s'/>", tap);
        break;
    }
    mf_xml_format(buf, "<mac address='%s'/><model type='virtio'/><rom enabled='no'/>", mac);
    put_slot(buf, SLOT_NETWORK);
    if (network->kind != MF_NETWORK_USER)
        mf_containment_network(spec->offering, buf);
    mf_xml_put(buf, "</interface>\n");
}

static void put_channel(struct mf_buf *buf, const char *socket, const char *name)
{
    mf_xml_format(buf,
                  "<channel type='unix'><source mode='bind' path='%s'/><target type='virtio' "
                  "name='%s'/></channel>\n",
                  socket, name);
}

static void put_channels(struct mf_buf *buf, const char *ready, const char *agent)
{
    bool has_ready = ready && ready[0], has_agent = agent && agent[0];
    if (has_ready || has_agent) {
        mf_xml_put(buf, "<controller type='virtio-serial' index='0'>");
        put_slot(buf, SLOT_SERIAL);
        mf_xml_put(buf, "</controller>\n");
    }
    if (has_ready)
        put_channel(buf, ready, "org.mayfly.ready");
    if (has_agent)
        put_channel(buf, agent, "org.qemu.guest_agent.0");
}

static void put_devices(struct mf_buf *buf, const struct mf_driver_spec *spec,
                        const struct mf_domain_host *host)
{
    mf_xml_put(buf, "<devices>\n");
    put_disks(buf, spec);
    put_network(buf, spec, host);
    if (spec->console)
        mf_xml_format(buf, "<serial type='file'><source path='%s' append='on'/><target port='0'/></serial>\n",
                      spec->console);
    put_channels(buf, host->ready_socket, host->agent_socket);
    if (spec->health && spec->health->watchdog)
        mf_xml_put(buf, "<watchdog model='i6300esb' action='poweroff'/>\n");
    mf_xml_put(buf,
               "<panic model='isa'/>\n<controller type='usb' model='none'/>\n<memballoon model='none'/>\n"
               "</devices>\n");
}

int mf_domain_xml(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf,
                  char error[512])
{
    int r = check_spec(spec, error);
    if (r < 0)
        return r;
    put_head(buf, spec, host);
    if (strcmp(host->type, "test") == 0) {
        mf_xml_put(buf, "<os><type>hvm</type></os>\n");
    } else {
        mf_containment_cpu(spec, host, buf);
        put_os(buf, spec, host);
        put_devices(buf, spec, host);
    }
    mf_xml_put(buf, "</domain>\n");
    mf_buf_append(buf, "", 1);
    return 0;
}

void mf_probe_xml(const char *name, const char *type, const char *disk, struct mf_buf *buf)
{
    mf_xml_format(buf,
                  "<domain type='%s'>\n<name>%s</name>\n<memory unit='MiB'>32</memory>\n<vcpu>1</vcpu>\n",
                  type, name);
    mf_xml_put(
        buf,
        "<os><type arch='x86_64' machine='q35'>hvm</type><boot "
        "dev='hd'/></os>\n<features><acpi/></features>\n"
        "<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>\n");
    mf_xml_format(
        buf,
        "<devices>\n<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/>"
        "<target dev='sda' bus='sata'/></disk>\n",
        disk);
    mf_xml_put(buf,
               "<controller type='usb' model='none'/>\n<memballoon model='none'/>\n</devices>\n</domain>\n");
    mf_buf_append(buf, "", 1);
}
