/* containment.c - see containment.h. */
#include "containment.h"
#include "cells.h"
#include "xml_text.h"

static const struct mf_rec_offering nothing_said;

/* -- disks */

static uint64_t cap_of(const struct mf_rec_offering *offering, uint64_t said, uint64_t standard)
{
    return said || offering->uncapped ? said : standard;
}

static void put_cap(struct mf_buf *buf, const char *name, uint64_t cap, uint64_t percent, uint64_t seconds)
{
    if (!cap)
        return;
    mf_xml_format(buf, "<total_%s_sec>%u</total_%s_sec>", name, cap, name);
    if (percent <= 100)
        return;
    mf_xml_format(buf, "<total_%s_sec_max>%u</total_%s_sec_max>", name,
                  cap / 100 * percent + cap % 100 * percent / 100, name);
    mf_xml_format(buf, "<total_%s_sec_max_length>%u</total_%s_sec_max_length>", name, seconds ? seconds : 1,
                  name);
}

void mf_containment_disk(const struct mf_rec_offering *offering, struct mf_buf *buf)
{
    const struct mf_rec_offering *o = offering ? offering : &nothing_said;
    uint64_t bytes = cap_of(o, o->disk_bytes_s, MF_CONTAINMENT_BYTES_S),
             iops = cap_of(o, o->disk_iops, MF_CONTAINMENT_IOPS);
    if (!bytes && !iops)
        return;
    mf_xml_put(buf, "<iotune>");
    put_cap(buf, "bytes", bytes, o->disk_burst_percent, o->disk_burst_s);
    put_cap(buf, "iops", iops, o->disk_burst_percent, o->disk_burst_s);
    mf_xml_put(buf, "<group_name>disks</group_name></iotune>");
}

/* -- network */

void mf_containment_network(const struct mf_rec_offering *offering, struct mf_buf *buf)
{
    if (!offering || !offering->net_bytes_s)
        return;
    uint64_t kib = offering->net_bytes_s < 1024 ? 1 : offering->net_bytes_s / 1024;
    mf_xml_format(buf, "<bandwidth><inbound average='%u'/><outbound average='%u'/></bandwidth>", kib, kib);
}

/* -- processors and memory */

/* Two is the least that both kinds of cgroups take, 10000 the most. */
static uint64_t shares_of(const struct mf_driver_spec *spec, const struct mf_rec_offering *o)
{
    uint64_t shares = o->cpu_shares ? o->cpu_shares : 100 * spec->vcpus;
    return shares < 2 ? 2 : shares > 10000 ? 10000 : shares;
}

static void put_set(struct mf_buf *buf, const struct mf_domain_host *host)
{
    for (unsigned i = 0; i < host->n_cpus; i++) {
        mf_xml_put(buf, i ? "," : "");
        mf_xml_format(buf, "%u", (uint64_t)host->cpus[i]);
    }
}

static void put_pins(struct mf_buf *buf, const struct mf_domain_host *host)
{
    for (unsigned i = 0; i < host->n_cpus; i++)
        mf_xml_format(buf, "<vcpupin vcpu='%u' cpuset='%u'/>", (uint64_t)i, (uint64_t)host->cpus[i]);
    if (!host->n_cpus)
        return;
    mf_xml_put(buf, "<emulatorpin cpuset='"); /* its own threads slow nobody but itself */
    put_set(buf, host);
    mf_xml_put(buf, "'/>");
}

void mf_containment_cpu(const struct mf_driver_spec *spec, const struct mf_domain_host *host,
                        struct mf_buf *buf)
{
    const struct mf_rec_offering *o = spec->offering ? spec->offering : &nothing_said;
    if (o->hugepages)
        mf_xml_format(buf,
                      "<memoryBacking><hugepages><page size='%u' unit='KiB'/></hugepages></memoryBacking>\n",
                      host->hugepage_kib);
    mf_cells_memory(spec, host, buf);
    if (!host->cgroups && !host->n_cpus && !mf_cells_pinned(spec, host))
        return;
    mf_xml_put(buf, "<cputune>");
    if (host->cgroups)
        mf_xml_format(buf, "<shares>%u</shares>", shares_of(spec, o));
    if (host->cgroups && o->cpu_quota_percent && o->cpu_quota_percent < 100)
        mf_xml_format(buf, "<period>100000</period><quota>%u</quota>", o->cpu_quota_percent * 1000);
    put_pins(buf, host);
    mf_cells_pins(spec, host, buf);
    mf_xml_put(buf, "</cputune>\n");
}
