/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory-account.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"

int memory_account_new(uint64_t memory_max, MemoryAccount **ret)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    CLEANUP_CLOSE int fd = memfd_create("vgpu-account", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CLEANUP_FREE MemoryAccount *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    if (fd < 0 || ftruncate(fd, sizeof(*a->page)) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
        return -errno;
    a->page = mmap(NULL, sizeof(*a->page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (a->page == MAP_FAILED)
        return -errno;

    a->n_refs = 1;
    a->fd = TAKE_FD(fd);
    memory_account_set_max(a, memory_max);
    *ret = TAKE_PTR(a);
    return 0;
}

MemoryAccount *memory_account_ref(MemoryAccount *a)
{
    a->n_refs++;
    return a;
}

MemoryAccount *memory_account_unref(MemoryAccount *a)
{
    if (!a || --a->n_refs > 0)
        return NULL;
    (void) munmap(a->page, sizeof(*a->page));
    close(a->fd);
    free(a);
    return NULL;
}

void memory_account_set_max(MemoryAccount *a, uint64_t memory_max)
{
    __atomic_store_n(&a->page->memory_max, memory_max, __ATOMIC_SEQ_CST);
}

int memory_account_take_slot(MemoryAccount *a, uint32_t *ret)
{
    for (uint32_t i = 0; i < SESSION_ACCOUNT_SLOTS; i++) {
        if (a->taken[i])
            continue;
        a->taken[i] = true;
        *ret = i;
        return 0;
    }
    return -ENOSPC;
}

void memory_account_give_slot(MemoryAccount *a, uint32_t slot)
{
    assert(slot < SESSION_ACCOUNT_SLOTS && a->taken[slot]);
    a->taken[slot] = false;
    __atomic_store_n(&a->page->slot[slot], 0, __ATOMIC_SEQ_CST);
}
