/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for hosts without a GPU.
 *
 * A small operation is computed while it is started: every request, which is at most a
 * kilobyte, and whatever takes only some microseconds in a window. To hand that to another
 * thread would cost more than to compute it. A large operation goes to a worker, of which
 * there is one for each priority (workers.h): a matrix product of seconds must not keep the
 * loop from its socket, nor work of a low priority that of a higher one.
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
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

/* With wider intermediate results a sum would be rounded twice, and its bits would differ from
 * a GPU's. On 32-bit x86, build with -msse2 -mfpmath=sse. */
static_assert(FLT_EVAL_METHOD == 0, "floating-point sums are rounded once");

/* The largest operations that are computed while they are started, in elements of a vector
 * and in multiplications of a matrix product. Each takes ten microseconds at most. */
#define SMALL_VECTOR 8192u
#define SMALL_MATRIX (64u * 64 * 64)

#define NICE_STEP 5

typedef struct CpuSlot {
    alignas(16) unsigned char c[BACKEND_OPERAND_MAX];
    Operation operation;   /* what a worker is to do */
    Completion completion; /* and how it ended */
} CpuSlot;

struct Backend {
    const CpuKernels *kernels;
    Blas blas;
    bool blas_is_tried;
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

/* Asks the processor itself, since a sandbox may hide /proc/cpuinfo. */
static void cpu_name(char *ret, size_t size)
{
    struct utsname u;

#if defined(__x86_64__) || defined(__i386__)
    unsigned brand[12];
    const char *name;

    if ((unsigned) __get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2],
                        &brand[4 * i + 3]);
        name = (const char *) brand;
        name += strspn(name, " ");
        snprintf(ret, size, "%.*s", (int) ((const char *) (brand + 12) - name), name);
        return;
    }
#endif

    snprintf(ret, size, "%.63s", uname(&u) == 0 ? u.machine : "CPU");
}

/* ---- In a window -------------------------------------------------------------- */

/* The addresses of the operands */
typedef struct Operands {
    const unsigned char *a, *b;
    unsigned char *c;
} Operands;

static Operands operands_of(const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    unsigned char *memory = op->window->memory;

    return (Operands){memory + s->a.offset, memory + s->b.offset, memory + s->c.offset};
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
        Partial partial;

        reduce(o.a + i * s->a.stride * element, s->a.stride, o.b + i * s->b.stride * element,
               s->b.stride, n, &partial);
        reduction_add(&reduction, &partial);
    }

    return reduction_end(&reduction);
}

static void cpu_matmul(const Backend *b, const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    Operands o = operands_of(op);

    if (!blas_matmul(&b->blas, s->type, o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride,
                     s->count, s->n, s->k))
        b->kernels->matmul[s->type](o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride, s->count,
                                    s->n, s->k);
}

static uint64_t cpu_compute_in_window(const Backend *b, const Operation *op)
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

static bool is_small(const Operation *op)
{
    const VGPUSubmission *s = &op->submission;
    uint64_t products;

    if (!op->window)
        return true;
    if (s->opcode != VGPU_OP_RING_MATMUL)
        return s->count <= SMALL_VECTOR;
    return !__builtin_mul_overflow((uint64_t) s->n * s->k, s->count, &products) &&
           products <= SMALL_MATRIX;
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

/* OpenBLAS costs memory and threads. So it is loaded with the first window: without one there
 * is nothing that needs it. */
static void cpu_window_add(Backend *b, MappedWindow *window)
{
    (void) window;

    if (!b->blas_is_tried)
        blas_open(&b->blas);
    b->blas_is_tried = true;
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

    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }

    b->n_slots = options->n_slots;
    b->kernels = cpu_kernels_best();
    b->done.event_fd = eventfd(0, EFD_CLOEXEC);
    if (b->done.event_fd < 0) {
        int r = -errno;

        snprintf(reason, BACKEND_REASON_MAX, "eventfd: %s", strerror(-r));
        return r;
    }
    for (int p = 0; p < VGPU_N_PRIORITIES; p++) {
        int r = worker_start(&b->workers[p], (VGPU_PRIORITY_HIGH - p) * NICE_STEP, cpu_work, b);

        if (r < 0) {
            snprintf(reason, BACKEND_REASON_MAX, "thread: %s", strerror(-r));
            return r;
        }
    }

    *ret = TAKE_PTR(b);
    return 0;
}

static uint32_t cpu_device_info(Backend *b, VGPUDeviceInfo *ret)
{
    VGPUDeviceInfo info = {.backend = "cpu"};
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct sysinfo memory;

    (void) b;

    cpu_name(info.name, sizeof(info.name));
    info.multiprocessors = n_cpus > 0 ? (uint32_t) n_cpus : 1;
    if (sysinfo(&memory) == 0) {
        info.memory_total = (uint64_t) memory.totalram * memory.mem_unit;
        info.memory_free = (uint64_t) memory.freeram * memory.mem_unit;
    }

    *ret = info;
    return 0;
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
    .collect = cpu_collect,
    .wait_fd = cpu_wait_fd,
    .lost = cpu_lost,
};
