/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Linkers: a kernel of one file and the function that it calls of another become one image.
 *
 *   test-session-links fake    over the fake driver
 *   test-session-links gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <elf.h>
#include <stdlib.h>

#define N 64u
#define LOG 4096u

/* Keys of images, by their first byte */
enum { KERNEL = 31, FUNCTION = 32, RESULT = 33, BROKEN = 34, LARGE = 35 };

enum { CUBIN = CU_JIT_INPUT_CUBIN, PTX = CU_JIT_INPUT_PTX };

static World w;
static unsigned char *info, *error;

static void begin(const WorldLimits *limits)
{
    world_begin(&w, limits);
    world_load_text(&w, (const uint8_t[32]){KERNEL}, "VGPU_SESSION_LINK_KERNEL");
    world_load_text(&w, (const uint8_t[32]){FUNCTION}, "VGPU_SESSION_LINK_FUNCTION");
    info = world_window(&w, LOG);
    error = world_window(&w, LOG);
}

#define LOGS .info_log = {world_offset(&w, info), LOG}, .error_log = {world_offset(&w, error), LOG}
#define ADD(link, image, ...) CALL(&w, LINK_ADD, .id = (link), .key = {image}, __VA_ARGS__)

static void link_both(uint32_t id)
{
    assert_ok(CALL(&w, LINK_CREATE, .id = id, LOGS));
    assert_ok(ADD(id, KERNEL, .type = PTX, LOGS));
    assert_ok(ADD(id, FUNCTION, .type = PTX, LOGS));
}

static void run(uint32_t module)
{
    struct {
        uint64_t out;
        uint32_t y, gap;
    } p = {.out = world_alloc(&w, N * sizeof(uint32_t)), .y = 7};
    uint32_t out[N];

    world_function(&w, module, module, "linked");
    assert_ok(CALL_WITH(&w, LAUNCH, &p, 12, .function = module, .grid = {1, 1, 1},
                        .block = {N, 1, 1}, .parameters_size = 12));
    world_read(&w, p.out, out, sizeof(out));
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(out[i], 2 * i + 7);
}

TEST(test_link)
{
    static const char name[] = "the kernel";
    unsigned char *into;
    uint64_t size, half;
    char *cubin;

    begin(NULL);
    assert_ok(CALL(&w, LINK_CREATE, .id = 1, .n_options = 1, .option = {{7, 3}}, LOGS));
    assert_ok(CALL_WITH(&w, LINK_ADD, name, sizeof(name), .id = 1, .key = {KERNEL}, .type = PTX,
                        .name_size = sizeof(name), LOGS));
    assert_ok(ADD(1, FUNCTION, .type = PTX, .n_options = 1, .option = {{7, 3}}, LOGS));
    assert_ok(CALL(&w, LINK_COMPLETE, .id = 1, .key = {RESULT}, LOGS));
    assert_int_equal(w.value[0], strlen((char *) info));
    assert_int_equal(w.value[1], strlen((char *) error));
    size = w.value[2];
    assert_true(size > sizeof(Elf64_Ehdr));

    /* The result is an image as others are, and can be read. */
    assert_ok(CALL(&w, MODULE_LOAD, .key = {RESULT}, .id = 5));
    assert_int_equal(w.value[2], 0);
    run(5);
    cubin = malloc(size);
    assert_non_null(cubin);
    into = world_window(&w, size);
    half = size / 2;
    assert_ok(CALL(&w, LINK_READ, .id = 1, .into = {world_offset(&w, into), half}));
    memcpy(cubin, into, half);
    assert_ok(
        CALL(&w, LINK_READ, .id = 1, .at = half, .into = {world_offset(&w, into), size - half}));
    memcpy(cubin + half, into, size - half);
    assert_memory_equal(cubin, ELFMAG, SELFMAG);

    assert_ok(CALL(&w, LINK_DESTROY, .id = 1));
    assert_fails(CALL(&w, LINK_DESTROY, .id = 1), CUDA_ERROR_INVALID_HANDLE);
    world_load_image(&w, (const uint8_t[32]){LARGE}, cubin, size);
    free(cubin);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {LARGE}, .id = 6));
    run(6);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {RESULT}, .id = 7));
    run(7);
    world_end(&w);
}

