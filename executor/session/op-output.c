/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kernels have printed. */
#include <stdio.h>

#include "session-dispatch.h"
#include "session-objects.h"
#include "session-reply.h"
#include "session-window.h"

/*
 * The driver fetches what kernels have printed whenever a thread waits for anything in their
 * context, also for a stream that has nothing to do: one of the executor's own, which captures
 * nothing and never has work, so that this takes no time. While the guest captures, even such a
 * wait is left out.
 */
static void output_fetch(Session *s, SessionContext *c)
{
    const CudaDriver *d = &s->driver.base;
    CUresult r;

    if (s->meter.n_captures > 0)
        return;
    r = session_note(s, session_make_current(s, c->handle));
    if (r == CUDA_SUCCESS && !c->output)
        r = session_note(s, d->stream_create_with_priority(&c->output, CU_STREAM_NON_BLOCKING, 0));
    if (r == CUDA_SUCCESS)
        session_note(s, d->stream_synchronize(c->output));
}

CUresult session_op_OUTPUT(Session *s, SessionCall *call)
{
    const VGPUSessionOutput *p = call->parameters;
    SessionContext *context = NULL;
    unsigned char *into = NULL;
    uint64_t sizes[SESSION_N_TEXTS];

    if (p->into.size > 0) {
        into = session_window(s, p->into.offset, p->into.size);
        if (!into)
            return CUDA_ERROR_INVALID_VALUE;
    }
    /* After an error that CUDA does not survive, what there is has come. */
    if (call->record.context != 0 && session_sticky(s) == CUDA_SUCCESS) {
        context = session_context(s, call->record.context);
        if (!context)
            return CUDA_ERROR_INVALID_CONTEXT;
        output_fetch(s, context);
    }
    /* Where the driver writes by the C library's streams, their text may still be in these. */
    fflush(stdout);
    fflush(stderr);
    call->value[2] = session_output_take(&s->output, into, p->into.size, sizes);
    call->value[0] = sizes[SESSION_TEXT_OUTPUT];
    call->value[1] = sizes[SESSION_TEXT_ERROR];
    return CUDA_SUCCESS;
}
