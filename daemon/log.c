/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "log.h"
#include "names.h"
#include "vgpu-protocol.h"

#define LINE_SIZE 1024
#define MAX_FIELDS 15
#define FIELD_SIZE 300

typedef struct Fields {
    char text[MAX_FIELDS][FIELD_SIZE];
    char message[FIELD_SIZE + LINE_SIZE];
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

static void fields_add_uuid(Fields *f, const uint8_t *uuid)
{
    char text[SD_ID128_UUID_STRING_MAX];
    sd_id128_t id;

    memcpy(id.bytes, uuid, sizeof(id.bytes));
    if (!sd_id128_is_null(id))
        fields_add(f, VGPU_FIELD_VM_UUID "=%s", sd_id128_to_uuid_string(id, text));
}

static void fields_add_context(Fields *f, const LogContext *c)
{
    if (c->vm) {
        fields_add(f, VGPU_FIELD_VM "=%s", c->vm);
        fields_add(f, VGPU_FIELD_VM_ID "=%u", c->vm_id);
    }
    if (c->vm_uuid)
        fields_add_uuid(f, c->vm_uuid);
    if (c->pool)
        fields_add(f, VGPU_FIELD_POOL "=%c", c->pool);
    if (c->has_request_id)
        fields_add(f, VGPU_FIELD_REQUEST_ID "=%u", c->request_id);
    if (c->error)
        fields_add(f, VGPU_FIELD_ERROR "=%s", vgpu_error_to_string(c->error));
    if (c->peer_pid)
        fields_add(f, VGPU_FIELD_PEER_PID "=%d", (int) c->peer_pid);
    if (c->session)
        fields_add(f, VGPU_FIELD_SESSION "=%u", c->session);
}

static void fields_add_change(Fields *f, const LogChange *change)
{
    if (!change->by_itself)
        fields_add(f, VGPU_FIELD_SENDER_UID "=%u", change->sender_uid);
    if (change->sender_pid)
        fields_add(f, VGPU_FIELD_SENDER_PID "=%d", (int) change->sender_pid);
    if (change->setting)
        fields_add(f, VGPU_FIELD_SETTING "=%s", change->setting);
    if (change->from)
        fields_add(f, VGPU_FIELD_FROM "=%s", change->from);
    if (change->to)
        fields_add(f, VGPU_FIELD_TO "=%s", change->to);
}

/* Plain journalctl shows the text only, so that begins with the VM's name. */
static void send_to_journal(int priority, const char *id, const LogContext *c,
                            const LogChange *change, const char *line)
{
    bool has_vm = c && c->vm;
    Fields f = {0};
    int n;

    fields_add(&f, "PRIORITY=%d", priority);
    if (id)
        fields_add(&f, "MESSAGE_ID=%s", id);
    if (c)
        fields_add_context(&f, c);
    if (change)
        fields_add_change(&f, change);

    n = snprintf(f.message, sizeof(f.message), "MESSAGE=%s%s%s", has_vm ? c->vm : "",
                 has_vm ? ": " : "", line);
    f.iov[f.n++] = (struct iovec){f.message, (size_t) n};

    (void) sd_journal_sendv(f.iov, f.n);
}

static void log_line(int priority, const char *id, const LogContext *context,
                     const LogChange *change, const char *line)
{
    if (stderr_is_journal())
        send_to_journal(priority, id, context, change, line);
    else if (context && context->vm)
        fprintf(stderr, "%s: %s\n", context->vm, line);
    else
        fprintf(stderr, "%s\n", line);
}

void log_context(int priority, const LogContext *context, const char *format, ...)
{
    int saved_errno = errno;
    char line[LINE_SIZE];
    va_list ap;

    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    log_line(priority, NULL, context, NULL, line);
    errno = saved_errno;
}

static void append_sender(char *line, size_t size, const LogChange *change)
{
    size_t n = strlen(line);

    if (change->sender_pid)
        snprintf(line + n, size - n, ", by user %u (process %d)", change->sender_uid,
                 (int) change->sender_pid);
    else
        snprintf(line + n, size - n, ", by user %u", change->sender_uid);
}

void log_event(const char *id, const LogContext *context, const LogChange *change,
               const char *format, ...)
{
    int saved_errno = errno;
    char line[LINE_SIZE];
    va_list ap;

    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    if (change && !change->by_itself)
        append_sender(line, sizeof(line), change);
    log_line(change && change->by_itself ? LOG_NOTICE : LOG_INFO, id, context, change, line);
    errno = saved_errno;
}
