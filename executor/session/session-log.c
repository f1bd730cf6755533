/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_SIZE 1024u

static int log_fd = STDERR_FILENO;

/* Of the sanitizers, where the program is built with one */
extern void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

void session_log_open(int fd)
{
    __atomic_store_n(&log_fd, fd, __ATOMIC_RELEASE);
    if (__sanitizer_set_report_fd)
        __sanitizer_set_report_fd((void *) (intptr_t) fd);
}

void session_log(const char *format, ...)
{
    char line[LINE_MAX_SIZE];
    int begin = snprintf(line, sizeof(line), "%.100s: ", program_invocation_short_name);
    size_t size;
    va_list args;

    va_start(args, format);
    vsnprintf(line + begin, sizeof(line) - (size_t) begin - 1, format, args);
    va_end(args);
    size = strlen(line);
    line[size++] = '\n';
    /* One write: lines of several threads do not mix. Nothing can be done where it fails. */
    (void) !write(__atomic_load_n(&log_fd, __ATOMIC_ACQUIRE), line, size);
}
