/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for hosts without a GPU: a job is computed while it is
 * submitted. Requests are at most a kilobyte, so a second thread would cost
 * more than the sum.
 */
#include "backend.h"

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

typedef struct CpuSlot {
    alignas(16) unsigned char c[BACKEND_OPERAND_MAX];
} CpuSlot;

struct Backend {
    unsigned n_slots;
    CpuSlot slots[];
};

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

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
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

static int cpu_open(const BackendOptions *options, Backend **ret, char *reason)
{
    Backend *b = calloc(1, sizeof(*b) + options->n_slots * sizeof(CpuSlot));

    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }

    b->n_slots = options->n_slots;
    *ret = b;
    return 0;
}

static Backend *cpu_close(Backend *b)
{
    free(b);
    return NULL;
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
    uint64_t start = now_ns();

    compute(job, b->slots[slot].c);

    *ret = (Completion){
        .slot = slot,
        .exec_time_us = (uint32_t) ((now_ns() - start + 999) / 1000),
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
    (void) b;
    (void) ret;
    return 0;
}

static int cpu_wait_fd(Backend *b)
{
    (void) b;
    return -1;
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
    .flush = cpu_flush,
    .collect = cpu_collect,
    .wait_fd = cpu_wait_fd,
    .lost = cpu_lost,
};
