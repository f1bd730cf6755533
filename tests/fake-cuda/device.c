/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Far from any address of the host's, so that mixing the two up is noticed. */
#define DEVICE_ADDRESS_OFFSET 0x5a00000000000000ull

typedef struct Work {
    struct Work *next;
    CUstreamCallback callback; /* NULL: a kernel */
    void *user_data;
    FakeLaunch launch;
    CUresult fault;
    bool hang;
    unsigned char *operands; /* a and b as they were at launch */
} Work;

struct CUstream_st {
    struct CUstream_st *next;
    Work *first, **last;
    bool busy, hung, destroyed;
    CUresult status; /* of the last kernel, for the callback behind it */
};

typedef struct Memory {
    struct Memory *next;
    unsigned char *host;
    size_t size;
} Memory;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, progress;
    pthread_t thread;
    bool stop;
    unsigned slow_ms, hold, launched;
    unsigned random;
    CUresult error;
    struct CUstream_st *streams; /* destroyed ones too, so that their use is noticed */
    Memory *memory;
} device = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .progress = PTHREAD_COND_INITIALIZER,
};

static _Thread_local bool in_callback;

void fake_misuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("fake-cuda: misuse: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

bool fake_in_callback(void)
{
    return in_callback;
}

bool fake_error_is_sticky(CUresult error)
{
    return error == CUDA_ERROR_ILLEGAL_ADDRESS || error == CUDA_ERROR_LAUNCH_TIMEOUT ||
           (error >= CUDA_ERROR_HARDWARE_STACK_ERROR && error <= CUDA_ERROR_LAUNCH_FAILED) ||
           error == CUDA_ERROR_ASSERT || error == CUDA_ERROR_ECC_UNCORRECTABLE ||
           error == CUDA_ERROR_CONTAINED;
}

/* ---- Kernels -------------------------------------------------------------- */

#define DEFINE_ADD(name, type)                                        \
    static void name(const void *a, const void *b, void *c, size_t n) \
    {                                                                 \
        const type *x = a, *y = b;                                    \
        type *z = c;                                                  \
                                                                      \
        for (size_t i = 0; i < n; i++)                                \
            z[i] = x[i] + y[i];                                       \
    }

DEFINE_ADD(add_int32, uint32_t)
DEFINE_ADD(add_int64, uint64_t)
DEFINE_ADD(add_float32, float)
DEFINE_ADD(add_float64, double)

const FakeKernel *fake_kernel_find(const char *name)
{
    static const FakeKernel kernels[] = {
        {"vgpu_vector_add_int32", 4, add_int32},
        {"vgpu_vector_add_int64", 8, add_int64},
        {"vgpu_vector_add_float32", 4, add_float32},
        {"vgpu_vector_add_float64", 8, add_float64},
    };

    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
        if (strcmp(name, kernels[i].name) == 0)
            return &kernels[i];

    return NULL;
}

/* ---- Memory (under the lock) ---------------------------------------------- */

static unsigned char *resolve(CUdeviceptr address, size_t size, size_t alignment, const char *what)
{
    for (const Memory *m = device.memory; m; m = m->next) {
        CUdeviceptr start = (CUdeviceptr) (uintptr_t) m->host + DEVICE_ADDRESS_OFFSET;

        if (address < start || address - start >= m->size)
            continue;
        if (size > m->size - (address - start))
            fake_misuse("%s: %zu bytes at 0x%llx reach outside their allocation", what, size,
                        address);
        if (address % alignment != 0)
            fake_misuse("%s: 0x%llx is not aligned to %zu", what, address, alignment);
        return m->host + (address - start);
    }

    fake_misuse("%s: 0x%llx is no device address", what, address);
}

void *fake_memory_alloc(size_t size)
{
    Memory *m = calloc(1, sizeof(*m));

    if (!m || posix_memalign((void **) &m->host, 4096, size) != 0)
        abort();
    memset(m->host, 0xa5, size);
    m->size = size;

    pthread_mutex_lock(&device.lock);
    m->next = device.memory;
    device.memory = m;
    pthread_mutex_unlock(&device.lock);
    return m->host;
}

/* Returns the link that leads to it. */
static Memory **memory_find(const void *host, const char *what)
{
    for (Memory **m = &device.memory; *m; m = &(*m)->next)
        if ((*m)->host == host)
            return m;

    fake_misuse("%s: %p was not allocated", what, host);
}

void fake_memory_free(void *host)
{
    Memory **link, *m;

    pthread_mutex_lock(&device.lock);
    for (const struct CUstream_st *s = device.streams; s; s = s->next)
        if (s->first || s->busy)
            fake_misuse("cuMemFreeHost: there is work in flight");
    link = memory_find(host, "cuMemFreeHost");
    m = *link;
    *link = m->next;
    pthread_mutex_unlock(&device.lock);

    free(m->host);
    free(m);
}

CUdeviceptr fake_memory_device_address(void *host)
{
    pthread_mutex_lock(&device.lock);
    memory_find(host, "cuMemHostGetDevicePointer_v2");
    pthread_mutex_unlock(&device.lock);
    return (CUdeviceptr) (uintptr_t) host + DEVICE_ADDRESS_OFFSET;
}

/* ---- The device's thread --------------------------------------------------- */

static Work *stream_pop(CUstream s)
{
    Work *w = s->first;

    s->first = w->next;
    if (!s->first)
        s->last = &s->first;
    return w;
}

static void work_free(Work *w)
{
    free(w->operands);
    free(w);
}

/* One of the streams that can go on, at random. */
static CUstream pick_stream(void)
{
    CUstream picked = NULL;
    unsigned n = 0;

    if (device.launched < device.hold && device.error == CUDA_SUCCESS)
        return NULL;

    for (CUstream s = device.streams; s; s = s->next) {
        if (!s->first || (s->hung && device.error == CUDA_SUCCESS))
            continue;
        device.random = device.random * 1664525u + 1013904223u;
        if ((device.random >> 16) % ++n == 0)
            picked = s;
    }

    return picked;
}

static void pass_time(void)
{
    const struct timespec t = {device.slow_ms / 1000, (device.slow_ms % 1000) * 1000000L};

    nanosleep(&t, NULL);
}

static void compute(const Work *w)
{
    const FakeLaunch *l = &w->launch;
    size_t element = l->kernel->element, size = l->n * element;
    const unsigned char *a, *b;
    unsigned char *c;
    uint64_t ns = 1500 + (uint64_t) device.slow_ms * 1000000;

    pthread_mutex_lock(&device.lock);
    a = resolve(l->a, size, element, "kernel, a");
    b = resolve(l->b, size, element, "kernel, b");
    c = resolve(l->c, size, element, "kernel, c");
    memcpy(resolve(l->ret_ns, sizeof(ns), sizeof(ns), "kernel, ret_ns"), &ns, sizeof(ns));
    pthread_mutex_unlock(&device.lock);

    if (memcmp(a, w->operands, size) != 0 || memcmp(b, w->operands + size, size) != 0)
        fake_misuse("operands changed between launch and execution");
    l->kernel->add(a, b, c, l->n);
}

static void run_kernel(CUstream s, Work *w)
{
    if (device.error != CUDA_SUCCESS)
        return;
    if (w->hang) {
        s->hung = true;
        return;
    }

    pthread_mutex_unlock(&device.lock);
    if (device.slow_ms > 0)
        pass_time();
    if (w->fault == CUDA_SUCCESS)
        compute(w);
    pthread_mutex_lock(&device.lock);

    s->status = w->fault;
    if (fake_error_is_sticky(w->fault) && device.error == CUDA_SUCCESS)
        device.error = w->fault;
}

static void run_callback(CUstream s, const Work *w)
{
    CUresult status = device.error != CUDA_SUCCESS ? device.error : s->status;

    pthread_mutex_unlock(&device.lock);
    in_callback = true;
    w->callback(s, status, w->user_data);
    in_callback = false;
    pthread_mutex_lock(&device.lock);
}

static void *device_thread(void *unused)
{
    (void) unused;

    pthread_mutex_lock(&device.lock);
    while (!device.stop) {
        CUstream s = pick_stream();
        Work *w;

        if (!s) {
            pthread_cond_wait(&device.work, &device.lock);
            continue;
        }

        w = stream_pop(s);
        s->busy = true;
        if (w->callback)
            run_callback(s, w);
        else
            run_kernel(s, w);
        work_free(w);
        s->busy = s->hung;
        pthread_cond_broadcast(&device.progress);
    }
    pthread_mutex_unlock(&device.lock);
    return NULL;
}

void fake_device_start(unsigned slow_ms, unsigned hold)
{
    device.slow_ms = slow_ms;
    device.hold = hold;
    device.random = (unsigned) getpid();
    if (pthread_create(&device.thread, NULL, device_thread, NULL) != 0)
        abort();
}

void fake_device_stop(void)
{
    pthread_mutex_lock(&device.lock);
    device.stop = true;
    pthread_cond_signal(&device.work);
    pthread_mutex_unlock(&device.lock);
    pthread_join(device.thread, NULL);

    while (device.streams) {
        CUstream s = device.streams;

        device.streams = s->next;
        while (s->first)
            work_free(stream_pop(s));
        free(s);
    }
    while (device.memory) {
        Memory *m = device.memory;

        device.memory = m->next;
        free(m->host);
        free(m);
    }
}

void fake_device_break(CUresult error)
{
    pthread_mutex_lock(&device.lock);
    if (device.error == CUDA_SUCCESS)
        device.error = error;
    pthread_cond_signal(&device.work);
    pthread_mutex_unlock(&device.lock);
}

CUresult fake_device_error(void)
{
    CUresult error;

    pthread_mutex_lock(&device.lock);
    error = device.error;
    pthread_mutex_unlock(&device.lock);
    return error;
}

bool fake_device_is_unused(void)
{
    bool unused;

    pthread_mutex_lock(&device.lock);
    unused = !device.memory;
    for (CUstream s = device.streams; s; s = s->next)
        unused = unused && s->destroyed;
    pthread_mutex_unlock(&device.lock);
    return unused;
}

/* ---- Streams ---------------------------------------------------------------- */

CUstream fake_stream_new(void)
{
    CUstream s = calloc(1, sizeof(*s));

    if (!s)
        abort();
    s->last = &s->first;

    pthread_mutex_lock(&device.lock);
    s->next = device.streams;
    device.streams = s;
    pthread_mutex_unlock(&device.lock);
    return s;
}

/* Locks the device, whatever the stream is. */
static void stream_lock(CUstream stream, const char *what)
{
    pthread_mutex_lock(&device.lock);
    for (CUstream s = device.streams; s; s = s->next) {
        if (s != stream)
            continue;
        if (s->destroyed)
            fake_misuse("%s: the stream was destroyed", what);
        return;
    }
    fake_misuse("%s: no stream", what);
}

void fake_stream_destroy(CUstream stream)
{
    stream_lock(stream, "cuStreamDestroy_v2");
    if (stream->first || stream->busy)
        fake_misuse("cuStreamDestroy_v2: there is work in flight");
    stream->destroyed = true;
    pthread_mutex_unlock(&device.lock);
}

CUresult fake_stream_wait(CUstream stream)
{
    CUresult error;

    stream_lock(stream, "cuStreamSynchronize");
    while ((stream->first || stream->busy) && device.error == CUDA_SUCCESS)
        pthread_cond_wait(&device.progress, &device.lock);
    error = device.error;
    pthread_mutex_unlock(&device.lock);
    return error;
}

static void stream_push(CUstream s, Work *w)
{
    *s->last = w;
    s->last = &w->next;
    pthread_cond_signal(&device.work);
}

void fake_stream_launch(CUstream stream, const FakeLaunch *launch, CUresult fault, bool hang)
{
    size_t element = launch->kernel->element, size = launch->n * element;
    Work *w = calloc(1, sizeof(*w));

    stream_lock(stream, "cuLaunchKernel");
    if (!w || launch->n == 0 || size > FAKE_KERNEL_OPERAND_MAX)
        fake_misuse("cuLaunchKernel: n is %u", launch->n);

    w->launch = *launch;
    w->fault = fault;
    w->hang = hang;
    w->operands = malloc(2 * size);
    if (!w->operands)
        abort();
    memcpy(w->operands, resolve(launch->a, size, element, "cuLaunchKernel, a"), size);
    memcpy(w->operands + size, resolve(launch->b, size, element, "cuLaunchKernel, b"), size);
    stream_push(stream, w);
    device.launched++;
    pthread_mutex_unlock(&device.lock);
}

void fake_stream_callback(CUstream stream, CUstreamCallback callback, void *user_data)
{
    Work *w = calloc(1, sizeof(*w));

    stream_lock(stream, "cuStreamAddCallback");
    if (!w || !callback)
        fake_misuse("cuStreamAddCallback: no callback");
    w->callback = callback;
    w->user_data = user_data;
    stream_push(stream, w);
    pthread_mutex_unlock(&device.lock);
}
