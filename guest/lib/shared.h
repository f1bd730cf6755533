/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How this library touches the ring in the window, where the host reads and writes at the same
 * time. Entries are copied in 64-bit words, each word once. ring.h explains the order. */
#ifndef VGPU_GUEST_SHARED_H
#define VGPU_GUEST_SHARED_H

#include <stddef.h>
#include <stdint.h>

/* Read an index that the host writes. Afterwards we see everything that the host wrote before it.
 */
uint32_t shared_load(const uint32_t *index);

/* Write an index of our own. The host sees everything that we wrote before it. */
void shared_store(uint32_t *index, uint32_t value);

/* A full barrier between all accesses before it and all after it. */
void shared_barrier(void);

/* Copy @size bytes, a multiple of 8, from or to shared memory. Both addresses are aligned to 8. */
void shared_copy_in(void *ret, const void *from_shared, size_t size);
void shared_copy_out(void *to_shared, const void *from, size_t size);

#endif
