/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake device executes streams of kernels, copies and so on in a thread of its own: each
 * stream in order, and the streams among each other in random order, as far as the order of the
 * legacy default stream, events and words to wait for allow.
 *
 * It checks what it is given, and ends the process with a message when it is misused: by
 * addresses that are not the device's or reach outside an allocation, by copies from or to
 * host memory that is not pinned, and by a host that changes the operands of a request
 * while a kernel that reads them is pending.
 *
 * Unless said otherwise, the functions are called with the lock held.
 */
#ifndef FAKE_QUEUE_H
#define FAKE_QUEUE_H

#include "fake-driver.h"
#include "fake-kernel.h"

#include <pthread.h>

typedef enum FakeWorkKind {
    FAKE_WORK_KERNEL,
    FAKE_WORK_COPY,
    FAKE_WORK_SET,
    FAKE_WORK_CALLBACK,
    FAKE_WORK_HOST,
    FAKE_WORK_RECORD,
    FAKE_WORK_WAIT_EVENT,
    FAKE_WORK_WRITE,
    FAKE_WORK_WAIT,
    FAKE_WORK_FREE,
    FAKE_WORK_NOTHING,     /* an empty node of a graph */
    FAKE_WORK_BATCH,       /* several words; one by one in a stream */
    FAKE_WORK_GRAPH,       /* of a graph: a graph in it */
    FAKE_WORK_HOLD,        /* behind a graph: what it may not lose until then */
    FAKE_WORK_CONDITIONAL, /* of a graph: graphs in it, by a condition */
    FAKE_WORK_CHOICE,      /* that, in a stream */
    FAKE_WORK_ASSIGN,      /* in a stream: a condition is what it is at first */
} FakeWorkKind;

/* One end of a copy: linear memory of the device or of the host, or an array */
typedef struct FakePlace {
    CUarray array; /* NULL: memory */
    size_t x_bytes, y, z;
    uint64_t address;
    bool host;
    size_t pitch, slice; /* bytes from row to row, from slice to slice */
} FakePlace;

typedef struct FakeCopy {
    FakePlace to, from;
    size_t width, height, depth;
} FakeCopy;

/* @count elements of @width bytes in each of @rows rows */
typedef struct FakeSet {
    CUdeviceptr address;
    size_t pitch, count, rows;
    unsigned value, width;
} FakeSet;

typedef struct FakeWord {
    CUdeviceptr address;
    uint64_t value;
    unsigned bits, flags;
} FakeWord;

#define FAKE_BATCH_MAX 4u

typedef struct FakeBatch {
    FakeWord word[FAKE_BATCH_MAX];
    bool waits[FAKE_BATCH_MAX];
    unsigned n;
} FakeBatch;

typedef struct FakeWork {
    struct FakeWork *next;
    FakeWorkKind kind;
    uint64_t sequence;
    union {
        FakeLaunch launch;
        FakeCopy copy;
        FakeSet set;
        FakeWord word;
        FakeBatch batch;
        CUgraph graph;
        struct {
            CUuserObject *all;
            size_t n;
        } hold;
        CUdeviceptr free;
        struct {
            struct FakeCondition *condition;
            int type;
            unsigned n;
            CUgraph *bodies; /* the node's */
        } conditional;
        struct FakeChoice *choice;
        struct FakeCondition *assign;
        struct {
            CUstreamCallback callback;
            CUhostFn function;
            void *user_data;
        } host;
        struct {
            CUevent event;
            uint64_t number; /* of the record */
        } event;
    };
} FakeWork;

struct FakeCapture;

struct CUstream_st {
    FakeObject object;
    struct CUstream_st *next;
    FakeWork *first, **last;
    unsigned flags;
    int priority;
    bool busy, hung, destroyed;
    bool was_used;      /* has it ever had work? */
    uint64_t running;   /* sequence of what runs, while busy */
    unsigned long wait; /* polls of the word at the head */
    CUresult status;    /* of the last kernel, for the callback behind it */
    struct FakeCapture *capture;
    struct FakeReach *reach; /* of the capture, up to this stream's last node */
};

struct CUevent_st {
    FakeObject object;
    unsigned flags;
    unsigned references;
    bool destroyed;
    uint64_t recorded, done; /* numbers of records */
    double msec;             /* when the last one that is done was */
    struct FakeCapture *capture;
    struct FakeReach *reach; /* of the capture, when it was recorded there */
};

/* ---- Without the lock */

