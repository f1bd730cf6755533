/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for hosts without a GPU.
 *
 * A small operation is computed while it is started: every request, which is at most a
 * kilobyte, and whatever takes only some microseconds in a window. To hand that to another
 * thread would cost more than to compute it. Nothing on the loop's thread takes longer than a tenth
 * of a millisecond. A large operation goes to a worker, of which there is one for each priority
 * (workers.h): a matrix product of seconds must not keep the loop from its socket, nor work of a
 * low priority that of a higher one.
 *
 * So the large operations of one priority are computed one after the other, each by one
 * thread (and OpenBLAS's own). More threads would only divide the same memory bandwidth.
 */
#include "backend.h"
#include "blas.h"
#include "cleanup.h"
#include "clock.h"
#include "cpu-kernels.h"
#include "done.h"
#include "workers.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* With wider intermediate results a sum would be rounded twice, and its bits would differ from
 * a GPU's. On 32-bit x86, build with -msse2 -mfpmath=sse. */
static_assert(FLT_EVAL_METHOD == 0, "floating-point sums are rounded once");

/* The largest operations that are computed while they are started: in bytes from the first to the
 * last of each operand, and in multiplications of a matrix product. Bytes that a stride passes over
 * count, for what takes longest is a page that nobody has touched yet: some microseconds, at which
 * computing does a thousand elements. bench/cpu-loop.c holds it to a tenth of a millisecond. */
#define SMALL_BYTES (96u << 10)
#define SMALL_MATRIX (48u * 48 * 48)

#define NICE_STEP 5

typedef struct CpuSlot {
    alignas(16) unsigned char c[BACKEND_OPERAND_MAX];
    Operation operation;   /* what a worker is to do */
    Completion completion; /* and how it ended */
} CpuSlot;

struct Backend {
    const CpuKernels *kernels;
    Blas blas; /* the workers wait for it; the loop does without */
    bool blas_is_wanted;
    bool blas_is_tried;
    pthread_mutex_t blas_lock;
    pthread_cond_t blas_tried;
    Worker helper; /* loads it */
    Done done;
    Worker workers[VGPU_N_PRIORITIES];
    unsigned n_slots;
    CpuSlot slots[];
};

/* ---- Requests ------------------------------------------------------------------ */

/* An operand can lie at any address in a message. So each element is copied by memcpy, of
 * which the compiler makes unaligned vector loads. Integers are added unsigned, since a
 * signed sum that overflows is undefined. */
#define DEFINE_ADD(name, type)                                                                     \
    static void name(const unsigned char *a, const unsigned char *b, unsigned char *c, uint32_t n) \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type x, y;                                                                             \
                                                                                                   \
            memcpy(&x, a + i * sizeof(type), sizeof(type));                                        \
            memcpy(&y, b + i * sizeof(type), sizeof(type));                                        \
            x += y;                                                                                \
            memcpy(c + i * sizeof(type), &x, sizeof(type));                                        \
        }                                                                                          \
    }

DEFINE_ADD(add_int32, uint32_t)
DEFINE_ADD(add_int64, uint64_t)
DEFINE_ADD(add_float32, float)
DEFINE_ADD(add_float64, double)

static void cpu_add(const VectorAdd *add, unsigned char *c)
{
    switch (add->opcode) {
    case VGPU_OP_VECTOR_ADD_INT32:
        add_int32(add->a, add->b, c, add->n);
        break;
    case VGPU_OP_VECTOR_ADD_INT64:
        add_int64(add->a, add->b, c, add->n);
        break;
    case VGPU_OP_VECTOR_ADD_FLOAT32:
        add_float32(add->a, add->b, c, add->n);
        break;
    case VGPU_OP_VECTOR_ADD_FLOAT64:
        add_float64(add->a, add->b, c, add->n);
        break;
    }
}

/* ---- In a window -------------------------------------------------------------- */

/* The addresses of the operands */
typedef struct Operands {
    const unsigned char *a, *b;
    unsigned char *c;
} Operands;

/* Those that the operation does not have are NULL: nobody has checked their offsets. */
static Operands operands_of(const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    unsigned char *memory = op->window->memory;
    VGPUShape shape = {0};

    (void) vgpu_submission_shape(s, &shape);
    return (Operands){
        .a = memory + s->a.offset,
        .b = shape.has_b ? memory + s->b.offset : NULL,
        .c = shape.has_c ? memory + s->c.offset : NULL,
    };
}

