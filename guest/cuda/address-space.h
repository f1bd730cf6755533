/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where things lie in this process's address space.
 *
 * Programs store device addresses in their structs, so the host hands them out as its CUDA has made
 * them. An address must mean one thing to the program: what the device has, the process may not
 * map. Executors run in the kernel's old layout of mappings, where those begin a third up the
 * address space, plus an offset that is random. There an ordinary process has nothing, and so this
 * library reserves that range.
 *
 * Memory that is allocated in the order of a stream is of another kind: a driver gives it from
 * 0x302000000 on, in every process. Ordinary processes have nothing there either, as a rule; this
 * library reserves that range, too, where it is free. Several sessions of one process may be given
 * the same addresses in it.
 *
 * Whatever the driver gives elsewhere is reserved by itself, when it is given (client-claim.c).
 *
 * The window is at one address in the program and in its executor: above that range, where neither
 * has anything.
 */
#ifndef VGPU_GUEST_ADDRESS_SPACE_H
#define VGPU_GUEST_ADDRESS_SPACE_H

#include <stdbool.h>
#include <stdint.h>

/* Executors map from 0x2aaa_aaaa_a000 on, and up to 1 TiB above by chance. */
#define DEVICE_RANGE_BEGIN UINT64_C(0x2a8000000000)
#define DEVICE_RANGE_END UINT64_C(0x300000000000)

/* For pools of memory, where the process has nothing in all of it */
#define POOL_RANGE_BEGIN UINT64_C(0x200000000)
#define POOL_RANGE_END UINT64_C(0x8000000000)

#define WINDOW_BASE_FIRST UINT64_C(0x300000000000)
#define WINDOW_BASE_STEP UINT64_C(0x010000000000)
#define WINDOW_BASES 16u

/* address_space_reserve() - keep this process from mapping anything where executors have device
 * memory; once for a process and its children. Returns 0, -EADDRINUSE when it has something in the
 * first range, or another negative errno. */
int address_space_reserve(void);

/* address_space_has() - do these bytes lie in one of the ranges, and is that reserved? */
bool address_space_has(uint64_t address, uint64_t size);

/* address_space_kept() - the ranges that are reserved, one after the other: @i from 0 on. Returns
 * false where there are no more. */
bool address_space_kept(unsigned i, uint64_t *ret_begin, uint64_t *ret_end);

/* address_space_take(), address_space_give() - reserve a range elsewhere. Returns 0, -EADDRINUSE,
 * or another negative errno. */
int address_space_take(uint64_t address, uint64_t size);
void address_space_give(uint64_t address, uint64_t size);

#endif
