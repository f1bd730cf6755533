/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels print. A context has a buffer for it, and a driver writes that to the process's
 * standard output when the program waits for anything in the context: never by a query, a launch or
 * an allocation. What is too much for the buffer is in the place of what was older.
 */
#include "fake-driver.h"
#include "fake-kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_PRINTF_FIFO_SIZE = 1 };

void fake_print(const FakeLaunch *launch, const char *format, ...)
{
    char line[256];
    size_t n, limit;
    CUcontext c;
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    n = strlen(line);

    FAKE_LOCKED();
    if (!fake_object_lives(launch->context, FAKE_KIND_CONTEXT))
        return;
    c = launch->context;
    limit = c->limits[LIMIT_PRINTF_FIFO_SIZE];
    if (n > limit)
        return;
    if (c->print_size + n > limit) {
        size_t old = c->print_size + n - limit;

        c->print_size -= old;
        memmove(c->print, c->print + old, c->print_size);
    }
    if (c->print_size + n > c->print_room) {
        c->print_room = 2 * (c->print_size + n);
        c->print = realloc(c->print, c->print_room);
        if (!c->print)
            abort();
    }
    memcpy(c->print + c->print_size, line, n);
    c->print_size += n;
}

void fake_print_out(CUcontext context)
{
    if (context->print_size == 0)
        return;
    fwrite(context->print, 1, context->print_size, stdout);
    fflush(stdout);
    context->print_size = 0;
}

void fake_print_end(CUcontext context)
{
    free(context->print);
}
