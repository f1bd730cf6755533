/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "session-containment.h"
#include "session-contexts.h"
#include "session-dispatch.h"
#include "session-graph.h"
#include "session-local.h"
#include "session-log.h"
#include "session-marks.h"
#include "session-meter.h"
#include "session-objects.h"
#include "session-reply.h"
#include "session-store.h"
#include "session-streams.h"
#include "session-window.h"

enum {
    CONTEXT_SCHEDULING = 0x7, /* how a thread of the host's waits: here none does */
    CONTEXT_MAP_HOST = 0x8,   /* always so */
    CONTEXT_RESIZE = 0x10,    /* CU_CTX_LMEM_RESIZE_TO_MAX */
    CONTEXT_SYNC = 0x80,      /* of calls that block; here none does */
    CONTEXT_FLAGS = CONTEXT_SCHEDULING | CONTEXT_MAP_HOST | CONTEXT_RESIZE | CONTEXT_SYNC,
};

CUcontext session_any_context(Session *s)
{
    const SessionContext *c;
    CUcontext handle;

    pthread_mutex_lock(&s->lock);
    c = LIST_FIRST(&s->contexts);
    handle = c ? c->handle : s->warm;
    pthread_mutex_unlock(&s->lock);
    return handle;
}

static void context_count(Session *s, int change)
{
    s->n_contexts += (unsigned) change;
    __atomic_store_n(&s->control->n_contexts, s->n_contexts, __ATOMIC_RELAXED);
    __atomic_store_n(&s->header->n_contexts, s->n_contexts, __ATOMIC_RELAXED);
}

/* ---- Making one, on the SLOW thread -----------------------------------------------------------
 */

static CUresult context_retain(Session *s, uint32_t flags, CUcontext *ret)
{
    const CudaDriver *d = &s->driver.base;
    CUresult r = d->primary_ctx_set_flags(s->device, flags);

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&s->lock);
    *ret = TAKE_PTR(s->warm);
    pthread_mutex_unlock(&s->lock);
    if (*ret)
        return CUDA_SUCCESS;
    return d->primary_ctx_retain(ret, s->device);
}

/* Makes it current. */
static CUresult context_make(Session *s, const VGPUSessionContext *p, SessionContext *c)
{
    uint32_t flags = (p->flags & CONTEXT_RESIZE) | CU_CTX_SCHED_BLOCKING_SYNC;
    CUresult r;

    if (p->primary) {
        r = context_retain(s, flags, &c->handle);
        return r == CUDA_SUCCESS ? session_make_current(s, c->handle) : r;
    }
    r = s->driver.ctx_create(&c->handle, flags, s->device);
    if (r == CUDA_SUCCESS)
        session_thread()->current = c->handle;
    return r;
}

static void context_unmake(Session *s, SessionContext *c)
{
    SessionThread *thread = session_thread();

    if (!c->handle)
        return;
    if (c->is_primary) {
        (void) s->driver.base.ctx_set_current(NULL);
        session_note(s, s->driver.base.primary_ctx_release(s->device));
    } else {
        /* It is current, and the driver takes it off this thread. */
        session_note(s, s->driver.ctx_destroy(c->handle));
    }
    thread->current = NULL;
}

/* Not after an operation has used it. */
static void context_freep(SessionContext **c)
{
    free(*c);
}

static CUresult context_may_be(Session *s, const VGPUSessionContext *p)
{
    CUresult r = CUDA_SUCCESS;

    if ((p->flags & ~(uint32_t) CONTEXT_FLAGS) != 0 || p->primary > 1 || p->reserved != 0 ||
        p->id == 0 || p->id > s->start.objects_max || session_context(s, p->id))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&s->lock);
    if (s->n_contexts >= SESSION_CONTEXTS_MAX)
        r = CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* What the driver still needs, it has now. */
static CUresult context_contain(const Session *s)
{
    int r = session_containment_tighten();

    if (r == 0)
        return CUDA_SUCCESS;
    session_log("%s: containment: %s", s->start.name, strerror(-r));
    return CUDA_ERROR_NOT_PERMITTED;
}

/* What the context had registered goes with it; not where it is the primary one, and another number
 * stands for it, too. */