static void cpu_map(CpuMap *map, const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    Operands o = operands_of(op);

    map(o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride, s->count, s->scalar);
}

static uint64_t cpu_reduce(CpuReduce *reduce, const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    size_t element = vgpu_ring_type_size(s->type);
    Operands o = operands_of(op);
    Reduction reduction;

    reduction_begin(&reduction, s->opcode, s->type);
    for (uint64_t i = 0; i < s->count; i += CPU_PART) {
        uint64_t n = s->count - i < CPU_PART ? s->count - i : CPU_PART;
        const unsigned char *b = o.b ? o.b + i * s->b.stride * element : NULL;
        Partial partial;

        reduce(o.a + i * s->a.stride * element, s->a.stride, b, s->b.stride, n, &partial);
        reduction_add(&reduction, &partial);
    }

    return reduction_end(&reduction);
}

/* It passed the check, so no span is larger than the window, nor overflows. */
static bool is_small(const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    uint64_t products, span;

    if (!op->window)
        return true;
    span = vgpu_submission_span(s);
    if (s->opcode != VGPU_OP_RING_MATMUL)
        return span <= SMALL_BYTES;
    return span <= SMALL_BYTES &&
           !__builtin_mul_overflow((uint64_t) s->n * s->k, s->count, &products) &&
           products <= SMALL_MATRIX;
}

static const Blas *cpu_wait_for_blas(Backend *b)
{
    pthread_mutex_lock(&b->blas_lock);
    while (!b->blas_is_tried)
        pthread_cond_wait(&b->blas_tried, &b->blas_lock);
    pthread_mutex_unlock(&b->blas_lock);
    return &b->blas;
}

static void cpu_matmul(Backend *b, const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    Operands o = operands_of(op);

    if (is_small(op) || !blas_matmul(cpu_wait_for_blas(b), s->type, o.a, s->a.stride, o.b,
                                     s->b.stride, o.c, s->c.stride, s->count, s->n, s->k))
        b->kernels->matmul[s->type](o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride, s->count,
                                    s->n, s->k);
}

static uint64_t cpu_compute_in_window(Backend *b, const Operation *op)
{
    const CpuKernels *k = b->kernels;
    uint32_t type = op->submission.type;

    switch (op->submission.opcode) {
    case VGPU_OP_RING_ADD:
        cpu_map(k->add[type], op);
        return 0;
    case VGPU_OP_RING_MUL:
        cpu_map(k->mul[type], op);
        return 0;
    case VGPU_OP_RING_AXPY:
        cpu_map(k->axpy[type], op);
        return 0;
    case VGPU_OP_RING_DOT:
        return cpu_reduce(k->dot[type], op);
    case VGPU_OP_RING_SUM:
        return cpu_reduce(k->sum[type], op);
    case VGPU_OP_RING_MATMUL:
        cpu_matmul(b, op);
        return 0;
    default: /* MIN and MAX */
        return cpu_reduce(k->extremes[type], op);
    }
}

/* Computes @op now, on the loop's thread or on a worker. */
static Completion cpu_compute(Backend *b, unsigned slot, const Operation *op)
{
    Completion completion = {.slot = slot};
    uint64_t start = now_nsec();

    operation_begins(op, start / NSEC_PER_USEC);
    if (op->window) {
        completion.result = cpu_compute_in_window(b, op);
    } else {
        cpu_add(&op->add, b->slots[slot].c);
        completion.c = b->slots[slot].c;
    }
    completion.exec_time_us = completion_usec(now_nsec() - start);
    return completion;
}

static void cpu_work(void *data, unsigned slot)
{
    Backend *b = data;
    CpuSlot *s = &b->slots[slot];

    s->completion = cpu_compute(b, slot, &s->operation);
    done_add(&b->done, UINT64_C(1) << slot);
}

static bool cpu_start(Backend *b, unsigned slot, const Operation *op, Completion *ret)
{
    assert(slot < b->n_slots);

    if (is_small(op)) {
        *ret = cpu_compute(b, slot, op);
        return true;
    }

    b->slots[slot].operation = *op;
    worker_push(&b->workers[op->priority], slot);
    return false;
}

