/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every file of the fake driver uses: how a call begins, the lock, handles, contexts.
 *
 * One lock guards all of the driver's state; a function named *_locked, or whose comment says so,
 * is called with it held. A kernel, a copy and a host function run without it.
 */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include "cuda-session.h"
#include "fake-plan.h"

/* The prototypes are those that the executor calls. */
#define FAKE_DECLARE(member, symbol, parameters) CUresult symbol parameters;
CUDA_DRIVER_FUNCTIONS(FAKE_DECLARE)
CUDA_SESSION_FUNCTIONS(FAKE_DECLARE)

/* Results and constants of the manual that only a driver needs to name */
enum {
    CUDA_ERROR_MAP_FAILED = 205,
    CUDA_ERROR_UNSUPPORTED_LIMIT = 215,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_STREAM_CAPTURE_MERGE = 902,
    CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
    CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905,
    CUDA_ERROR_STREAM_CAPTURE_IMPLICIT = 906,
    CUDA_ERROR_CAPTURED_EVENT = 907,
    CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE = 910,
    CUDA_ERROR_INVALID_CLUSTER_SIZE = 912,
    CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE = 720,
};

#define FAKE_LEAST_PRIORITY 0
#define FAKE_GREATEST_PRIORITY (-5)
#define FAKE_THREADS_MAX 1024u /* of a block */
#define FAKE_SHARED_MAX 49152u /* bytes of a block without asking for more */
#define FAKE_SHARED_OPTIN_MAX 232448u
#define FAKE_SHARED_OF_MULTIPROCESSOR 233472u
#define FAKE_SHARED_RESERVED 1024u /* of each block */
#define FAKE_REGISTERS 65536u      /* of a multiprocessor */
#define FAKE_MULTIPROCESSORS 4
#define FAKE_ACCESS_WINDOW_MAX (128u << 20) /* bytes of an access policy window */
#define FAKE_SYNC_DOMAINS 4                 /* of memory synchronization */
#define FAKE_LIMITS 7u /* CU_LIMIT_STACK_SIZE to CU_LIMIT_PERSISTING_L2_CACHE_SIZE */

/* ---- Calls ------------------------------------------------------------------ */

/* fake_misuse() - write what was wrong to standard error, and abort */
__attribute__((format(printf, 1, 2), noreturn)) void fake_misuse(const char *format, ...);

/* fake_refuse() - what the executor's own operations never ask for, and a guest's may: misuse in a
 * process without a session, CUDA_ERROR_INVALID_VALUE in one with */
__attribute__((format(printf, 1, 2))) CUresult fake_refuse(const char *format, ...);

typedef enum FakeNeeds { FAKE_NOTHING, FAKE_INIT, FAKE_CONTEXT } FakeNeeds;

/*
 * fake_enter() - what every call begins with
 * @number: for the trace
 *
 * Returns what the call has to return at once: the sticky error, or what the plan says.
 */
CUresult fake_enter(const char *function, FakeNeeds needs, long long number);

#define ENTER_NUMBER(needs, number)                                              \
    do {                                                                         \
        CUresult enter_result = fake_enter(__func__, needs, (long long) number); \
                                                                                 \
        if (enter_result != CUDA_SUCCESS)                                        \
            return enter_result;                                                 \
    } while (0)
#define ENTER(needs) ENTER_NUMBER(needs, 0)
/* Of a function that only sessions use */
#define ENTER_SESSION(needs)   \
    do {                       \
        fake_session_begins(); \
        ENTER(needs);          \
    } while (0)

/* fake_session_begins() - this process has called a function that only sessions use */
void fake_session_begins(void);
bool fake_is_session(void);

/* fake_in_callback() - is this thread inside a callback or a host function? */
bool fake_in_callback(void);
void fake_set_in_callback(bool in);

/* The plan, read in cuInit() */
Plan *fake_plan(void);