/* What cannot be linked is said in the log, and the session goes on. */
TEST(test_fails)
{
    static const char broken[] = ".version 6.3\n.target sm_75\n.address_size 64\n"
                                 ".visible .entry k() { this is none; ret; \n";

    begin(NULL);
    assert_ok(CALL(&w, LINK_CREATE, .id = 1, LOGS));
    assert_ok(ADD(1, KERNEL, .type = PTX, LOGS));
    assert_int_not_equal(CALL(&w, LINK_COMPLETE, .id = 1, .key = {RESULT}, LOGS), CUDA_SUCCESS);
    assert_true(w.value[1] > 0);
    assert_non_null(strstr((char *) error, "twice_and"));
    assert_fails(CALL(&w, MODULE_LOAD, .key = {RESULT}, .id = 5), CUDA_ERROR_NOT_FOUND);
    assert_ok(CALL(&w, LINK_DESTROY, .id = 1));

    world_load_image(&w, (const uint8_t[32]){BROKEN}, broken, sizeof(broken));
    assert_ok(CALL(&w, LINK_CREATE, .id = 1, LOGS));
    assert_int_not_equal(ADD(1, BROKEN, .type = PTX, LOGS), CUDA_SUCCESS);
    assert_true(w.value[1] > 0);
    assert_ok(CALL(&w, LINK_DESTROY, .id = 1));
    assert_int_equal(w.g.header->sticky, 0);

    link_both(2);
    assert_ok(CALL(&w, LINK_COMPLETE, .id = 2, .key = {RESULT}));
    assert_ok(CALL(&w, MODULE_LOAD, .key = {RESULT}, .id = 5));
    run(5);
    world_end(&w);
}

