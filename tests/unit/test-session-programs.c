/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's images, modules and functions: each operation as it should be, and wrong by one.
 *
 *   test-session-programs fake    over the fake driver
 *   test-session-programs gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

static World w;

/* ---- Images --------------------------------------------------------------------------------- */

static uint32_t begin_image(unsigned char key, uint64_t size)
{
    return CALL(&w, IMAGE_BEGIN, .key = {key}, .size = size);
}

static uint32_t put_piece(unsigned char key, uint64_t size, uint64_t at, uint64_t offset,
                          uint64_t piece)
{
    return CALL(&w, IMAGE_PIECE, .key = {key}, .size = size, .at = at,
                .piece = {.offset = offset, .size = piece});
}

TEST(test_images)
{
    uint64_t at;

    world_begin(&w, NULL);
    at = session_guest_alloc(&w.g, 4096);
    memset(w.g.window + at, ' ', 4096);
    assert_ok(begin_image(1, 100));
    assert_int_equal(w.value[0], 0);
    assert_fails(put_piece(2, 100, 0, at, 10), CUDA_ERROR_NOT_FOUND);
    assert_fails(put_piece(1, 101, 0, at, 10), CUDA_ERROR_NOT_FOUND);
    assert_fails(put_piece(1, 100, 1, at, 10), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 0, at, 101), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 0, at, 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 0, at, UINT64_MAX), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 0, w.g.window_size - 9, 10), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 0, UINT64_MAX, 10), CUDA_ERROR_INVALID_VALUE);
    assert_ok(put_piece(1, 100, 0, w.g.window_size - 10, 10));
    assert_fails(put_piece(1, 100, 0, at, 10), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 11, at, 10), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 10, at, 91), CUDA_ERROR_INVALID_VALUE);
    /* Not whole yet: it cannot be loaded, and can begin anew. */
    assert_fails(CALL(&w, MODULE_LOAD, .key = {1}, .id = 1), CUDA_ERROR_NOT_FOUND);
    assert_ok(begin_image(1, 100));
    assert_int_equal(w.value[0], 0);
    assert_ok(put_piece(1, 100, 0, at, 99));
    assert_ok(put_piece(1, 100, 99, at, 1));
    assert_ok(begin_image(1, 100));
    assert_int_equal(w.value[0], 1);
    assert_fails(begin_image(1, 99), CUDA_ERROR_INVALID_VALUE);
    assert_fails(put_piece(1, 100, 0, at, 100), CUDA_ERROR_NOT_FOUND);
    assert_int_equal(w.g.control->images, 100);

    /* Another size for what is not whole */
    assert_ok(begin_image(3, 1000));
    assert_ok(begin_image(3, 10));
    assert_int_equal(w.g.control->images, 110);
    assert_fails(begin_image(4, 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(begin_image(4, UINT64_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(begin_image(4, INT64_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    world_end(&w);
}

TEST(test_images_quota)
{
    const WorldLimits limits = {.images_max = 1000, .objects_max = 3};

    world_begin(&w, &limits);
    assert_fails(begin_image(1, 1001), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(begin_image(1, 900));
    assert_fails(begin_image(2, 101), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(begin_image(2, 98));
    assert_ok(begin_image(3, 1));
    /* Three objects of each kind, and images are one */
    assert_fails(begin_image(4, 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(w.g.control->images, 999);
    world_end(&w);
}

/* The driver never sees an image whose headers lie. */
TEST(test_images_unsound)
{
    static const uint64_t container[] = {UINT64_C(0x100001ba55ed50), 1000000};
    static const uint64_t wrapper[] = {UINT64_C(0x1466243b1), 64};
    uint64_t at;

    world_begin(&w, NULL);
    at = session_guest_alloc(&w.g, 4096);
    memcpy(w.g.window + at, container, sizeof(container));
    assert_ok(begin_image(1, sizeof(container)));
    assert_fails(put_piece(1, sizeof(container), 0, at, sizeof(container)),
                 CUDA_ERROR_INVALID_IMAGE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {1}, .id = 1), CUDA_ERROR_INVALID_IMAGE);
    memcpy(w.g.window + at, wrapper, sizeof(wrapper));
    assert_ok(begin_image(2, sizeof(wrapper)));
    assert_fails(put_piece(2, sizeof(wrapper), 0, at, sizeof(wrapper)), CUDA_ERROR_INVALID_IMAGE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {2}, .id = 1), CUDA_ERROR_INVALID_IMAGE);
    world_end(&w);
}

/* ---- Modules -------------------------------------------------------------------------------- */

TEST(test_modules)
{
    static const char broken[] = ".version 6.3\n.target sm_75\n.address_size 64\n"
                                 ".visible .entry k() { this is none; ret; \n";
    const uint8_t key[32] = {9};
    unsigned char *log;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {77}, .id = 7), CUDA_ERROR_NOT_FOUND);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = WORLD_KERNELS),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7, .n_options = 17),
                 CUDA_ERROR_INVALID_VALUE);
    /* CU_JIT_INFO_LOG_BUFFER, _WALL_TIME and _GLOBAL_SYMBOL_NAMES: what is no number */
    assert_fails(
        CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7, .n_options = 1, .option = {{3, 64}}),
        CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7, .n_options = 1, .option = {{2, 0}}),
        CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7, .n_options = 2,
                      .option = {{7, 4}, {17, 64}}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7, .n_options = 1,
                      .option = {{1000, 64}}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7,
                      .error_log = {w.g.window_size - 10, 11}),
                 CUDA_ERROR_INVALID_VALUE);

    /* CU_JIT_OPTIMIZATION_LEVEL and _LOG_VERBOSE */
    log = world_window(&w, 4096);
    memset(log, 'x', 4096);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7, .n_options = 2,
                   .option = {{7, 3}, {12, 1}}, .info_log = {world_offset(&w, log), 2000},
                   .error_log = {world_offset(&w, log) + 2000, 1000}));
    assert_int_equal(w.value[0], strlen((char *) log));
    assert_int_equal(w.value[1], strlen((char *) log + 2000));
    assert_int_equal(log[3000], 'x');

    /* Not a module, and the compiler says why. */
    world_load_image(&w, key, broken, sizeof(broken));
    assert_int_not_equal(
        CALL(&w, MODULE_LOAD, .key = {9}, .id = 8, .error_log = {world_offset(&w, log), 2000}),
        CUDA_SUCCESS);
    assert_true(w.value[1] > 0);
    assert_int_equal(w.value[1], strlen((char *) log));
    assert_fails(CALL(&w, MODULE_UNLOAD, .id = 8), CUDA_ERROR_INVALID_HANDLE);

    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 7));
    assert_fails(CALL(&w, MODULE_UNLOAD, .id = 7), CUDA_ERROR_INVALID_HANDLE);
    world_end(&w);
}

