/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "uuid.h"

bool uuid_normalize(const char *text, char ret[static UUID_TEXT_SIZE])
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    static_assert(sizeof(form) == UUID_TEXT_SIZE, "a UUID has 36 characters");

    if (strlen(text) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; form[i] != '\0'; i++)
        if (form[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
            return false;

    for (size_t i = 0; i < sizeof(form); i++)
        ret[i] = (char) tolower((unsigned char) text[i]);
    return true;
}
