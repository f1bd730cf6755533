/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Textures and surfaces, as kernels use them. */
#include "test-libcuda-arrays.h"

/* The kernels of the test that runs, which it unloads */
static CUmodule kernels;

static CUfunction kernel(const char *name)
{
    CUfunction function;

    CALL(cuModuleGetFunction(&function, kernels, name));
    return function;
}

static void begin(void)
{
    libcuda_primary();
    kernels = libcuda_load("tests/fake-cuda/session-arrays.ptx");
}

/* ---- Sampling ----------------------------------------------------------------------------------
 */

/* Places for kernels to sample at, and what they find there */
typedef struct Samples {
    CUdeviceptr at, to;
    float (*place)[4]; /* in pinned memory */
    float (*texel)[4];
    uint32_t n;
} Samples;

static Samples samples_new(uint32_t n)
{
    Samples s = {.n = n};
    void *memory;

    CALL(cuMemAllocHost_v2(&memory, n * sizeof(*s.place)));
    s.place = memory;
    CALL(cuMemAllocHost_v2(&memory, n * sizeof(*s.texel)));
    s.texel = memory;
    memset(s.place, 0, n * sizeof(*s.place));
    CALL(cuMemAlloc_v2(&s.at, n * sizeof(*s.place)));
    CALL(cuMemAlloc_v2(&s.to, n * sizeof(*s.texel)));
    return s;
}

static void samples_take(const Samples *s, CUfunction function, CUtexObject texture,
                         CUstream stream)
{
    uint32_t n = s->n;
    CUdeviceptr at = s->at, to = s->to;
    void *parameters[] = {&texture, &at, &to, &n};

    CALL(cuMemcpyHtoDAsync_v2(at, s->place, n * sizeof(*s->place), stream));
    CALL(cuLaunchKernel(function, (n + 31) / 32, 1, 1, 32, 1, 1, 0, stream, parameters, NULL));
    CALL(cuMemcpyDtoHAsync_v2(s->texel, to, n * sizeof(*s->texel), stream));
}

static const CudaTexture points = {
    .address_mode = {CU_TR_ADDRESS_MODE_CLAMP, CU_TR_ADDRESS_MODE_CLAMP, CU_TR_ADDRESS_MODE_CLAMP},
    .filter_mode = CU_TR_FILTER_MODE_POINT,
};

static CUarray float_array(size_t width, size_t height, const float *numbers)
{
    const FlatDescriptor d = {width, height, CU_AD_FORMAT_FLOAT, 1};
    CUarray array;

    CALL(cuArrayCreate_v2(&array, &d));
    to_array(array, numbers, width, height, 1);
    return array;
}

/* As simpleTexture does it: normalized coordinates, filtered */
TEST(test_array)
{
    enum { WIDTH = 16, HEIGHT = 8 };
    CudaTexture how = points, how_back;
    CudaResource resource = {.type = CU_RESOURCE_TYPE_ARRAY}, back;
    float numbers[WIDTH * HEIGHT];
    CUtexObject texture, filtered;
    CUfunction sample;
    CUarray array;
    Samples s;

    begin();
    sample = kernel("sample_2d");
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        numbers[i] = (float) (i % WIDTH + 100 * (i / WIDTH));
    resource.array = array = float_array(WIDTH, HEIGHT, numbers);
    CALL(cuTexObjectCreate(&texture, &resource, &points, NULL));
    s = samples_new(WIDTH * HEIGHT);
    for (uint32_t i = 0; i < s.n; i++) {
        s.place[i][0] = (float) (i % WIDTH) + 0.5f;
        s.place[i][1] = (float) (i / WIDTH) + 0.5f;
    }
    samples_take(&s, sample, texture, NULL);
    CALL(cuCtxSynchronize());
    for (uint32_t i = 0; i < s.n; i++)
        assert_true(s.texel[i][0] == numbers[i]);

    how.filter_mode = CU_TR_FILTER_MODE_LINEAR;
    how.flags = CU_TRSF_NORMALIZED_COORDINATES;
    CALL(cuTexObjectCreate(&filtered, &resource, &how, NULL));
    assert_int_not_equal(filtered, texture);
    for (uint32_t i = 0; i < s.n; i++) {
        s.place[i][0] = ((float) (i % (WIDTH - 1)) + 1.0f) / WIDTH; /* between two elements */
        s.place[i][1] = 0.5f / HEIGHT;
    }
    samples_take(&s, sample, filtered, NULL);
    CALL(cuCtxSynchronize());
    for (uint32_t i = 0; i < s.n; i++)
        assert_true(s.texel[i][0] == (float) (i % (WIDTH - 1)) + 0.5f);

    CALL(cuTexObjectGetResourceDesc(&back, filtered));
    assert_int_equal(back.type, CU_RESOURCE_TYPE_ARRAY);
    assert_ptr_equal(back.array, array);
    CALL(cuTexObjectGetTextureDesc(&how_back, filtered));
    assert_memory_equal(&how_back, &how, sizeof(how));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuTexObjectGetResourceViewDesc(&(CudaResourceView){0}, filtered));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectGetResourceDesc(NULL, filtered));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectGetTextureDesc(NULL, filtered));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectGetResourceDesc(&back, filtered));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectDestroy(filtered));
    CALL(cuTexObjectDestroy(filtered));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectDestroy(filtered));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectGetTextureDesc(&how_back, filtered));
    CALL(cuTexObjectDestroy(texture));
    CALL(cuArrayDestroy(array));
    CALL(cuCtxSynchronize());
    CALL(cuModuleUnload(kernels));
}

