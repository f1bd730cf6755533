/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels that read textures and use surfaces, for tests of sessions. session-arrays.ptx is made
 * from them by tests/lint/kernels.sh.
 *
 * fake-kernels-arrays.c does the same on the fake driver.
 */
#include <stdint.h>

/* Each of n threads samples at one place: x, y, z, and the layer or the level. */
#define SAMPLE(sample)                                  \
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; \
                                                        \
    if (i < n) {                                        \
        float4 p = at[i];                               \
                                                        \
        to[i] = sample;                                 \
    }

extern "C" __global__ void sample_1d(cudaTextureObject_t texture, const float4 *at, float4 *to,
                                     uint32_t n)
{
    SAMPLE(tex1D<float4>(texture, p.x))
}

extern "C" __global__ void sample_2d(cudaTextureObject_t texture, const float4 *at, float4 *to,
                                     uint32_t n)
{
    SAMPLE(tex2D<float4>(texture, p.x, p.y))
}

extern "C" __global__ void sample_2d_integers(cudaTextureObject_t texture, const float4 *at,
                                              uint4 *to, uint32_t n)
{
    SAMPLE(tex2D<uint4>(texture, p.x, p.y))
}

extern "C" __global__ void sample_2d_level(cudaTextureObject_t texture, const float4 *at,
                                           float4 *to, uint32_t n)
{
    SAMPLE(tex2DLod<float4>(texture, p.x, p.y, p.w))
}

extern "C" __global__ void sample_3d(cudaTextureObject_t texture, const float4 *at, float4 *to,
                                     uint32_t n)
{
    SAMPLE(tex3D<float4>(texture, p.x, p.y, p.z))
}

extern "C" __global__ void sample_1d_layered(cudaTextureObject_t texture, const float4 *at,
                                             float4 *to, uint32_t n)
{
    SAMPLE(tex1DLayered<float4>(texture, p.x, (int) p.w))
}

extern "C" __global__ void sample_2d_layered(cudaTextureObject_t texture, const float4 *at,
                                             float4 *to, uint32_t n)
{
    SAMPLE(tex2DLayered<float4>(texture, p.x, p.y, (int) p.w))
}

extern "C" __global__ void sample_cubemap(cudaTextureObject_t texture, const float4 *at, float4 *to,
                                          uint32_t n)
{
    SAMPLE(texCubemap<float4>(texture, p.x, p.y, p.z))
}

extern "C" __global__ void sample_cubemap_layered(cudaTextureObject_t texture, const float4 *at,
                                                  float4 *to, uint32_t n)
{
    SAMPLE(texCubemapLayered<float4>(texture, p.x, p.y, p.z, (int) p.w))
}

extern "C" __global__ void fetch_1d(cudaTextureObject_t texture, const float4 *at, float4 *to,
                                    uint32_t n)
{
    SAMPLE(tex1Dfetch<float4>(texture, (int) p.x))
}

/* Each element becomes its number: x + 1000 y + 1000000 z. */
extern "C" __global__ void number_surface(cudaSurfaceObject_t surface, uint32_t width,
                                          uint32_t height)
{
    uint32_t x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;

    if (x < width && y < height)
        surf2Dwrite<uint32_t>(x + 1000 * y, surface, x * 4, y);
}

extern "C" __global__ void number_volume(cudaSurfaceObject_t surface, uint32_t width,
                                         uint32_t height, uint32_t depth)
{
    uint32_t x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;

    for (uint32_t z = 0; x < width && y < height && z < depth; z++)
        surf3Dwrite<uint32_t>(x + 1000 * y + 1000000 * z, surface, x * 4, y, z);
}

extern "C" __global__ void copy_surface(cudaSurfaceObject_t surface, uint32_t width,
                                        uint32_t height, uint32_t *to)
{
    uint32_t x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;

    if (x < width && y < height)
        to[y * width + x] = surf2Dread<uint32_t>(surface, x * 4, y);
}
