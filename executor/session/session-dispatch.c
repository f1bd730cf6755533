/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-dispatch.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "session-captures.h"
#include "session-contexts.h"
#include "session-log.h"
#include "session-loop.h"
#include "session-meter.h"
#include "session-objects.h"
#include "session-reply.h"
#include "session-slow.h"

/* The record's context becomes current. */
#define DISPATCH_CONTEXT (VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_IF_CONTEXT)

typedef struct DispatchRow {
    CUresult (*function)(Session *s, SessionCall *call); /* NULL: not in this executor */
    const char *name;
    uint16_t properties;
} DispatchRow;

/* What no file of this executor carries out is CUDA_ERROR_NOT_SUPPORTED for the guest, and one
 * line in the log for each such operation. */
#define DISPATCH_WEAK_(name, number, parameters, properties) \
    extern __typeof__(session_op_##name) session_op_##name __attribute__((weak));
VGPU_SESSION_OPERATIONS(DISPATCH_WEAK_)
#undef DISPATCH_WEAK_

static const DispatchRow dispatch_rows[VGPU_SESSION_N_OPS] = {
#define DISPATCH_ROW_(name, number, parameters, properties) \
    [number] = {session_op_##name, #name, (properties)},
    VGPU_SESSION_OPERATIONS(DISPATCH_ROW_)
#undef DISPATCH_ROW_
};

_Thread_local SessionThread *session_this_thread;

void session_thread_set(SessionThread *thread)
{
    session_this_thread = thread;
}

CUresult session_change_current(Session *s, CUcontext context)
{
    CUresult r = s->driver.base.ctx_set_current(context);

    if (r == CUDA_SUCCESS)
        session_thread()->current = context;
    return r;
}

CUresult session_change_capture_mode(Session *s, int mode)
{
    int exchanged = mode;
    CUresult r;

    r = s->driver.thread_exchange_stream_capture_mode(&exchanged);
    if (r == CUDA_SUCCESS)
        session_thread()->capture_mode = mode;
    return r;
}

static CUresult dispatch_missing(const Session *s, uint16_t opcode)
{
    static atomic_bool is_told[VGPU_SESSION_N_OPS];

    if (!atomic_exchange(&is_told[opcode], true))
        session_log("%s: this executor has no operation %s", s->start.name,
                    dispatch_rows[opcode].name);
    return CUDA_ERROR_NOT_SUPPORTED;
}

static bool dispatch_is_capture(uint16_t opcode)
{
    return opcode == VGPU_SESSION_OP_CAPTURE_BEGIN || opcode == VGPU_SESSION_OP_CAPTURE_INTO ||
           opcode == VGPU_SESSION_OP_CAPTURE_END;
}

/* The linker says CUDA_ERROR_UNKNOWN of what it cannot link, and then CUDA is as it was. */
static CUresult dispatch_note(Session *s, uint16_t opcode, CUresult result)
{
    bool is_link = opcode == VGPU_SESSION_OP_LINK_ADD || opcode == VGPU_SESSION_OP_LINK_COMPLETE;

    return is_link && result == CUDA_ERROR_UNKNOWN ? result : session_note(s, result);
}

static CUresult dispatch_call(Session *s, SessionContext *context, SessionCall *call)
{
    const DispatchRow *row = &dispatch_rows[call->record.opcode];
    CUresult r = session_sticky(s);

    /* What an assertion says comes with the error that ends all else. */
    if (r != CUDA_SUCCESS && call->record.opcode != VGPU_SESSION_OP_OUTPUT)
        return r;
    if ((row->properties & VGPU_SESSION_REPLIES_ONLY) && call->record.reply == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!row->function)
        return dispatch_missing(s, call->record.opcode);

    if (dispatch_is_capture(call->record.opcode))
        session_meter_before(s, call); /* may make another context current */
    if ((row->properties & VGPU_SESSION_IN_CONTEXT) && !context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (context && (row->properties & DISPATCH_CONTEXT)) {
        r = session_make_current(s, context->handle);
        if (r != CUDA_SUCCESS)
            return r;
    }
    r = session_set_capture_mode(s, session_captures_mode(s, &call->record));
    if (r != CUDA_SUCCESS)
        return r;
    r = row->function(s, call);
    if (dispatch_is_capture(call->record.opcode))
        session_meter_after(s, call, r);
    return r;
}

void session_carry_out(Session *s, SessionContext *context, SessionCall *call)
{
    SessionThread *thread = session_thread();

    thread->context = context;
    thread->gives_work = dispatch_rows[call->record.opcode].properties & VGPU_SESSION_GIVES_WORK;
    thread->captures = false;
    __atomic_store_n(&thread->call, call, __ATOMIC_RELEASE);
    session_reply(s, call, dispatch_note(s, call->record.opcode, dispatch_call(s, context, call)));
    __atomic_store_n(&thread->call, NULL, __ATOMIC_RELEASE);
    thread->context = NULL;
}

static void dispatch_now(Session *s, const SessionRingRecord *record, SessionContext *context)
{
    SessionCall *call = &s->ring_call;

    *call = (SessionCall){
        .record = *record->record,
        .position = record->position,
        .parameters = record->parameters,
        .more = record->more,
        .more_size = record->more_size,
    };

    /* An operation that is too new for this executor; its numbers grow. */
    if (!record->known)
        session_reply(s, call, CUDA_ERROR_NOT_SUPPORTED);
    else
        session_carry_out(s, context, call);
}

void session_dispatch(Session *s, const SessionRingRecord *record)
{
    uint64_t *operations = &s->control->operations;
    SessionContext *context = NULL;

    if (record->record->opcode == VGPU_SESSION_OP_PAD)
        return;
    __atomic_store_n(operations, *operations + 1, __ATOMIC_RELAXED);

    if (record->properties & DISPATCH_CONTEXT)
        context = session_context(s, record->record->context);
    if (record->properties & VGPU_SESSION_GIVES_WORK) {
        session_pass_gate(s);
        session_pass_ahead(s, record);
    }

    if (!(record->properties & VGPU_SESSION_SLOW)) {
        dispatch_now(s, record, context);
        return;
    }
    /* Its number and those of all that is in it end now, for operations that overtake it. */
    if (record->record->opcode == VGPU_SESSION_OP_CONTEXT_DESTROY)
        context = session_context_leave(s, record);
    session_slow_push(s, record, context);
}
