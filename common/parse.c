/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* strtoull() would take signs and blanks, and needs errno to tell an overflow. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    bool overflow = false;
    uint64_t n = 0;

    if (text[0] == '\0')
        return -EINVAL;

    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return -EINVAL;
        overflow = overflow || __builtin_mul_overflow(n, 10, &n) ||
                   __builtin_add_overflow(n, (uint64_t) (*c - '0'), &n);
    }
    if (overflow || n < min || n > max)
        return -ERANGE;

    *ret = n;
    return 0;
}

int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t n;
    int r = parse_u64(text, min, max, &n);

    if (r == 0)
        *ret = (uint32_t) n;
    return r;
}
