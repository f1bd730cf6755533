/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backend for NVIDIA GPUs.
 *
 * A job is one kernel launch and one stream callback. The operands are copied
 * into pinned host memory that is mapped into the device; the kernel reads them
 * and writes the result there.
 *
 * Completion comes from a thread of the CUDA driver, which runs cuda_done().
 * That function writes its own slot's status, sets the slot's bit in one atomic
 * word, and signals an eventfd if the word was empty. The loop's thread takes
 * the whole word at once and then reads the statuses; release and acquire on
 * the word order the two. Nothing else is shared. No signal is lost: a bit that
 * is set while others are set is taken together with them.
 *
 * cuStreamAddCallback rather than cuLaunchHostFunc, because only the former is
 * also called when the context is broken, with the error: that is how a fault
 * in a kernel reaches the loop.
 */
#include "backend.h"

#include "cuda-driver.h"
#include "kernels-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_KERNELS 4u
#define BLOCK_THREADS 128u
#define IMAGE_FILE_MAX (64u << 20)

/* What the device sees of a slot. Each part starts a cache line of its own. */
typedef struct SlotMemory {
    alignas(128) unsigned char a[BACKEND_OPERAND_MAX];
    alignas(128) unsigned char b[BACKEND_OPERAND_MAX];
    alignas(128) unsigned char c[BACKEND_OPERAND_MAX];
    alignas(128) uint64_t exec_time_ns;
} SlotMemory;

typedef struct CudaSlot {
    Backend *backend;
    unsigned index;
    CUstream streams[VGPU_N_PRIORITIES]; /* made when first needed */
    SlotMemory *host;
    CUdeviceptr device; /* host, as the device sees it */
    CUresult status;    /* the callback's, valid when the slot's bit is taken */
} CudaSlot;

struct Backend {
    CudaDriver driver;
    CUdevice device;
    CUcontext context;
    CUmodule module;
    CUfunction kernels[N_KERNELS];
    int stream_priorities[VGPU_N_PRIORITIES];
    SlotMemory *memory;
    VGPUDeviceInfo info; /* all but memory_free */
    CUresult lost;
    int event_fd;
    atomic_uint_least64_t done; /* bit i: slot i */
    unsigned n_slots;
    CudaSlot slots[];
};

/* By opcode, from VGPU_OP_VECTOR_ADD_INT32 on */
static const char *const kernel_names[N_KERNELS] = {
    "vgpu_vector_add_int32",
    "vgpu_vector_add_int64",
    "vgpu_vector_add_float32",
    "vgpu_vector_add_float64",
};

/* ---- Opening ------------------------------------------------------------- */

static void freep(void *p)
{
    free(*(void **) p);
}

static void close_fdp(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

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
    int least, greatest, r;

    r = check(b, d->primary_ctx_set_flags(b->device, CU_CTX_SCHED_BLOCKING_SYNC), "context flags",
              reason);
    if (r == 0)
        r = check(b, d->primary_ctx_retain(&context, b->device), "context", reason);
    if (r < 0)
        return r;

    b->context = context;
    r = check(b, d->ctx_set_current(b->context), "context", reason);
    if (r == 0)
        r = check(b, d->ctx_get_stream_priority_range(&least, &greatest), "stream priorities",
                  reason);
    if (r < 0)
        return r;

    /* "Greatest" is the lower number. A device without priorities gives 0 and 0. */
    b->stream_priorities[VGPU_PRIORITY_LOW] = least;
    b->stream_priorities[VGPU_PRIORITY_MEDIUM] = least + (greatest - least) / 2;
    b->stream_priorities[VGPU_PRIORITY_HIGH] = greatest;
    return 0;
}

/* Reads a whole image; a NUL is put behind it, since PTX is text. */
static int read_image(const char *path, unsigned char **ret, char *reason)
{
    __attribute__((cleanup(close_fdp))) int fd = open(path, O_RDONLY | O_CLOEXEC);
    __attribute__((cleanup(freep))) unsigned char *image = NULL;
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
    __attribute__((cleanup(freep))) unsigned char *file = NULL;
    int r = path ? read_image(path, &file, reason) : 0;

    if (r == 0)
        r = check(b, b->driver.module_load_data(&b->module, path ? file : kernels_image), "kernels",
                  reason);
    for (unsigned i = 0; r == 0 && i < N_KERNELS; i++)
        r = check(b, b->driver.module_get_function(&b->kernels[i], b->module, kernel_names[i]),
                  kernel_names[i], reason);

    return r;
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
            .backend = b,
            .index = i,
            .host = &b->memory[i],
            .device = device + i * sizeof(SlotMemory),
        };

    b->event_fd = eventfd(0, EFD_CLOEXEC);
    if (b->event_fd < 0) {
        snprintf(reason, BACKEND_REASON_MAX, "eventfd: %s", strerror(errno));
        return -errno;
    }

    return 0;
}

