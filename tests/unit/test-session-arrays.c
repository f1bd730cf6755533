/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's arrays, and copies with them: each as it should be, and wrong by one.
 *
 *   test-session-arrays fake    over the fake driver
 *   test-session-arrays gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdlib.h>

enum {
    FLOAT = CU_AD_FORMAT_FLOAT,
    BYTE = CU_AD_FORMAT_UNSIGNED_INT8,
    SHORT = CU_AD_FORMAT_SIGNED_INT16,
    LAYERED = CUDA_ARRAY3D_LAYERED,
    CUBE = CUDA_ARRAY3D_CUBEMAP,
    SURFACE = CUDA_ARRAY3D_SURFACE_LDST,
    GATHER = CUDA_ARRAY3D_TEXTURE_GATHER,
};

static World w;

static uint64_t memory_used(void)
{
    return __atomic_load_n(&w.g.control->memory, __ATOMIC_RELAXED);
}

static uint32_t create(const VGPUSessionArray *p)
{
    return world_call(&w, VGPU_SESSION_OP_ARRAY_CREATE, p, sizeof(*p), NULL, 0);
}

static uint32_t create_mipmap(const VGPUSessionArray *p)
{
    return world_call(&w, VGPU_SESSION_OP_MIPMAP_CREATE, p, sizeof(*p), NULL, 0);
}

static uint32_t copy(const VGPUSessionCopy3D *p)
{
    return world_call(&w, VGPU_SESSION_OP_COPY_3D, p, sizeof(*p), NULL, 0);
}

static uint64_t at_least_one(uint64_t n)
{
    return n > 0 ? n : 1;
}

static void fill_pattern(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char) (i * 7 + i / 251 + seed);
}

/* ---- Every kind, there and back ------------------------------------------------------------- */

/* Element size, and the array */
typedef struct Case {
    uint32_t element;
    VGPUSessionArray array;
} Case;

#define ARRAY(w_, h_, d_, format_, channels_, flags_)                               \
    {                                                                               \
        .id = 1, .width = (w_), .height = (h_), .depth = (d_), .format = (format_), \
        .channels = (channels_), .flags = (flags_)                                  \
    }

static const Case kinds[] = {
    {4, ARRAY(1000, 0, 0, FLOAT, 1, 0)},
    {16, ARRAY(77, 0, 0, FLOAT, 4, SURFACE)},
    {1, ARRAY(333, 41, 0, BYTE, 1, 0)},
    {4, ARRAY(100, 33, 0, SHORT, 2, SURFACE)},
    {8, ARRAY(65, 17, 0, CU_AD_FORMAT_HALF, 4, GATHER)},
    {4, ARRAY(30, 20, 10, FLOAT, 1, 0)},
    {16, ARRAY(21, 9, 35, CU_AD_FORMAT_UNSIGNED_INT32, 4, SURFACE)},
    {4, ARRAY(50, 0, 7, CU_AD_FORMAT_SIGNED_INT32, 1, LAYERED)},
    {2, ARRAY(50, 12, 7, CU_AD_FORMAT_UNSIGNED_INT16, 1, LAYERED | SURFACE)},
    {4, ARRAY(16, 16, 6, FLOAT, 1, CUBE)},
    {4, ARRAY(16, 16, 12, CU_AD_FORMAT_SIGNED_INT8, 4, CUBE | LAYERED)},
    {4, ARRAY(64, 64, 0, CU_AD_FORMAT_UNORM_INT8X4, 4, 0)},
    {2, ARRAY(64, 8, 0, CU_AD_FORMAT_SNORM_INT16X1, 1, 0)},
};

static VGPUSessionCopy3D whole(const Case *c)
{
    return (VGPUSessionCopy3D){
        .width_bytes = c->array.width * c->element,
        .height = at_least_one(c->array.height),
        .depth = at_least_one(c->array.depth),
    };
}

static VGPUSessionPlace linear(const void *place, const VGPUSessionCopy3D *p)
{
    return (VGPUSessionPlace){
        .address = world_address(place),
        .pitch = p->width_bytes,
        .height = p->height,
    };
}

static const VGPUSessionPlace array_1 = {.array = 1};

