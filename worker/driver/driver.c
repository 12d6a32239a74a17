/* driver.c - the drivers there are. */
#include "driver.h"

#include <string.h>

const struct mf_driver_ops *mf_driver_by_name(const char *name)
{
    static const struct mf_driver_ops *const all[] = {&mf_driver_libvirt, &mf_driver_null};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
