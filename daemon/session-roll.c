/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-roll.h"

#include "vgpu-ring.h"

/* A process that nobody registered is another VM by each of its connections. */
static bool session_roll_has(const VM *vm, const VM *other)
{
    return other == vm || (vm->process && other->process == vm->process);
}

void session_roll_answer(const Sessions *all, VM *vm, Connection *connection, uint32_t request_id,
                         uint32_t after)
{
    VGPUSessionListed listed[VGPU_LISTED_MAX];
    uint32_t n = 0;
    Session *s = NULL;

    while (n < VGPU_LISTED_MAX && (s = sessions_next(all, s))) {
        const SessionFigures *f;

        if (s->id <= after || s->state != SESSION_OPEN || !session_roll_has(vm, s->vm))
            continue;
        f = session_figures(s);
        listed[n++] = (VGPUSessionListed){
            .id = s->id,
            .guest_pid = s->guest_pid,
            .memory = f->memory,
            .device_usec = f->device_usec,
            .n_contexts = f->n_contexts,
        };
    }
    vm_send_by(vm, connection, VGPU_MSG_SESSION_LISTED, request_id, listed,
               n * (uint32_t) sizeof(listed[0]));
}
