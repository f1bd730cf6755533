/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mmio.h"

/*
 * This is not memcpy(), because the compiler and libc may split, widen or repeat its accesses, and
 * each access here means something to the device. A volatile access of an aligned 32-bit object is
 * one access.
 *
 * The processor keeps the order of accesses to one device's uncached registers by itself, and the
 * device reads none of our memory; so it is enough to stop the compiler from moving other memory
 * accesses across these. This is a file of its own, so that the unit tests can put a model of the
 * device in its place.
 */
static inline void compiler_barrier(void)
{
    __asm__ __volatile__("" ::: "memory");
}

uint32_t mmio_read(const volatile uint32_t *bar, uint32_t offset)
{
    uint32_t value;

    compiler_barrier();
    value = bar[offset / sizeof(uint32_t)];
    compiler_barrier();
    return value;
}

void mmio_write(volatile uint32_t *bar, uint32_t offset, uint32_t value)
{
    compiler_barrier();
    bar[offset / sizeof(uint32_t)] = value;
    compiler_barrier();
}
