/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-completion.h"

#include "cleanup.h"
#include "clock.h"

#include <assert.h>
#include <errno.h>

void cuda_completion_init(CudaCompletion *c, CudaDevice *device)
{
    *c = (CudaCompletion){.device = device, .done.event_fd = -1};
}

int cuda_completion_open(CudaCompletion *c)
{
    c->done.event_fd = eventfd(0, EFD_CLOEXEC);
    return c->done.event_fd < 0 ? -errno : 0;
}

void cuda_completion_close(CudaCompletion *c)
{
    cleanup_close(&c->done.event_fd);
    c->done.event_fd = -1;
}

/* Runs on a thread of the driver, which forbids calls into CUDA here. */
static void cuda_batch_done(CUstream stream, CUresult status, void *user_data)
{
    CudaBatch *batch = user_data;
    int none = CUDA_SUCCESS;

    (void) stream;

    if (status != CUDA_SUCCESS)
        atomic_compare_exchange_strong(&batch->status, &none, status);
    if (atomic_fetch_sub(&batch->pending, 1) > 1)
        return;

    batch->end_nsec = now_nsec();
    done_add(&batch->completion->done, UINT64_C(1) << batch->slot);
}

void cuda_completion_announce(CudaCompletion *c, unsigned slot, const CUstream streams[],
                              unsigned n)
{
    const CudaDriver *d = &c->device->driver;
    CudaBatch *batch = &c->batches[slot];

    assert(n > 0);

    batch->completion = c;
    batch->slot = slot;
    atomic_store(&batch->pending, n);
    atomic_store(&batch->status, CUDA_SUCCESS);

    for (unsigned i = 0; i < n; i++) {
        CUresult r = d->stream_add_callback(streams[i], cuda_batch_done, batch, 0);

        cuda_device_note(c->device, r);
        if (r == CUDA_SUCCESS || cuda_error_is_sticky(r))
            continue;
        /* The work runs, but nobody would say when it ends. So wait for it here. */
        cuda_batch_done(streams[i], d->stream_synchronize(streams[i]), batch);
    }
}

void cuda_completion_signal(CudaCompletion *c, unsigned slot)
{
    done_add(&c->done, UINT64_C(1) << slot);
}

uint64_t cuda_completion_take(CudaCompletion *c)
{
    return done_take(&c->done);
}

CudaEnd cuda_completion_end(const CudaCompletion *c, unsigned slot)
{
    const CudaBatch *batch = &c->batches[slot];

    assert(batch->completion && batch->pending == 0);
    return (CudaEnd){.status = batch->status, .nsec = batch->end_nsec};
}

int cuda_completion_fd(const CudaCompletion *c)
{
    return c->done.event_fd;
}
