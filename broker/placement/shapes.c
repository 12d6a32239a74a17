/* shapes.c - what instances have in common, numbered. */
#include "view.h"

static uint32_t free_number(struct mf_pool *self)
{
    for (uint32_t i = 1; i < self->n_shapes; i++)
        if (!self->shapes[i].references)
            return i;
    if (self->n_shapes == self->shapes_cap)
        self->shapes = mf_pool_realloc(self->shapes, self->shapes_cap *= 2, sizeof(*self->shapes));
    return self->n_shapes++;
}

uint32_t mf_pool_shape(struct mf_pool *self, const struct mf_shape *shape)
{
    uint32_t number = (uint32_t)(uintptr_t)mf_map_get(self->shape_numbers, shape, sizeof(*shape));

    MF_CHECK(shape->policy < MF_POLICY_NAMES);
    if (!number) {
        number = free_number(self);
        self->shapes[number] = (struct mf_shape_row){.shape = *shape, .view = VIEW_NONE};
        mf_map_put(self->shape_numbers, shape, sizeof(*shape), (void *)(uintptr_t)number);
    }
    self->shapes[number].references++;
    return number;
}

void mf_pool_shape_drop(struct mf_pool *self, uint32_t shape)
{
    const struct mf_shape *content = mf_shape_of(self, shape);

    if (--self->shapes[shape].references)
        return;
    mf_view_drop(self, shape);
    mf_map_del(self->shape_numbers, content, sizeof(*content));
}
