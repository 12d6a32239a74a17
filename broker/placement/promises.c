/* promises.c - see promises.h. */
#include "promises.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

uint32_t mf_promise_new(struct mf_promises *self)
{
    uint32_t number = self->unused;

    if (number) {
        self->unused = self->items[number].next;
        memset(&self->items[number], 0, sizeof(self->items[number]));
        return number;
    }
    if (self->n + 1 >= self->cap) {
        self->cap = self->cap ? self->cap * 2 : 16;
        self->items = realloc(self->items, self->cap * sizeof(*self->items));
        MF_CHECK(self->items != NULL);
    }
    number = ++self->n;
    memset(&self->items[number], 0, sizeof(self->items[number]));
    return number;
}

void mf_promise_free(struct mf_promises *self, uint32_t number)
{
    self->items[number] = (struct mf_promise){.next = self->unused};
    self->unused = number;
}

void mf_promise_push(struct mf_promises *self, struct mf_promise_list *list, uint32_t number)
{
    struct mf_promise *promise = &self->items[number];

    promise->next = 0;
    promise->prev = list->last;
    *(list->last ? &self->items[list->last].next : &list->first) = number;
    list->last = number;
    list->n++;
}

void mf_promise_pull(struct mf_promises *self, struct mf_promise_list *list, uint32_t number)
{
    struct mf_promise *promise = &self->items[number];

    *(promise->prev ? &self->items[promise->prev].next : &list->first) = promise->next;
    *(promise->next ? &self->items[promise->next].prev : &list->last) = promise->prev;
    list->n--;
}

void mf_promise_link(struct mf_promises *self, uint32_t *first, uint32_t number)
{
    struct mf_promise *promise = &self->items[number];

    promise->prev = 0;
    promise->next = *first;
    if (*first)
        self->items[*first].prev = number;
    *first = number;
}

void mf_promise_unlink(struct mf_promises *self, uint32_t *first, uint32_t number)
{
    struct mf_promise *promise = &self->items[number];

    *(promise->prev ? &self->items[promise->prev].next : first) = promise->next;
    if (promise->next)
        self->items[promise->next].prev = promise->prev;
}
