/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where managed memory is to be: it is where the device and the program reach it already. What is
 * to be discarded stays as it was, which is as good as anything else.
 */
#include "context.h"
#include "cuda-api-memory.h"
#include "managed-memory.h"

/* Nothing of this can be a node of a graph. */
static CUresult prefetch_enter(CUstream handle)
{
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    return __atomic_load_n(&stream->is_capturing, __ATOMIC_RELAXED)
               ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
               : CUDA_SUCCESS;
}

static void prefetch_note(ManagedPage *page, void *userdata)
{
    page->prefetched = *(const ManagedPlace *) userdata;
}

static void prefetch_pass(const ManagedPage *page, void *userdata)
{
    (void) page, (void) userdata;
}

/* ---- One range ---------------------------------------------------------------------------------
 */

CUresult cuMemPrefetchAsync_v2(CUdeviceptr address, size_t size, MemLocation location,
                               unsigned flags, CUstream stream)
{
    ManagedPlace place;
    CUresult r = prefetch_enter(stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    r = managed_place(&location, &place);
    return r == CUDA_SUCCESS ? managed_note(address, size, prefetch_note, &place) : r;
}

CUresult cuMemPrefetchAsync_v2_ptsz(CUdeviceptr address, size_t size, MemLocation location,
                                    unsigned flags, CUstream stream)
{
    return cuMemPrefetchAsync_v2(address, size, location, flags, libcuda_per_thread(stream));
}

CUresult cuMemPrefetchAsync(CUdeviceptr address, size_t size, CUdevice device, CUstream stream)
{
    return cuMemPrefetchAsync_v2(address, size, managed_location(device), 0, stream);
}

CUresult cuMemPrefetchAsync_ptsz(CUdeviceptr address, size_t size, CUdevice device, CUstream stream)
{
    return cuMemPrefetchAsync(address, size, device, libcuda_per_thread(stream));
}

/* ---- Batches -----------------------------------------------------------------------------------
 */

/* All of a batch is checked before any of it is done. */
static CUresult batch_check(const CUdeviceptr *addresses, const size_t *sizes, size_t n,
                            unsigned long long flags, CUstream stream)
{
    CUresult r = prefetch_enter(stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (!addresses || !sizes || n == 0 || flags != 0 || !stream || stream == CU_STREAM_LEGACY)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++)
        r = managed_look(addresses[i], sizes[i], prefetch_pass, NULL);
    return r;
}

/* Location @k is for the ranges from indices[k] on. */
static CUresult batch_check_locations(const MemLocation *locations, const size_t *indices,
                                      size_t n_locations, size_t n)
{
    CUresult r = CUDA_SUCCESS;
    ManagedPlace place;

    if (!locations || !indices || n_locations == 0 || n_locations > n || indices[0] != 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t k = 0; r == CUDA_SUCCESS && k < n_locations; k++) {
        if (indices[k] >= n || (k > 0 && indices[k] <= indices[k - 1]))
            return CUDA_ERROR_INVALID_VALUE;
        r = managed_place(&locations[k], &place);
    }
    return r;
}

CUresult cuMemPrefetchBatchAsync(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                 MemLocation *locations, size_t *indices, size_t n_locations,
                                 unsigned long long flags, CUstream stream)
{
    CUresult r = batch_check(addresses, sizes, n, flags, stream);
    ManagedPlace place;
    size_t k = 0;

    if (r == CUDA_SUCCESS)
        r = batch_check_locations(locations, indices, n_locations, n);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n; i++) {
        if (k + 1 < n_locations && indices[k + 1] == i)
            k++;
        r = managed_place(&locations[k], &place);
        if (r == CUDA_SUCCESS)
            r = managed_note(addresses[i], sizes[i], prefetch_note, &place);
    }
    return r;
}

CUresult cuMemPrefetchBatchAsync_ptsz(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                      MemLocation *locations, size_t *indices, size_t n_locations,
                                      unsigned long long flags, CUstream stream)
{
    return cuMemPrefetchBatchAsync(addresses, sizes, n, locations, indices, n_locations, flags,
                                   libcuda_per_thread(stream));
}

CUresult cuMemDiscardBatchAsync(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                unsigned long long flags, CUstream stream)
{
    return batch_check(addresses, sizes, n, flags, stream);
}

CUresult cuMemDiscardBatchAsync_ptsz(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                     unsigned long long flags, CUstream stream)
{
    return cuMemDiscardBatchAsync(addresses, sizes, n, flags, libcuda_per_thread(stream));
}

CUresult cuMemDiscardAndPrefetchBatchAsync(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                           MemLocation *locations, size_t *indices,
                                           size_t n_locations, unsigned long long flags,
                                           CUstream stream)
{
    return cuMemPrefetchBatchAsync(addresses, sizes, n, locations, indices, n_locations, flags,
                                   stream);
}

CUresult cuMemDiscardAndPrefetchBatchAsync_ptsz(CUdeviceptr *addresses, size_t *sizes, size_t n,
                                                MemLocation *locations, size_t *indices,
                                                size_t n_locations, unsigned long long flags,
                                                CUstream stream)
{
    return cuMemPrefetchBatchAsync_ptsz(addresses, sizes, n, locations, indices, n_locations, flags,
                                        stream);
}

/* ---- Streams -----------------------------------------------------------------------------------
 */

/* Whom the program lets touch the memory: all may. */
CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t size, unsigned flags)
{
    MemoryPiece piece;
    CUresult r = prefetch_enter(stream);

    if (r != CUDA_SUCCESS)
        return r;
    if ((flags != ATTACH_GLOBAL && flags != ATTACH_HOST && flags != ATTACH_SINGLE) ||
        (flags == ATTACH_SINGLE && (!stream || stream == CU_STREAM_LEGACY)) ||
        !memory_map_find(address, &piece) || piece.kind != MEMORY_MANAGED ||
        (size != 0 && (address != piece.address || size != piece.size)))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

CUresult cuStreamAttachMemAsync_ptsz(CUstream stream, CUdeviceptr address, size_t size,
                                     unsigned flags)
{
    return cuStreamAttachMemAsync(libcuda_per_thread(stream), address, size, flags);
}
