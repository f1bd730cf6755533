/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A string of bytes, as the source of every number that a fuzzer needs. */
#ifndef VGPU_TEST_FUZZ_INPUT_H
#define VGPU_TEST_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* What is left of the string. At its end there are only zeros. */
typedef struct FuzzInput {
    const uint8_t *at;
    size_t left;
} FuzzInput;

/* The next bytes; input_take_bytes() fills @ret, and returns @size */
uint8_t input_take8(FuzzInput *in);
uint32_t input_take16(FuzzInput *in);
uint32_t input_take32(FuzzInput *in);
size_t input_take_bytes(FuzzInput *in, void *ret, size_t size);

/*
 * input_take_length() - a number less than @beyond
 *
 * Mostly a small one, sometimes any. Takes few bytes of the string in either case.
 */
uint32_t input_take_length(FuzzInput *in, uint32_t beyond);

#endif
