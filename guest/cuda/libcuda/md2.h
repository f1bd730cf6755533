/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The message digest MD2, of RFC 1319. Broken for security; here it is part of a protocol. */
#ifndef VGPU_LIBCUDA_MD2_H
#define VGPU_LIBCUDA_MD2_H

#include <stddef.h>
#include <stdint.h>

#define MD2_BLOCK 16u

typedef struct Md2 {
    uint8_t state[3 * MD2_BLOCK];
    uint8_t checksum[MD2_BLOCK];
    uint8_t block[MD2_BLOCK];
    unsigned n; /* bytes in the block */
} Md2;

void md2_begin(Md2 *md);
void md2_add(Md2 *md, const void *bytes, size_t size);
void md2_end(Md2 *md, uint8_t ret[static MD2_BLOCK]);

#endif
