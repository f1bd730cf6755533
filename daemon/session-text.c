/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "names.h"
#include "vgpu-ring.h"

/* What each reason is in the journal, and to the guest. */
static const struct {
    const char *text;
    uint32_t error;
    bool is_fault; /* of the guest, and others pay for it */
} reasons[SESSION_N_REASONS] = {
    [SESSION_CLOSED] = {"the guest closed it", VGPU_ERROR_MEDIATOR_UNAVAILABLE, false},
    [SESSION_HUNG_UP] = {"its device is gone", VGPU_ERROR_MEDIATOR_UNAVAILABLE, false},
    [SESSION_QUARANTINED] = {"the VM is quarantined", VGPU_ERROR_VM_QUARANTINED, false},
    [SESSION_ENDED_ON_CALL] = {"an administrator ended it", VGPU_ERROR_MEDIATOR_UNAVAILABLE, false},
    [SESSION_SERVICE_ENDS] = {"the service ends", VGPU_ERROR_MEDIATOR_UNAVAILABLE, false},
    [SESSION_REFUSED] = {"its executor cannot serve it", VGPU_ERROR_MEDIATOR_UNAVAILABLE, false},
    [SESSION_START_LATE] = {"its executor did not start in time", VGPU_ERROR_TIMEOUT, false},
    [SESSION_VIOLATION] = {"the guest wrote what is no ring", VGPU_ERROR_INVALID_REQUEST, false},
    [SESSION_KERNEL_TIMEOUT] = {"a kernel of it ran into KernelTimeoutSec=", VGPU_ERROR_CUDA_ERROR,
                                true},
    [SESSION_WINDOW_LOST] = {"the VM took memory of its window away", VGPU_ERROR_INVALID_REQUEST,
                             false},
    [SESSION_FAILED] = {"its executor failed", VGPU_ERROR_MEDIATOR_UNAVAILABLE, false},
    [SESSION_DIED] = {"its executor died", VGPU_ERROR_MEDIATOR_UNAVAILABLE, true},
};

const char *session_state_to_string(SessionState state)
{
    static const char *const names[] = {
        [SESSION_STARTING] = "starting",
        [SESSION_OPEN] = "open",
        [SESSION_ENDING] = "ending",
    };

    return names[state];
}

uint32_t session_reason_error(SessionReason reason)
{
    return reasons[reason].error;
}

bool session_reason_is_fault(SessionReason reason)
{
    return reasons[reason].is_fault;
}

void session_make_printable(char *to, const char *from)
{
    for (; *from; from++) {
        unsigned char c = (unsigned char) *from;

        if (c > ' ' - 1 && c < 0x7f && c != '\\')
            *to++ = *from;
        else
            to += sprintf(to, "\\x%02x", c);
    }
    *to = '\0';
}

LogContext session_log_context(const Session *s)
{
    LogContext context = s->vm->client.log;

    context.session = s->id;
    context.pool = s->pool->name;
    return context;
}

void session_log_open(const Session *s)
{
    LogContext context = session_log_context(s);

    if (client_may_log(&s->vm->client))
        log_event(VGPU_MESSAGE_SESSION_OPENED, &context, NULL,
                  "CUDA session %u opened on ring %u, for process %u of the guest (%s); its "
                  "executor is process %d",
                  s->id, s->ring, s->guest_pid, s->command, (int) session_process_pid(s->process));
}

/* What the session has used; empty when that is nothing. */
static void session_describe_use(const Session *s, char *ret, size_t size)
{
    const SessionFigures *f = &s->figures;
    char turns[40] = "";

    ret[0] = '\0';
    if (s->turn.n_turns != 0)
        snprintf(turns, sizeof(turns), " in %" PRIu64 " turns", s->turn.n_turns);
    if (f->launches != 0 || f->device_usec != 0 || f->memory_peak != 0)
        snprintf(ret, size,
                 "; it used %.3f s of device time%s, %" PRIu64 " launches and at most %.1f MiB of "
                 "device memory",
                 (double) f->device_usec / 1e6, turns, f->launches,
                 (double) f->memory_peak / (1 << 20));
}

void session_log_end(Session *s, const char *detail)
{
    char use[200];
    LogContext context;

    if (s->is_logged)
        return;
    s->is_logged = true;
    context = session_log_context(s);
    session_describe_use(s, use, sizeof(use));
    if (client_may_log(&s->vm->client))
        log_event(VGPU_MESSAGE_SESSION_ENDED, &context, NULL,
                  "CUDA session %u of ring %u ended: %s%s%s%s", s->id, s->ring,
                  reasons[s->reason].text, *detail ? ": " : "", detail, use);
}

void session_describe_end(const Session *s, SessionProcessFate fate, const char *text, char *ret,
                          size_t size)
{
    uint32_t sticky = s->sticky ? s->sticky : s->figures.sticky;

    ret[0] = '\0';
    if (fate == SESSION_PROCESS_NO_SENSE)
        snprintf(ret, size, "it broke the protocol, and was killed");
    else if (fate == SESSION_PROCESS_END_LATE)
        snprintf(ret, size, "its executor did not end in time, and was killed");
    else if (s->reason == SESSION_REFUSED)
        snprintf(ret, size, "%s, CUDA error %u",
                 strerror(s->executor_error < 0 ? -s->executor_error : EIO), s->cuda_result);
    else if (s->reason == SESSION_DIED)
        snprintf(ret, size, "it %s", text);
    else if (sticky != 0)
        snprintf(ret, size, "CUDA error %u", sticky);
}