TEST(test_functions)
{
    const VGPUSessionFunction *f;
    unsigned char *into;
    char name[5000];

    world_begin(&w, NULL);
    world_load_kernels(&w);
    f = world_function(&w, WORLD_KERNELS, 1, "saxpy");
    assert_int_equal(f->n_parameters, 4);
    assert_int_equal(f->parameters_size, 24);
    assert_int_equal(f->parameter[1].offset, 4);
    assert_int_equal(f->parameter[1].size, 4);
    assert_int_equal(f->parameter[3].offset, 16);
    assert_int_equal(f->parameter[3].size, 8);
    /* CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK */
    assert_int_equal(f->attribute[0].result, CUDA_SUCCESS);
    assert_in_range(f->attribute[0].value, 32, 1024);
    f = world_function(&w, WORLD_LAYOUTS, 2, "mixed");
    assert_int_equal(f->n_parameters, 7);
    assert_int_equal(f->parameters_size, 40);
    assert_int_equal(f->parameter[2].offset, 10);
    assert_int_equal(f->parameter[4].offset, 16);
    assert_int_equal(f->parameter[5].offset, 24);
    f = world_function(&w, WORLD_KERNELS, 3, "trap");
    assert_int_equal(f->n_parameters, 0);
    assert_int_equal(f->parameters_size, 0);

#define GET(text, size, ...) \
    CALL_WITH(&w, FUNCTION_GET, text, size, .module = WORLD_KERNELS, .id = 9, __VA_ARGS__)
    assert_fails(GET("saxpx", 6, .name_size = 6), CUDA_ERROR_NOT_FOUND);
    /* A name without its 0, with one before its end, or longer than the record */
    assert_fails(GET("saxpy", 6, .name_size = 5), CUDA_ERROR_INVALID_VALUE);
    assert_fails(GET("saxpy\0", 7, .name_size = 7), CUDA_ERROR_INVALID_VALUE);
    assert_fails(GET("saxpy", 6, .name_size = 1000), CUDA_ERROR_INVALID_VALUE);
    assert_fails(GET("", 1, .name_size = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(GET("saxpy", 6, .name_size = 0), CUDA_ERROR_INVALID_VALUE);
    memset(name, 'a', sizeof(name));
    name[4096] = 0;
    assert_fails(GET(name, 4097, .name_size = 4097), CUDA_ERROR_INVALID_VALUE);
    name[4095] = 0;
    assert_fails(GET(name, 4096, .name_size = 4096), CUDA_ERROR_NOT_FOUND);
    assert_fails(GET("saxpy", 6, .name_size = 6, .into = {w.g.window_size - 1, 2}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL_WITH(&w, FUNCTION_GET, "saxpy", 6, .module = 77, .id = 9, .name_size = 6),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(
        CALL_WITH(&w, FUNCTION_GET, "saxpy", 6, .module = WORLD_KERNELS, .id = 1, .name_size = 6),
        CUDA_ERROR_INVALID_VALUE);

    /* As much as has room */
    into = world_window(&w, 4096);
    memset(into, 'x', 4096);
    assert_ok(GET("saxpy", 6, .name_size = 6,
                  .into = {world_offset(&w, into), sizeof(VGPUSessionFunction) + 9}));
    assert_int_equal(w.value[0], sizeof(VGPUSessionFunction) + 4 * sizeof(VGPUSessionParameter));
    assert_int_equal(((VGPUSessionFunction *) into)->n_parameters, 4);
    assert_int_equal(into[sizeof(VGPUSessionFunction) + 9], 'x');
#undef GET

    /* Functions end with their module. */
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = WORLD_KERNELS));
    assert_fails(CALL(&w, FUNCTION_CACHE, .function = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, LAUNCH, .function = 3, .grid = {1, 1, 1}, .block = {1, 1, 1}),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, FUNCTION_CACHE, .function = 2));
    world_end(&w);
}

TEST(test_names)
{
    static const char *const names[] = {"many", "mixed", "sum_shared", "table_sum"};
    unsigned char *into;
    uint64_t bytes;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    into = world_window(&w, 4096);
    assert_ok(
        CALL(&w, FUNCTION_NAMES, .module = WORLD_LAYOUTS, .into = {world_offset(&w, into), 4096}));
    assert_int_equal(w.value[0], 4);
    bytes = w.value[1];
    assert_int_equal(bytes, 5 + 6 + 11 + 10);
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(memmem(into, bytes, names[i], strlen(names[i]) + 1));
    /* Without room, how much it takes */
    assert_ok(CALL(&w, FUNCTION_NAMES, .module = WORLD_LAYOUTS));
    assert_int_equal(w.value[1], bytes);
    memset(into, 'x', 4096);
    assert_ok(
        CALL(&w, FUNCTION_NAMES, .module = WORLD_LAYOUTS, .into = {world_offset(&w, into), 12}));
    assert_int_equal(w.value[1], bytes);
    assert_int_equal(into[12], 'x');
    assert_fails(CALL(&w, FUNCTION_NAMES, .module = 77), CUDA_ERROR_INVALID_HANDLE);
    world_end(&w);
}

TEST(test_globals)
{
    static const uint32_t numbers[8] = {2, 3, 5, 7, 11, 13, 17, 19};
    uint32_t back[8];
    uint64_t table;

    world_begin(&w, NULL);
    world_load_kernels(&w);
    for (unsigned again = 0; again < 2; again++) {
        assert_ok(CALL_WITH(&w, GLOBAL_GET, "table", 6, .module = WORLD_LAYOUTS, .name_size = 6));
        assert_int_equal(w.value[1], sizeof(numbers));
    }
    table = w.value[0];
    if (world_is_gpu()) {
        world_read(&w, table, back, sizeof(back));
        assert_memory_equal(back, numbers, sizeof(numbers));
    }
    world_write(&w, table, numbers, sizeof(numbers));
    world_read(&w, table, back, sizeof(back));
    assert_memory_equal(back, numbers, sizeof(numbers));
    assert_fails(CALL(&w, SET, .address = table, .count = 33, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    /* It is the module's, and not to be freed. */
    assert_fails(CALL(&w, MEMORY_FREE, .address = table), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL_WITH(&w, GLOBAL_GET, "tablo", 6, .module = WORLD_LAYOUTS, .name_size = 6),
                 CUDA_ERROR_NOT_FOUND);
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = WORLD_LAYOUTS));
    assert_fails(CALL(&w, SET, .address = table, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images),         cmocka_unit_test(test_images_quota),
        cmocka_unit_test(test_images_unsound), cmocka_unit_test(test_modules),
        cmocka_unit_test(test_functions),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_globals),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
