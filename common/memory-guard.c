/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory-guard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

/* The lock is never held by a thread that the handler interrupts: nothing that is done
 * under it touches guarded memory, and a signal that was sent does not take it. */
static struct {
    atomic_flag lock;
    LIST_HEAD(, MemoryGuard) list;
    struct sigaction before; /* while the list is not empty */
} guards = {.lock = ATOMIC_FLAG_INIT};

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&guards.lock, memory_order_acquire))
        sched_yield();
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&guards.lock, memory_order_release);
}

/* In the place of huge pages too: what is replaced is the whole mapping. */
static bool replace(const MemoryGuard *g)
{
    return mmap(g->memory, g->size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* Returns whether the access at @address can be tried again. */
static bool mend(const void *address)
{
    MemoryGuard *g;
    bool mended = false;

    lock();
    LIST_FOREACH(g, &guards.list, link)
    {
        if ((uintptr_t) address - (uintptr_t) g->memory >= g->size)
            continue;
        mended = g->lost || replace(g);
        __atomic_store_n(&g->lost, mended, __ATOMIC_RELEASE);
        break;
    }
    unlock();
    return mended;
}

/* Of what is called here POSIX does not list mmap() and sched_yield() as safe in a signal
 * handler; on Linux they are system calls and no more. */
static void on_sigbus(int signal, siginfo_t *info, void *context)
{
    bool was_sent = info->si_code <= 0;
    int error = errno;

    (void) context;
    if (was_sent || !mend(info->si_addr))
        (void) sigaction(signal, &guards.before, NULL); /* a fault repeats itself */
    if (was_sent)
        (void) raise(signal);
    errno = error;
}

static void set_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    (void) sigaction(SIGBUS, &action, &guards.before);
}

void memory_guard_add(MemoryGuard *g, void *memory, size_t size)
{
    *g = (MemoryGuard){.memory = memory, .size = size};
    lock();
    if (LIST_EMPTY(&guards.list))
        set_handler();
    LIST_INSERT_HEAD(&guards.list, g, link);
    unlock();
}

void memory_guard_remove(MemoryGuard *g)
{
    lock();
    LIST_REMOVE(g, link);
    if (LIST_EMPTY(&guards.list))
        (void) sigaction(SIGBUS, &guards.before, NULL);
    unlock();
}

bool memory_guard_is_lost(const MemoryGuard *g)
{
    return __atomic_load_n(&g->lost, __ATOMIC_ACQUIRE);
}
