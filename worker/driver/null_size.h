/* null_size.h - how large a simulated node is. */
#ifndef MF_NULL_SIZE_H
#define MF_NULL_SIZE_H

#include "driver.h"

/* As its configuration and its script say; what neither does is more than anybody wants. Its cells are alike.
 * 0, or -EINVAL with a sentence. */
int mf_null_size(const struct mf_driver_config *config, struct mf_driver_capacity *ret_capacity,
                 uint32_t *ret_cells, char error[512]);

#endif
