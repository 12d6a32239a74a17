/* topology.c - see topology.h. */
#include "topology.h"
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_SIZES = 4, RAW_MAX = 1024 }; /* no kernel has more of either */

struct pages {
    uint64_t kib, mib; /* of this size, so much */
};
struct raw { /* a cell as it is told */
    char nodes[MF_HOST_NODES];
    unsigned n_nodes;
    uint64_t cpus, memory_mib; /* memory of all pages */
    struct pages pages[PAGE_SIZES];
};
struct reading {
    struct mf_topology *topology;
    bool (*may)(const void *arg, unsigned cpu);
    const void *arg;
    struct raw *cells;
    uint32_t n;
};

/* -- the text */

static uint64_t number_after(const char *at, const char *mark)
{
    const char *end = strchr(at, '>'), *found = strstr(at, mark);
    return found && end && found <= end ? strtoull(found + strlen(mark), NULL, 10) : 0;
}

static bool begins(const char *at, const char *mark)
{
    return strncmp(at, mark, strlen(mark)) == 0;
}

static void take_cell(struct reading *reading, const char *at)
{
    if (reading->n == RAW_MAX)
        return;
    reading->cells = realloc(reading->cells, (reading->n + 1) * sizeof *reading->cells);
    MF_CHECK(reading->cells);
    struct raw *cell = &reading->cells[reading->n++];
    *cell = (struct raw){.n_nodes = 1};
    mf_str_format(cell->nodes, sizeof cell->nodes, "%llu", (unsigned long long)number_after(at, " id='"));
}

static void take_cpu(struct reading *reading, const char *at)
{
    struct mf_topology *topology = reading->topology;
    if (reading->may && !reading->may(reading->arg, (unsigned)number_after(at, " id='")))
        return;
    topology->cpus = realloc(topology->cpus, (topology->n_cpus + 1) * sizeof *topology->cpus);
    MF_CHECK(topology->cpus);
    struct mf_host_cpu *cpu = &topology->cpus[topology->n_cpus++];
    const char *end = strchr(at, '>'), *siblings = strstr(at, " siblings='");
    cpu->id = cpu->core = (unsigned)number_after(at, " id='");
    if (siblings && end && siblings < end)
        cpu->core = (unsigned)number_after(at, " siblings='");
    cpu->cell = reading->n - 1;
    reading->cells[cpu->cell].cpus++;
}

static void take_pages(struct raw *cell, const char *at)
{
    const char *end = strchr(at, '>');
    uint64_t kib = number_after(at, " size='"), n = end ? strtoull(end + 1, NULL, 10) : 0;
    for (unsigned i = 0; i < PAGE_SIZES && kib; i++)
        if (!cell->pages[i].kib) {
            cell->pages[i] = (struct pages){kib, n * kib / 1024};
            return;
        }
}

static void read_text(struct reading *reading, const char *text)
{
    const char *end = strstr(text, "</cells>");
    text = strstr(text, "<cells ");
    for (const char *at = text; at && end && (at = strchr(at, '<')) && at < end; at++) {
        struct raw *cell = reading->n ? &reading->cells[reading->n - 1] : NULL;
        if (begins(at, "<cell "))
            take_cell(reading, at);
        else if (cell && begins(at, "<memory "))
            cell->memory_mib = strtoull(strchr(at, '>') + 1, NULL, 10) / 1024;
        else if (cell && begins(at, "<pages "))
            take_pages(cell, at);
        else if (cell && begins(at, "<cpu "))
            take_cpu(reading, at);
    }
}

/* -- pages: the smallest of a cell are what all memory is made of unless it is set aside */

static bool huge(const struct raw *cell, unsigned i)
{
    for (unsigned k = 0; k < PAGE_SIZES; k++)
        if (cell->pages[k].kib && cell->pages[k].kib < cell->pages[i].kib)
            return true;
    return false;
}

static void choose_page(struct reading *reading)
{
    struct mf_topology *topology = reading->topology;
    for (uint32_t c = 0; c < reading->n; c++)
        for (unsigned i = 0; i < PAGE_SIZES; i++) {
            const struct pages *pages = &reading->cells[c].pages[i];
            if (!huge(&reading->cells[c], i) || !pages->mib)
                continue;
            topology->set_aside_mib += pages->mib;
            if (!topology->hugepage_kib || pages->kib < topology->hugepage_kib)
                topology->hugepage_kib = pages->kib;
        }
}

