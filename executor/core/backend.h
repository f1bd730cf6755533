/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What computes: the interface between the executor's loop (server.c) and a backend
 * (backend-cpu.c, backend-cuda.c).
 *
 * A backend has a number of slots, each of which runs one operation at a time. The loop
 * owns the slots: it knows which are free, and starts an operation in a free one. A backend
 * either finishes an operation while it is started or finishes it later; then collect() tells which
 * slots are done, and wait_fd becomes ready for a loop that has said that it sleeps.
 *
 * All functions are called on the loop's thread.
 */
#ifndef VGPU_EXECUTOR_BACKEND_H
#define VGPU_EXECUTOR_BACKEND_H

#include "executor-queue.h"
#include "mapped-window.h"

/* The most bytes of one operand of a VectorAdd, and so of its result. */
#define BACKEND_OPERAND_MAX (VGPU_REQUEST_DATA_MAX / 2)

/* Room for the one line that says why a backend can't be opened. */
#define BACKEND_REASON_MAX 256u

typedef struct Backend Backend;

typedef struct BackendOptions {
    unsigned device;     /* ordinal; the CPU backend has only one device and ignores it */
    unsigned n_slots;    /* 1..EXECUTOR_SLOTS_MAX */
    const char *kernels; /* kernel image to load instead of the built-in one, or NULL */
} BackendOptions;

/* c[i] = a[i] + b[i] for i < n */
typedef struct VectorAdd {
    uint32_t opcode; /* a VGPU_OP_VECTOR_ADD_* */
    uint32_t n;      /* elements, at least 1; an operand is at most BACKEND_OPERAND_MAX bytes */
    const void *a;   /* any alignment; copied before start() returns */
    const void *b;
} VectorAdd;

/* What a slot is to do. */
typedef struct Operation {
    uint32_t priority;    /* VGPU_PRIORITY_* */
    uint64_t tag;         /* the mediator's */
    ExecutorBegun *begun; /* where it reads when the operation began */
    MappedWindow *window; /* where the operands lie; NULL when they came with the request */
    union {
        VectorAdd add;             /* without a window */
        VGPUSubmission submission; /* in one; passed vgpu_submission_check(), and is no NOP */
    };
} Operation;

/* operation_begins() - tell the mediator: it began at @usec (EXECUTOR_BEGUN_*, or now_usec()) */
static inline void operation_begins(const Operation *op, uint64_t usec)
{
    executor_begun_write(op->begun, op->tag, usec);
}

/* How it ended. */
typedef struct Completion {
    unsigned slot;
    uint32_t cuda_result;  /* CUresult; 0 when the operation succeeded */
    uint32_t exec_time_us; /* completion_usec() */
    const void *c;         /* of a VectorAdd: the n sums, until the slot's next start(); NULL
                            * on failure */
    uint64_t result;       /* in a window: as in VGPUSubmission; 0 for one without a result */
} Completion;

/* completion_usec() - for Completion.exec_time_us: rounded up, UINT32_MAX when longer */
static inline uint32_t completion_usec(uint64_t nsec)
{
    uint64_t usec = nsec / 1000 + (nsec % 1000 != 0);

    return usec < UINT32_MAX ? (uint32_t) usec : UINT32_MAX;
}

typedef struct BackendOps {
    const char *name; /* as in VGPUDeviceInfo */

    /*
     * open() - make the backend ready to compute
     * @options: what was asked for
     * @ret: the backend, to be given to close()
     * @reason: BACKEND_REASON_MAX bytes; on failure one line without a newline
     *
     * Returns 0, or a negative errno; -ENODEV when this host or this build can't
     * run the backend.
     */
    int (*open)(const BackendOptions *options, Backend **ret, char *reason);

    /*
     * close() - give everything back; waits for operations in flight
     * @backend: may be NULL
     *
     * Returns NULL.
     */
    Backend *(*close)(Backend *backend);

    /*
     * device_info() - what device there is, and how much of it now
     *
     * Returns 0 and fills @ret, or the CUresult that prevented it.
     */
    uint32_t (*device_info)(Backend *backend, VGPUDeviceInfo *ret);

    /*
     * window_add() - a VM's window was mapped
     * @window: stays the caller's
     *
     * If the device can't be told of it, then or with the first operation in it, each
     * operation in the window fails with the error.
     */
    void (*window_add)(Backend *backend, MappedWindow *window);

    /* window_remove() - it is about to be unmapped; no operation is in flight in it */
    void (*window_remove)(Backend *backend, MappedWindow *window);

    /*
     * start() - run an operation in a free slot
     * @slot: less than n_slots, with no operation in it
     * @operation: need not outlive the call; its window must outlive the operation
     * @ret: filled when the operation has finished (or failed) already
     *
     * Returns true when it has finished and @ret says how, false when collect()
     * will say so later, after the next flush(). Calls operation_begins() now, and again when
     * what was before it on the device has ended.
     */
    bool (*start)(Backend *backend, unsigned slot, const Operation *operation, Completion *ret);

    /*
     * flush() - no more operations for now
     *
     * To be called after a row of start() and before waiting.
     */
    void (*flush)(Backend *backend);

    /*
     * sleep() - the loop is about to wait for wait_fd
     *
     * To be called while operations are in flight. What it costs to be woken is paid only here.
     */
    void (*sleep)(Backend *backend);

    /*
     * collect() - the operations that finished since the last call; never blocks
     * @ret: room for n_slots completions
     *
     * Returns their number, 0 when there are none (wait_fd may wake for nothing).
     */
    unsigned (*collect)(Backend *backend, Completion ret[]);

    /*
     * wait_fd() - what to wait on while operations are in flight, after sleep()
     *
     * Returns a file descriptor that belongs to the backend, to be watched
     * edge-triggered (EPOLLIN | EPOLLET) and never read.
     */
    int (*wait_fd)(Backend *backend);

    /*
     * lost() - has the device made this process unusable?
     *
     * To be asked after every function but open() and close(). Once it is set, no
     * operation in flight is ever collected.
     *
     * Returns 0, or the CUresult that did it.
     */
    uint32_t (*lost)(Backend *backend);
} BackendOps;

extern const BackendOps backend_cpu;
extern const BackendOps backend_cuda;

#endif
