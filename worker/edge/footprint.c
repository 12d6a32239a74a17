/* footprint.c - what starting up needed is given back. Sixty libraries are loaded for libvirt's sake; their
 * start touches pages of code and constants that are never used again, and the kernel maps their neighbours
 * with them: two thirds of what an idle agent would seem to use. These pages are clean and in the page cache,
 * so that one that is needed comes back at no cost. */
#include "agent.h"
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

/* Segments that are not writable: nothing in them was relocated, so that they are the file's and nothing
 * else. */
static int drop_segments(struct dl_phdr_info *object, size_t size, void *page)
{
    uintptr_t mask = ~(*(uintptr_t *)page - 1);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        uintptr_t from = (object->dlpi_addr + segment->p_vaddr) & mask;
        (void)madvise((void *)from, object->dlpi_addr + segment->p_vaddr + segment->p_memsz - from,
                      MADV_DONTNEED);
    }
    return 0;
}

void mf_agent_give_back(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    malloc_trim(0);
    dl_iterate_phdr(drop_segments, &page); /* under the loader's lock: no library comes or goes meanwhile */
}
