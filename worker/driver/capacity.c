/* capacity.c - see capacity.h. */
#include "capacity.h"

#include <errno.h>
#include <string.h>

enum { RATIO_STANDARD = 400, RESERVE_LEAST_MIB = 512 };

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The same from each that has it; what one has not, the others give. */
static void take_evenly(uint64_t *const amounts[], uint32_t n, uint64_t total)
{
    for (uint32_t rich = n; total && rich;) {
        rich = 0;
        for (uint32_t i = 0; i < n; i++)
            rich += *amounts[i] > 0;
        uint64_t share = rich && total / rich ? total / rich : 1;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t taken = least(least(share, *amounts[i]), total);
            *amounts[i] -= taken;
            total -= taken;
        }
    }
}

void mf_capacity_reserve(const struct mf_topology *topology, uint64_t cpus,
                         uint64_t ret_cpus[MF_DRIVER_CELLS_MAX])
{
    uint64_t left[MF_DRIVER_CELLS_MAX], *amounts[MF_DRIVER_CELLS_MAX];
    for (uint32_t i = 0; i < topology->n_cells; i++) {
        left[i] = topology->cells[i].cpus;
        amounts[i] = &left[i];
    }
    take_evenly(amounts, topology->n_cells, cpus);
    for (uint32_t i = 0; i < MF_DRIVER_CELLS_MAX; i++)
        ret_cpus[i] = i < topology->n_cells ? topology->cells[i].cpus - left[i] : 0;
}

static void take_memory(struct mf_driver_capacity *self, uint64_t mib)
{
    uint64_t *amounts[MF_DRIVER_CELLS_MAX];
    for (uint32_t i = 0; i < self->n_cells; i++)
        amounts[i] = &self->cells[i].memory_mib;
    self->all.memory_mib -= least(mib, self->all.memory_mib);
    take_evenly(amounts, self->n_cells, mib);
}

static void take_vcpus(struct mf_driver_capacity *self, uint64_t vcpus)
{
    uint64_t *amounts[MF_DRIVER_CELLS_MAX];
    for (uint32_t i = 0; i < self->n_cells; i++)
        amounts[i] = &self->cells[i].vcpus;
    self->all.vcpus -= least(vcpus, self->all.vcpus);
    take_evenly(amounts, self->n_cells, vcpus);
}

void mf_driver_capacity_less(struct mf_driver_capacity *self, const struct mf_rec_resources *used)
{
    take_vcpus(self, used->vcpus);
    take_memory(self, used->memory_mib);
}

/* -- an operator's own numbers stand as they are, and a cell has its part of them */

static uint64_t scaled(uint64_t part, uint64_t of, uint64_t whole)
{
    return of ? (uint64_t)((__uint128_t)part * whole / of) : 0;
}

static void set_vcpus(struct mf_driver_capacity *self, uint64_t vcpus)
{
    for (uint32_t i = 0; i < self->n_cells && vcpus; i++)
        self->cells[i].vcpus = scaled(self->cells[i].vcpus, self->all.vcpus, vcpus);
    self->all.vcpus = vcpus ? vcpus : self->all.vcpus;
}

static void set_memory(struct mf_driver_capacity *self, uint64_t mib)
{
    for (uint32_t i = 0; i < self->n_cells && mib; i++)
        self->cells[i].memory_mib = scaled(self->cells[i].memory_mib, self->all.memory_mib, mib);
    self->all.memory_mib = mib ? mib : self->all.memory_mib;
}

/* -- the host's own part */

static int reserve_memory(const struct mf_driver_config *config, struct mf_driver_capacity *self,
                          char error[512])
{
    uint64_t has = self->all.memory_mib, tenth = has / 10,
             standard = least(tenth > RESERVE_LEAST_MIB ? tenth : RESERVE_LEAST_MIB, has / 2),
             kept = config->reserve_memory_mib < 0 ? standard : (uint64_t)config->reserve_memory_mib;
    if (kept && kept >= has && !config->capacity.memory_mib) {
        mf_str_format(error, 512,
                      "reserve-memory-mib keeps %llu MiB for the host, which has %llu MiB that are not huge "
                      "pages: nothing is left for guests",
                      (unsigned long long)kept, (unsigned long long)has);
        return -EINVAL;
    }
    take_memory(self, kept);
    return 0;
}

static int reserve_cpus(const struct mf_driver_config *config, struct mf_driver_capacity *self,
                        char error[512])
{
    if (config->reserve_cpus && config->reserve_cpus >= self->all.vcpus && !config->capacity.vcpus) {
        mf_str_format(error, 512,
                      "reserve-cpus keeps %u CPUs for the host, which has %llu: nothing is left for guests",
                      config->reserve_cpus, (unsigned long long)self->all.vcpus);
        return -EINVAL;
    }
    take_vcpus(self, config->reserve_cpus);
    return 0;
}

static void apply_ratio(const struct mf_driver_config *config, struct mf_driver_capacity *self)
{
    uint64_t ratio = config->cpu_ratio_percent ? config->cpu_ratio_percent : RATIO_STANDARD;
    self->all.vcpus = self->all.vcpus * ratio / 100;
    if (!self->all.vcpus)
        self->all.vcpus = 1;
    for (uint32_t i = 0; i < self->n_cells; i++)
        self->cells[i].vcpus = self->cells[i].vcpus * ratio / 100;
}

/* A host of one cell has nothing to choose from. */
static struct mf_driver_capacity whole(const struct mf_driver_config *config,
                                       const struct mf_topology *topology, const struct mf_host_size *size)
{
    struct mf_driver_capacity capacity = {.all = config->capacity};
    capacity.all.vcpus = size->cpus;
    capacity.all.memory_mib = size->memory_mib - least(topology->set_aside_mib, size->memory_mib);
    capacity.all.hugepages_mib = 0;
    if (!capacity.all.disk_mib)
        capacity.all.disk_mib = size->disk_mib;
    for (uint32_t i = 0; i < topology->n_cells; i++) {
        const struct mf_host_cell *cell = &topology->cells[i];
        capacity.all.hugepages_mib += cell->hugepages_mib;
        capacity.cells[i] = (struct mf_rec_cell){
            .vcpus = cell->cpus, .memory_mib = cell->memory_mib, .hugepages_mib = cell->hugepages_mib};
    }
    capacity.n_cells = topology->n_cells > 1 ? topology->n_cells : 0;
    return capacity;
}

int mf_capacity_make(const struct mf_driver_config *config, const struct mf_topology *topology,
                     const struct mf_host_size *size, struct mf_driver_capacity *ret_capacity,
                     char error[512])
{
    struct mf_driver_capacity capacity = whole(config, topology, size);
    int r = reserve_memory(config, &capacity, error);
    if (r == 0)
        r = reserve_cpus(config, &capacity, error);
    if (r < 0)
        return r;
    apply_ratio(config, &capacity);
    set_vcpus(&capacity, config->capacity.vcpus);
    set_memory(&capacity, config->capacity.memory_mib);
    *ret_capacity = capacity;
    return 0;
}

void mf_capacity_split(struct mf_driver_capacity *self, uint32_t n_cells)
{
    self->n_cells = n_cells > 1 ? n_cells : 0;
    for (uint32_t i = 0; i < self->n_cells; i++)
        self->cells[i] = (struct mf_rec_cell){.vcpus = self->all.vcpus / n_cells,
                                              .memory_mib = self->all.memory_mib / n_cells,
                                              .hugepages_mib = self->all.hugepages_mib / n_cells};
}