/* Takes a half-opened backend, too. */
static Backend *cuda_close(Backend *b)
{
    if (!b)
        return NULL;

    for (unsigned i = 0; i < b->n_slots; i++) {
        for (unsigned p = 0; p < VGPU_N_PRIORITIES; p++) {
            if (!b->slots[i].streams[p])
                continue;
            b->driver.stream_synchronize(b->slots[i].streams[p]);
            b->driver.stream_destroy(b->slots[i].streams[p]);
        }
    }
    if (b->memory)
        b->driver.mem_free_host(b->memory);
    if (b->module)
        b->driver.module_unload(b->module);
    if (b->context)
        b->driver.primary_ctx_release(b->device);
    close_fdp(&b->event_fd);
    cuda_driver_close(&b->driver);
    free(b);
    return NULL;
}

static void backend_closep(Backend **b)
{
    cuda_close(*b);
}

/* Variables that the driver reads in cuInit(). What the administrator set stays. */
static void set_environment(void)
{
    /* Load all kernels now, not each at its first launch. */
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
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
                 "this build has no kernels, since nvcc was not there (--kernels=FILE gives some)");
        return -ENODEV;
    }

    b = calloc(1, sizeof(*b) + options->n_slots * sizeof(CudaSlot));
    if (!b) {
        snprintf(reason, BACKEND_REASON_MAX, "out of memory");
        return -ENOMEM;
    }
    b->n_slots = options->n_slots;
    b->event_fd = -1;

    set_environment();
    r = cuda_driver_open(&b->driver, reason, BACKEND_REASON_MAX);
    if (r == 0)
        r = open_device(b, options->device, reason);
    if (r == 0)
        r = open_context(b, reason);
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
static uint32_t note(Backend *b, CUresult result)
{
    if (cuda_error_is_sticky(result) && b->lost == CUDA_SUCCESS)
        b->lost = result;

    return (uint32_t) result;
}

static uint32_t cuda_device_info(Backend *b, VGPUDeviceInfo *ret)
{
    VGPUDeviceInfo info = b->info;
    size_t free_bytes, total_bytes;
    uint32_t r = note(b, b->driver.mem_get_info(&free_bytes, &total_bytes));

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
    CudaSlot *slot = user_data;
    Backend *b = slot->backend;
    int event_fd = b->event_fd;

    (void) stream;

    slot->status = status;
    if (atomic_fetch_or_explicit(&b->done, UINT64_C(1) << slot->index, memory_order_acq_rel) == 0)
        eventfd_write(event_fd, 1);
}

static CUresult launch(Backend *b, CudaSlot *slot, CUstream stream, const Job *job)
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

static CUresult start(Backend *b, CudaSlot *slot, const Job *job)
{
    CUstream *stream = &slot->streams[job->priority];
    size_t size = job->n * vgpu_element_size(job->opcode);
    CUresult r = CUDA_SUCCESS;

    if (!*stream)
        r = b->driver.stream_create_with_priority(stream, CU_STREAM_NON_BLOCKING,
                                                  b->stream_priorities[job->priority]);
    if (r != CUDA_SUCCESS)
        return r;

    memcpy(slot->host->a, job->a, size);
    memcpy(slot->host->b, job->b, size);

    r = launch(b, slot, *stream, job);
    if (r != CUDA_SUCCESS)
        return r;

    r = b->driver.stream_add_callback(*stream, cuda_done, slot, 0);
    /* Nobody will say when the kernel is done with the slot's memory. */
    if (r != CUDA_SUCCESS && !cuda_error_is_sticky(r))
        b->driver.stream_synchronize(*stream);
    return r;
}

static bool cuda_submit(Backend *b, unsigned index, const Job *job, Completion *ret)
{
    uint32_t r = note(b, start(b, &b->slots[index], job));

    if (r == 0)
        return false;

    *ret = (Completion){.slot = index, .cuda_result = r};
    return true;
}

static uint32_t ns_to_us(uint64_t ns)
{
    uint64_t us = ns / 1000 + (ns % 1000 != 0);

    return us < UINT32_MAX ? (uint32_t) us : UINT32_MAX;
}

static unsigned cuda_collect(Backend *b, Completion ret[])
{
    uint64_t done = atomic_exchange_explicit(&b->done, 0, memory_order_acq_rel);
    unsigned n = 0;

    for (; done != 0; done &= done - 1) {
        CudaSlot *slot = &b->slots[__builtin_ctzll(done)];
        uint32_t r = note(b, slot->status);

        ret[n++] = (Completion){
            .slot = slot->index,
            .cuda_result = r,
            .exec_time_us = r == 0 ? ns_to_us(slot->host->exec_time_ns) : 0,
            .c = r == 0 ? slot->host->c : NULL,
        };
    }

    return n;
}

static int cuda_wait_fd(Backend *b)
{
    return b->event_fd;
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
    .collect = cuda_collect,
    .wait_fd = cuda_wait_fd,
    .lost = cuda_lost,
};
