/* null_size.c - see null_size.h. */
#include "null_size.h"
#include "capacity.h"
#include "null_script.h"

#include <errno.h>

int mf_null_size(const struct mf_driver_config *config, struct mf_driver_capacity *ret_capacity,
                 uint32_t *ret_cells, char error[512])
{
    struct mf_driver_capacity size = {.all = config->capacity};
    struct mf_null_script script;
    int r = mf_null_script_parse(config->script, &script, error);
    if (r < 0)
        return r;
    if (script.cells > MF_DRIVER_CELLS_MAX) {
        mf_str_format(error, 512, "script: cells: at most %d", MF_DRIVER_CELLS_MAX);
        return -EINVAL;
    }
    if (!size.all.vcpus)
        size.all.vcpus = 1024;
    if (!size.all.memory_mib)
        size.all.memory_mib = 4 << 20;
    if (!size.all.disk_mib)
        size.all.disk_mib = 64 << 20;
    size.all.hugepages_mib = script.hugepages_mib;
    *ret_cells = script.cells ? (uint32_t)script.cells : 1;
    mf_capacity_split(&size, *ret_cells);
    *ret_capacity = size;
    return 0;
}
