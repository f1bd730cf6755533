/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-kernels.h"

#include "cleanup.h"
#include "kernels-image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define IMAGE_FILE_MAX (64u << 20)
/* Of a request's kernel, which is one block */
#define BLOCK_THREADS 128u

/* ---- Loading --------------------------------------------------------------------- */

/* Reads a whole image; a NUL is put behind it, since PTX is text. Returns 0 or a negative
 * errno. */
static int cuda_kernels_read(const char *path, unsigned char **ret)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE unsigned char *image = NULL;
    struct stat st;
    size_t done = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > IMAGE_FILE_MAX)
        return -EINVAL;
    image = calloc(1, (size_t) st.st_size + 1);
    if (!image)
        return -ENOMEM;

    while (done < (size_t) st.st_size) {
        ssize_t n = read(fd, image + done, (size_t) st.st_size - done);

        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t) n;
    }

    *ret = TAKE_PTR(image);
    return 0;
}

static int cuda_kernels_load(CudaKernels *k, const char *path, char *reason)
{
    CLEANUP_FREE unsigned char *file = NULL;
    int r = path ? cuda_kernels_read(path, &file) : 0;

    if (r < 0) {
        snprintf(reason, BACKEND_REASON_MAX, "kernels: %.150s: %s", path, strerror(-r));
        return r == -ENOMEM ? r : -ENODEV;
    }
    return cuda_device_check(
        k->device, k->device->driver.module_load_data(&k->module, path ? file : kernels_image),
        "kernels", reason);
}

static CUresult cuda_kernels_look_up(const CudaKernels *k, const char *name, CUfunction *ret)
{
    const CudaDriver *d = &k->device->driver;
    CUresult r = d->module_get_function(ret, k->module, name);

    if (r == CUDA_SUCCESS && d->func_load)
        r = d->func_load(*ret);
    return r;
}

int cuda_kernels_open(CudaKernels *k, const CudaDevice *device, const char *path, char *reason)
{
    const struct {
        CUfunction *function;
        const char *name;
    } kernels[] = {
        {&k->vector_add[0], "vgpu_vector_add_int32"},
        {&k->vector_add[1], "vgpu_vector_add_int64"},
        {&k->vector_add[2], "vgpu_vector_add_float32"},
        {&k->vector_add[3], "vgpu_vector_add_float64"},
#define OF(type, suffix, name) {&k->name[type], "vgpu_ring_" #name "_" #suffix}
#define OF_FLOATING_TYPES(name) \
    OF(VGPU_TYPE_FLOAT32, float32, name), OF(VGPU_TYPE_FLOAT64, float64, name)
#define OF_EVERY_TYPE(name) \
    OF(VGPU_TYPE_INT32, int32, name), OF(VGPU_TYPE_INT64, int64, name), OF_FLOATING_TYPES(name)
        OF_EVERY_TYPE(add),
        OF_EVERY_TYPE(mul),
        OF_FLOATING_TYPES(axpy),
        OF_EVERY_TYPE(dot),
        OF_EVERY_TYPE(sum),
        OF_EVERY_TYPE(extremes),
        OF_FLOATING_TYPES(matmul),
#undef OF_EVERY_TYPE
#undef OF_FLOATING_TYPES
#undef OF
    };
    int r;

    k->device = device;
    r = cuda_kernels_load(k, path, reason);
    for (size_t i = 0; r == 0 && i < ELEMENTSOF(kernels); i++)
        r = cuda_device_check(device, cuda_kernels_look_up(k, kernels[i].name, kernels[i].function),
                              kernels[i].name, reason);
    return r;
}

void cuda_kernels_close(CudaKernels *k)
{
    if (k->module)
        k->device->driver.module_unload(k->module);
    *k = (CudaKernels){0};
}

/* ---- Launching ------------------------------------------------------------------- */

static CUfunction cuda_kernels_of(const CudaKernels *k, const VGPUSubmission *s)
{
    switch (s->opcode) {
    case VGPU_OP_RING_ADD:
        return k->add[s->type];
    case VGPU_OP_RING_MUL:
        return k->mul[s->type];
    case VGPU_OP_RING_AXPY:
        return k->axpy[s->type];
    case VGPU_OP_RING_DOT:
        return k->dot[s->type];
    case VGPU_OP_RING_SUM:
        return k->sum[s->type];
    case VGPU_OP_RING_MATMUL:
        return k->matmul[s->type];
    default: /* MIN and MAX */
        return k->extremes[s->type];
    }
}

static CUresult cuda_kernels_launch(const CudaKernels *k, const VGPUSubmission *s, unsigned grid_x,
                                    unsigned grid_y, CUstream stream, void *argument)
{
    void *params[] = {argument};

    return k->device->driver.launch_kernel(cuda_kernels_of(k, s), grid_x, grid_y, 1, KERNEL_THREADS,
                                           1, 1, 0, stream, params, NULL);
}

CUresult cuda_kernels_vector_add(const CudaKernels *k, uint32_t opcode, void *params[],
                                 CUstream stream)
{
    uint32_t i = opcode - VGPU_OP_VECTOR_ADD_INT32;

    assert(i < CUDA_N_VECTOR_ADDS);
    return k->device->driver.launch_kernel(k->vector_add[i], 1, 1, 1, BLOCK_THREADS, 1, 1, 0,
                                           stream, params, NULL);
}

CUresult cuda_kernels_vector(const CudaKernels *k, const VGPUSubmission *s, KernelVector *v,
                             unsigned blocks, CUstream stream)
{
    return cuda_kernels_launch(k, s, blocks, 1, stream, v);
}

CUresult cuda_kernels_matmul(const CudaKernels *k, const VGPUSubmission *s, KernelMatmul *m,
                             CUstream stream)
{
    return cuda_kernels_launch(k, s, (m->n + KERNEL_TILE - 1) / KERNEL_TILE,
                               (m->m + KERNEL_TILE - 1) / KERNEL_TILE, stream, m);
}
