/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-name.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* By DerivedCoreProperties.txt of Unicode 15, with controls, the separators of lines and
 * paragraphs, and the marks of interlinear annotation. In ascending order. */
static const struct {
    uint32_t first, last;
} unseen[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c},
    {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
    {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

bool character_is_unseen(uint32_t c)
{
    for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++)
        if (c >= unseen[i].first && c <= unseen[i].last)
            return true;
    return false;
}

size_t utf8_character(const char *bytes, uint32_t *ret)
{
    const unsigned char *text = (const unsigned char *) bytes;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = text[0] < 0x80             ? 1
                  : (text[0] & 0xe0) == 0xc0 ? 2
                  : (text[0] & 0xf0) == 0xe0 ? 3
                  : (text[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
    uint32_t c = size == 1 ? text[0] : text[0] & (0x7fu >> size);

    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) /* the NUL at the end, too */
            return 0;
        c = c << 6 | (text[i] & 0x3f);
    }
    if (size == 0 || c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;

    *ret = c;
    return size;
}

const char *vm_name_problem(const char *name, char *buffer)
{
    size_t size = strlen(name), used;
    uint32_t c = 0;

    if (size == 0 || size > VM_NAME_MAX) {
        snprintf(buffer, VM_NAME_PROBLEM_SIZE, "it has %zu bytes, and must have 1 to %d", size,
                 VM_NAME_MAX);
        return buffer;
    }

    for (size_t i = 0; i < size; i += used) {
        used = utf8_character(name + i, &c);
        if (used == 0)
            snprintf(buffer, VM_NAME_PROBLEM_SIZE, "it is not UTF-8 from byte %zu on", i + 1);
        else if (character_is_unseen(c))
            snprintf(buffer, VM_NAME_PROBLEM_SIZE,
                     "it has the character U+%04X at byte %zu, which cannot be seen", c, i + 1);
        else
            continue;
        return buffer;
    }
    return NULL;
}

bool vm_name_is_valid(const char *name)
{
    return !vm_name_problem(name, (char[VM_NAME_PROBLEM_SIZE]){0});
}