TEST(test_arguments)
{
    char name[VGPU_SESSION_NAME_MAX + 8];

    begin(NULL);
    assert_fails(CALL(&w, LINK_CREATE, .id = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, LINK_CREATE, .id = 1, .n_options = 17), CUDA_ERROR_INVALID_VALUE);
    /* An address, and one that is unknown */
    assert_fails(CALL(&w, LINK_CREATE, .id = 1, .n_options = 1, .option = {{3, 64}}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, LINK_CREATE, .id = 1, .n_options = 1, .option = {{1000, 64}}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, LINK_CREATE, .id = 1));
    assert_fails(CALL(&w, LINK_CREATE, .id = 1), CUDA_ERROR_INVALID_VALUE);

    assert_fails(ADD(2, KERNEL, .type = PTX), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(ADD(1, 99, .type = PTX), CUDA_ERROR_NOT_FOUND);
    assert_fails(ADD(1, KERNEL, .type = 5), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ADD(1, KERNEL, .type = UINT32_MAX), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ADD(1, KERNEL, .type = PTX, .n_options = 17), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ADD(1, KERNEL, .type = PTX, .n_options = 1, .option = {{5, 1}}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(ADD(1, KERNEL, .type = PTX, .info_log = {w.g.window_size - 1, 2}),
                 CUDA_ERROR_INVALID_VALUE);
    memset(name, 'a', sizeof(name));
#define NAMED(size, name_bytes)                                                \
    CALL_WITH(&w, LINK_ADD, name, size, .id = 1, .key = {KERNEL}, .type = PTX, \
              .name_size = (name_bytes))
    assert_fails(NAMED(8, 8), CUDA_ERROR_INVALID_VALUE);
    name[3] = name[7] = 0;
    assert_fails(NAMED(8, 8), CUDA_ERROR_INVALID_VALUE);
    assert_fails(NAMED(8, 3), CUDA_ERROR_INVALID_VALUE);
    assert_fails(NAMED(8, 4000), CUDA_ERROR_INVALID_VALUE);
    memset(name, 'a', sizeof(name));
    name[VGPU_SESSION_NAME_MAX] = 0;
    assert_fails(NAMED(VGPU_SESSION_NAME_MAX + 1, VGPU_SESSION_NAME_MAX + 1),
                 CUDA_ERROR_INVALID_VALUE);
#undef NAMED

    assert_fails(CALL(&w, LINK_READ, .id = 1, .into = {world_offset(&w, info), 1}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(ADD(1, KERNEL, .type = PTX));
    assert_ok(ADD(1, FUNCTION, .type = PTX));
    assert_fails(CALL(&w, LINK_COMPLETE, .id = 2, .key = {RESULT}), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(
        CALL(&w, LINK_COMPLETE, .id = 1, .key = {RESULT}, .error_log = {w.g.window_size, 1}),
        CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, LINK_COMPLETE, .id = 1, .key = {RESULT}));
    assert_fails(CALL(&w, LINK_COMPLETE, .id = 1, .key = {LARGE}), CUDA_ERROR_INVALID_VALUE);
    assert_fails(ADD(1, KERNEL, .type = PTX), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, LINK_READ, .id = 1, .into = {w.g.window_size, 1}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL(&w, LINK_READ, .id = 1, .at = UINT64_MAX, .into = {world_offset(&w, info), 1}),
        CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL(&w, LINK_READ, .id = 1, .at = UINT64_C(1) << 40, .into = {world_offset(&w, info), 1}),
        CUDA_ERROR_INVALID_VALUE);

    /* The key of another image is taken. */
    link_both(2);
    assert_fails(CALL(&w, LINK_COMPLETE, .id = 2, .key = {KERNEL}), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* Linkers, what they are given, and what they make have limits. */
TEST(test_limits)
{
    const uint64_t piece = UINT64_C(1) << 20, size = UINT64_C(257) << 20;
    WorldLimits limits = {.images_max = 8192};
    VGPUSessionImage p = {.key = {LARGE}, .size = size};
    uint32_t id = 1;

    world_begin(&w, NULL);
    while (CALL(&w, LINK_CREATE, .id = id) == CUDA_SUCCESS)
        id++;
    assert_int_equal(id, 17);
    assert_ok(CALL(&w, LINK_DESTROY, .id = 3));
    assert_ok(CALL(&w, LINK_CREATE, .id = 3));

    /* Twice 257 MiB are too much. What a real compiler makes of so many blanks is no matter here.
     */
    if (world_is_gpu()) {
        world_end(&w);
        return;
    }
    assert_ok(world_call(&w, VGPU_SESSION_OP_IMAGE_BEGIN, &p, sizeof(p), NULL, 0));
    p.piece = (VGPUSessionBytes){world_offset(&w, world_window(&w, piece)), piece};
    memset(w.g.window + p.piece.offset, ' ', piece);
    for (; p.at < size; p.at += piece)
        assert_ok(world_call(&w, VGPU_SESSION_OP_IMAGE_PIECE, &p, sizeof(p), NULL, 0));
    assert_int_not_equal(ADD(1, LARGE, .type = PTX), CUDA_SUCCESS);
    assert_fails(ADD(2, LARGE, .type = PTX), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, LINK_DESTROY, .id = 1));
    assert_true(ADD(2, LARGE, .type = PTX) != CUDA_ERROR_OUT_OF_MEMORY);
    world_end(&w);

    /* The result counts as an image. */
    begin(NULL);
    limits.images_max = w.g.control->images + 10;
    world_end(&w);
    begin(&limits);
    link_both(1);
    assert_fails(CALL(&w, LINK_COMPLETE, .id = 1, .key = {RESULT}), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, LINK_READ, .id = 1, .into = {world_offset(&w, info), 1}),
                 CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

TEST(test_context_ends)
{
    begin(NULL);
    link_both(1);
    session_guest_context(&w.g, 2, false);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    session_guest_context(&w.g, 1, true);
    assert_fails(CALL(&w, LINK_COMPLETE, .id = 1, .key = {RESULT}), CUDA_ERROR_INVALID_HANDLE);
    for (uint32_t id = 1; id <= 16; id++)
        assert_ok(CALL(&w, LINK_CREATE, .id = id));
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link),         cmocka_unit_test(test_fails),
        cmocka_unit_test(test_arguments),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_context_ends),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
