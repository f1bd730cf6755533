/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "log.h"
#include "names.h"
#include "vgpu-protocol.h"

#define LINE_SIZE 1024
#define MAX_FIELDS 8
#define FIELD_SIZE 300

typedef struct Fields {
    char text[MAX_FIELDS][FIELD_SIZE];
    char message[LINE_SIZE + sizeof("MESSAGE=")];
    struct iovec iov[MAX_FIELDS + 1];
    int n;
} Fields;

/* The test of sd-daemon(3): standard error is the journal's own stream. */
static bool stderr_is_journal(void)
{
    const char *e = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

__attribute__((format(printf, 2, 3))) static void fields_add(Fields *f, const char *format, ...)
{
    char *text = f->text[f->n];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text, FIELD_SIZE, format, ap);
    va_end(ap);

    f->iov[f->n++] = (struct iovec){text, n < FIELD_SIZE ? (size_t) n : FIELD_SIZE - 1};
}

static void send_to_journal(int priority, const LogContext *c, const char *line)
{
    Fields f = {0};
    int n;

    fields_add(&f, "PRIORITY=%d", priority);
    if (c && c->vm) {
        fields_add(&f, VGPU_FIELD_VM "=%s", c->vm);
        fields_add(&f, VGPU_FIELD_VM_ID "=%u", c->vm_id);
    }
    if (c && c->pool)
        fields_add(&f, VGPU_FIELD_POOL "=%c", c->pool);
    if (c && c->has_request_id)
        fields_add(&f, VGPU_FIELD_REQUEST_ID "=%u", c->request_id);
    if (c && c->error)
        fields_add(&f, VGPU_FIELD_ERROR "=%s", vgpu_error_to_string(c->error));
    if (c && c->peer_pid)
        fields_add(&f, VGPU_FIELD_PEER_PID "=%d", (int) c->peer_pid);

    n = snprintf(f.message, sizeof(f.message), "MESSAGE=%s", line);
    f.iov[f.n++] = (struct iovec){f.message, (size_t) n};

    (void) sd_journal_sendv(f.iov, f.n);
}

void log_context(int priority, const LogContext *context, const char *format, ...)
{
    int saved_errno = errno;
    char line[LINE_SIZE];
    va_list ap;

    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);

    if (stderr_is_journal())
        send_to_journal(priority, context, line);
    else if (context && context->vm)
        fprintf(stderr, "%s: %s\n", context->vm, line);
    else
        fprintf(stderr, "%s\n", line);

    errno = saved_errno;
}
