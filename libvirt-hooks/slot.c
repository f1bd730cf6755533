/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slot.h"

int slot_parse(const char *text, int *ret)
{
    char *end;
    long slot;

    if (strcmp(text, "none") == 0) {
        *ret = SLOT_NONE;
        return 0;
    }
    if (strncmp(text, "0x", 2) != 0 || !isxdigit((unsigned char) text[2]) || strlen(text) > 4)
        return -EINVAL;
    slot = strtol(text, &end, 16);
    if (*end != '\0' || slot < SLOT_FIRST || slot > SLOT_LAST)
        return -EINVAL;

    *ret = (int) slot;
    return 0;
}

const char *slot_print(int slot, char buf[static SLOT_TEXT_SIZE])
{
    assert(slot == SLOT_NONE || (slot >= SLOT_FIRST && slot <= SLOT_LAST));

    if (slot == SLOT_NONE)
        strcpy(buf, "none");
    else
        snprintf(buf, SLOT_TEXT_SIZE, "0x%02x", (unsigned) slot & 0x1f);
    return buf;
}
