/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages that can be taken away from a memfd for good: for ordinary pages the kernel always
 * finds new memory. Only root can reserve some, and only where the host lets it.
 */
#ifndef VGPU_TEST_HUGE_PAGES_H
#define VGPU_TEST_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define HUGE_PAGE_SIZE ((size_t) 2 << 20)

typedef struct HugePages {
    int lock; /* one test at a time; -1 while there are none */
    unsigned before;
    void *rest;
    size_t rest_size;
} HugePages;

/*
 * huge_pages_open() - reserve @n more in the host's pool, until huge_pages_close()
 *
 * Returns false, with the reason on standard error, where there are none to be had.
 */
bool huge_pages_open(HugePages *h, unsigned n);

/* huge_pages_close() - give them back; everything in them is closed and unmapped by then */
void huge_pages_close(HugePages *h);

/* huge_pages_memfd() - a memfd of @n such pages that can be sealed, or -1 */
int huge_pages_memfd(unsigned n);

/* huge_pages_punch() - take page @i away from @memfd, and leave none for it in the pool */
bool huge_pages_punch(HugePages *h, int memfd, unsigned i);

#endif
