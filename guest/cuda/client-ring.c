/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing records into the ring. One lock covers the ring; a record is written in place, and
 * published by moving tail.
 *
 * The barriers are those of vgpu-session.h: a full one between moving tail and reading
 * executor_waits. Where the window is mapped write-combining, only a full one orders the record
 * before tail, too.
 */
#include <string.h>
#include <time.h>

#include "client-internal.h"

#define ROOM_PAUSE_MIN_NSEC (50 * NSEC_PER_USEC)
#define ROOM_PAUSE_MAX_NSEC NSEC_PER_MSEC

static void full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int client_enter(vgpu_session *s)
{
    int r = client_usable(s);

    if (r != 0)
        return r;
    pthread_mutex_lock(&s->ring_lock);
    return 0;
}

/* Let the host see what has been written. */
static void publish(vgpu_session *s)
{
    if (s->published == s->tail)
        return;

    if (s->transport->is_write_combining)
        full_barrier();
    __atomic_store_n(&s->header->tail, s->tail, __ATOMIC_RELEASE);
    s->published = s->tail;
    full_barrier();
    if (__atomic_load_n(&s->header->executor_waits, __ATOMIC_RELAXED) != 0)
        s->transport->ops->doorbell(s->transport);
}

void client_leave(vgpu_session *s)
{
    publish(s);
    pthread_mutex_unlock(&s->ring_lock);
}

/* ---- Room ----------------------------------------------------------------------- */

static uint64_t room(const vgpu_session *s)
{
    return s->ring_size - (s->tail - s->head);
}

/* Read head again. A host that moves it backwards, or past what is published, breaks the rules. */
static int update_head(vgpu_session *s)
{
    uint64_t head = __atomic_load_n(&s->header->head, __ATOMIC_ACQUIRE);

    if (head - s->head > s->published - s->head) {
        client_fail(s, VGPU_CUDA_ERROR_UNKNOWN);
        return client_usable(s);
    }
    s->head = head;
    return 0;
}

/* The executor has much to do then. So the thread sleeps, and leaves the executor the processor's
 * core: until it can write a good deal again, of which the executor sees nothing. */
static int wait_for_room(vgpu_session *s, uint64_t size)
{
    const uint64_t enough = size > s->ring_size / 4 ? size : s->ring_size / 4;
    const uint64_t begin = now_nsec();

    publish(s);
    for (;;) {
        int r = update_head(s);
        uint64_t pause = (now_nsec() - begin) / 4;

        if (r == 0)
            r = client_usable(s);
        if (r != 0 || room(s) >= enough)
            return r;
        client_check(s, false);
        if (pause < ROOM_PAUSE_MIN_NSEC)
            pause = ROOM_PAUSE_MIN_NSEC;
        if (pause > ROOM_PAUSE_MAX_NSEC)
            pause = ROOM_PAUSE_MAX_NSEC;
        (void) nanosleep(&(struct timespec){.tv_nsec = (long) pause}, NULL);
    }
}

/* ---- Records --------------------------------------------------------------------- */

static void *write_header(vgpu_session *s, const VGPUSessionRecord *header)
{
    VGPUSessionRecord *record = (VGPUSessionRecord *) (s->ring + (s->tail & (s->ring_size - 1)));

    *record = *header;
    s->tail += header->size;
    return record + 1;
}

int client_record(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from, uint32_t reply,
                  size_t size, void **ret_parameters)
{
    static const vgpu_session_from nobody;
    const uint32_t step = VGPU_SESSION_RECORD_ALIGNMENT;
    uint64_t total, rest, needed;
    uint8_t *parameters;

    if (size > VGPU_SESSION_RECORD_MAX - sizeof(VGPUSessionRecord))
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    total = (sizeof(VGPUSessionRecord) + size + step - 1) & ~(uint64_t) (step - 1);
    rest = s->ring_size - (s->tail & (s->ring_size - 1));
    needed = total <= rest ? total : rest + total;
    if (room(s) < needed) {
        int r = wait_for_room(s, needed);

        if (r != 0)
            return r;
    }

    if (total > rest)
        write_header(s, &(const VGPUSessionRecord){
                            .size = (uint32_t) rest,
                            .opcode = VGPU_SESSION_OP_PAD,
                        });
    if (!from)
        from = &nobody;
    parameters = write_header(s, &(const VGPUSessionRecord){
                                     .size = (uint32_t) total,
                                     .opcode = opcode,
                                     .reply = (uint16_t) reply,
                                     .context = from->context,
                                     .capture_mode = from->capture_mode,
                                     .thread = from->thread,
                                 });
    if (size % step != 0) /* what is behind the parameters is not an old record's */
        memset(parameters + total - sizeof(VGPUSessionRecord) - step, 0, step);
    *ret_parameters = parameters;
    return 0;
}

int client_put(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from, uint32_t reply,
               const void *parameters, size_t size)
{
    void *to;
    int r = client_record(s, opcode, from, reply, size, &to);

    if (r == 0)
        memcpy(to, parameters, size);
    return r;
}

int vgpu_session_begin(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from, size_t size,
                       void **ret_parameters)
{
    int r = client_enter(s);

    if (r != 0)
        return r;
    r = client_record(s, opcode, from, 0, size, ret_parameters);
    if (r != 0)
        client_leave(s);
    return r;
}

void vgpu_session_commit(vgpu_session *s)
{
    client_leave(s);
}

static void give_up_context(vgpu_session *s, const VGPUSessionId *p)
{
    client_pins_end_context(s, p->id);
    client_disclaim_context(s, p->id);
}