/* As ffmpeg's filters do it: each frame goes up into pitched memory, gets a texture, is sampled,
 * and the texture ends before the kernel has. */
TEST(test_frames)
{
    enum { WIDTH = 200, HEIGHT = 60, LINE = 256 };
    CudaResource resource = {.type = CU_RESOURCE_TYPE_PITCH2D};
    unsigned char *frame = malloc(LINE * HEIGHT);
    Copy2D up = {.src_type = HOST,
                 .src_host = frame,
                 .src_pitch = LINE,
                 .dst_type = DEVICE,
                 .width_bytes = WIDTH,
                 .height = HEIGHT};
    CUfunction sample;
    CUtexObject texture;
    CUdeviceptr memory;
    CUstream stream;
    size_t pitch;
    Samples s;

    assert_non_null(frame);
    begin();
    sample = kernel("sample_2d");
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuMemAllocPitch_v2(&memory, &pitch, WIDTH, HEIGHT, 16));
    up.dst_device = memory;
    up.dst_pitch = pitch;
    resource.pitched.address = memory;
    resource.pitched.format = CU_AD_FORMAT_UNSIGNED_INT8;
    resource.pitched.channels = 1;
    resource.pitched.width = WIDTH;
    resource.pitched.height = HEIGHT;
    resource.pitched.pitch = pitch;
    s = samples_new(WIDTH * HEIGHT);
    for (uint32_t i = 0; i < s.n; i++) {
        s.place[i][0] = (float) (i % WIDTH);
        s.place[i][1] = (float) (i / WIDTH);
    }
    for (uint32_t n = 0; n < 50; n++) {
        for (uint32_t i = 0; i < LINE * HEIGHT; i++)
            frame[i] = (unsigned char) (n + i % LINE + i / LINE);
        CALL(cuMemcpy2DAsync_v2(&up, stream));
        CALL(cuTexObjectCreate(&texture, &resource, &points, NULL));
        samples_take(&s, sample, texture, stream);
        CALL(cuTexObjectDestroy(texture));
        CALL(cuStreamSynchronize(stream));
        for (uint32_t i = 0; i < s.n; i++)
            assert_true(s.texel[i][0] ==
                        (float) (unsigned char) (n + i % WIDTH + i / WIDTH) / 255.0f);
    }
    free(frame);
    CALL(cuModuleUnload(kernels));
}

TEST(test_linear)
{
    CudaResource resource = {.type = CU_RESOURCE_TYPE_LINEAR};
    float numbers[256];
    CUtexObject texture;
    CUfunction fetch;
    CUdeviceptr memory;
    size_t width;
    Samples s;

    begin();
    fetch = kernel("fetch_1d");
    for (uint32_t i = 0; i < 256; i++)
        numbers[i] = (float) (3 * i);
    CALL(cuMemAlloc_v2(&memory, sizeof(numbers)));
    CALL(cuMemcpyHtoD_v2(memory, numbers, sizeof(numbers)));
    resource.linear.address = memory;
    resource.linear.format = CU_AD_FORMAT_FLOAT;
    resource.linear.channels = 1;
    resource.linear.size = sizeof(numbers);
    CALL(cuTexObjectCreate(&texture, &resource, &points, NULL));
    s = samples_new(256);
    for (uint32_t i = 0; i < 256; i++)
        s.place[i][0] = (float) (255 - i);
    samples_take(&s, fetch, texture, NULL);
    CALL(cuCtxSynchronize());
    for (uint32_t i = 0; i < 256; i++)
        assert_true(s.texel[i][0] == numbers[255 - i]);
    CALL(cuTexObjectDestroy(texture));

    CALL(cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 1, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE,
               cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 1, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 3, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuDeviceGetTexture1DLinearMaxWidth(NULL, CU_AD_FORMAT_FLOAT, 1, 0));
    assert_in_range(width, 1 << 20, INT32_MAX);
    CALL(cuModuleUnload(kernels));
}

