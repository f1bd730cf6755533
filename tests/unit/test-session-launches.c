/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's launches and graphs: each operation as it should be, and wrong by one.
 *
 *   test-session-launches fake    over the fake driver
 *   test-session-launches gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#define N 1000u

static World w;

/* ---- Launches ------------------------------------------------------------------------------- */

/* A launch of one row of blocks, with what follows the parameters' description */
#define LAUNCH(id, blocks, threads, bytes, bytes_size, ...)                              \
    CALL_WITH(&w, LAUNCH, bytes, bytes_size, .function = (id), .grid = {(blocks), 1, 1}, \
              .block = {(threads), 1, 1}, __VA_ARGS__)

typedef struct SaxpyParameters {
    uint32_t n;
    float a;
    uint64_t x, y;
} SaxpyParameters;

typedef struct FillParameters {
    uint64_t to;
    uint32_t value;
    uint32_t gap;
    uint64_t n;
} FillParameters;

TEST(test_launch)
{
    float x[N], y[N], back[N];
    SaxpyParameters p = {.n = N, .a = 2.5f};

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "saxpy");
    p.x = world_alloc(&w, sizeof(x));
    p.y = world_alloc(&w, sizeof(y));
    for (unsigned i = 0; i < N; i++) {
        x[i] = (float) i;
        y[i] = (float) (3 * i);
    }
    world_write(&w, p.x, x, sizeof(x));
    world_write(&w, p.y, y, sizeof(y));
    assert_ok(LAUNCH(1, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p)));
    world_read(&w, p.y, back, sizeof(back));
    for (unsigned i = 0; i < N; i++)
        assert_true(back[i] == 5.5f * (float) i);
    assert_int_equal(w.g.control->launches, 1);

    /* The window is memory of the program and of the kernel. */
    p.y = world_address(world_window(&w, sizeof(y)));
    memcpy((void *) (uintptr_t) p.y, y, sizeof(y));
    assert_ok(LAUNCH(1, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p)));
    world_settle(&w, 0);
    for (unsigned i = 0; i < N; i++)
        assert_true(((float *) (uintptr_t) p.y)[i] == 5.5f * (float) i);

    assert_fails(LAUNCH(2, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p)),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(LAUNCH(1, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p), .stream = 4),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(LAUNCH(1, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p) - 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p) + 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 8, 128, &p, 8, .parameters_size = sizeof(p)), CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 8, 128, NULL, 0, .parameters_size = UINT32_MAX),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 8, 128, &p, sizeof(p), .parameters_size = sizeof(p), .flags = 2),
                 CUDA_ERROR_INVALID_VALUE);
    /* What the driver refuses */
    assert_fails(LAUNCH(1, 0, 128, &p, sizeof(p), .parameters_size = sizeof(p)),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 1, 4096, &p, sizeof(p), .parameters_size = sizeof(p)),
                 CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(w.g.control->launches, 2);
    world_end(&w);
}

/* Gaps between parameters, and more parameters than are given one by one */
TEST(test_layouts)
{
    struct {
        uint64_t out;
        uint8_t a;
        uint16_t b;
        uint8_t c;
        uint32_t d;
        uint64_t e;
        double f;
    } mixed = {0, 200, 60000, 100, 4000000000u, UINT64_C(1) << 60, 1.5};
    struct {
        uint64_t out;
        uint32_t p[72];
    } many = {0};
    uint64_t back[6];
    uint32_t sum = 0, many_back;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_LAYOUTS, 1, "mixed");
    world_function(&w, WORLD_LAYOUTS, 2, "many");
    mixed.out = many.out = world_alloc(&w, sizeof(back));
    assert_ok(LAUNCH(1, 1, 1, &mixed, sizeof(mixed), .parameters_size = sizeof(mixed)));
    world_read(&w, mixed.out, back, sizeof(back));
    assert_int_equal(back[0], 200);
    assert_int_equal(back[1], 60000);
    assert_int_equal(back[2], 100);
    assert_int_equal(back[3], 4000000000u);
    assert_int_equal(back[4], UINT64_C(1) << 60);
    assert_memory_equal(&back[5], &mixed.f, sizeof(mixed.f));

    for (uint32_t i = 0; i < 72; i++) {
        many.p[i] = i * i + 3;
        sum += (i + 1) * many.p[i];
    }
    assert_ok(LAUNCH(2, 1, 1, &many, sizeof(many), .parameters_size = sizeof(many)));
    world_read(&w, many.out, &many_back, sizeof(many_back));
    assert_int_equal(many_back, sum);
    world_end(&w);
}

