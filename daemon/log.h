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
    uint32_t vm_id; /* with vm */
    char pool;
    bool has_request_id;
    uint32_t request_id;
    uint32_t error; /* VGPU_ERROR_* */
    pid_t peer_pid;
} LogContext;

/*
 * log_context() - log one line
 * @priority: LOG_ERR, LOG_WARNING, …, as in syslog(3)
 * @context: may be NULL
 * @format: printf(3) format, without a newline
 *
 * errno is kept.
 */
void log_context(int priority, const LogContext *context, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

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
