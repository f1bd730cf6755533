/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that another process can take away: a VM's window. Its memfd cannot shrink, but
 * a page of it can be missing all the same: a hole was punched into huge pages and
 * none is left to fill it, or the memory itself failed. Whoever touches that gets SIGBUS,
 * which would end a process that serves other VMs as well.
 *
 * In a guarded range SIGBUS is caught, on any thread. Private zeros take the place of
 * the whole range (of a page only, and a hostile VM could use up all the mappings that a
 * process may have, hole by hole), the thread goes on with those, and the range is
 * lost: look at that after having worked in it. A SIGBUS elsewhere, or one that was sent,
 * does what it did before.
 *
 * The list of ranges is global, as the handling of signals is.
 */
#ifndef VGPU_MEMORY_GUARD_H
#define VGPU_MEMORY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

typedef struct MemoryGuard {
    LIST_ENTRY(MemoryGuard) link;
    void *memory;
    size_t size;
    bool lost;
} MemoryGuard;

/*
 * memory_guard_add() - guard a mapping
 * @g: the caller's, until memory_guard_remove()
 * @memory: the beginning of a whole mapping, readable and writable
 * @size: bytes of it
 *
 * The handler of SIGBUS is set while there are guarded ranges.
 */
void memory_guard_add(MemoryGuard *g, void *memory, size_t size);

/* memory_guard_remove() - before it is unmapped; no thread may touch it any more */
void memory_guard_remove(MemoryGuard *g);

/* memory_guard_is_lost() - were there pages missing when they were touched? */
bool memory_guard_is_lost(const MemoryGuard *g);

#endif