static void context_forget(Session *s, const SessionContext *c)
{
    const SessionContext *other;
    bool is_last, stays = false;

    pthread_mutex_lock(&s->lock);
    is_last = LIST_EMPTY(&s->contexts);
    LIST_FOREACH(other, &s->contexts, link)
    stays = stays || other->handle == c->handle;
    pthread_mutex_unlock(&s->lock);
    if (stays)
        return;
    session_window_forget(s, c->handle, is_last);
    session_marks_forget(s, c->handle, is_last);
}

CUresult session_op_CONTEXT_CREATE(Session *s, SessionCall *call)
{
    const VGPUSessionContext *p = call->parameters;
    CLEANUP(context_freep) SessionContext *c = NULL;
    CUresult r = context_may_be(s, p);

    if (r != CUDA_SUCCESS)
        return r;
    c = calloc(1, sizeof(*c));
    if (!c)
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->id = p->id;
    c->is_primary = p->primary != 0;
    c->local_size = SESSION_LOCAL_FREE;
    session_stream_init(&c->legacy, c, SESSION_NO_PLACE);

    r = context_make(s, p, c);
    if (r == CUDA_SUCCESS)
        r = context_contain(s);
    if (r == CUDA_SUCCESS)
        r = session_window_register(s, c->handle);
    if (r == CUDA_SUCCESS)
        r = session_marks_register(s, c->handle);
    if (r == CUDA_SUCCESS) {
        c->legacy.place = session_marks_take_place(s);
        r = c->legacy.place == SESSION_NO_PLACE ? CUDA_ERROR_OUT_OF_MEMORY
                                                : session_add(s, SESSION_CONTEXT, c->id, c);
    }
    if (r != CUDA_SUCCESS) {
        session_marks_give_place(s, c->legacy.place);
        if (c->handle)
            context_forget(s, c);
        context_unmake(s, c);
        return r;
    }

    pthread_mutex_lock(&s->lock);
    LIST_INSERT_HEAD(&s->contexts, c, link);
    context_count(s, 1);
    pthread_mutex_unlock(&s->lock);
    TAKE_PTR(c);
    return CUDA_SUCCESS;
}

/* ---- Its end: the ring's thread ------------------------------------------------------------- */

static void context_end_objects(Session *s, SessionContext *c)
{
    void *object;

    for (uint32_t id = 0; (object = session_take_of(s, SESSION_EVENT, c->id, &id));)
        session_note(s, session_event_leave(s, object, c->id));
    for (uint32_t id = 0; (object = session_take_of(s, SESSION_STREAM, c->id, &id));)
        session_note(s, session_stream_end(s, object));
    (void) session_stream_end(s, &c->legacy);
    if (c->output)
        session_note(s, s->driver.base.stream_destroy(c->output));
    c->output = NULL;
    for (unsigned i = 0; i < SESSION_N_CHARGED_LIMITS; i++)
        session_memory_give_back(&session_store(s)->memory, c->charged[i]);
}

SessionContext *session_context_leave(Session *s, const SessionRingRecord *record)
{
    const VGPUSessionId *p = record->parameters;
    SessionContext *c;
    void *object;

    if (session_sticky(s) != CUDA_SUCCESS ||
        session_remove(s, SESSION_CONTEXT, p->id, &object) != CUDA_SUCCESS)
        return NULL;
    c = object;
    if (session_make_current(s, c->handle) == CUDA_SUCCESS)
        context_end_objects(s, c);
    (void) session_make_current(s, NULL);

    pthread_mutex_lock(&s->lock);
    LIST_REMOVE(c, link);
    LIST_INSERT_HEAD(&s->leaving, c, link);
    pthread_mutex_unlock(&s->lock);
    return c;
}

static bool context_is_used(const Session *s, const SessionContext *c)
{
    const SessionStream *stream;

    LIST_FOREACH(stream, &s->meter.busy, busy_link)
    if (stream->context == c)
        return true;
    return false;
}

