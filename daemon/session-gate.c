/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-gate.h"

#include <unistd.h>

void session_set_gate(Session *s, bool open)
{
    const uint64_t one = 1;

    if (__atomic_exchange_n(&s->control->gate, open, __ATOMIC_SEQ_CST) == open)
        return;
    /* Of a gate that has closed it is told, too: it looks more often then whether the device has
     * ended. The executor has the same eventfd, and could have a plain write block. */
    if (!s->signaller || eventfd_signaller_signal(s->signaller, s->gate) < 0)
        (void) !write(s->gate, &one, sizeof(one));
}
