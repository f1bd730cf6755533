/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "session-log.h"

void session_signal(const Session *s)
{
    const uint64_t one = 1;

    /* It can fail only when the guest is not to be woken any more: the descriptor is an eventfd. */
    while (write(s->fds[SESSION_FD_INTERRUPT], &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* The guest sets guest_waits, has a full barrier, and looks at what was written. Here it is the
 * other way round, so at least one of the two sees the other's store. */
static void session_wake(const Session *s)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&s->header->guest_waits, __ATOMIC_RELAXED) != 0)
        session_signal(s);
}

static void session_latch(Session *s, uint64_t position, CUresult result)
{
    pthread_mutex_lock(&s->lock);
    if (s->error == CUDA_SUCCESS) {
        s->error = (uint32_t) result;
        s->error_position = position;
        __atomic_store_n(&s->header->error_position, position, __ATOMIC_RELAXED);
        __atomic_store_n(&s->header->error, s->error, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&s->lock);
}

void session_reply_or_latch(Session *s, const SessionCall *call, CUresult result)
{
    VGPUSessionReply *reply;

    if (call->record.reply == 0) {
        if (result != CUDA_SUCCESS)
            session_latch(s, call->position, result);
        return;
    }

    assert(call->record.reply <= VGPU_SESSION_REPLIES);
    reply = &s->replies[call->record.reply - 1];
    memcpy(reply->value, call->value, sizeof(reply->value));
    reply->result = (uint32_t) result;
    __atomic_store_n(&reply->state, VGPU_SESSION_REPLY_DONE, __ATOMIC_RELEASE);
    session_wake(s);
}

CUresult session_take_error(Session *s, uint64_t *ret_position)
{
    CUresult error;

    pthread_mutex_lock(&s->lock);
    error = (CUresult) s->error;
    *ret_position = s->error_position;
    s->error = CUDA_SUCCESS;
    s->error_position = 0;
    __atomic_store_n(&s->header->error, CUDA_SUCCESS, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&s->lock);
    return error;
}

void session_stick(Session *s, CUresult error)
{
    uint32_t none = CUDA_SUCCESS;

    if (!__atomic_compare_exchange_n(&s->sticky, &none, (uint32_t) error, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return;
    __atomic_store_n(&s->control->sticky, (uint32_t) error, __ATOMIC_RELEASE);
    __atomic_store_n(&s->header->sticky, (uint32_t) error, __ATOMIC_RELEASE);
    /* Who sleeps for a fence would sleep for ever: the device writes no word any more. */
    session_wake(s);
    session_log("%s: CUDA's error %d ends what it computes", s->start.name, error);
}

CUresult session_note_error(Session *s, CUresult result)
{
    if (cuda_error_is_sticky(result))
        session_stick(s, result);
    return result;
}

void session_set_state(Session *s, uint32_t state)
{
    __atomic_store_n(&s->header->state, state, __ATOMIC_RELEASE);
}
