/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What computes: the interface between the executor's loop (server.c) and a
 * backend (backend-cpu.c, backend-cuda.c).
 *
 * A backend has a number of slots, each of which runs one job at a time: a Job, whose
 * operands came with the request, or a Compute, whose operands lie in a window. The
 * loop owns the slots: it knows which are free, and hands a job to a free one.
 * A backend either finishes a job while it is submitted or finishes it later;
 * then its wait_fd becomes ready and collect() tells which slots are done.
 *
 * All functions are called on the loop's thread.
 */
#ifndef VGPU_EXECUTOR_BACKEND_H
#define VGPU_EXECUTOR_BACKEND_H

#include "executor-protocol.h"
#include "mapped-window.h"

/* The most bytes of one operand, and so of one result. */
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
typedef struct Job {
    uint32_t opcode;   /* a VGPU_OP_VECTOR_ADD_* */
    uint32_t priority; /* VGPU_PRIORITY_* */
    uint32_t n;        /* elements, at least 1; an operand is at most BACKEND_OPERAND_MAX bytes */
    const void *a;     /* any alignment; copied before submit() returns */
    const void *b;
} Job;

/* A job whose operands lie in a window. */
typedef struct Compute {
    uint32_t priority; /* VGPU_PRIORITY_* */
    MappedWindow *window;
    VGPUSubmission submission; /* passed vgpu_submission_check(); no NOP */
} Compute;

typedef struct Completion {
    unsigned slot;
    uint32_t cuda_result;  /* CUresult; 0 when the job succeeded */
    uint32_t exec_time_us; /* rounded up; UINT32_MAX when longer */
    const void *c;         /* the n results, until the slot's next submit(); NULL on failure */
    uint64_t result;       /* of a Compute, as in VGPUSubmission; 0 for one without a result */
} Completion;

typedef struct BackendOps {
    const char *name; /* as in VGPUDeviceInfo */

    /*
     * open() - make the backend ready to compute
     * @options: what was asked for
     * @ret: the backend, to be given to close()
     * @reason: BACKEND_REASON_MAX bytes; on failure one line without a newline
     *
     * Returns 0, or negative errno; -ENODEV when this host or this build can't
     * run the backend.
     */
    int (*open)(const BackendOptions *options, Backend **ret, char *reason);

    /*
     * close() - give everything back; waits for jobs in flight
     * @backend: may be NULL
     *
     * Returns NULL.
     */
    Backend *(*close)(Backend *backend);

    /*
     * device_info() - what and how much there is, now
     *
     * Returns 0 and fills @ret, or the CUresult that prevented it.
     */
    uint32_t (*device_info)(Backend *backend, VGPUDeviceInfo *ret);

    /*
     * submit() - run a job in a free slot
     * @slot: less than n_slots, with no job in it
     * @ret: filled when the job is finished (or failed) already
     *
     * Returns true when it is finished and @ret says how, false when collect()
     * will say so later, after the next flush().
     */
    bool (*submit)(Backend *backend, unsigned slot, const Job *job, Completion *ret);

    /*
     * window_add() - there is a window
     * @window: stays the caller's
     *
     * Where the device can't be told of it, then or with its first job, the window's jobs
     * fail with the error.
     */
    void (*window_add)(Backend *backend, MappedWindow *window);

    /* window_remove() - it goes; no job is in flight in it */
    void (*window_remove)(Backend *backend, MappedWindow *window);

    /*
     * compute() - as submit(), for a job in a window
     * @compute: need not outlive the call, its window must outlive the job
     */
    bool (*compute)(Backend *backend, unsigned slot, const Compute *compute, Completion *ret);

    /*
     * flush() - no more jobs for now
     *
     * To be called after a row of submit() and compute() and before waiting. What it costs to
     * learn of a job's end is paid once for the row.
     */
    void (*flush)(Backend *backend);

    /*
     * collect() - the jobs that finished since the last call; never blocks
     * @ret: room for n_slots completions
     *
     * Returns their number, 0 when there are none (wait_fd may wake for nothing).
     */
    unsigned (*collect)(Backend *backend, Completion ret[]);

    /*
     * wait_fd() - what to wait on while jobs are in flight
     *
     * Returns a file descriptor that belongs to the backend, to be watched
     * edge-triggered (EPOLLIN | EPOLLET) and never read.
     */
    int (*wait_fd)(Backend *backend);

    /*
     * lost() - has the device made this process unusable?
     *
     * Looked at after every function but open() and close(). Once it is set,
     * no job in flight is ever collected.
     *
     * Returns 0, or the CUresult that did it.
     */
    uint32_t (*lost)(Backend *backend);
} BackendOps;

extern const BackendOps backend_cpu;
extern const BackendOps backend_cuda;

#endif
