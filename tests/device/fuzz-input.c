/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz-input.h"

#include <string.h>

uint8_t input_take8(FuzzInput *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

uint32_t input_take16(FuzzInput *in)
{
    uint32_t low = input_take8(in);

    return low | (uint32_t) input_take8(in) << 8;
}

uint32_t input_take32(FuzzInput *in)
{
    uint32_t low = input_take16(in);

    return low | input_take16(in) << 16;
}

size_t input_take_bytes(FuzzInput *in, void *ret, size_t size)
{
    size_t n = size < in->left ? size : in->left;

    memset(ret, 0, size);
    memcpy(ret, in->at, n);
    in->at += n;
    in->left -= n;
    return size;
}

uint32_t input_take_length(FuzzInput *in, uint32_t beyond)
{
    uint32_t n = input_take8(in);

    return n < 192 ? n % 48 : input_take16(in) % beyond;
}