/* On a thread of its own: loading takes milliseconds. The threads that OpenBLAS makes meanwhile
 * inherit that thread's nice value, which is the process's. */
static void cpu_load_blas(void *data, unsigned unused)
{
    Backend *b = data;
    Blas blas;

    (void) unused;

    blas_open(&blas);
    pthread_mutex_lock(&b->blas_lock);
    b->blas = blas;
    b->blas_is_tried = true;
    pthread_cond_broadcast(&b->blas_tried);
    pthread_mutex_unlock(&b->blas_lock);
}

/* OpenBLAS costs memory and threads. So it is loaded with the first window: without one there
 * is nothing that needs it. */
static void cpu_window_add(Backend *b, MappedWindow *window)
{
    (void) window;

    if (!b->blas_is_wanted)
        worker_push(&b->helper, 0);
    b->blas_is_wanted = true;
}

static void cpu_window_remove(Backend *b, MappedWindow *window)
{
    (void) b;
    (void) window;
}

/* ---- Beginning and end ---------------------------------------------------------- */

/* Also closes a backend that is only partly open. */
static Backend *cpu_close(Backend *b)
{
    if (!b)
        return NULL;

    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        worker_stop(&b->workers[p]);
    worker_stop(&b->helper);
    pthread_cond_destroy(&b->blas_tried);
    pthread_mutex_destroy(&b->blas_lock);
    blas_close(&b->blas);
    cleanup_close(&b->done.event_fd);
    free(b);
    return NULL;
}

static void cpu_closep(Backend **b)
{
    cpu_close(*b);
}

static int cpu_open(const BackendOptions *options, Backend **ret, char *reason)
{
    CLEANUP(cpu_closep) Backend *b = calloc(1, sizeof(*b) + options->n_slots * sizeof(CpuSlot));
    int r;

    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }

    b->n_slots = options->n_slots;
    b->kernels = cpu_kernels_best();
    pthread_mutex_init(&b->blas_lock, NULL);
    pthread_cond_init(&b->blas_tried, NULL);
    b->done.event_fd = eventfd(0, EFD_CLOEXEC);
    if (b->done.event_fd < 0) {
        r = -errno;
        snprintf(reason, BACKEND_REASON_MAX, "eventfd: %s", strerror(-r));
        return r;
    }
    r = worker_start(&b->helper, 0, cpu_load_blas, b);
    for (int p = 0; r == 0 && p < VGPU_N_PRIORITIES; p++)
        r = worker_start(&b->workers[p], (VGPU_PRIORITY_HIGH - p) * NICE_STEP, cpu_work, b);
    if (r < 0) {
        snprintf(reason, BACKEND_REASON_MAX, "thread: %s", strerror(-r));
        return r;
    }

    *ret = TAKE_PTR(b);
    return 0;
}

/* The same on every host: which processor and how much memory that has is no guest's business. The
 * device computes one operation of a priority at a time, in the memory that the guest gives it. */
static uint32_t cpu_device_info(Backend *b, VGPUDeviceInfo *ret)
{
    (void) b;

    *ret = (VGPUDeviceInfo){
        .backend = "cpu",
        .name = "CPU",
        .multiprocessors = 1,
        .memory_total = VGPU_WINDOW_SIZE_DEFAULT,
        .memory_free = VGPU_WINDOW_SIZE_DEFAULT,
    };
    return 0;
}

/* Its threads write to the descriptor anyway. */
static void cpu_sleep(Backend *b)
{
    (void) b;
}

static void cpu_flush(Backend *b)
{
    (void) b;
}

static unsigned cpu_collect(Backend *b, Completion ret[])
{
    unsigned n = 0;

    for (uint64_t done = done_take(&b->done); done != 0; done &= done - 1)
        ret[n++] = b->slots[__builtin_ctzll(done)].completion;

    return n;
}

static int cpu_wait_fd(Backend *b)
{
    return b->done.event_fd;
}

static uint32_t cpu_lost(Backend *b)
{
    (void) b;
    return 0;
}

const BackendOps backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .device_info = cpu_device_info,
    .window_add = cpu_window_add,
    .window_remove = cpu_window_remove,
    .start = cpu_start,
    .flush = cpu_flush,
    .sleep = cpu_sleep,
    .collect = cpu_collect,
    .wait_fd = cpu_wait_fd,
    .lost = cpu_lost,
};