/* Level after level of a mipmap, and of a view of it that begins with the second */
TEST(test_mipmap)
{
    const CudaArrayDescriptor d = {
        .width = 8, .height = 8, .format = CU_AD_FORMAT_FLOAT, .channels = 1};
    CudaResource resource = {.type = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY};
    CudaResourceView back;
    const CudaResourceView view = {.format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
                                   .width = 8,
                                   .height = 8,
                                   .first_level = 1,
                                   .last_level = 3};
    CudaTexture how = points;
    CUtexObject texture, later;
    float numbers[64];
    CUfunction sample;
    CUarray level;
    Samples s;

    begin();
    sample = kernel("sample_2d_level");
    CALL(cuMipmappedArrayCreate(&resource.mipmap, &d, 4));
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t n = 0; n < 64; n++)
            numbers[n] = (float) (10 * i);
        CALL(cuMipmappedArrayGetLevel(&level, resource.mipmap, i));
        to_array(level, numbers, 8u >> i, 8u >> i, 1);
    }
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    how.flags = CU_TRSF_NORMALIZED_COORDINATES;
    how.mipmap_max = 3;
    CALL(cuTexObjectCreate(&texture, &resource, &how, NULL));
    CALL(cuTexObjectCreate(&later, &resource, &how, &view));
    s = samples_new(3);
    for (uint32_t i = 0; i < 3; i++) {
        s.place[i][0] = s.place[i][1] = 0.5f;
        s.place[i][3] = (float) i;
    }
    samples_take(&s, sample, texture, NULL);
    CALL(cuCtxSynchronize());
    for (uint32_t i = 0; i < 3; i++)
        assert_true(s.texel[i][0] == (float) (10 * i));
    samples_take(&s, sample, later, NULL);
    CALL(cuCtxSynchronize());
    for (uint32_t i = 0; i < 3; i++)
        assert_true(s.texel[i][0] == (float) (10 * (i + 1)));
    CALL(cuTexObjectGetResourceViewDesc(&back, later));
    assert_memory_equal(&back, &view, sizeof(view));
    CALL(cuTexObjectDestroy(texture));
    CALL(cuTexObjectDestroy(later));
    CALL(cuMipmappedArrayDestroy(resource.mipmap));
    CALL(cuModuleUnload(kernels));
}

TEST(test_bad_textures)
{
    CudaResource resource = {.type = CU_RESOURCE_TYPE_ARRAY};
    CudaTexture how = points;
    CUtexObject texture;
    CUsurfObject surface;
    CUcontext context;
    CUdeviceptr memory;
    CUarray array;

    libcuda_primary();
    resource.array = array = new_array(16, 16, 0);
    CALL(cuMemAlloc_v2(&memory, 4096));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(NULL, &resource, &how, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, NULL, &how, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectCreate(NULL, &resource));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectCreate(&surface, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectCreate(&surface, &resource)); /* no flag */
    resource.flags = 1;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    resource.flags = 0;
    how.address_mode[1] = 4;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    how = points;
    resource.array = NULL;
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    resource.type = 4;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    resource = (CudaResource){.type = CU_RESOURCE_TYPE_LINEAR};
    resource.linear.address = memory + 4; /* not aligned */
    resource.linear.format = CU_AD_FORMAT_FLOAT;
    resource.linear.channels = 1;
    resource.linear.size = 256;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    resource.linear.address = memory;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuTexObjectCreate(&texture, &resource, &how, &(CudaResourceView){0}));
    CALL(cuTexObjectCreate(&texture, &resource, &how, NULL));

    /* Another context has neither the array nor the texture. */
    CALL(cuCtxCreate_v2(&context, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectDestroy(texture));
    resource = (CudaResource){.type = CU_RESOURCE_TYPE_ARRAY, .array = array};
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuTexObjectCreate(&texture, &resource, &how, NULL));
    CALL(cuCtxDestroy_v2(context));
    CALL(cuTexObjectDestroy(texture));
    CALL(cuArrayDestroy(array));
}

