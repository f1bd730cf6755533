/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines: structured to the journal when standard error leads there,
 * otherwise plain text on standard error.
 */
#ifndef VGPU_LOG_H
#define VGPU_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

/* What a line is about. Zero or NULL means: does not apply. */
typedef struct LogContext {
    const char *vm;
    uint32_t vm_id;         /* with vm */
    const uint8_t *vm_uuid; /* with vm: 16 bytes, all zero where it has none */
    char pool;
    bool has_request_id;
    uint32_t request_id;
    uint32_t error; /* VGPU_ERROR_* */
    pid_t peer_pid;
    uint32_t session; /* a CUDA session's number */
} LogContext;

/* Who changed what. NULL means: does not apply. */
typedef struct LogChange {
    const char *setting; /* its name on D-Bus */
    const char *from, *to;
    uid_t sender_uid;
    pid_t sender_pid; /* 0: not known */
    bool by_itself;   /* the mediator did it: there is no sender */
} LogChange;

/*
 * log_context() - log one line
 * @priority: LOG_ERR, LOG_WARNING, …, as in syslog(3)
 * @context: may be NULL
 * @format: printf(3) format, without a newline. A VM's name is put before the line
 *
 * errno is kept.
 */
void log_context(int priority, const LogContext *context, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * log_event() - log that something came, went or was changed
 * @id: VGPU_MESSAGE_*
 * @context: may be NULL
 * @change: NULL where nothing was changed; else the line ends with who did it over D-Bus
 *
 * As log_context(), with priority LOG_INFO, or LOG_NOTICE for what the mediator changed by itself.
 */
void log_event(const char *id, const LogContext *context, const LogChange *change,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

#define log_error(...) log_context(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_context(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_context(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_context(LOG_INFO, NULL, __VA_ARGS__)

/* log_errno() - an error line with strerror(-@r) at its end; evaluates to @r, a negative errno */
#define log_errno(r, format, ...)                                                \
    ({                                                                           \
        int _r = (r);                                                            \
        log_context(LOG_ERR, NULL, format ": %s", ##__VA_ARGS__, strerror(-_r)); \
        _r;                                                                      \
    })

#endif
