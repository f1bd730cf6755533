/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SESSION_LIST: which sessions a VM has. */
#ifndef VGPU_SESSION_ROLL_H
#define VGPU_SESSION_ROLL_H

#include "vm-sessions.h"

/* session_roll_answer() - send SESSION_LISTED by a VM's connection
 * @after: only sessions with higher numbers */
void session_roll_answer(const Sessions *all, VM *vm, Connection *connection, uint32_t request_id,
                         uint32_t after);

#endif
