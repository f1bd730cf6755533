/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "huge-pages.h"

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static unsigned read_number(int fd)
{
    char text[32] = "";

    return pread(fd, text, sizeof(text) - 1, 0) > 0 ? (unsigned) strtoul(text, NULL, 10) : 0;
}

static bool write_number(int fd, unsigned n)
{
    return dprintf(fd, "%u\n", n) > 0 && read_number(fd) >= n;
}

static unsigned count(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned n = fd >= 0 ? read_number(fd) : 0;

    close(fd);
    return n;
}

bool huge_pages_open(HugePages *h, unsigned n)
{
    *h = (HugePages){.lock = open(POOL "nr_hugepages", O_RDWR | O_CLOEXEC)};
    if (h->lock < 0 || flock(h->lock, LOCK_EX) < 0) {
        fprintf(stderr, "no huge pages can be had: %s\n", strerror(errno));
        return false;
    }

    /* Surplus pages do not count: they go as soon as the process that has them ends. */
    h->before = read_number(h->lock) - count(POOL "surplus_hugepages");
    if (write_number(h->lock, h->before + n))
        return true;
    fprintf(stderr, "the host has no memory for %u huge pages\n", n);
    huge_pages_close(h);
    return false;
}

void huge_pages_close(HugePages *h)
{
    if (h->lock < 0)
        return;

    if (h->rest)
        (void) munmap(h->rest, h->rest_size);
    (void) write_number(h->lock, h->before);
    close(h->lock);
    *h = (HugePages){.lock = -1};
}

int huge_pages_memfd(unsigned n)
{
    int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);

    if (fd >= 0 && ftruncate(fd, (off_t) (n * HUGE_PAGE_SIZE)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A mapping reserves its pages, though nothing touches them. */
static bool reserve_rest(HugePages *h)
{
    size_t free_pages = count(POOL "free_hugepages"), reserved = count(POOL "resv_hugepages");

    if (free_pages <= reserved)
        return true;
    h->rest_size = (free_pages - reserved) * HUGE_PAGE_SIZE;
    h->rest = mmap(NULL, h->rest_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);
    if (h->rest == MAP_FAILED)
        h->rest = NULL;
    return h->rest != NULL;
}

bool huge_pages_punch(HugePages *h, int memfd, unsigned i)
{
    return fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t) (i * HUGE_PAGE_SIZE), HUGE_PAGE_SIZE) == 0 &&
           (!h->rest || munmap(h->rest, h->rest_size) == 0) && reserve_rest(h);
}