static struct mf_host_cell cell_of(const struct raw *raw, uint64_t hugepage_kib)
{
    struct mf_host_cell cell = {
        .one_node = raw->n_nodes == 1, .cpus = raw->cpus, .memory_mib = raw->memory_mib};
    memcpy(cell.nodes, raw->nodes, sizeof cell.nodes);
    for (unsigned i = 0; i < PAGE_SIZES; i++) {
        if (!huge(raw, i))
            continue;
        uint64_t mib = raw->pages[i].mib;
        cell.memory_mib -= mib < cell.memory_mib ? mib : cell.memory_mib;
        cell.hugepages_mib += raw->pages[i].kib == hugepage_kib ? mib : 0;
    }
    return cell;
}

/* -- joining */

static void join_pages(struct raw *into, const struct raw *from)
{
    for (unsigned i = 0; i < PAGE_SIZES && from->pages[i].kib; i++)
        for (unsigned k = 0; k < PAGE_SIZES; k++)
            if (!into->pages[k].kib || into->pages[k].kib == from->pages[i].kib) {
                into->pages[k].kib = from->pages[i].kib;
                into->pages[k].mib += from->pages[i].mib;
                break;
            }
}

/* The cell `at` and the one after it become one. */
static int join(struct reading *reading, uint32_t at)
{
    struct raw *into = &reading->cells[at], *from = into + 1;
    size_t len = strlen(into->nodes);
    if (len + 1 + strlen(from->nodes) >= sizeof into->nodes)
        return -E2BIG;
    mf_str_format(into->nodes + len, sizeof into->nodes - len, ",%s", from->nodes);
    into->n_nodes += from->n_nodes;
    into->cpus += from->cpus;
    into->memory_mib += from->memory_mib;
    join_pages(into, from);
    memmove(from, from + 1, (reading->n - at - 2) * sizeof *from);
    reading->n--;
    for (size_t i = 0; i < reading->topology->n_cpus; i++)
        reading->topology->cpus[i].cell -= reading->topology->cpus[i].cell > at;
    return 0;
}

static bool usable(const struct raw *cell)
{
    return cell->cpus && cell->memory_mib;
}

static int join_all(struct reading *reading)
{
    int r = 0;
    for (uint32_t i = 0; i < reading->n && r == 0;)
        if (usable(&reading->cells[i]) || reading->n == 1)
            i++;
        else
            r = join(reading, i ? --i : 0);
    while (reading->n > MF_DRIVER_CELLS_MAX && r == 0)
        for (uint32_t i = 0; i + 1 < reading->n && r == 0; i++)
            r = join(reading, i);
    return r;
}

static int by_place(const void *a, const void *b)
{
    const struct mf_host_cpu *x = a, *y = b;
    if (x->cell != y->cell)
        return x->cell < y->cell ? -1 : 1;
    if (x->core != y->core)
        return x->core < y->core ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

int mf_topology_read(struct mf_topology *self, const char *capabilities,
                     bool (*may)(const void *arg, unsigned cpu), const void *arg, char error[512])
{
    struct reading reading = {.topology = self, .may = may, .arg = arg};
    *self = (struct mf_topology){0};
    read_text(&reading, capabilities);
    choose_page(&reading);
    int r = join_all(&reading);
    if (r < 0)
        mf_str_format(error, 512, "this host has too many NUMA cells to tell them apart: guests sit in any");
    else if (reading.n && usable(&reading.cells[0]))
        self->n_cells = reading.n;
    for (uint32_t i = 0; i < self->n_cells; i++)
        self->cells[i] = cell_of(&reading.cells[i], self->hugepage_kib);
    for (size_t i = 0; i < self->n_cpus && !self->n_cells; i++)
        self->cpus[i].cell = 0;
    if (self->n_cpus)
        qsort(self->cpus, self->n_cpus, sizeof *self->cpus, by_place);
    free(reading.cells);
    return r;
}

void mf_topology_free(struct mf_topology *self)
{
    free(self->cpus);
    *self = (struct mf_topology){0};
}

int mf_topology_check(uint32_t n_cells, uint8_t mask, char error[512])
{
    if (!(mask >> n_cells))
        return 0;
    mf_str_format(error, 512,
                  "it is to sit in the NUMA cells %#x (a bit for each), and this node has %u: its cells have "
                  "changed since it was placed",
                  mask, n_cells);
    return -EINVAL;
}
