/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for NVIDIA GPUs.
 *
 * This file opens it and computes requests; cuda-compute.c computes in windows.
 *
 * A request is one kernel launch in the stream of its priority. The operands are
 * copied into pinned host memory that is mapped into the device; the kernel
 * reads them and writes the result there. One stream callback follows all jobs
 * that flush() finds new in a stream.
 *
 * Completion comes from a thread of the CUDA driver, which runs cuda_done().
 * That function writes its own batch's status and adds the batch's slots to those
 * that are done (done.h). Nothing else is shared.
 *
 * Measured on an H100 in a virtual machine (bench/cuda-floor.c; medians of two
 * runs; the machine's noise between runs is large wherever a thread is woken up):
 *
 * - Mapped memory against copies in and out: 10.5 and 10.8 against 12.8 and 13.4
 *   microseconds when spinning in the driver, 32 and 33 against 36 and 68 by stream
 *   callback. A request is at most a kilobyte, and each copy costs a call and a
 *   trip over the bus of its own.
 * - cuStreamAddCallback against cuLaunchHostFunc: 32 and 33 against 61 and 35
 *   microseconds; where the context spins, 25 and 40 against 27 and 36. No
 *   difference to rely on, and only the former is also called when the context is
 *   broken, with the error: that is how a fault in a kernel reaches the loop.
 * - 64 jobs in flight: 27,000 requests a second with a callback for each job and
 *   three streams for each slot, 115,000 to 166,000 with a callback for each row,
 *   whether there are 3, 6 or 48 streams. So there are 3.
 * - A context that spins, yields or blocks in the driver's waits: no difference
 *   outside the noise. This one blocks; with a kernel that never ends in flight
 *   the process uses no processor time.
 */
#include "cleanup.h"
#include "cuda-backend.h"
#include "kernels-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_THREADS 128u
#define IMAGE_FILE_MAX (64u << 20)

/* By opcode, from VGPU_OP_VECTOR_ADD_INT32 on */
static const char *const kernel_names[N_KERNELS] = {
    "vgpu_vector_add_int32",
    "vgpu_vector_add_int64",
    "vgpu_vector_add_float32",
    "vgpu_vector_add_float64",
};

/* ---- Opening ------------------------------------------------------------- */

/* Turns a CUresult into an errno, and into the one line that explains it. */
static int check(const Backend *b, CUresult result, const char *what, char *reason)
{
    if (result == CUDA_SUCCESS)
        return 0;

    snprintf(reason, BACKEND_REASON_MAX, "%s: %s (%d)", what,
             cuda_driver_error_name(&b->driver, result), result);

    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        return -ENOMEM;
    return cuda_error_is_sticky(result) ? -EIO : -ENODEV;
}

static int describe_device(Backend *b, char *reason)
{
    static const char what[] = "device information";
    const CudaDriver *d = &b->driver;
    int version, multiprocessors, major, minor, r;

    r = check(b, d->driver_get_version(&version), "driver version", reason);
    if (r == 0)
        r = check(b, d->device_get_name(b->info.name, sizeof(b->info.name), b->device), what,
                  reason);
    if (r == 0)
        r = check(b,
                  d->device_get_attribute(&multiprocessors,
                                          CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, b->device),
                  what, reason);
    if (r == 0)
        r = check(b,
                  d->device_get_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                                          b->device),
                  what, reason);
    if (r == 0)
        r = check(b,
                  d->device_get_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                                          b->device),
                  what, reason);
    if (r < 0)
        return r;

    snprintf(b->info.backend, sizeof(b->info.backend), "%s", backend_cuda.name);
    b->info.multiprocessors = (uint32_t) multiprocessors;
    b->info.compute_major = (uint32_t) major;
    b->info.compute_minor = (uint32_t) minor;
    b->info.driver_version = (uint32_t) version;
    return 0;
}

static int open_device(Backend *b, unsigned ordinal, char *reason)
{
    int count, r;

    r = check(b, b->driver.init(0), "cuInit", reason);
    if (r == 0)
        r = check(b, b->driver.device_get_count(&count), "device count", reason);
    if (r < 0)
        return r;

    if (ordinal >= (unsigned) count) {
        snprintf(reason, BACKEND_REASON_MAX, "no device %u: this host has %d", ordinal, count);
        return -ENODEV;
    }

    r = check(b, b->driver.device_get(&b->device, (int) ordinal), "device", reason);
    return r < 0 ? r : describe_device(b, reason);
}