TEST(test_variables_and_shared_memory)
{
    static const uint32_t numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct {
        uint64_t out, x;
        uint32_t n;
    } p = {.n = N};
    uint32_t x[N], expected = 0, back;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_LAYOUTS, 1, "table_sum");
    world_function(&w, WORLD_LAYOUTS, 2, "sum_shared");
    p.out = world_alloc(&w, 4);
    assert_ok(CALL_WITH(&w, GLOBAL_GET, "table", 6, .module = WORLD_LAYOUTS, .name_size = 6));
    world_write(&w, w.value[0], numbers, sizeof(numbers));
    assert_ok(LAUNCH(1, 1, 1, &p, 8, .parameters_size = 8));
    world_read(&w, p.out, &back, sizeof(back));
    assert_int_equal(back, 36);

    p.x = world_alloc(&w, sizeof(x));
    for (uint32_t i = 0; i < N; i++) {
        x[i] = i * i;
        expected += i * i;
    }
    world_write(&w, p.x, x, sizeof(x));
    assert_ok(CALL(&w, SET, .address = p.out, .count = 1, .rows = 1, .width = 4));
    assert_ok(LAUNCH(2, 2, 128, &p, 20, .parameters_size = 20, .shared_bytes = 512));
    world_read(&w, p.out, &back, sizeof(back));
    assert_int_equal(back, expected);
    world_end(&w);
}

/* Attributes stand before the parameters. */
typedef struct AttributedLaunch {
    VGPUSessionLaunchAttribute attribute[2];
    FillParameters p;
} AttributedLaunch;

static uint32_t launch_with(AttributedLaunch *l, uint32_t n_attributes)
{
    const size_t left_out = (2 - n_attributes) * sizeof(l->attribute[0]);

    return LAUNCH(1, 1, 64, (const char *) l + left_out, sizeof(*l) - left_out,
                  .n_attributes = n_attributes, .parameters_size = sizeof(l->p));
}

TEST(test_attributes)
{
    AttributedLaunch l = {.p = {.value = 7, .n = 64}};
    VGPUSessionLaunchAttribute *a = l.attribute;
    uint32_t back[64];
    uint32_t event = 5;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "fill");
    l.p.to = world_alloc(&w, sizeof(back));
    assert_ok(CALL(&w, EVENT_CREATE, .id = 5, .flags = 2));

    /* Cooperative, and the other way to say so */
    a[1] = (VGPUSessionLaunchAttribute){.id = 2, .value = {1}};
    assert_ok(launch_with(&l, 1));
    assert_ok(LAUNCH(1, 1, 64, &l.p, sizeof(l.p), .parameters_size = sizeof(l.p), .flags = 1));
    world_read(&w, l.p.to, back, sizeof(back));
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(back[i], 7);

    /* A completion event, by its number, beside one that says nothing */
    l.p.value = 8;
    a[0] = (VGPUSessionLaunchAttribute){.id = 0};
    a[1] = (VGPUSessionLaunchAttribute){.id = 12};
    memcpy(a[1].value, &event, sizeof(event));
    assert_ok(launch_with(&l, 2));
    world_read(&w, l.p.to, back, sizeof(back));
    assert_int_equal(back[63], 8);
    event = 6;
    memcpy(a[1].value, &event, sizeof(event));
    assert_fails(launch_with(&l, 2), CUDA_ERROR_INVALID_HANDLE);
    a[1].id = 7;
    assert_fails(launch_with(&l, 1), CUDA_ERROR_INVALID_HANDLE);

    /* Unknown ones, those of streams, and one that has the driver write to an address */
    for (uint32_t id = 3; id < 100000; id = id < 20 ? id + 1 : id * 3) {
        if (id != 3 && id != 13 && id <= 14)
            continue;
        a[1] = (VGPUSessionLaunchAttribute){.id = id};
        assert_fails(launch_with(&l, 1), CUDA_ERROR_INVALID_VALUE);
    }
    assert_fails(LAUNCH(1, 1, 64, &l, sizeof(l), .n_attributes = 9, .parameters_size = 24),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 1, 64, &l, sizeof(l), .n_attributes = UINT32_MAX, .parameters_size = 24),
                 CUDA_ERROR_INVALID_VALUE);
    a[0] = a[1] = (VGPUSessionLaunchAttribute){.id = 0};
    assert_fails(LAUNCH(1, 1, 64, &l, 144, .n_attributes = 2, .parameters_size = 24),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(LAUNCH(1, 1, 64, &l, 128, .n_attributes = 2, .parameters_size = 24),
                 CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

TEST(test_function_settings)
{
    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_LAYOUTS, 1, "sum_shared");
    /* CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES */
    assert_ok(CALL(&w, FUNCTION_ATTRIBUTE, .function = 1, .attribute = 8, .value = 50000));
    assert_fails(CALL(&w, FUNCTION_ATTRIBUTE, .function = 1, .attribute = 8, .value = 1 << 30),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, FUNCTION_ATTRIBUTE, .function = 1, .attribute = 16),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, FUNCTION_ATTRIBUTE, .function = 2, .attribute = 8),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, FUNCTION_CACHE, .function = 1, .value = 3));
    assert_fails(CALL(&w, FUNCTION_CACHE, .function = 1, .value = 4), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, FUNCTION_CACHE, .function = 1, .value = -1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, FUNCTION_CACHE, .function = 0), CUDA_ERROR_INVALID_HANDLE);