static void there_and_back(const Case *c)
{
    VGPUSessionCopy3D up = whole(c), down = up;
    const uint64_t size = up.width_bytes * up.height * up.depth;
    const uint64_t heap = w.g.heap;
    unsigned char *from = world_window(&w, size), *to = world_window(&w, size);

    fill_pattern(from, size, c->element);
    memset(to, 0, size);
    up.from = linear(from, &up);
    up.to = array_1;
    down.from = array_1;
    down.to = linear(to, &down);
    assert_ok(create(&c->array));
    assert_in_range(memory_used(), size, UINT64_MAX);
    assert_ok(copy(&up));
    assert_ok(copy(&down));
    world_settle(&w, 0);
    assert_memory_equal(from, to, size);
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 1));
    assert_int_equal(memory_used(), 0);
    w.g.heap = heap;
}

TEST(test_there_and_back)
{
    uint64_t bytes = 0;

    world_begin(&w, NULL);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const VGPUSessionCopy3D p = whole(&kinds[i]);

        there_and_back(&kinds[i]);
        bytes += p.width_bytes * p.height * p.depth;
    }
    assert_int_equal(w.g.control->bytes_to_device, bytes);
    assert_int_equal(w.g.control->bytes_from_device, bytes);
    world_end(&w);
}

/* ---- Parts ------------------------------------------------------------------------------------
 */

enum { WIDTH = 40, HEIGHT = 30, DEPTH = 5, SLICE = WIDTH * HEIGHT, VOLUME = SLICE * DEPTH };

static uint32_t numbers[VOLUME];

static void volume_begin(uint32_t id)
{
    assert_ok(CALL(&w, ARRAY_CREATE, .id = id, .width = WIDTH, .height = HEIGHT, .depth = DEPTH,
                   .format = CU_AD_FORMAT_UNSIGNED_INT32, .channels = 1));
}

static VGPUSessionPlace volume(uint64_t address)
{
    return (VGPUSessionPlace){.address = address, .pitch = WIDTH * 4, .height = HEIGHT};
}

static void volume_copy(VGPUSessionPlace to, VGPUSessionPlace from)
{
    const VGPUSessionCopy3D p = {to, from, WIDTH * 4, HEIGHT, DEPTH, 0, 0};

    assert_ok(copy(&p));
}

/* Element x, y, z of the volume at @bytes */
static uint32_t element(const uint32_t *bytes, size_t x, size_t y, size_t z)
{
    return bytes[z * SLICE + y * WIDTH + x];
}

TEST(test_parts)
{
    const VGPUSessionPlace other = {.array = 2, .x_bytes = 7 * 4, .y = 11, .z = 2};
    const VGPUSessionPlace one = {.array = 1, .x_bytes = 16 * 4, .y = 3, .z = 1};
    const VGPUSessionCopy3D part = {other, one, 20 * 4, 15, 3, 0, 0};
    uint32_t *back;
    uint64_t a, b;

    world_begin(&w, NULL);
    a = world_alloc(&w, sizeof(numbers));
    b = world_alloc(&w, sizeof(numbers));
    back = (uint32_t *) world_window(&w, sizeof(numbers));
    for (uint32_t i = 0; i < VOLUME; i++)
        numbers[i] = i;
    world_write(&w, a, numbers, sizeof(numbers));
    volume_begin(1);
    volume_begin(2);
    /* Memory, array, array, memory, window; and a part from array to array */
    volume_copy(array_1, volume(a));
    assert_ok(CALL(&w, SET, .address = b, .count = VOLUME, .rows = 1, .width = 4, .value = 77));
    volume_copy((VGPUSessionPlace){.array = 2}, volume(b));
    assert_ok(copy(&part));
    volume_copy(volume(b), (VGPUSessionPlace){.array = 2});
    volume_copy(volume(world_address(back)), volume(b));
    world_settle(&w, 0);
    for (size_t z = 0; z < DEPTH; z++)
        for (size_t y = 0; y < HEIGHT; y++)
            for (size_t x = 0; x < WIDTH; x++) {
                bool in = x >= 7 && x < 27 && y >= 11 && y < 26 && z >= 2;

                assert_int_equal(element(back, x, y, z),
                                 in ? element(numbers, x - 7 + 16, y - 11 + 3, z - 2 + 1) : 77);
            }
    world_end(&w);
}