/* For fake-cublas.c: what its calls begin with, and whether cuBLAS is to work */
CUresult fake_enter_blas(const char *function);
bool fake_has_blas(void);

/* ---- The lock --------------------------------------------------------------- */

void fake_lock(void);
void fake_unlock(void);

static inline void fake_scope_end(const int *scope)
{
    (void) scope;
    fake_unlock();
}

static inline int fake_scope_begin(void)
{
    fake_lock();
    return 0;
}

/* The lock, until the scope ends */
#define FAKE_LOCKED() \
    int fake_scope __attribute__((cleanup(fake_scope_end), unused)) = fake_scope_begin()

/* ---- Handles (under the lock) ------------------------------------------------ */

typedef enum FakeKind {
    FAKE_KIND_CONTEXT,
    FAKE_KIND_STREAM,
    FAKE_KIND_EVENT,
    FAKE_KIND_MODULE,
    FAKE_KIND_FUNCTION,
    FAKE_KIND_PHYSICAL,
    FAKE_KIND_GRAPH,
    FAKE_KIND_EXEC,
    FAKE_KIND_ARRAY,
    FAKE_KIND_MIPMAP,
    FAKE_KIND_POOL,
    FAKE_KIND_LINK,
    FAKE_KIND_NODE,
    FAKE_KIND_USER_OBJECT,
} FakeKind;

/* What every handle points to begins with this. */
typedef struct FakeObject {
    FakeKind kind;
    CUcontext context; /* whose; NULL: the process's */
} FakeObject;

/* fake_object_new() - @size zeroed bytes that begin with a FakeObject */
void *fake_object_new(FakeKind kind, CUcontext context, size_t size);
/* fake_object_end() - the handle is dead. The bytes are kept for a while, so that its use is
 * noticed and not taken for a new one's. */
void fake_object_end(void *object);
/* fake_object_check() - misuse unless the handle lives */
void fake_object_check(const void *handle, FakeKind kind, const char *function);
/* fake_object_lives() - does the handle live? */
bool fake_object_lives(const void *handle, FakeKind kind);
/* fake_object_any() - some object of that kind (and context, unless NULL), or NULL */
void *fake_object_any(FakeKind kind, CUcontext context);
void fake_objects_stop(void);

/* ---- Contexts ---------------------------------------------------------------- */

struct CUctx_st {
    FakeObject object;
    CUdevice device;
    bool primary;
    unsigned references, flags;
    size_t limits[FAKE_LIMITS];
    int local_bytes; /* of a thread, that kernels have made it grow to (fake-launch.c) */
    CUstream legacy; /* its default stream */
    char *print;     /* what kernels have printed, and is not written yet (fake-print.c) */
    size_t print_size, print_room;
};

/* fake_context() - the thread's, or NULL */
CUcontext fake_context(void);
/* fake_capture_forbids() - a call that a capture of this thread or another does not bear: returns
 * what the call has to return, and the capture is invalid (fake-capture.c; under the lock) */
CUresult fake_capture_forbids(void);
/* fake_print_out() - write what kernels of the context have printed: the program has waited */
void fake_print_out(CUcontext context);
void fake_print_end(CUcontext context);
/* Ends of all that a context has, each in its own file, under the lock */
void fake_graphs_end(CUcontext context);
void fake_events_end(CUcontext context);
void fake_modules_end(CUcontext context);
void fake_local_end(CUcontext context);
void fake_links_end(CUcontext context);
void fake_arrays_end(CUcontext context);
void fake_textures_end(CUcontext context); /* NULL: of all */
/* fake_contexts_stop() - end them with all they have, under the lock */
void fake_contexts_stop(void);
void fake_check_device(CUdevice device, const char *function);
/* fake_has_device() - is there a device of that handle? */
bool fake_has_device(CUdevice device);
/* fake_attribute() - of a device (fake-attributes.c) */
int fake_attribute(int attribute);

#endif
