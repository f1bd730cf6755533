/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for hosts without a GPU.
 *
 * What is small is computed while it is submitted: every request, which is at most
 * a kilobyte, and what takes some microseconds in a window. A second thread would cost
 * more than the sum. Everything else goes to a worker, a thread for each priority
 * (workers.h): a matrix product of seconds must not keep the loop from its socket,
 * nor work of a low priority that of a higher one.
 *
 * So of each priority one large job is computed at a time, by one thread, OpenBLAS's
 * own threads aside. More would divide the same memory bandwidth among them.
 */
#include "backend.h"
#include "clock.h"

#include "blas.h"
#include "cpu-kernels.h"
#include "done.h"
#include "workers.h"

#include <errno.h>
#include <float.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

/* With wider intermediate results the sums would be rounded twice, and a GPU
 * would give other bits. On 32-bit x86: -msse2 -mfpmath=sse. */
static_assert(FLT_EVAL_METHOD == 0, "floating-point sums are rounded once");

/* What is computed while it is submitted: so many elements of a vector, so many products
 * of a matrix product. That takes ten microseconds at most. */
#define SMALL_VECTOR 8192u
#define SMALL_MATRIX (64u * 64 * 64)

#define NICE_STEP 5

typedef struct CpuSlot {
    alignas(16) unsigned char c[BACKEND_OPERAND_MAX];
    Compute compute;       /* with a worker, */
    Completion completion; /* and the worker's answer */
} CpuSlot;

struct Backend {
    const CpuKernels *kernels;
    Blas blas;
    bool blas_is_open; /* tried, at least */
    Done done;
    Worker workers[VGPU_N_PRIORITIES];
    unsigned n_slots;
    CpuSlot slots[];
};

/* ---- Requests ------------------------------------------------------------------ */

/* The operands lie anywhere in a message: memcpy makes aligned copies of the
 * elements, and the compiler makes unaligned vector loads of that. Integers are
 * added unsigned, since a signed sum that overflows is undefined. */
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

static void compute(const Job *job, unsigned char *c)
{
    switch (job->opcode) {
    case VGPU_OP_VECTOR_ADD_INT32:
        add_int32(job->a, job->b, c, job->n);
        break;
    case VGPU_OP_VECTOR_ADD_INT64:
        add_int64(job->a, job->b, c, job->n);
        break;
    case VGPU_OP_VECTOR_ADD_FLOAT32:
        add_float32(job->a, job->b, c, job->n);
        break;
    case VGPU_OP_VECTOR_ADD_FLOAT64:
        add_float64(job->a, job->b, c, job->n);
        break;
    }
}

/* The processor's own name, from the processor: a sandbox may hide /proc/cpuinfo. */
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

/* The addresses of a job's operands */
typedef struct Operands {
    const unsigned char *a, *b;
    unsigned char *c;
} Operands;

static Operands operands_of(const Compute *compute)
{
    const VGPUSubmission *s = &compute->submission;
    unsigned char *memory = compute->window->memory;

    return (Operands){memory + s->a.offset, memory + s->b.offset, memory + s->c.offset};
}

static void compute_map(CpuMap *map, const Compute *compute)
{
    const VGPUSubmission *s = &compute->submission;
    Operands o = operands_of(compute);

    map(o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride, s->count, s->scalar);
}

