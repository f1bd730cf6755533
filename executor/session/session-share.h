/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session asks the mediator about memory that sessions of its VM share; session-protocol.h
 * says how. */
#ifndef VGPU_SESSION_SESSION_SHARE_H
#define VGPU_SESSION_SESSION_SHARE_H

#include "session.h"

/*
 * session_share_ask() - SHARE or TAKE, and wait for the answer, on the SLOW thread
 * @fd: goes along, and stays the caller's; -1: none
 * @ret_fd: what came with the answer, the caller's; -1: nothing. Not with an error
 *
 * The session may end meanwhile, with the process. Returns 0, or the answer's negative errno.
 */
int session_share_ask(Session *s, const SessionShareMessage *question, int fd,
                      SessionShareMessage *ret, int *ret_fd);

/* session_share_answer() - an answer came. @fd: taken over; -1: none. On the first thread */
void session_share_answer(Session *s, const SessionShareMessage *answer, int fd);

/* session_share_end() - UNSHARE, unless @token is 0 and 0. On any thread; waits for nothing */
void session_share_end(Session *s, const uint64_t token[2]);

#endif
