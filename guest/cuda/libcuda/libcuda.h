/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcuda.so.1 for guests, from inside: what its files share.
 *
 * A process has one session (cuda-client.h), which cuInit() opens. Contexts, streams, events and so
 * on are objects of this library with the numbers by which the executor knows them; programs have
 * handles (handle.h). Most calls end here, or are records in the session's ring without a reply.
 *
 * A function of the API is in the file of its area. It begins with one of the enter functions
 * below, checks its arguments as the driver does, and returns a CUresult.
 *
 * Locks, from the outside in: the process's, a context's, a stream's, the memory map's, the
 * handles'. None is held while a thread waits for the host, but the process's in cuInit() and where
 * a context is made.
 */
#ifndef VGPU_LIBCUDA_H
#define VGPU_LIBCUDA_H

#include <pthread.h>
#include <sys/queue.h>

#include "cuda-api.h"
#include "cuda-client.h"
#include "handle.h"
#include "libcuda-log.h"

typedef struct LibContext LibContext;
typedef struct LibStream LibStream;
typedef struct LibStreamValues LibStreamValues;

/* ---- The process (libcuda-process.c) ------------------------------------------------------- */

typedef struct LibProcess {
    pthread_mutex_t lock;
    vgpu_session *session;    /* atomic; NULL before cuInit(), and in a child */
    bool is_child;            /* of a process that had called cuInit() */
    bool is_over;             /* atomic: the process is about to end */
    VGPUSessionDevice device; /* does not change after cuInit() but for the priorities */
    int pci_domain, pci_bus, pci_device;
    LibContext *primary; /* from cuInit() on */
    LIST_HEAD(, LibContext) contexts;
    uint64_t last_id;     /* atomic: of contexts and streams, which programs may ask for */
    uint16_t last_thread; /* atomic: a number; it begins again */
} LibProcess;

extern LibProcess libcuda_process;

/* libcuda_version() - the version that cuDriverGetVersion() tells: the host driver's, at most this
 * library's own; before cuInit() the latter */
int libcuda_version(void);

/* libcuda_next_id() - a number that nothing else in the process has */
uint64_t libcuda_next_id(void);

/* libcuda_is_ready() - has cuInit() been called in this process, which is not about to end? */
static inline bool libcuda_is_ready(void)
{
    return __atomic_load_n(&libcuda_process.session, __ATOMIC_ACQUIRE) != NULL;
}

/* libcuda_unready() - what a call returns if not */
static inline CUresult libcuda_unready(void)
{
    return __atomic_load_n(&libcuda_process.is_over, __ATOMIC_ACQUIRE) ? CUDA_ERROR_DEINITIALIZED
                                                                       : CUDA_ERROR_NOT_INITIALIZED;
}

/* What an operation needs: of a call into the API */
typedef struct LibCall {
    vgpu_session *session;
    LibContext *context; /* NULL after libcuda_enter() */
    vgpu_session_from from;
} LibCall;

/*
 * libcuda_enter() - for functions that need cuInit() and no context
 *
 * Returns CUDA_SUCCESS; _NOT_INITIALIZED; or an error that nothing survives.
 */
CUresult libcuda_enter(LibCall *ret);

/* libcuda_enter_context() - the same, with the calling thread's context. Also _INVALID_CONTEXT,
 * _CONTEXT_IS_DESTROYED */
CUresult libcuda_enter_context(LibCall *ret);

/* libcuda_enter_any() - for what is the device's, and no context's: with the calling thread's
 * context, or another that is there, or none */
CUresult libcuda_enter_any(LibCall *ret);

/* libcuda_enter_stream() - libcuda_enter_context(), in the context of a stream, 0 and the two
 * special handles included. Also _INVALID_HANDLE */
CUresult libcuda_enter_stream(CUstream handle, LibCall *ret, LibStream **ret_stream);

/* libcuda_enter_work() - libcuda_enter_stream(), for functions that give work or wait for it: also
 * an error of earlier work that has not been told yet. Functions that end something tell none: they
 * would not have done what they were called for. */
CUresult libcuda_enter_work(CUstream handle, LibCall *ret, LibStream **ret_stream);

/* libcuda_take_error() - the error of earlier work; to be called by libcuda_told() */
CUresult libcuda_take_error(vgpu_session *s);