/* Each place that is one too far, at either end */
TEST(test_bad_parts)
{
    static const struct {
        uint64_t x_bytes, y, z, width_bytes, height, depth;
    } bad[] = {
        {4, 0, 0, WIDTH * 4, 1, 1},
        {0, 0, 0, WIDTH * 4 + 4, 1, 1},
        {WIDTH * 4, 0, 0, 4, 1, 1},
        {0, 1, 0, 4, HEIGHT, 1},
        {0, HEIGHT, 0, 4, 1, 1},
        {0, 0, 1, 4, 1, DEPTH},
        {0, 0, DEPTH, 4, 1, 1},
        {0, 0, 0, 4, 1, DEPTH + 1},
        {UINT64_MAX - 3, 0, 0, 8, 1, 1},
        {0, UINT64_MAX, 0, 4, 2, 1},
        {0, 0, UINT64_MAX, 4, 1, 2},
        {0, 0, 0, UINT64_MAX - 3, 1, 1},
        {2, 0, 0, 4, 1, 1}, /* not whole elements */
        {0, 0, 0, 6, 1, 1},
    };
    uint64_t window;

    world_begin(&w, NULL);
    window = world_address(world_window(&w, MIB));
    volume_begin(1);
    volume_begin(2);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const VGPUSessionPlace at = {
            .array = 1, .x_bytes = bad[i].x_bytes, .y = bad[i].y, .z = bad[i].z};
        const VGPUSessionPlace memory = {.address = window, .pitch = 256, .height = 64};
        const VGPUSessionPlace second = {.array = 2};
        VGPUSessionCopy3D p = {at, memory, bad[i].width_bytes, bad[i].height, bad[i].depth, 0, 0};

        assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE);
        p.from = second;
        assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE);
        p.from = at;
        p.to = memory;
        assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE);
        p.to = second;
        assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE);
    }
    world_settle(&w, 0);
    world_end(&w);
}

TEST(test_bad_ends)
{
    const VGPUSessionPlace memory = {.address = WIDTH, .pitch = 256, .height = 64};
    VGPUSessionCopy3D p = {array_1, {.array = 2}, 16, 1, 1, 0, 0};

    world_begin(&w, NULL);
    volume_begin(1);
    assert_fails(copy(&p), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, ARRAY_CREATE, .id = 2, .width = 100, .format = FLOAT, .channels = 4));
    assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE); /* elements of another size */
    p.from = memory;
    assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE);
    p.from = array_1;
    p.to.array = UINT32_MAX;
    assert_fails(copy(&p), CUDA_ERROR_INVALID_HANDLE);
    p.to = (VGPUSessionPlace){.array = 1, .y = 1, .reserved = 1};
    assert_fails(copy(&p), CUDA_ERROR_INVALID_VALUE);
    p.to.reserved = 0;
    p.stream = 5;
    assert_fails(copy(&p), CUDA_ERROR_INVALID_HANDLE);
    p.stream = 0;
    assert_ok(copy(&p));
    p.width_bytes = 0; /* nothing */
    assert_ok(copy(&p));

    /* Of another context */
    session_guest_context(&w.g, 2, false);
    assert_int_equal(session_guest_call(&w.g, VGPU_SESSION_OP_COPY_3D, 2, &p, sizeof(p)),
                     CUDA_SUCCESS);
    p.width_bytes = 16;
    assert_int_equal(session_guest_call(&w.g, VGPU_SESSION_OP_COPY_3D, 2, &p, sizeof(p)),
                     CUDA_ERROR_INVALID_HANDLE);
    world_settle(&w, 0);
    world_end(&w);
}

/* A copy is captured, and each launch of the graph does it. */
TEST(test_captured)
{
    const VGPUSessionCopy3D up = {
        array_1, {.address = 0, .pitch = WIDTH * 4, .height = HEIGHT}, WIDTH * 4, HEIGHT, 1, 1, 0};
    VGPUSessionCopy3D p = up;
    uint32_t *from, *to;

    world_begin(&w, NULL);
    volume_begin(1);
    from = (uint32_t *) world_window(&w, SLICE * 4);
    to = (uint32_t *) world_window(&w, SLICE * 4);
    p.from.address = world_address(from);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 1, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 1, .flags = 2));
    assert_ok(copy(&p));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 1, .graph = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    for (uint32_t round = 1; round <= 3; round++) {
        const VGPUSessionCopy3D down = {
            volume(world_address(to)), array_1, WIDTH * 4, HEIGHT, 1, 1, 0};

        for (uint32_t i = 0; i < SLICE; i++)
            from[i] = round * i;
        assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 1));
        assert_ok(copy(&down));
        world_settle(&w, 1);
        assert_memory_equal(from, to, SLICE * 4);
    }
    world_end(&w);
}

