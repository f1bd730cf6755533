/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session's executor itself has to say. In a session standard error is the guest's kernels'
 * (session-output.h), so nothing of ours goes there. */
#ifndef VGPU_SESSION_SESSION_LOG_H
#define VGPU_SESSION_SESSION_LOG_H

/* session_log() - a line to the journal, with the program's name before it and a newline behind.
 * Lines longer than 1 KiB are cut. From any thread */
__attribute__((format(printf, 1, 2))) void session_log(const char *format, ...);

/* session_log_open() - the descriptor that lines go to from now on: at first, standard error. It
 * stays open until the process ends; the sanitizers' reports go there, too */
void session_log_open(int fd);

#endif
