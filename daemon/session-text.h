/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the journal, the guest and an administrator are told about a session. */
#ifndef VGPU_SESSION_TEXT_H
#define VGPU_SESSION_TEXT_H

#include "session-parts.h"

/* session_state_to_string() - "starting", "open" or "ending"; static */
const char *session_state_to_string(SessionState state);

/* session_reason_error() - what the guest is told: VGPU_ERROR_* */
uint32_t session_reason_error(SessionReason reason);

/* session_reason_is_fault() - is the guest to blame, and do others pay for it? */
bool session_reason_is_fault(SessionReason reason);

/* session_make_printable() - what a guest says may be any bytes. @to: room for four for each, and
 * the 0 */
void session_make_printable(char *to, const char *from);

/* session_log_context() - for lines about it; its VM is there */
LogContext session_log_context(const Session *s);

/* session_log_open() - the line of its beginning; its VM is there */
void session_log_open(const Session *s);

/* session_log_end() - the line of its end, once, with what its figures are; its VM is there.
 * @detail: behind the reason; may be "" */
void session_log_end(Session *s, const char *detail);

/* session_describe_end() - the detail. @text: how the process ended */
void session_describe_end(const Session *s, SessionProcessFate fate, const char *text, char *ret,
                          size_t size);

#endif
