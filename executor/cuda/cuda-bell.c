/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-bell.h"

#include <sys/eventfd.h>

/* Also runs on a thread of the driver, which forbids calls into CUDA here. Calls for one stream
 * follow each other. */
static void cuda_bell_ring(CUstream stream, CUresult status, void *user_data)
{
    CudaBell *bell = user_data;
    /* Read before the bell has rung: then the backend may be closed. */
    int event_fd = bell->event_fd;
    uint64_t number = atomic_load(&bell->rung) + 1;

    (void) stream;

    if (status != CUDA_SUCCESS) {
        atomic_store(&bell->status, status);
        atomic_store(&bell->failed, number);
    }
    atomic_store(&bell->rung, number);
    eventfd_write(event_fd, 1);
}

uint64_t cuda_bell_set(CudaBell *bell, CudaDevice *device, CUstream stream, int event_fd)
{
    const CudaDriver *d = &device->driver;
    CUresult r;

    bell->event_fd = event_fd;
    r = cuda_device_note(device, d->stream_add_callback(stream, cuda_bell_ring, bell, 0));
    /* The work runs, but nobody would say when it ends. So wait for it here, and for the bells
     * before. */
    if (r != CUDA_SUCCESS && !cuda_error_is_sticky(r))
        cuda_bell_ring(stream, d->stream_synchronize(stream), bell);
    return ++bell->n_set;
}

bool cuda_bell_has_rung(const CudaBell *bell, uint64_t number, CUresult *ret)
{
    if (atomic_load(&bell->rung) < number)
        return false;
    *ret = atomic_load(&bell->failed) >= number ? atomic_load(&bell->status) : CUDA_SUCCESS;
    return true;
}