void session_contexts_reap(Session *s)
{
    SessionContext *c, *next;

    if (LIST_EMPTY(&s->leaving))
        return;
    for (c = LIST_FIRST(&s->leaving); c; c = next) {
        next = LIST_NEXT(c, link);
        if (!__atomic_load_n(&c->is_dead, __ATOMIC_ACQUIRE) || context_is_used(s, c))
            continue;
        LIST_REMOVE(c, link);
        free(c);
    }
}

/* ---- and the SLOW thread ----------------------------------------------------------------------
 */

/* What was registered in the context is registered in another one, if there is one. */
static CUresult context_hand_over(Session *s)
{
    CUcontext other;
    CUresult r;

    pthread_mutex_lock(&s->lock);
    other = LIST_EMPTY(&s->contexts) ? NULL : LIST_FIRST(&s->contexts)->handle;
    pthread_mutex_unlock(&s->lock);
    if (!other)
        return CUDA_SUCCESS;
    r = session_make_current(s, other);
    if (r == CUDA_SUCCESS)
        r = session_window_register(s, other);
    return r == CUDA_SUCCESS ? session_marks_register(s, other) : r;
}

CUresult session_op_CONTEXT_DESTROY(Session *s, SessionCall *call)
{
    SessionContext *c = session_thread()->context;
    CUresult r;

    (void) call;
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    r = session_make_current(s, c->handle);
    if (r == CUDA_SUCCESS) {
        session_store_leave(s, c->id);
        context_forget(s, c);
        context_unmake(s, c);
        session_local_give_back(s, c);
        r = context_hand_over(s);
    }
    pthread_mutex_lock(&s->lock);
    context_count(s, -1);
    pthread_mutex_unlock(&s->lock);
    __atomic_store_n(&c->is_dead, true, __ATOMIC_RELEASE);
    return r;
}

/* ---- Limits -----------------------------------------------------------------------------------
 */

CUresult session_op_CONTEXT_LIMIT_GET(Session *s, SessionCall *call)
{
    const VGPUSessionLimit *p = call->parameters;
    size_t value = 0;
    CUresult r = s->driver.ctx_get_limit(&value, (int) p->limit);

    call->value[0] = value;
    return r;
}

/* For these limits the driver takes device memory, which the session's quota counts as far as it is
 * more than every context has. By CUlimit: CU_LIMIT_STACK_SIZE, for each thread that the device can
 * have at once; CU_LIMIT_PRINTF_FIFO_SIZE; CU_LIMIT_MALLOC_HEAP_SIZE. */
static const uint64_t limit_free[SESSION_N_CHARGED_LIMITS] = {SESSION_LOCAL_FREE, 1 << 20, 8 << 20};

enum { LIMIT_STACK_SIZE = 0 };

static CUresult limit_bytes(Session *s, const VGPUSessionLimit *p, uint64_t *ret)
{
    uint64_t above = p->value > limit_free[p->limit] ? p->value - limit_free[p->limit] : 0;
    uint64_t times = 1;
    CUresult r = p->limit == LIMIT_STACK_SIZE ? session_local_threads(s, &times) : CUDA_SUCCESS;

    if (r == CUDA_SUCCESS && __builtin_mul_overflow(above, times, ret))
        r = CUDA_ERROR_OUT_OF_MEMORY;
    return r;
}

CUresult session_op_CONTEXT_LIMIT_SET(Session *s, SessionCall *call)
{
    const VGPUSessionLimit *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    uint64_t *charged, bytes, more;
    CUresult r;

    if (p->limit >= SESSION_N_CHARGED_LIMITS)
        return s->driver.ctx_set_limit((int) p->limit, p->value);
    charged = &session_thread()->context->charged[p->limit];
    r = limit_bytes(s, p, &bytes);
    if (r != CUDA_SUCCESS)
        return r;
    more = bytes > *charged ? bytes - *charged : 0;
    r = session_memory_charge(memory, more);
    if (r != CUDA_SUCCESS)
        return r;
    r = s->driver.ctx_set_limit((int) p->limit, p->value);
    session_memory_settle(memory, more, r);
    if (r != CUDA_SUCCESS)
        return r;
    session_memory_give_back(memory, *charged + more - bytes);
    *charged = bytes;
    return CUDA_SUCCESS;
}
