/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "md2.h"

#include <string.h>

/* The permutation of the RFC, made of the digits of pi */
static const uint8_t md2_pi[256] = {
    41,  46,  67,  201, 162, 216, 124, 1,   61,  54,  84,  161, 236, 240, 6,   19,  98,  167, 5,
    243, 192, 199, 115, 140, 152, 147, 43,  217, 188, 76,  130, 202, 30,  155, 87,  60,  253, 212,
    224, 22,  103, 66,  111, 24,  138, 23,  229, 18,  190, 78,  196, 214, 218, 158, 222, 73,  160,
    251, 245, 142, 187, 47,  238, 122, 169, 104, 121, 145, 21,  178, 7,   63,  148, 194, 16,  137,
    11,  34,  95,  33,  128, 127, 93,  154, 90,  144, 50,  39,  53,  62,  204, 231, 191, 247, 151,
    3,   255, 25,  48,  179, 72,  165, 181, 209, 215, 94,  146, 42,  172, 86,  170, 198, 79,  184,
    56,  210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4,   241, 69,  157, 112, 89,  100,
    113, 135, 32,  134, 91,  207, 101, 230, 45,  168, 2,   27,  96,  37,  173, 174, 176, 185, 246,
    28,  70,  97,  105, 52,  64,  126, 15,  85,  71,  163, 35,  221, 81,  175, 58,  195, 92,  249,
    206, 186, 197, 234, 38,  44,  83,  13,  110, 133, 40,  132, 9,   211, 223, 205, 244, 65,  129,
    77,  82,  106, 220, 55,  200, 108, 193, 171, 250, 36,  225, 123, 8,   12,  189, 177, 74,  120,
    136, 149, 139, 227, 99,  232, 109, 233, 203, 213, 254, 59,  0,   29,  57,  242, 239, 183, 14,
    102, 88,  208, 228, 166, 119, 114, 248, 235, 117, 75,  10,  49,  68,  80,  180, 143, 237, 31,
    26,  219, 153, 141, 51,  159, 17,  131, 20,
};

void md2_begin(Md2 *md)
{
    memset(md, 0, sizeof(*md));
}

static void md2_mix(Md2 *md, const uint8_t block[static MD2_BLOCK])
{
    uint8_t t = 0;

    for (unsigned i = 0; i < MD2_BLOCK; i++) {
        md->state[MD2_BLOCK + i] = block[i];
        md->state[2 * MD2_BLOCK + i] = block[i] ^ md->state[i];
    }
    for (unsigned round = 0; round < 18; round++) {
        for (unsigned i = 0; i < sizeof(md->state); i++)
            t = md->state[i] ^= md2_pi[t];
        t = (uint8_t) (t + round);
    }
}

static void md2_block(Md2 *md)
{
    uint8_t last = md->checksum[MD2_BLOCK - 1];

    for (unsigned i = 0; i < MD2_BLOCK; i++)
        last = md->checksum[i] ^= md2_pi[md->block[i] ^ last];
    md2_mix(md, md->block);
    md->n = 0;
}

void md2_add(Md2 *md, const void *bytes, size_t size)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < size; i++) {
        md->block[md->n++] = b[i];
        if (md->n == MD2_BLOCK)
            md2_block(md);
    }
}

void md2_end(Md2 *md, uint8_t ret[static MD2_BLOCK])
{
    const uint8_t pad = (uint8_t) (MD2_BLOCK - md->n);

    memset(md->block + md->n, pad, pad);
    md2_block(md);
    md2_mix(md, md->checksum);
    memcpy(ret, md->state, MD2_BLOCK);
}
