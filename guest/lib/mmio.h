/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two ways in which this library touches the mapped registers. */
#ifndef VGPU_GUEST_MMIO_H
#define VGPU_GUEST_MMIO_H

#include <stdint.h>

/* One aligned 4-byte access at @offset, a multiple of 4. */
uint32_t mmio_read(const volatile uint32_t *bar, uint32_t offset);
void mmio_write(volatile uint32_t *bar, uint32_t offset, uint32_t value);

#endif