/* One record, with what follows its parameters. */
static int send_record(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                       uint32_t reply, const void *parameters, size_t size, const void *more,
                       size_t more_size)
{
    void *to;
    int r;

    if (more_size > VGPU_SESSION_RECORD_MAX)
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    if (opcode == VGPU_SESSION_OP_CONTEXT_DESTROY)
        give_up_context(s, parameters);
    r = client_enter(s);
    if (r != 0)
        return r;

    r = client_record(s, opcode, from, reply, size + more_size, &to);
    if (r == 0) {
        memcpy(to, parameters, size);
        if (more_size > 0)
            memcpy((uint8_t *) to + size, more, more_size);
    }
    client_leave(s);
    return r;
}

int vgpu_session_post(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                      const void *parameters, size_t size, const void *more, size_t more_size)
{
    return send_record(s, opcode, from, 0, parameters, size, more, more_size);
}

/* ---- Replies ----------------------------------------------------------------------- */

static int take_reply(vgpu_session *s, client_asked asked, uint32_t *ret)
{
    uint32_t slot;
    int r = client_usable(s);

    if (r != 0)
        return r;
    pthread_mutex_lock(&s->wait_lock);
    while ((r = client_usable(s)) == 0 && s->n_free_replies == 0)
        pthread_cond_wait(&s->reply_free, &s->wait_lock);
    if (r == 0)
        slot = s->free_replies[--s->n_free_replies];
    pthread_mutex_unlock(&s->wait_lock);
    if (r != 0)
        return r;

    s->asked[slot - 1] = asked;
    __atomic_store_n(&s->replies[slot - 1].state, VGPU_SESSION_REPLY_PENDING, __ATOMIC_RELAXED);
    *ret = slot;
    return 0;
}

static void give_reply(vgpu_session *s, uint32_t slot)
{
    pthread_mutex_lock(&s->wait_lock);
    s->free_replies[s->n_free_replies++] = (uint16_t) slot;
    pthread_cond_signal(&s->reply_free);
    pthread_mutex_unlock(&s->wait_lock);
}

int vgpu_session_start(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                       const void *parameters, size_t size, const void *more, size_t more_size,
                       uint32_t *ret_slot)
{
    client_asked asked = {.opcode = opcode};
    uint32_t slot;
    int r;

    if (opcode == VGPU_SESSION_OP_CONTEXT_CREATE)
        asked.context = ((const VGPUSessionContext *) parameters)->id;
    r = take_reply(s, asked, &slot);
    if (r != 0)
        return r;
    r = send_record(s, opcode, from, slot, parameters, size, more, more_size);
    if (r != 0) {
        give_reply(s, slot);
        return r;
    }
    *ret_slot = slot;
    return 0;
}

int client_start_fence(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                       vgpu_session_fence *fence, uint32_t *ret_slot, uint64_t *ret_number)
{
    uint32_t slot;
    int r = take_reply(s, (client_asked){.opcode = VGPU_SESSION_OP_FENCE}, &slot);

    if (r != 0)
        return r;
    r = client_enter(s);
    if (r == 0) {
        r = client_put_fence(s, from, stream, fence, slot, ret_number);
        client_leave(s);
    }
    if (r != 0) {
        give_reply(s, slot);
        return r;
    }
    *ret_slot = slot;
    return 0;
}

/* A context has been made. What it needs of the window is to be pinned before it is used; one that
 * cannot have that is destroyed again. */
static int take_up_context(vgpu_session *s, uint32_t id)
{
    const VGPUSessionId context = {.id = id};
    int r = client_pins_begin_context(s, id);

    if (r != 0)
        (void) vgpu_session_post(s, VGPU_SESSION_OP_CONTEXT_DESTROY, NULL, &context,
                                 sizeof(context), NULL, 0);
    return r;
}

int client_finish_silently(vgpu_session *s, uint32_t slot, VGPUSessionReply *ret)
{
    const VGPUSessionReply *shared = &s->replies[slot - 1];
    const client_asked asked = s->asked[slot - 1];
    client_waiter w = {.reply_state = &shared->state};
    VGPUSessionReply reply;
    int r = 0;

    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return VGPU_CUDA_ERROR_NOT_INITIALIZED;
    if (!client_wait_spin(s, &w))
        r = client_wait_sleep(s, &w);
    if (r != 0)
        return r; /* the host may still write there: the slot is not used again */

    reply = *shared;
    give_reply(s, slot);
    if (ret)
        *ret = reply;
    if (reply.result == 0 && asked.opcode == VGPU_SESSION_OP_CONTEXT_CREATE)
        return take_up_context(s, asked.context);
    return reply.result > INT32_MAX ? VGPU_CUDA_ERROR_UNKNOWN : (int) reply.result;
}

int vgpu_session_finish(vgpu_session *s, uint32_t slot, VGPUSessionReply *ret)
{
    int r = client_finish_silently(s, slot, ret);

    if (r != 0)
        client_output_end(s);
    return r;
}

int client_call_silently(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                         const void *parameters, size_t size, const void *more, size_t more_size,
                         VGPUSessionReply *ret)
{
    uint32_t slot;
    int r = vgpu_session_start(s, opcode, from, parameters, size, more, more_size, &slot);

    return r == 0 ? client_finish_silently(s, slot, ret) : r;
}

int vgpu_session_call(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                      const void *parameters, size_t size, const void *more, size_t more_size,
                      VGPUSessionReply *ret)
{
    int r = client_call_silently(s, opcode, from, parameters, size, more, more_size, ret);

    if (r != 0)
        client_output_end(s);
    else if (opcode == VGPU_SESSION_OP_CONTEXT_DESTROY)
        client_output(s, NULL);
    return r;
}
