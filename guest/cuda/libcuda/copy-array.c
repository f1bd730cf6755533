/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of bytes of an array in a row: of its first one, where it has several. */
#include "copy-box.h"
#include "cuda-api-arrays.h"

static CopyBoxEnd row_array(CUarray array, size_t offset)
{
    return (CopyBoxEnd){.type = COPY_BOX_ARRAY, .array = array, .x_bytes = offset};
}

static CopyBoxEnd row_device(CUdeviceptr address)
{
    return (CopyBoxEnd){.type = COPY_BOX_DEVICE, .device = address};
}

static CopyBoxEnd row_host(const void *memory)
{
    return (CopyBoxEnd){.type = COPY_BOX_HOST, .host = (void *) memory};
}

static CUresult row_copy(CopyBoxEnd to, CopyBoxEnd from, size_t size, CUstream stream,
                         bool is_async)
{
    const CopyBox box = {.to = to, .from = from, .width = size, .height = 1, .depth = 1};

    return libcuda_copy_box(&box, stream, is_async);
}

CUresult cuMemcpyAtoA_v2(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                         size_t size)
{
    return row_copy(row_array(to, to_offset), row_array(from, from_offset), size, NULL, false);
}

CUresult cuMemcpyAtoA_v2_ptds(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                              size_t size)
{
    return row_copy(row_array(to, to_offset), row_array(from, from_offset), size,
                    CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpyAtoD_v2(CUdeviceptr to, CUarray from, size_t offset, size_t size)
{
    return row_copy(row_device(to), row_array(from, offset), size, NULL, false);
}

CUresult cuMemcpyAtoD_v2_ptds(CUdeviceptr to, CUarray from, size_t offset, size_t size)
{
    return row_copy(row_device(to), row_array(from, offset), size, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpyDtoA_v2(CUarray to, size_t offset, CUdeviceptr from, size_t size)
{
    return row_copy(row_array(to, offset), row_device(from), size, NULL, false);
}

CUresult cuMemcpyDtoA_v2_ptds(CUarray to, size_t offset, CUdeviceptr from, size_t size)
{
    return row_copy(row_array(to, offset), row_device(from), size, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpyAtoH_v2(void *to, CUarray from, size_t offset, size_t size)
{
    return row_copy(row_host(to), row_array(from, offset), size, NULL, false);
}

CUresult cuMemcpyAtoH_v2_ptds(void *to, CUarray from, size_t offset, size_t size)
{
    return row_copy(row_host(to), row_array(from, offset), size, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpyHtoA_v2(CUarray to, size_t offset, const void *from, size_t size)
{
    return row_copy(row_array(to, offset), row_host(from), size, NULL, false);
}

CUresult cuMemcpyHtoA_v2_ptds(CUarray to, size_t offset, const void *from, size_t size)
{
    return row_copy(row_array(to, offset), row_host(from), size, CU_STREAM_PER_THREAD, false);
}

CUresult cuMemcpyAtoHAsync_v2(void *to, CUarray from, size_t offset, size_t size, CUstream stream)
{
    return row_copy(row_host(to), row_array(from, offset), size, stream, true);
}

CUresult cuMemcpyAtoHAsync_v2_ptsz(void *to, CUarray from, size_t offset, size_t size,
                                   CUstream stream)
{
    return cuMemcpyAtoHAsync_v2(to, from, offset, size, libcuda_per_thread(stream));
}

CUresult cuMemcpyHtoAAsync_v2(CUarray to, size_t offset, const void *from, size_t size,
                              CUstream stream)
{
    return row_copy(row_array(to, offset), row_host(from), size, stream, true);
}

CUresult cuMemcpyHtoAAsync_v2_ptsz(CUarray to, size_t offset, const void *from, size_t size,
                                   CUstream stream)
{
    return cuMemcpyHtoAAsync_v2(to, offset, from, size, libcuda_per_thread(stream));
}
