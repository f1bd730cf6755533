/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fail.h"

int fail_with(int code, char **ret_error, const char *format, ...)
{
    char *error;
    va_list list;
    int r;

    va_start(list, format);
    r = vasprintf(&error, format, list);
    va_end(list);
    if (r < 0)
        return -ENOMEM;

    for (char *p = error; *p; p++)
        if ((unsigned char) *p < ' ' || *p == 0x7f)
            *p = '?';
    *ret_error = error;
    return code;
}