/* The device's primary context, made once for the process's whole life. */
static int open_context(Backend *b, char *reason)
{
    const CudaDriver *d = &b->driver;
    CUcontext context;
    int r;

    r = check(b, d->primary_ctx_set_flags(b->device, CU_CTX_SCHED_BLOCKING_SYNC), "context flags",
              reason);
    if (r == 0)
        r = check(b, d->primary_ctx_retain(&context, b->device), "context", reason);
    if (r < 0)
        return r;

    b->context = context;
    return check(b, d->ctx_set_current(b->context), "context", reason);
}

static int open_streams(Backend *b, char *reason)
{
    int least, greatest, r;

    r = check(b, b->driver.ctx_get_stream_priority_range(&least, &greatest), "stream priorities",
              reason);

    for (int p = 0; r == 0 && p < VGPU_N_PRIORITIES; p++) {
        /* "Greatest" is the lower number. A device without priorities gives 0 and 0. */
        int priority = least + (greatest - least) * p / VGPU_PRIORITY_HIGH;

        b->streams[p].priority = priority;
        r = check(b,
                  b->driver.stream_create_with_priority(&b->streams[p].handle,
                                                        CU_STREAM_NON_BLOCKING, priority),
                  "stream", reason);
    }

    return r;
}

/* Reads a whole image; a NUL is put behind it, since PTX is text. */
static int read_image(const char *path, unsigned char **ret, char *reason)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE unsigned char *image = NULL;
    struct stat st;
    size_t done = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        goto fail;
    if (!S_ISREG(st.st_mode) || st.st_size > IMAGE_FILE_MAX) {
        errno = EINVAL;
        goto fail;
    }
    image = calloc(1, (size_t) st.st_size + 1);
    if (!image)
        goto fail;

    while (done < (size_t) st.st_size) {
        ssize_t n = read(fd, image + done, (size_t) st.st_size - done);

        if (n < 0)
            goto fail;
        if (n == 0)
            break;
        done += (size_t) n;
    }

    *ret = image;
    image = NULL;
    return 0;

fail:
    snprintf(reason, BACKEND_REASON_MAX, "kernels: %.150s: %s", path, strerror(errno));
    return -ENODEV;
}

static int open_kernels(Backend *b, const char *path, char *reason)
{
    CLEANUP_FREE unsigned char *file = NULL;
    const char *name = NULL;
    int r = path ? read_image(path, &file, reason) : 0;

    if (r == 0)
        r = check(b, b->driver.module_load_data(&b->module, path ? file : kernels_image), "kernels",
                  reason);
    for (unsigned i = 0; r == 0 && i < N_KERNELS; i++)
        r = check(b, cuda_kernel_load(b, kernel_names[i], &b->kernels[i]), kernel_names[i], reason);
    if (r < 0)
        return r;

    return check(b, cuda_kernels_load(b, &name), name, reason);
}

static int open_slots(Backend *b, char *reason)
{
    CUdeviceptr device;
    void *memory;
    int r;

    r = check(b,
              b->driver.mem_host_alloc(&memory, b->n_slots * sizeof(SlotMemory),
                                       CU_MEMHOSTALLOC_DEVICEMAP),
              "pinned memory", reason);
    if (r < 0)
        return r;

    b->memory = memory;
    r = check(b, b->driver.mem_host_get_device_pointer(&device, memory, 0), "mapped memory",
              reason);
    if (r < 0)
        return r;

    for (unsigned i = 0; i < b->n_slots; i++)
        b->slots[i] = (CudaSlot){
            .host = &b->memory[i],
            .device = device + i * sizeof(SlotMemory),
        };

    b->done.event_fd = eventfd(0, EFD_CLOEXEC);
    if (b->done.event_fd < 0) {
        snprintf(reason, BACKEND_REASON_MAX, "eventfd: %s", strerror(errno));
        return -errno;
    }

    r = worker_start(&b->preparer, 0, cuda_prepare_run, b);
    if (r < 0)
        snprintf(reason, BACKEND_REASON_MAX, "thread: %s", strerror(-r));
    return r;
}