/* fake_device_start() - start the device's thread; at most once until fake_device_stop() */
void fake_device_start(void);
/* fake_device_stop() - end the thread */
void fake_device_stop(void);
/* fake_device_break() - the context is broken: all that is queued ends with @error */
void fake_device_break(CUresult error);
/* fake_device_error() - the sticky error, or CUDA_SUCCESS */
CUresult fake_device_error(void);
bool fake_error_is_sticky(CUresult error);

/* ---- With it */

pthread_mutex_t *fake_mutex(void);

/* fake_queue_error() - as fake_device_error() */
CUresult fake_queue_error(void);
/* fake_queue_break() - as fake_device_break() */
void fake_queue_break(CUresult error);

CUstream fake_stream_new(CUcontext context, unsigned flags, int priority);
/* fake_stream_end() - it goes when its work is done */
void fake_stream_end(CUstream stream);
/* fake_streams_end() - end all of that context, and forget what they have to do; NULL: all */
void fake_streams_end(CUcontext context);
/* fake_stream_get() - the stream of a handle, the legacy one too; else misuse */
CUstream fake_stream_get(CUstream handle, const char *function);
bool fake_stream_is_legacy(const struct CUstream_st *stream);
/* fake_stream_idle() - nothing queued, nothing running? */
bool fake_stream_idle(const struct CUstream_st *stream);
/* fake_stream_drain() - until all that is queued is done; returns the sticky error */
CUresult fake_stream_drain(CUstream stream);
/* fake_context_drain() - the same for all of a context's streams */
CUresult fake_context_drain(CUcontext context);
bool fake_context_is_idle(CUcontext context);
/* fake_device_settle() - until no kernel and no copy runs */
void fake_device_settle(void);
/* fake_progress_wait() - until something was done; the lock is released meanwhile */
void fake_progress_wait(void);
/* fake_stream_first() - all streams, each with ->next */
CUstream fake_stream_first(void);

/* fake_submit() - queue it in the stream, or record it where the stream captures; the work is the
 * queue's afterwards. Returns what the call has to return. */
CUresult fake_submit(CUstream stream, const FakeWork *work);
/* fake_push() - queue it, whether the stream captures or not */
void fake_push(CUstream stream, const FakeWork *work);

/* fake_push_next() - queue @n works, before what is queued, in the place of the one of that
 * sequence
 */
void fake_push_next(CUstream stream, const FakeWork *works, size_t n, uint64_t sequence);

/* fake_work_copy() - @to has its own references and bytes */
void fake_work_copy(FakeWork *to, const FakeWork *from);
/* fake_work_clear() - give back what it refers to */
void fake_work_clear(FakeWork *work);

/* fake_launch_make() - check a launch as the manual says, and pack its parameters; @ret is to be
 * cleared (fake-launch.c) */
CUresult fake_launch_make(const CUlaunchConfig *config, CUfunction function, void **params,
                          void **extra, const char *what, FakeWork *ret);
/* fake_box_make(), fake_set_make() - the same of a copy and a set (fake-copy.c) */
CUresult fake_box_make(const CudaCopy3D *copy, const char *what, FakeWork *ret);
CUresult fake_set_make(FakeSet set, const char *what, FakeWork *ret);
/* fake_batch_make() - of words (fake-word.c) */
CUresult fake_batch_make(const CudaMemOp *ops, unsigned n, const char *what, FakeWork *ret);
/* fake_user_object_take(), fake_user_object_end() - a reference more, and less (fake-nodes.c) */
void fake_user_object_take(CUuserObject object);
void fake_user_object_end(CUuserObject object);

/* fake_copy_check() - misuse unless both ends are there (fake-copy.c) */
void fake_copy_check(const FakeCopy *copy, const char *what);
/* fake_copy_run(), fake_set_run() - begin and end under the lock, and work without. Return how
 * it went. */
CUresult fake_copy_run(const FakeCopy *copy);
CUresult fake_set_run(const FakeSet *set);
/* fake_word_holds() - is the condition of a wait true? (fake-word.c) */
bool fake_word_holds(const FakeWord *word);
void fake_word_write(const FakeWord *word);
/* (fake-event.c) */
void fake_event_done(CUevent event, uint64_t number);
void fake_event_unref(CUevent event);
/* fake_choice_run() - queue what the condition says; fake_choice_ref(), fake_choice_unref(); and
 * fake_condition_assign() (fake-condition.c) */
void fake_choice_run(CUstream stream, const FakeWork *work);
void fake_choice_ref(struct FakeChoice *choice);
void fake_choice_unref(struct FakeChoice *choice);
void fake_condition_assign(struct FakeCondition *condition);
/* fake_free_run() - the end of cuMemFreeAsync() (fake-pool.c) */
void fake_free_run(CUdeviceptr address);

#endif