#define ASK(...) CALL(&w, OCCUPANCY, .function = 1, __VA_ARGS__)
    assert_ok(ASK(.block = {128, 1, 1}, .what = VGPU_OCCUPANCY_BLOCKS));
    assert_in_range(w.value[0], 1, 64);
    assert_ok(ASK(.block = {16, 8, 1}, .grid = {2, 1, 1}, .what = VGPU_OCCUPANCY_SHARED));
    assert_in_range(w.value[0], 1024, MIB);
    assert_fails(ASK(.block = {128, 1, 1}, .what = 4), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ASK(.block = {65536, 65536, 1}), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ASK(.block = {UINT32_MAX, UINT32_MAX, UINT32_MAX}), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ASK(.block = {1, 1, 1}, .parameters_size = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ASK(.block = {1, 1, 1}, .n_attributes = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, OCCUPANCY, .function = 3, .block = {1, 1, 1}), CUDA_ERROR_INVALID_HANDLE);
#undef ASK
    world_end(&w);
}

/* ---- Graphs --------------------------------------------------------------------------------- */

static void assert_filled(uint64_t address, uint32_t value)
{
    uint32_t back[64];

    world_read(&w, address, back, sizeof(back));
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(back[i], value);
}

static void capture_fill(uint32_t graph, const FillParameters *p, uint32_t launches)
{
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = 1));
    for (uint32_t i = 0; i < launches; i++)
        assert_ok(LAUNCH(1, 1, 64, p, sizeof(*p), .parameters_size = sizeof(*p), .stream = 5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = graph));
}

TEST(test_graphs)
{
    FillParameters p = {.value = 1, .n = 64};

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "fill");
    p.to = world_alloc(&w, 256);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, SET, .address = p.to, .count = 64, .rows = 1, .width = 4));
    world_settle(&w, 0);

    capture_fill(1, &p, 2);
    assert_filled(p.to, 0);
    assert_ok(CALL(&w, GRAPH_NODES, .graph = 1));
    assert_int_equal(w.value[0], 2);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_int_equal(w.value[0], 0);
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_filled(p.to, 1);
    /* Again, over something else */
    assert_ok(CALL(&w, SET, .address = p.to, .count = 64, .rows = 1, .width = 4, .stream = 5));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_filled(p.to, 1);

    /* The same shape with another value, and another shape */
    p.value = 9;
    capture_fill(2, &p, 2);
    capture_fill(3, &p, 3);
    assert_ok(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 2));
    assert_int_equal(w.value[0], 0);
    assert_fails(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 3), 910);
    assert_int_not_equal(w.value[0], 0);
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_filled(p.to, 9);

    assert_fails(CALL(&w, CAPTURE_BEGIN, .stream = 6), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = 3), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 4, .exec = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 2, .flags = 16),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, GRAPH_UPDATE, .exec = 2, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 4), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 2, .stream = 5), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 6), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_NODES, .graph = 4), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    assert_fails(CALL(&w, GRAPH_DESTROY, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    assert_fails(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(w.g.control->launches, 7 + 4);
    world_end(&w);
}

/* What cannot be captured leaves the capture as it was. */
TEST(test_capture_goes_on)
{
    FillParameters p = {.value = 4, .n = 64};

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "fill");
    p.to = world_alloc(&w, 256);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 6, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = 0));
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 512, .stream = 5), CUDA_ERROR_NOT_SUPPORTED);
    /* The driver refuses these to a thread that minds captures, and ends the capture. */
    w.g.capture_mode = 2; /* CU_STREAM_CAPTURE_MODE_RELAXED */
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 512, .stream = 6));
    assert_ok(CALL(&w, MEMORY_INFO));
    w.g.capture_mode = 0;
    assert_fails(CALL(&w, MEMORY_FREE_ASYNC, .address = p.to, .stream = 5),
                 CUDA_ERROR_NOT_SUPPORTED);
    assert_fails(CALL(&w, COPY, .to = p.to, .from = p.to + 1, .size = 256, .stream = 5),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(LAUNCH(1, 1, 64, &p, sizeof(p), .parameters_size = sizeof(p), .stream = 5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    assert_filled(p.to, 4);
    world_end(&w);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

TEST(test_context_ends)
{
    FillParameters p = {.value = 4, .n = 64};

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "fill");
    p.to = world_alloc(&w, 256);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    capture_fill(1, &p, 1);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    session_guest_context(&w.g, 1, true);
    assert_fails(LAUNCH(1, 1, 64, &p, sizeof(p), .parameters_size = sizeof(p)),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_NODES, .graph = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MODULE_UNLOAD, .id = WORLD_KERNELS), CUDA_ERROR_INVALID_HANDLE);
    /* The images are still there, and the numbers are free. */
    assert_ok(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = WORLD_KERNELS));
    world_function(&w, WORLD_KERNELS, 1, "fill");
    p.to = world_alloc(&w, 256);
    assert_ok(LAUNCH(1, 1, 64, &p, sizeof(p), .parameters_size = sizeof(p)));
    assert_filled(p.to, 4);
    world_end(&w);
}

