/* cells.c - see cells.h.
 *
 * Who pays for locality (CPUs of its own, huge pages) has its memory in its cells or is not born. Who shares
 * has it there by preference: a page that finds no room goes elsewhere rather than into swap, or to the
 * killer. */
#include "cells.h"
#include "xml_text.h"

unsigned mf_cells_count(uint8_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

uint64_t mf_cells_share(uint64_t n, unsigned count, unsigned part)
{
    return n / count + (part < n % count);
}

/* The part-th cell of a mask. */
static unsigned cell_at(uint8_t mask, unsigned part)
{
    for (; part; part--)
        mask &= (uint8_t)(mask - 1);
    return (unsigned)__builtin_ctz(mask);
}

/* What its memory is made of, at least: no part of it has half a page. */
static uint64_t unit_mib(const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    bool huge = spec->offering && spec->offering->hugepages;
    return huge && host->hugepage_kib > 1024 ? host->hugepage_kib / 1024 : 1;
}

static bool split(const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    unsigned count = mf_cells_count(host->cells);
    return count > 1 && spec->vcpus >= count && spec->memory_mib / unit_mib(spec, host) >= count;
}

static bool strict(const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    return host->n_cpus || (spec->offering && spec->offering->hugepages);
}

static void put_cpus(struct mf_buf *buf, const struct mf_topology *topology, uint8_t mask)
{
    bool any = false;
    for (size_t i = 0; i < topology->n_cpus; i++)
        if (mask >> topology->cpus[i].cell & 1) {
            mf_xml_put(buf, any ? "," : "");
            mf_xml_format(buf, "%u", (uint64_t)topology->cpus[i].id);
            any = true;
        }
}

static void put_nodes(struct mf_buf *buf, const struct mf_topology *topology, uint8_t mask)
{
    bool any = false;
    for (uint32_t i = 0; i < topology->n_cells; i++)
        if (mask >> i & 1) {
            mf_xml_format(buf, any ? ",%s" : "%s", topology->cells[i].nodes);
            any = true;
        }
}

void mf_cells_affinity(const struct mf_domain_host *host, struct mf_buf *buf)
{
    if (!host->cells || host->n_cpus)
        return;
    mf_xml_put(buf, " placement='static' cpuset='");
    put_cpus(buf, host->topology, host->cells);
    mf_xml_put(buf, "'");
}

bool mf_cells_pinned(const struct mf_driver_spec *spec, const struct mf_domain_host *host)
{
    return split(spec, host) && !host->n_cpus;
}

void mf_cells_pins(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf)
{
    unsigned count = mf_cells_count(host->cells);
    uint64_t vcpu = 0;
    for (unsigned part = 0; part < count && mf_cells_pinned(spec, host); part++)
        for (uint64_t n = mf_cells_share(spec->vcpus, count, part); n; n--) {
            mf_xml_format(buf, "<vcpupin vcpu='%u' cpuset='", vcpu++);
            put_cpus(buf, host->topology, (uint8_t)(1 << cell_at(host->cells, part)));
            mf_xml_put(buf, "'/>");
        }
}

/* libvirt prefers one node only. */
static const char *mode_in(const struct mf_driver_spec *spec, const struct mf_domain_host *host,
                           unsigned cell)
{
    return strict(spec, host) || !host->topology->cells[cell].one_node ? "strict" : "preferred";
}

void mf_cells_memory(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf)
{
    unsigned count = mf_cells_count(host->cells);
    if (!count || !host->binds)
        return;
    mf_xml_put(buf, "<numatune>");
    for (unsigned part = 0; part < count && split(spec, host); part++) {
        unsigned cell = cell_at(host->cells, part);
        mf_xml_format(buf, "<memnode cellid='%u' mode='%s' nodeset='%s'/>", (uint64_t)part,
                      mode_in(spec, host, cell), host->topology->cells[cell].nodes);
    }
    if (!split(spec, host)) {
        mf_xml_format(buf, "<memory mode='%s' nodeset='",
                      count > 1 ? "interleave" : mode_in(spec, host, cell_at(host->cells, 0)));
        put_nodes(buf, host->topology, host->cells);
        mf_xml_put(buf, "'/>");
    }
    mf_xml_put(buf, "</numatune>\n");
}

void mf_cells_guest(const struct mf_driver_spec *spec, const struct mf_domain_host *host, struct mf_buf *buf)
{
    unsigned count = mf_cells_count(host->cells);
    uint64_t first = 0, unit = unit_mib(spec, host);
    if (!split(spec, host))
        return;
    mf_xml_put(buf, "<numa>");
    for (unsigned part = 0; part < count; part++) {
        uint64_t n = mf_cells_share(spec->vcpus, count, part);
        mf_xml_format(buf, "<cell id='%u' cpus='%u-%u' memory='%u' unit='MiB'/>", (uint64_t)part, first,
                      first + n - 1, mf_cells_share(spec->memory_mib / unit, count, part) * unit);
        first += n;
    }
    mf_xml_put(buf, "</numa>");
}
