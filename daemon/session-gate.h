/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate in a session's control page (session-protocol.h) */
#ifndef VGPU_SESSION_GATE_H
#define VGPU_SESSION_GATE_H

#include "session-parts.h"

/* session_set_gate() - may its executor give work to the device? */
void session_set_gate(Session *s, bool open);

#endif
