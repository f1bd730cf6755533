/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers in text: command lines, configuration, state files, XML. */
#ifndef VGPU_PARSE_H
#define VGPU_PARSE_H

#include <stdint.h>

/*
 * parse_u64(), parse_u32() - a whole number in decimal digits
 * @text: digits and nothing else: no sign, no blank, no prefix
 * @min: the smallest that is allowed
 * @max: the largest
 * @ret: written on success only
 *
 * Returns 0; -EINVAL when the text is no such number; -ERANGE when it is one, and smaller
 * than @min or larger than @max.
 */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret);

#endif