/* A graph that names an array is of no use when that has ended; nor is a capture. */
TEST(test_graph_outlives_array)
{
    const VGPUSessionCopy3D p = {array_1, {.array = 2}, WIDTH * 4, HEIGHT, 1, 1, 0};
    const VGPUSessionCopy3D level = {array_1, {.array = 3}, 4, 1, 1, 1, 0};

    world_begin(&w, NULL);
    volume_begin(1);
    volume_begin(2);
    assert_ok(CALL(&w, MIPMAP_CREATE, .id = 1, .width = 8, .height = 8, .format = FLOAT,
                   .channels = 1, .levels = 2));
    assert_ok(CALL(&w, MIPMAP_LEVEL, .id = 3, .mipmap = 1, .levels = 1));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 1, .flags = CU_STREAM_NON_BLOCKING));
    for (uint32_t graph = 1; graph <= 2; graph++) {
        assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 1, .flags = 2));
        assert_ok(copy(graph == 1 ? &p : &level));
        assert_ok(CALL(&w, CAPTURE_END, .stream = 1, .graph = graph));
        assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = graph, .exec = graph));
        assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = graph, .stream = 1));
    }
    world_settle(&w, 1);
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 2));
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 3), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 2, .stream = 1));
    world_settle(&w, 1);
    assert_ok(CALL(&w, MIPMAP_DESTROY, .id = 1));
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 2, .stream = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));

    volume_begin(2);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 1, .flags = 2));
    assert_ok(copy(&p));
    w.g.capture_mode = 2; /* so that the driver lets it end */
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 2));
    assert_fails(CALL(&w, CAPTURE_END, .stream = 1, .graph = 1),
                 CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    world_end(&w);
}

/* ---- What there may be ---------------------------------------------------------------------- */

TEST(test_bad_arrays)
{
    enum { BAD = CUDA_ERROR_INVALID_VALUE, NONE = CUDA_ERROR_NOT_SUPPORTED };
    static const struct {
        uint32_t result;
        VGPUSessionArray array;
    } bad[] = {
        {BAD, ARRAY(0, 0, 0, FLOAT, 1, 0)},
        {BAD, ARRAY(0, 5, 0, FLOAT, 1, 0)},
        {BAD, ARRAY(5, 0, 5, FLOAT, 1, 0)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 3, 0)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 0, 0)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 8, 0)},
        {BAD, ARRAY(8, 8, 0, 0, 1, 0)},
        {BAD, ARRAY(8, 8, 0, 4, 1, 0)},
        {BAD, ARRAY(8, 8, 0, UINT32_MAX, 1, 0)},
        {BAD, ARRAY(8, 8, 0, CU_AD_FORMAT_UNORM_INT8X4, 1, 0)},
        {BAD, ARRAY(8, 8, 0, CU_AD_FORMAT_SNORM_INT16X1, 4, 0)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 1, LAYERED)},
        {BAD, ARRAY(8, 9, 6, FLOAT, 1, CUBE)},
        {BAD, ARRAY(8, 8, 5, FLOAT, 1, CUBE)},
        {BAD, ARRAY(8, 8, 12, FLOAT, 1, CUBE)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 1, CUBE)},
        {BAD, ARRAY(8, 8, 13, FLOAT, 1, CUBE | LAYERED)},
        {BAD, ARRAY(8, 0, 0, FLOAT, 1, GATHER)},
        {BAD, ARRAY(8, 8, 8, FLOAT, 1, GATHER)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 1, 0x200)},
        {BAD, ARRAY(8, 8, 0, FLOAT, 1, 0x80000000)},
        {BAD, ARRAY(UINT64_MAX, 0, 0, BYTE, 1, 0)},
        {BAD, ARRAY(UINT64_C(1) << 32, 1, 0, BYTE, 1, 0)},
        {BAD, ARRAY(1, UINT64_MAX, 0, BYTE, 1, 0)},
        {BAD, ARRAY(1, 1, UINT64_MAX, BYTE, 1, 0)},
        {BAD, ARRAY(8, 8, UINT64_MAX, BYTE, 1, LAYERED)},
        {BAD, ARRAY(8, 8, UINT64_MAX - 3, BYTE, 1, LAYERED | CUBE)},
        {NONE, ARRAY(8, 8, 0, FLOAT, 1, CUDA_ARRAY3D_SPARSE)},
        {NONE, ARRAY(8, 8, 0, FLOAT, 1, CUDA_ARRAY3D_DEPTH_TEXTURE)},
        {NONE, ARRAY(8, 8, 0, FLOAT, 1, CUDA_ARRAY3D_COLOR_ATTACHMENT)},
        {NONE, ARRAY(8, 8, 0, 0x91, 4, 0)}, /* compressed blocks */
        {NONE, ARRAY(8, 8, 0, 0xb0, 3, 0)}, /* planes of a video */
    };

    world_begin(&w, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_fails(create(&bad[i].array), bad[i].result);
        assert_fails(create_mipmap(&bad[i].array), bad[i].result);
    }
    assert_int_equal(memory_used(), 0);
    world_end(&w);
}

