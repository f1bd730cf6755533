/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages of the program's own, and how the window's memory takes their place while the program runs.
 *
 * Between the copy of the bytes and the change of the mapping no byte may be written. Where the
 * kernel lets us (userfaultfd(2) with write protection, of this process's faults and of system
 * calls'), threads that write meanwhile wait for a moment, and go on in the new mapping. Otherwise
 * it is only done in a process that has one thread.
 *
 * What nobody can hold back: a device that has been told to write into these pages before, by
 * O_DIRECT, io_uring's fixed buffers or RDMA. It would go on writing into the old ones.
 */
#ifndef VGPU_GUEST_OWN_PAGES_H
#define VGPU_GUEST_OWN_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * own_pages_are_movable() - may these be replaced?
 * @memory, @size: whole pages
 *
 * Only private, anonymous memory that can be read and written, and not executed; neither huge pages
 * of hugetlbfs nor the main thread's stack, nor what the calling thread itself runs on.
 */
bool own_pages_are_movable(const void *memory, size_t size);

/* How much of a range maps a file's bytes */
typedef enum own_pages_share {
    OWN_PAGES_NONE,
    OWN_PAGES_SOME,
    OWN_PAGES_ALL,
} own_pages_share;

/* own_pages_map() - how much of @memory maps the same bytes as @window, which is a mapping of it */
own_pages_share own_pages_map(const void *memory, size_t size, const void *window);

/*
 * own_pages_replace() - copy the bytes of @memory to @to, and put that in its place
 * @place: maps what @to maps at @memory, over what is there; returns 0 or a negative errno
 *
 * Returns 0; -EBUSY when writes of other threads cannot be held back; or another negative errno.
 * Nothing has changed on failure.
 */
int own_pages_replace(void *memory, size_t size, void *to, int (*place)(void *userdata),
                      void *userdata);

/* own_pages_restore() - the other way: private memory takes the place of a mapping. @force: even
 * where other threads' writes cannot be held back. Returns as own_pages_replace() */
int own_pages_restore(void *memory, size_t size, bool force);

/* own_pages_unshare() - the same in a child that has just been made, and has one thread; does
 * nothing where nothing is mapped */
void own_pages_unshare(void *memory, size_t size);

#endif
