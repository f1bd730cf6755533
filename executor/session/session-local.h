/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Local memory of kernels, which the driver gives a context at the first launch that needs more of
 * it than it has: unasked, and for all threads that the device can run at once. The session's quota
 * is charged before.
 */
#ifndef VGPU_SESSION_SESSION_LOCAL_H
#define VGPU_SESSION_SESSION_LOCAL_H

#include "session-core.h"
#include "session-store.h"

/* Bytes of a thread that every context has, as CU_LIMIT_STACK_SIZE is at first */
#define SESSION_LOCAL_FREE 1024u

/* session_local_threads() - that the device can run at once */
CUresult session_local_threads(Session *s, uint64_t *ret);

/* session_local_grow() - charge what the context of @f is to have more for it */
CUresult session_local_grow(Session *s, const SessionFunction *f);

/* session_local_give_back() - the driver has ended the context, or another number stands
 * for it, which has the charge from then on */
void session_local_give_back(Session *s, SessionContext *c);

/* session_local_charge() - before the driver may launch @f: charge what its threads need */
static inline CUresult session_local_charge(Session *s, const SessionFunction *f)
{
    if (f->local_size <= __atomic_load_n(&f->context->local_size, __ATOMIC_RELAXED))
        return CUDA_SUCCESS;
    return session_local_grow(s, f);
}

#endif
