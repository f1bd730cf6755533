/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-device.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The device's addresses are far from any of the host's, so that a mix-up is noticed. */
#define DEVICE_ADDRESS_OFFSET 0x5a00000000000000ull

typedef struct Work {
    struct Work *next;
    enum { WORK_KERNEL, WORK_COPY, WORK_CALLBACK } kind;
    CUstreamCallback callback;
    void *user_data;
    FakeCopy copy;
    FakeLaunch launch;
    CUresult fault;
    bool hang;
    unsigned char *operands; /* of a request: a and b as they were at launch */
} Work;

struct CUstream_st {
    struct CUstream_st *next;
    Work *first, **last;
    bool busy, hung, destroyed;
    CUresult status; /* of the last kernel, for the callback behind it */
};

typedef struct Memory {
    struct Memory *next;
    enum { MEMORY_PINNED, MEMORY_REGISTERED, MEMORY_DEVICE } kind;
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
    bool running; /* a kernel or a copy */
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

void *fake_resolve(CUdeviceptr address, size_t size, size_t alignment, const char *what)
{
    void *p;

    pthread_mutex_lock(&device.lock);
    p = resolve(address, size, alignment, what);
    pthread_mutex_unlock(&device.lock);
    return p;
}

static void memory_add(int kind, void *host, size_t size)
{
    Memory *m = calloc(1, sizeof(*m));

    if (!m)
        abort();
    m->kind = kind;
    m->host = host;
    m->size = size;

    pthread_mutex_lock(&device.lock);
    for (const Memory *other = device.memory; other; other = other->next)
        if (m->host < other->host + other->size && other->host < m->host + m->size)
            fake_misuse("memory at %p is registered already", host);
    m->next = device.memory;
    device.memory = m;
    pthread_mutex_unlock(&device.lock);
}

static unsigned char *allocate(int kind, size_t size)
{
    void *host;

    if (posix_memalign(&host, 4096, size) != 0)
        abort();
    memset(host, 0xa5, size);
    memory_add(kind, host, size);
    return host;
}

void *fake_memory_alloc(size_t size)
{
    return allocate(MEMORY_PINNED, size);
}

void fake_memory_register(void *host, size_t size)
{
    memory_add(MEMORY_REGISTERED, host, size);
}

CUdeviceptr fake_device_memory_alloc(size_t size)
{
    return (CUdeviceptr) (uintptr_t) allocate(MEMORY_DEVICE, size) + DEVICE_ADDRESS_OFFSET;
}

/* Returns the link that leads to it. */
static Memory **memory_find(const void *host, const char *what)
{
    for (Memory **m = &device.memory; *m; m = &(*m)->next)
        if ((*m)->host == host)
            return m;

    fake_misuse("%s: %p was not allocated", what, host);
}

/* Waits, as the driver does, until the device does nothing. Whatever is queued and needs the
 * memory will be misuse. Returns what is to be freed. */
static void *memory_remove(const void *host, int kind, const char *what)
{
    Memory **link, *m;
    void *to_free;

    pthread_mutex_lock(&device.lock);
    while (device.running && device.error == CUDA_SUCCESS)
        pthread_cond_wait(&device.progress, &device.lock);
    link = memory_find(host, what);
    m = *link;
    if ((int) m->kind != kind)
        fake_misuse("%s: memory of another kind", what);
    *link = m->next;
    pthread_mutex_unlock(&device.lock);

    to_free = kind == MEMORY_REGISTERED ? NULL : m->host;
    free(m);
    return to_free;
}

void fake_memory_free(void *host)
{
    pthread_mutex_lock(&device.lock);
    for (const struct CUstream_st *s = device.streams; s; s = s->next)
        if (s->first || s->busy)
            fake_misuse("cuMemFreeHost: there is work in flight");
    pthread_mutex_unlock(&device.lock);

    free(memory_remove(host, MEMORY_PINNED, "cuMemFreeHost"));
}

void fake_memory_unregister(void *host)
{
    memory_remove(host, MEMORY_REGISTERED, "cuMemHostUnregister");
}

void fake_device_memory_free(CUdeviceptr address)
{
    free(memory_remove((void *) (uintptr_t) (address - DEVICE_ADDRESS_OFFSET), MEMORY_DEVICE,
                       "cuMemFree_v2"));
}

CUdeviceptr fake_memory_device_address(void *host)
{
    pthread_mutex_lock(&device.lock);
    memory_find(host, "cuMemHostGetDevicePointer_v2");
    pthread_mutex_unlock(&device.lock);
    return (CUdeviceptr) (uintptr_t) host + DEVICE_ADDRESS_OFFSET;
}

/* Under the lock. All rows have to lie in one pinned piece of the host's memory. */
static void check_host_rows(const FakeCopy *c, const char *what)
{
    size_t size = (c->height - 1) * c->host_pitch + c->width;

    for (const Memory *m = device.memory; m; m = m->next)
        if (m->kind != MEMORY_DEVICE && c->host >= m->host && c->host < m->host + m->size &&
            size <= m->size - (size_t) (c->host - m->host))
            return;

    fake_misuse("%s: %zu bytes at %p are not pinned", what, size, (void *) c->host);
}

/* Under the lock. Returns where the device's rows are. */
static unsigned char *check_copy(const FakeCopy *c, const char *what)
{
    if (c->width == 0 || c->height == 0 || c->host_pitch < c->width || c->device_pitch < c->width ||
        c->host_pitch > CUDA_PITCH_MAX)
        fake_misuse("%s: %zu by %zu bytes, %zu and %zu apart", what, c->width, c->height,
                    c->device_pitch, c->host_pitch);
    check_host_rows(c, what);
    return resolve(c->device, (c->height - 1) * c->device_pitch + c->width, 1, what);
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

/* Picks one of the streams that can go on, at random. */
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

/* The operands of a request are in the executor's own memory, so nobody may change them. */
static void check_operands(const Work *w)
{
    size_t element = fake_kernel_element(w->launch.kernel);
    size_t size = w->launch.request.n * element;

    if (memcmp(fake_resolve(w->launch.request.a, size, element, "kernel, a"), w->operands, size) !=
            0 ||
        memcmp(fake_resolve(w->launch.request.b, size, element, "kernel, b"), w->operands + size,
               size) != 0)
        fake_misuse("operands changed between launch and execution");
}

static void run_kernel(CUstream s, Work *w)
{
    if (device.error != CUDA_SUCCESS)
        return;
    if (w->hang) {
        s->hung = true;
        return;
    }

    device.running = true;
    pthread_mutex_unlock(&device.lock);
    if (device.slow_ms > 0)
        pass_time();
    if (w->operands)
        check_operands(w);
    if (w->fault == CUDA_SUCCESS)
        fake_kernel_run(&w->launch, 1500 + (uint64_t) device.slow_ms * 1000000);
    pthread_mutex_lock(&device.lock);
    device.running = false;

    s->status = w->fault;
    if (fake_error_is_sticky(w->fault) && device.error == CUDA_SUCCESS)
        device.error = w->fault;
}

static void run_copy(const Work *w)
{
    const FakeCopy *c = &w->copy;
    unsigned char *rows;

    if (device.error != CUDA_SUCCESS)
        return;

    rows = check_copy(c, "copy");
    device.running = true;
    pthread_mutex_unlock(&device.lock);
    for (size_t i = 0; i < c->height; i++) {
        unsigned char *host = c->host + i * c->host_pitch, *row = rows + i * c->device_pitch;

        if (c->to_device)
            memcpy(row, host, c->width);
        else
            memcpy(host, row, c->width);
    }
    pthread_mutex_lock(&device.lock);
    device.running = false;
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
        if (w->kind == WORK_CALLBACK)
            run_callback(s, w);
        else if (w->kind == WORK_COPY)
            run_copy(w);
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
        if (m->kind != MEMORY_REGISTERED)
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

/* Locks the device. */
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

/* Under the lock. Returns a copy of the operands of a request. */
static unsigned char *copy_operands(const FakeLaunch *launch)
{
    size_t element = fake_kernel_element(launch->kernel), size = launch->request.n * element;
    unsigned char *operands = malloc(2 * size);

    if (launch->request.n == 0 || size > FAKE_KERNEL_OPERAND_MAX)
        fake_misuse("cuLaunchKernel: n is %u", launch->request.n);
    if (!operands)
        abort();
    memcpy(operands, resolve(launch->request.a, size, element, "cuLaunchKernel, a"), size);
    memcpy(operands + size, resolve(launch->request.b, size, element, "cuLaunchKernel, b"), size);
    return operands;
}

void fake_stream_launch(CUstream stream, const FakeLaunch *launch, CUresult fault, bool hang)
{
    Work *w = calloc(1, sizeof(*w));

    if (!w)
        abort();
    stream_lock(stream, "cuLaunchKernel");
    w->kind = WORK_KERNEL;
    w->launch = *launch;
    w->fault = fault;
    w->hang = hang;
    if (fake_kernel_kind(launch->kernel) == FAKE_REQUEST)
        w->operands = copy_operands(launch);
    stream_push(stream, w);
    device.launched++;
    pthread_mutex_unlock(&device.lock);
}

void fake_stream_copy(CUstream stream, const FakeCopy *copy, const char *what)
{
    Work *w = calloc(1, sizeof(*w));

    if (!w)
        abort();
    stream_lock(stream, what);
    w->kind = WORK_COPY;
    w->copy = *copy;
    check_copy(copy, what);
    stream_push(stream, w);
    pthread_mutex_unlock(&device.lock);
}

void fake_stream_callback(CUstream stream, CUstreamCallback callback, void *user_data)
{
    Work *w = calloc(1, sizeof(*w));

    stream_lock(stream, "cuStreamAddCallback");
    if (!w || !callback)
        fake_misuse("cuStreamAddCallback: no callback");
    w->kind = WORK_CALLBACK;
    w->callback = callback;
    w->user_data = user_data;
    stream_push(stream, w);
    pthread_mutex_unlock(&device.lock);
}
