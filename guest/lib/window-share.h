/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of a window that several processes share, and one's part of it.
 *
 * The window is divided into extents of one size. A handle of the device that uses an extent has
 * its lock, a byte of the device's lock file, which ends with the process. So nothing in shared
 * memory says who has what, and a process that dies at any point leaves nothing behind to be
 * repaired.
 *
 * What this handle has is a heap. It takes extents when the heap is too small, and gives each back
 * as soon as nothing in it is in use.
 *
 * For one thread at a time.
 */
#ifndef VGPU_GUEST_WINDOW_SHARE_H
#define VGPU_GUEST_WINDOW_SHARE_H

#include "window-heap.h"

#define WINDOW_EXTENT_MIN (UINT64_C(1) << 16)
#define WINDOW_EXTENTS_MAX 4096u

typedef struct window_share {
    heap heap;
    int lock_fd; /* -1: nobody else uses the window */
    uint64_t size, extent_size;
    uint32_t n_extents;
    bool *mine; /* by extent */
    int (*taken)(void *userdata);
    void *userdata;
} window_share;

/*
 * share_init() - @s has no memory yet
 * @lock_fd: stays the caller's, and open as long as @s
 * @size: of the window
 * @taken: called whenever extents have been taken, before they are used: makes sure that the host
 *         does nothing any more for a process that had them, and returns 0 or a negative errno. Or
 *         NULL.
 *
 * Returns 0, -ENOSPC for a window without room for an extent, or -ENOMEM.
 */
int share_init(window_share *s, int lock_fd, uint64_t size, int (*taken)(void *userdata),
               void *userdata);

/* share_destroy() - give all back. It may be all zero. */
void share_destroy(window_share *s);

/* share_alloc() - as heap_alloc(); -ENOSPC also when other processes have the memory; another
 * negative errno when locking has failed */
int share_alloc(window_share *s, uint64_t size, uint64_t alignment, uint64_t *ret_offset);

/* share_free() - as heap_free() */
int share_free(window_share *s, uint64_t offset);

/* share_largest() - the largest size for which share_alloc() would work now, of the alignment
 * HEAP_UNIT; possibly 0 */
uint64_t share_largest(window_share *s);

#endif
