/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages, to take away from a memfd: of its other pages, the kernel always finds new
 * ones. Only root can have some, and only where the host lets it.
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
 * huge_pages_open() - @n more in the host's pool, until huge_pages_close()
 *
 * Returns false, with the reason on standard error, where they cannot be had.
 */
bool huge_pages_open(HugePages *h, unsigned n);

/* huge_pages_close() - after everything in such pages is closed and unmapped */
void huge_pages_close(HugePages *h);

/* huge_pages_memfd() - one of @n pages that can be sealed, or -1 */
int huge_pages_memfd(unsigned n);

/* huge_pages_punch() - take page @i from @memfd, and see that none is left for it */
bool huge_pages_punch(HugePages *h, int memfd, unsigned i);

#endif