/* libcuda_told() - an error of earlier work that has not been told yet, or CUDA_SUCCESS */
static inline CUresult libcuda_told(const LibCall *call)
{
    return vgpu_session_get_latched(call->session) == 0 ? CUDA_SUCCESS
                                                        : libcuda_take_error(call->session);
}

/* libcuda_ask() - an operation and its reply, with the call's context */
static inline CUresult libcuda_ask(const LibCall *call, uint16_t opcode, const void *parameters,
                                   size_t size, VGPUSessionReply *ret)
{
    int r = vgpu_session_call(call->session, opcode, &call->from, parameters, size, NULL, 0, ret);

    if (r != 0)
        libcuda_log("operation %#x: %d", opcode, r);
    return r;
}

/* libcuda_post() - an operation without a reply */
static inline CUresult libcuda_post(const LibCall *call, uint16_t opcode, const void *parameters,
                                    size_t size)
{
    return vgpu_session_post(call->session, opcode, &call->from, parameters, size, NULL, 0);
}

/* ---- Threads (thread.c) ------------------------------------------------------------------------
 */

typedef struct LibThread {
    LibContext **stack; /* of contexts; the last is current */
    unsigned depth, room;
    uint8_t capture_mode;           /* CUstreamCaptureMode */
    uint16_t number;                /* by which the executor tells threads apart; 0: none yet */
    bool is_known;                  /* ends with the thread */
    LIST_HEAD(, LibStream) streams; /* its default streams, one for each context at most */
} LibThread;

/* In the static block: asking costs a load. */
extern __thread LibThread libcuda_thread __attribute__((tls_model("initial-exec")));

/* libcuda_thread_number() - the calling thread's. There are 65535; then they begin again. */
static inline uint16_t libcuda_thread_number(void)
{
    LibThread *t = &libcuda_thread;

    while (t->number == 0)
        t->number = __atomic_add_fetch(&libcuda_process.last_thread, 1, __ATOMIC_RELAXED);
    return t->number;
}

/* libcuda_current() - the calling thread's context, or NULL */
static inline LibContext *libcuda_current(void)
{
    const LibThread *t = &libcuda_thread;

    return t->depth > 0 ? t->stack[t->depth - 1] : NULL;
}

/* libcuda_thread_push(), libcuda_thread_pop(), libcuda_thread_set() - as cuCtxPushCurrent() and so
 * on. push and set return CUDA_SUCCESS or _OUT_OF_MEMORY; pop returns NULL from an empty stack */
CUresult libcuda_thread_push(LibContext *context);
LibContext *libcuda_thread_pop(void);
CUresult libcuda_thread_set(LibContext *context);

/* ---- Contexts (context.c, primary-context.c) ---------------------------------------------------
 */

typedef struct LibStorage LibStorage; /* context-storage.c */

struct LibContext {
    LIST_ENTRY(LibContext) all;
    CUcontext handle;
    uint32_t number; /* of the session's; 0: it is not there */
    unsigned flags;
    unsigned api_version;
    bool is_primary;
    unsigned n_retained; /* primary: under the process's lock */
    uint64_t id;
    pthread_mutex_t lock; /* of the list */
    LIST_HEAD(, LibStream) streams;
    LibStream *legacy;
    int cache_config, shared_config;
    unsigned n_attached; /* cuCtxAttach(); atomic */
    uint64_t opened;     /* atomic: another number each time that the executor makes it */
    LibStorage *storage;
    /* Of cuCtxRecordEvent() and cuCtxWaitEvent(): streams of this library's own, and numbers of
     * events; NULL and 0 before the first call (context-events.c) */
    LibStream *joined, *barrier;
    uint32_t joined_event, barrier_event; /* the latter atomic */
};

/* libcuda_context_of() - from a handle; NULL for what is none. An alive one may be without number
 */
LibContext *libcuda_context_of(CUcontext handle);

/* libcuda_context_new() - without a number; in the process's list. NULL: no memory */
LibContext *libcuda_context_new(bool is_primary);

/* libcuda_context_open() - have the executor make it, under the process's lock */
CUresult libcuda_context_open(vgpu_session *s, LibContext *c);

/* libcuda_context_close() - end it and all that is in it, under the process's lock; the object
 * stays
 */
CUresult libcuda_context_close(vgpu_session *s, LibContext *c);

/* ---- Streams (cuda-stream.c, stream-wait.c)
 * ---------------------------------------------------------
 */