/* ---- Surfaces ----------------------------------------------------------------------------------
 */

TEST(test_surfaces)
{
    enum { WIDTH = 40, HEIGHT = 24 };
    const CudaArrayDescriptor d = {.width = WIDTH,
                                   .height = HEIGHT,
                                   .format = CU_AD_FORMAT_UNSIGNED_INT32,
                                   .channels = 1,
                                   .flags = CUDA_ARRAY3D_SURFACE_LDST};
    CudaResource resource = {.type = CU_RESOURCE_TYPE_ARRAY}, back;
    uint32_t width = WIDTH, height = HEIGHT, read[WIDTH * HEIGHT];
    CUsurfObject surface;
    CUdeviceptr to;
    void *parameters[] = {&surface, &width, &height, &to};

    begin();
    CALL(cuArray3DCreate_v2(&resource.array, &d));
    CALL(cuSurfObjectCreate(&surface, &resource));
    CALL(cuMemAlloc_v2(&to, sizeof(read)));
    CALL(cuLaunchKernel(kernel("number_surface"), 3, 2, 1, 16, 16, 1, 0, NULL, parameters, NULL));
    from_array(read, resource.array, WIDTH, HEIGHT, 1);
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        assert_int_equal(read[i], i % WIDTH + 1000 * (i / WIDTH));
    memset(read, 0, sizeof(read));
    CALL(cuLaunchKernel(kernel("copy_surface"), 3, 2, 1, 16, 16, 1, 0, NULL, parameters, NULL));
    CALL(cuMemcpyDtoH_v2(read, to, sizeof(read)));
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
        assert_int_equal(read[i], i % WIDTH + 1000 * (i / WIDTH));

    CALL(cuSurfObjectGetResourceDesc(&back, surface));
    assert_ptr_equal(back.array, resource.array);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectGetResourceDesc(NULL, surface));
    CALL(cuSurfObjectDestroy(surface));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectDestroy(surface));
    resource.type = CU_RESOURCE_TYPE_LINEAR;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuSurfObjectCreate(&surface, &resource));
    CALL(cuArrayDestroy(back.array));
    CALL(cuCtxSynchronize());
    CALL(cuModuleUnload(kernels));
}

/* A block of 4 by 4 elements lies in two or four integers. */
TEST(test_views_of_blocks)
{
    const CudaTexture how = {0};

    libcuda_primary();
    for (int format = CU_RES_VIEW_FORMAT_UNSIGNED_BC1; format <= CU_RES_VIEW_FORMAT_UNSIGNED_BC7;
         format++) {
        const bool is_small = format == CU_RES_VIEW_FORMAT_UNSIGNED_BC1 ||
                              format == CU_RES_VIEW_FORMAT_UNSIGNED_BC4 ||
                              format == CU_RES_VIEW_FORMAT_SIGNED_BC4;
        CudaArrayDescriptor d = {.width = 8, .height = 4, .format = CU_AD_FORMAT_UNSIGNED_INT32};
        CudaResourceView view = {.format = format, .width = 32, .height = 16}, back;
        CudaResource resource = {.type = CU_RESOURCE_TYPE_ARRAY};
        CUtexObject texture;

        d.channels = is_small ? 2 : 4;
        CALL(cuArray3DCreate_v2(&resource.array, &d));
        CALL(cuTexObjectCreate(&texture, &resource, &how, &view));
        CALL(cuTexObjectGetResourceViewDesc(&back, texture));
        assert_memory_equal(&back, &view, sizeof(view));
        CALL(cuTexObjectDestroy(texture));
        view.width = 8;
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, &view));
        CALL(cuArrayDestroy(resource.array));

        d.channels = is_small ? 4 : 2;
        view.width = 32;
        CALL(cuArray3DCreate_v2(&resource.array, &d));
        CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &how, &view));
        CALL(cuArrayDestroy(resource.array));
    }
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),           cmocka_unit_test(test_frames),
        cmocka_unit_test(test_linear),          cmocka_unit_test(test_mipmap),
        cmocka_unit_test(test_bad_textures),    cmocka_unit_test(test_surfaces),
        cmocka_unit_test(test_views_of_blocks),
    };

    return libcuda_test_main(argc, argv, tests);
}
