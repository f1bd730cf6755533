/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "parse.h"

/* Also of the prefix of a UUID */
#define PREFIX_SIZE 4u
#define UUID_SIZE 36u

static bool is_uuid(const char *text)
{
    for (unsigned i = 0; i < UUID_SIZE; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
            return false;
    }
    return true;
}

bool device_name_parse(const char *text, size_t size, char ret[DEVICE_NAME_SIZE])
{
    char copy[DEVICE_NAME_SIZE];
    uint32_t number;

    if (size >= sizeof(copy) || memchr(text, 0, size))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (parse_u32(copy, 0, DEVICE_NUMBER_MAX, &number) == 0) {
        snprintf(ret, DEVICE_NAME_SIZE, "%u", number);
        return true;
    }
    if (size != PREFIX_SIZE + UUID_SIZE || !is_uuid(copy + PREFIX_SIZE) ||
        (strncmp(copy, "GPU-", PREFIX_SIZE) != 0 && strncmp(copy, "MIG-", PREFIX_SIZE) != 0))
        return false;
    memcpy(ret, copy, size + 1);
    return true;
}

bool device_name_is_number(const char *name, uint32_t *ret)
{
    return parse_u32(name, 0, DEVICE_NUMBER_MAX, ret) == 0;
}