/* Takes a half-opened backend, too. */
static Backend *cuda_close(Backend *b)
{
    if (!b)
        return NULL;

    worker_stop(&b->preparer);
    for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
        cuda_pipeline_close(b, &b->streams[p].pipeline);
        if (!b->streams[p].handle)
            continue;
        b->driver.stream_synchronize(b->streams[p].handle);
        b->driver.stream_destroy(b->streams[p].handle);
    }
    cuda_blas_close(&b->blas);
    if (b->reports)
        b->driver.mem_free_host(b->reports);
    if (b->memory)
        b->driver.mem_free_host(b->memory);
    if (b->module)
        b->driver.module_unload(b->module);
    if (b->context)
        b->driver.primary_ctx_release(b->device);
    cleanup_close(&b->done.event_fd);
    cuda_driver_close(&b->driver);
    free(b);
    return NULL;
}

static void backend_closep(Backend **b)
{
    cuda_close(*b);
}

/* Variables that the driver reads in cuInit(). What the administrator set stays. */
static void set_environment(const CudaDriver *d)
{
    /* Our kernels are all loaded now, not each at its first launch, which would wait for
     * kernels that are running. By name where the driver can (12.4 and later): loading
     * everything would mean all of cuBLAS, too, which takes seconds instead of a tenth. */
    setenv("CUDA_MODULE_LOADING", d->func_load ? "LAZY" : "EAGER", 0);
    /* PTX is compiled only on a GPU newer than this build, and takes milliseconds:
     * not worth a cache on disk, which the mediator's sandbox forbids anyway. */
    setenv("CUDA_CACHE_DISABLE", "1", 0);
}

static int cuda_open(const BackendOptions *options, Backend **ret, char *reason)
{
    __attribute__((cleanup(backend_closep))) Backend *b = NULL;
    int r;

    if (!options->kernels && kernels_image_size == 0) {
        snprintf(reason, BACKEND_REASON_MAX,
                 "this build has no kernels, for lack of nvcc (--kernels=FILE gives some)");
        return -ENODEV;
    }

    b = calloc(1, sizeof(*b));
    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }
    b->n_slots = options->n_slots;
    b->done.event_fd = -1;

    r = cuda_driver_open(&b->driver, reason, BACKEND_REASON_MAX);
    set_environment(&b->driver);
    if (r == 0)
        r = open_device(b, options->device, reason);
    if (r == 0)
        r = open_context(b, reason);
    if (r == 0)
        r = open_streams(b, reason);
    if (r == 0)
        r = open_kernels(b, options->kernels, reason);
    if (r == 0)
        r = open_slots(b, reason);
    if (r < 0)
        return r;

    *ret = b;
    b = NULL;
    return 0;
}

/* ---- Computing ----------------------------------------------------------- */

/* Remembers that the process is unusable, if that is what @result says. */
uint32_t cuda_note(Backend *b, CUresult result)
{
    if (cuda_error_is_sticky(result) && b->lost == CUDA_SUCCESS)
        b->lost = result;

    return (uint32_t) result;
}

static uint32_t cuda_device_info(Backend *b, VGPUDeviceInfo *ret)
{
    VGPUDeviceInfo info = b->info;
    size_t free_bytes, total_bytes;
    uint32_t r = cuda_note(b, b->driver.mem_get_info(&free_bytes, &total_bytes));

    if (r != 0)
        return r;

    info.memory_total = total_bytes;
    info.memory_free = free_bytes;
    *ret = info;
    return 0;
}

/* Runs on a thread of the driver, which forbids calls into CUDA here. */
static void cuda_done(CUstream stream, CUresult status, void *user_data)
{
    CudaBatch *batch = user_data;

    (void) stream;

    batch->status = status;
    done_add(&batch->backend->done, batch->slots);
}