/* The device's own limits, by its attributes: as large, and larger by one. */
TEST(test_limits_of_device)
{
    static const struct {
        uint32_t attribute, which; /* 0: width, 1: height, 2: depth */
        VGPUSessionArray array;
    } limits[] = {
        {21, 0, ARRAY(1, 0, 0, BYTE, 1, 0)},       {22, 0, ARRAY(1, 1, 0, BYTE, 1, 0)},
        {23, 1, ARRAY(1, 1, 0, BYTE, 1, 0)},       {42, 0, ARRAY(1, 0, 1, BYTE, 1, LAYERED)},
        {43, 2, ARRAY(1, 0, 1, BYTE, 1, LAYERED)}, {27, 0, ARRAY(1, 1, 1, BYTE, 1, LAYERED)},
        {29, 2, ARRAY(1, 1, 1, BYTE, 1, LAYERED)}, {55, 0, ARRAY(1, 0, 0, BYTE, 1, SURFACE)},
        {57, 1, ARRAY(1, 1, 0, BYTE, 1, SURFACE)}, {45, 0, ARRAY(1, 1, 0, BYTE, 1, GATHER)},
    };
    VGPUSessionDevice *device;

    world_begin(&w, NULL);
    device = (VGPUSessionDevice *) world_window(&w, sizeof(*device));
    assert_ok(CALL(&w, DEVICE_INFO, .into = {world_offset(&w, device), sizeof(*device)}));
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        VGPUSessionArray p = limits[i].array;
        uint64_t *extent[] = {&p.width, &p.height, &p.depth};

        *extent[limits[i].which] = (uint64_t) device->attribute[limits[i].attribute].value;
        assert_ok(create(&p));
        assert_ok(CALL(&w, ARRAY_DESTROY, .id = 1));
        ++*extent[limits[i].which];
        assert_fails(create(&p), CUDA_ERROR_INVALID_VALUE);
    }
    assert_int_equal(memory_used(), 0);
    world_end(&w);
}

TEST(test_numbers)
{
    const WorldLimits limits = {.objects_max = 64};
    VGPUSessionArray p = ARRAY(8, 8, 0, FLOAT, 1, 0);

    world_begin(&w, &limits);
    p.id = 0;
    assert_fails(create(&p), CUDA_ERROR_INVALID_VALUE);
    p.id = 65;
    assert_fails(create(&p), CUDA_ERROR_INVALID_VALUE);
    assert_fails(create_mipmap(&p), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(memory_used(), 0);
    for (p.id = 1; p.id <= 64; p.id++)
        assert_ok(create(&p));
    p.id = 7;
    assert_fails(create(&p), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, ARRAY_DESTROY, .id = 65), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, ARRAY_DESTROY, .id = 0), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MIPMAP_DESTROY, .id = 7), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 7));
    assert_fails(CALL(&w, ARRAY_DESTROY, .id = 7), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(create(&p));
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_bad_parts),      cmocka_unit_test(test_bad_ends),
        cmocka_unit_test(test_captured),       cmocka_unit_test(test_graph_outlives_array),
        cmocka_unit_test(test_bad_arrays),     cmocka_unit_test(test_limits_of_device),
        cmocka_unit_test(test_numbers),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
