/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-pipeline.h"

void cuda_pipeline_close(CudaPipeline *p, const CudaDriver *d, const CudaBlas *blas)
{
    for (unsigned i = 0; i < CUDA_N_PIPES; i++) {
        CudaPipe *pipe = &p->pipes[i];

        if (pipe->stream)
            d->stream_synchronize(pipe->stream);
        if (pipe->blas)
            blas->destroy(pipe->blas);
        for (unsigned k = 0; k < 3; k++)
            if (pipe->buffers[k])
                d->mem_free(pipe->buffers[k]);
        if (pipe->stream)
            d->stream_destroy(pipe->stream);
    }
    *p = (CudaPipeline){0};
}

CUresult cuda_pipeline_open(CudaPipeline *p, const CudaDriver *d, int priority)
{
    CUresult r = CUDA_SUCCESS;

    for (unsigned i = 0; r == CUDA_SUCCESS && i < CUDA_N_PIPES; i++)
        if (!p->pipes[i].stream)
            r = d->stream_create_with_priority(&p->pipes[i].stream, CU_STREAM_NON_BLOCKING,
                                               priority);

    return r;
}

CUresult cuda_pipeline_open_buffers(CudaPipeline *p, const CudaDriver *d)
{
    CUresult r = CUDA_SUCCESS;

    for (unsigned i = 0; r == CUDA_SUCCESS && i < CUDA_N_PIPES; i++)
        for (unsigned k = 0; r == CUDA_SUCCESS && k < 3; k++)
            if (!p->pipes[i].buffers[k])
                r = d->mem_alloc(&p->pipes[i].buffers[k], CUDA_PIPE_BUFFER_BYTES);

    return r;
}