static CUresult launch(Backend *b, const CudaSlot *slot, CUstream stream, const Job *job)
{
    CUdeviceptr va = slot->device + offsetof(SlotMemory, a);
    CUdeviceptr vb = slot->device + offsetof(SlotMemory, b);
    CUdeviceptr vc = slot->device + offsetof(SlotMemory, c);
    CUdeviceptr exec_time_ns = slot->device + offsetof(SlotMemory, exec_time_ns);
    uint32_t n = job->n;
    void *params[] = {&va, &vb, &vc, &n, &exec_time_ns};

    return b->driver.launch_kernel(b->kernels[job->opcode - VGPU_OP_VECTOR_ADD_INT32], 1, 1, 1,
                                   BLOCK_THREADS, 1, 1, 0, stream, params, NULL);
}

static bool cuda_submit(Backend *b, unsigned index, const Job *job, Completion *ret)
{
    CudaSlot *slot = &b->slots[index];
    CudaStream *stream = &b->streams[job->priority];
    size_t size = job->n * vgpu_element_size(job->opcode);
    uint32_t r;

    slot->in_window = false;
    memcpy(slot->host->a, job->a, size);
    memcpy(slot->host->b, job->b, size);

    r = cuda_note(b, launch(b, slot, stream->handle, job));
    if (r != 0) {
        *ret = (Completion){.slot = index, .cuda_result = r};
        return true;
    }

    stream->unannounced |= UINT64_C(1) << index;
    return false;
}

static void flush_stream(Backend *b, CudaStream *stream)
{
    CudaBatch *batch = &b->batches[__builtin_ctzll(stream->unannounced)];
    CUresult r;

    *batch = (CudaBatch){.backend = b, .slots = stream->unannounced};
    for (uint64_t slots = batch->slots; slots != 0; slots &= slots - 1)
        b->slots[__builtin_ctzll(slots)].batch = batch;
    stream->unannounced = 0;

    r = b->driver.stream_add_callback(stream->handle, cuda_done, batch, 0);
    cuda_note(b, r);
    if (r == CUDA_SUCCESS || cuda_error_is_sticky(r))
        return;

    /* The jobs run, but nobody would say when they are done: wait for them here. */
    batch->status = b->driver.stream_synchronize(stream->handle);
    done_add(&b->done, batch->slots);
}

/* A window is registered with its first job. */
static void cuda_window_add(Backend *b, MappedWindow *window)
{
    (void) b;
    (void) window;
}

static void cuda_flush(Backend *b)
{
    for (int p = VGPU_PRIORITY_HIGH; p >= VGPU_PRIORITY_LOW; p--)
        if (b->streams[p].unannounced != 0)
            flush_stream(b, &b->streams[p]);
}

uint32_t cuda_ns_to_us(uint64_t ns)
{
    uint64_t us = ns / 1000 + (ns % 1000 != 0);

    return us < UINT32_MAX ? (uint32_t) us : UINT32_MAX;
}

static unsigned cuda_collect(Backend *b, Completion ret[])
{
    uint64_t done = done_take(&b->done);
    unsigned n = 0;

    for (; done != 0; done &= done - 1) {
        unsigned index = (unsigned) __builtin_ctzll(done);
        const CudaSlot *slot = &b->slots[index];
        CUresult status = slot->batch ? slot->batch->status : CUDA_SUCCESS;
        uint32_t r;

        if (slot->in_window) {
            n += cuda_compute_collect(b, index, status, &ret[n]);
            continue;
        }
        r = cuda_note(b, status);
        ret[n++] = (Completion){
            .slot = index,
            .cuda_result = r,
            .exec_time_us = r == 0 ? cuda_ns_to_us(slot->host->exec_time_ns) : 0,
            .c = r == 0 ? slot->host->c : NULL,
        };
    }

    cuda_flush(b); /* what has only been prepared */
    return n;
}

static int cuda_wait_fd(Backend *b)
{
    return b->done.event_fd;
}

static uint32_t cuda_lost(Backend *b)
{
    return (uint32_t) b->lost;
}

const BackendOps backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .device_info = cuda_device_info,
    .submit = cuda_submit,
    .window_add = cuda_window_add,
    .window_remove = cuda_window_remove,
    .compute = cuda_compute,
    .flush = cuda_flush,
    .collect = cuda_collect,
    .wait_fd = cuda_wait_fd,
    .lost = cuda_lost,
};