static uint64_t compute_reduction(CpuReduce *reduce, const Compute *compute)
{
    const VGPUSubmission *s = &compute->submission;
    size_t element = vgpu_ring_type_size(s->type);
    Operands o = operands_of(compute);
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

static void compute_matmul(const Backend *b, const Compute *compute)
{
    const VGPUSubmission *s = &compute->submission;
    Operands o = operands_of(compute);

    if (!blas_matmul(&b->blas, s->type, o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride,
                     s->count, s->n, s->k))
        b->kernels->matmul[s->type](o.a, s->a.stride, o.b, s->b.stride, o.c, s->c.stride, s->count,
                                    s->n, s->k);
}

static uint64_t compute_in_window(const Backend *b, const Compute *compute)
{
    const CpuKernels *k = b->kernels;
    uint32_t type = compute->submission.type;

    switch (compute->submission.opcode) {
    case VGPU_OP_RING_ADD:
        compute_map(k->add[type], compute);
        return 0;
    case VGPU_OP_RING_MUL:
        compute_map(k->mul[type], compute);
        return 0;
    case VGPU_OP_RING_AXPY:
        compute_map(k->axpy[type], compute);
        return 0;
    case VGPU_OP_RING_DOT:
        return compute_reduction(k->dot[type], compute);
    case VGPU_OP_RING_SUM:
        return compute_reduction(k->sum[type], compute);
    case VGPU_OP_RING_MATMUL:
        compute_matmul(b, compute);
        return 0;
    default: /* MIN and MAX */
        return compute_reduction(k->extremes[type], compute);
    }
}

static uint32_t us_since(uint64_t start_ns)
{
    uint64_t us = (now_nsec() - start_ns + 999) / 1000;

    return us < UINT32_MAX ? (uint32_t) us : UINT32_MAX;
}

static Completion complete(const Backend *b, unsigned slot, const Compute *compute)
{
    uint64_t start = now_nsec(), result = compute_in_window(b, compute);

    return (Completion){.slot = slot, .result = result, .exec_time_us = us_since(start)};
}

static void work(void *data, unsigned slot)
{
    Backend *b = data;
    CpuSlot *s = &b->slots[slot];

    s->completion = complete(b, slot, &s->compute);
    done_add(&b->done, UINT64_C(1) << slot);
}

static bool is_small(const VGPUSubmission *s)
{
    uint64_t products;

    if (s->opcode != VGPU_OP_RING_MATMUL)
        return s->count <= SMALL_VECTOR;
    return !__builtin_mul_overflow((uint64_t) s->n * s->k, s->count, &products) &&
           products <= SMALL_MATRIX;
}

static bool cpu_compute(Backend *b, unsigned slot, const Compute *compute, Completion *ret)
{
    if (is_small(&compute->submission)) {
        *ret = complete(b, slot, compute);
        return true;
    }

    b->slots[slot].compute = *compute;
    worker_push(&b->workers[compute->priority], slot);
    return false;
}

/* OpenBLAS costs memory and threads: it is loaded with the first window, not for
 * those who have none. */
static void cpu_window_add(Backend *b, MappedWindow *window)
{
    (void) window;

    if (!b->blas_is_open)
        blas_open(&b->blas);
    b->blas_is_open = true;
}

static void cpu_window_remove(Backend *b, MappedWindow *window)
{
    (void) b;
    (void) window;
}

/* ---- Beginning and end ---------------------------------------------------------- */

/* Takes a half-opened backend, too. */
static Backend *cpu_close(Backend *b)
{
    if (!b)
        return NULL;

    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++)
        worker_stop(&b->workers[p]);
    blas_close(&b->blas);
    if (b->done.event_fd >= 0)
        close(b->done.event_fd);
    free(b);
    return NULL;
}

static void backend_closep(Backend **b)
{
    cpu_close(*b);
}

static int cpu_open(const BackendOptions *options, Backend **ret, char *reason)
{
    __attribute__((cleanup(backend_closep))) Backend *b =
        calloc(1, sizeof(*b) + options->n_slots * sizeof(CpuSlot));

    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }

    b->n_slots = options->n_slots;
    b->kernels = cpu_kernels_best();
    b->done.event_fd = eventfd(0, EFD_CLOEXEC);
    if (b->done.event_fd < 0) {
        snprintf(reason, BACKEND_REASON_MAX, "eventfd: %s", strerror(errno));
        return -errno;
    }
    for (int p = 0; p < VGPU_N_PRIORITIES; p++) {
        int r = worker_start(&b->workers[p], (VGPU_PRIORITY_HIGH - p) * NICE_STEP, work, b);

        if (r < 0) {
            snprintf(reason, BACKEND_REASON_MAX, "thread: %s", strerror(-r));
            return r;
        }
    }

    *ret = b;
    b = NULL;
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

static bool cpu_submit(Backend *b, unsigned slot, const Job *job, Completion *ret)
{
    uint64_t start = now_nsec();

    compute(job, b->slots[slot].c);

    *ret = (Completion){
        .slot = slot,
        .exec_time_us = us_since(start),
        .c = b->slots[slot].c,
    };
    return true;
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
    .submit = cpu_submit,
    .window_add = cpu_window_add,
    .window_remove = cpu_window_remove,
    .compute = cpu_compute,
    .flush = cpu_flush,
    .collect = cpu_collect,
    .wait_fd = cpu_wait_fd,
    .lost = cpu_lost,
};