struct LibStream {
    LIST_ENTRY(LibStream) of_context;
    LIST_ENTRY(LibStream) of_thread;
    CUstream handle; /* NULL: a default stream */
    LibContext *context;
    uint32_t number;   /* 0: the legacy default stream */
    unsigned n_others; /* under the context's lock: who uses it beside its owner, as a thread whose
                        * default stream it is */
    bool is_gone;      /* likewise, and atomic: the last of these frees it */
    unsigned flags;
    int priority;
    uint64_t id;
    bool is_made;      /* atomic: the executor has it */
    bool is_capturing; /* atomic */
    uint64_t capture_id;
    CUgraphNode *capture_nodes; /* what the program was told of its capture last */

    bool has_work;        /* atomic: since the last fence */
    pthread_mutex_t lock; /* of what follows */
    vgpu_session_fence *fence;
    uint64_t last;   /* the number of the last fence */
    uint64_t looked; /* atomic: the last number behind which the output was written by a query */
    LibStreamValues *values; /* NULL: as every stream begins (stream-attributes.c) */
    uint64_t tools[64];      /* zeros, which NVIDIA's libraries look at (export-tools.c) */
};

/* libcuda_stream_worked() - to be called before each operation that gives the stream work */
static inline void libcuda_stream_worked(LibStream *stream)
{
    if (!__atomic_load_n(&stream->has_work, __ATOMIC_RELAXED))
        __atomic_store_n(&stream->has_work, true, __ATOMIC_RELEASE);
}

/* libcuda_stream_new() - in a context; NULL when there is no memory. @number: 0 for the legacy one
 */
LibStream *libcuda_stream_new(LibContext *c, uint32_t number, unsigned flags, int priority);

/* libcuda_stream_make() - the same, and have the executor make it */
CUresult libcuda_stream_make(const LibCall *call, unsigned flags, int priority, LibStream **ret);

/* libcuda_stream_end() - forget it, and its number; the executor is told by @call, if not NULL */
CUresult libcuda_stream_end(const LibCall *call, LibStream *stream);

/* libcuda_stream_leave() - with the context's lock: one of n_others is done with it.
 * libcuda_stream_release() takes the lock. */
void libcuda_stream_leave(LibStream *stream);
void libcuda_stream_release(LibStream *stream);

/* libcuda_stream_let_go() - a thread ends, whose default stream it is */
void libcuda_stream_let_go(vgpu_session *s, LibStream *stream);

/* libcuda_stream_mark() - a fence behind all that is in the stream. @ret_number: for
 * vgpu_session_fence_is_passed() of its fence */
CUresult libcuda_stream_mark(const LibCall *call, LibStream *stream, uint64_t *ret_number);

/* libcuda_fence_put() - a number behind all that is in the stream, which comes; or what the
 * executor refuses it with (stream-fence.c) */
CUresult libcuda_fence_put(const LibCall *call, LibStream *stream, vgpu_session_fence *fence,
                           uint64_t *ret_number);

/* libcuda_fence_wait() - until a number comes that was put into a stream, which may end or capture
 * meanwhile. @stream: its number */
CUresult libcuda_fence_wait(const LibCall *call, uint32_t stream, vgpu_session_fence *fence,
                            uint64_t number);

/* libcuda_stream_wait() - until all that is in the stream now is done; tells errors of earlier work
 */
CUresult libcuda_stream_wait(const LibCall *call, LibStream *stream);

/* libcuda_context_wait() - until all streams of the call's context are done; tells none */
CUresult libcuda_context_wait(const LibCall *call);

/* libcuda_looked() - a program has seen that @number has passed, and may be synchronizing by that:
 * what kernels before it have printed is written, once for each number. @looked: the last one */
void libcuda_looked(const LibCall *call, uint64_t *looked, uint64_t number);

/* libcuda_fence_leave() - nobody asks about @fence any more, but the device may still write @number
 * into it: it is freed when it has. Also takes NULL. @context: of a stream that ends, else NULL
 * (fence-left.c) */
void libcuda_fence_leave(vgpu_session *s, const LibContext *context, vgpu_session_fence *fence,
                         uint64_t number);

/* libcuda_fences_wait() - for the work of streams of the call's context that have ended before */
CUresult libcuda_fences_wait(const LibCall *call);

/* Where a function has the legacy default stream for 0, its twin *_ptsz has the thread's. */
static inline CUstream libcuda_per_thread(CUstream handle)
{
    return handle ? handle : CU_STREAM_PER_THREAD;
}

#endif