/* A module ends on another thread than that which launches: each launch is right or refused. */
TEST(test_unload_beside_launches)
{
    const VGPUSessionModule load = {.key = {WORLD_KERNELS}, .id = 7};
    const VGPUSessionId unload = {.id = 7};
    FillParameters p = {.value = 4, .n = 64};

    world_begin(&w, NULL);
    world_load_kernels(&w);
    p.to = world_alloc(&w, 256);
    for (unsigned round = 0; round < 20; round++) {
        uint32_t result;

        assert_ok(world_call(&w, VGPU_SESSION_OP_MODULE_LOAD, &load, sizeof(load), NULL, 0));
        world_function(&w, 7, 1, "fill");
        session_guest_begin(&w.g, 2, VGPU_SESSION_OP_MODULE_UNLOAD, 1, &unload, sizeof(unload));
        do
            result = LAUNCH(1, 1, 64, &p, sizeof(p), .parameters_size = sizeof(p));
        while (result == CUDA_SUCCESS);
        assert_int_equal(result, CUDA_ERROR_INVALID_HANDLE);
        assert_ok(session_guest_wait(&w.g, 2, NULL));
    }
    world_settle(&w, 0);
    world_end(&w);
}

/* A kernel that waits for the program. The fake driver's never ends; the session does. */
TEST(test_endless)
{
    uint64_t flag;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "endless");
    flag = world_address(world_window(&w, 4));
    assert_ok(LAUNCH(1, 1, 1, &flag, sizeof(flag), .parameters_size = sizeof(flag)));
    session_guest_fence(&w.g, 1, 0, w.fence_at, ++w.fence);
    assert_false(session_guest_wait_word(&w.g, w.fence_at, w.fence, 200));
    if (world_is_gpu()) {
        __atomic_store_n((uint32_t *) (uintptr_t) flag, 1, __ATOMIC_RELEASE);
        assert_true(session_guest_wait_word(&w.g, w.fence_at, w.fence, SESSION_GUEST_TIMEOUT_MSEC));
    }
    world_end(&w);
}

TEST(test_trap)
{
    uint64_t a;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "trap");
    a = world_alloc(&w, 16);
    assert_ok(CALL(&w, LAUNCH, .function = 1, .grid = {1, 1, 1}, .block = {1, 1, 1}));
    while (CALL(&w, SET, .address = a, .count = 1, .rows = 1, .width = 1) == CUDA_SUCCESS)
        ;
    assert_fails(CALL(&w, SET, .address = a, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_LAUNCH_FAILED);
    assert_int_equal(w.g.header->sticky, CUDA_ERROR_LAUNCH_FAILED);
    world_end_after_error(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launch),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_variables_and_shared_memory),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_function_settings),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_capture_goes_on),
        cmocka_unit_test(test_context_ends),
        cmocka_unit_test(test_unload_beside_launches),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_trap),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
