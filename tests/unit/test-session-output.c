/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels print, and what assertions say.
 *
 *   test-session-output fake    over the fake driver
 *   test-session-output gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROOM 65536u

enum { PRINT = 1, ASSERT = 2, ENDLESS = 3 };

static World w;
static unsigned char *room;

static void begin(void)
{
    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, PRINT, "print_number");
    world_function(&w, WORLD_KERNELS, ASSERT, "assert_positive");
    room = world_window(&w, ROOM);
}

static void launch(uint32_t function, uint32_t stream, int32_t number, uint32_t threads)
{
    assert_ok(CALL_WITH(&w, LAUNCH, &number, sizeof(number), .function = function, .stream = stream,
                        .grid = {1, 1, 1}, .block = {threads, 1, 1},
                        .parameters_size = sizeof(number)));
}

static uint32_t output(uint32_t context, uint64_t size)
{
    const VGPUSessionOutput p = {.into = {world_offset(&w, room), size}};

    memset(room, '#', ROOM);
    return session_guest_call_with(&w.g, VGPU_SESSION_OP_OUTPUT, context, &p, sizeof(p), NULL, 0,
                                   w.value);
}

/* All that is there, as the two texts that end with 0 */
static void output_all(uint32_t context, char *text, char *error, size_t size)
{
    size_t n_text = 0, n_error = 0;

    do {
        assert_ok(output(context, ROOM));
        assert_true(n_text + w.value[0] < size && n_error + w.value[1] < size);
        memcpy(text + n_text, room, w.value[0]);
        memcpy(error + n_error, room + w.value[0], w.value[1]);
        n_text += w.value[0];
        n_error += w.value[1];
    } while (w.value[2] != 0);
    text[n_text] = error[n_error] = '\0';
}

static void assert_prints(uint32_t context, const char *wanted)
{
    char text[4096], error[4096];

    output_all(context, text, error, sizeof(text));
    assert_string_equal(text, wanted);
    assert_string_equal(error, "");
}

/* ---- Printing ---------------------------------------------------------------------------------
 */

TEST(test_print)
{
    begin();
    assert_prints(1, "");
    launch(PRINT, 0, 17, 3);
    world_settle(&w, 0);
    assert_prints(1, "number 17\nnumber 17\nnumber 17\n");
    assert_prints(1, "");

    launch(PRINT, 0, -1, 1);
    launch(PRINT, 0, -2, 1);
    world_settle(&w, 0);
    assert_prints(1, "number -1\nnumber -2\n");
    world_end(&w);
}

/* What a guest knows to have ended is told while other work goes on. */
TEST(test_print_beside_work)
{
    uint64_t *stop;
    uint64_t address;

    begin();
    world_function(&w, WORLD_KERNELS, ENDLESS, "endless");
    stop = (uint64_t *) (void *) world_window(&w, sizeof(*stop));
    address = world_address(stop);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 1, .flags = 1));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 2, .flags = 1));
    /* Loaded when it is first launched, for which the device has to be idle */
    launch(PRINT, 2, 4, 1);
    world_settle(&w, 2);
    assert_prints(1, "number 4\n");
    if (world_is_gpu()) {
        assert_ok(CALL_WITH(&w, LAUNCH, &address, sizeof(address), .function = ENDLESS, .stream = 1,
                            .grid = {1, 1, 1}, .block = {1, 1, 1}, .parameters_size = 8));
    } else {
        assert_ok(CALL(&w, WORD_WAIT, .stream = 1, .address = address, .value = 1, .bits = 32));
    }
    launch(PRINT, 2, 5, 1);
    world_settle(&w, 2);
    assert_prints(1, "number 5\n");
    *(volatile uint64_t *) stop = 1;
    world_settle(&w, 1);
    world_end(&w);
}

TEST(test_room)
{
    char text[64] = "";
    size_t n = 0;

    begin();
    launch(PRINT, 0, 17, 2);
    world_settle(&w, 0);
    assert_ok(output(1, 0));
    assert_int_equal(w.value[0], 0);
    assert_int_equal(w.value[2], 1);
    do {
        assert_ok(output(1, 7));
        assert_in_range(w.value[0], 1, 7);
        assert_int_equal(room[7], '#');
        memcpy(text + n, room, w.value[0]);
        n += w.value[0];
    } while (w.value[2] != 0);
    assert_string_equal(text, "number 17\nnumber 17\n");
    world_end(&w);
}

TEST(test_arguments)
{
    begin();
    assert_fails(CALL(&w, OUTPUT, {w.g.window_size, 1}), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, OUTPUT, {w.g.window_size - 1, 2}), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, OUTPUT, {UINT64_MAX, 2}), CUDA_ERROR_INVALID_VALUE);
    assert_fails(output(2, ROOM), CUDA_ERROR_INVALID_CONTEXT);
    assert_ok(output(0, ROOM));
    world_end(&w);
}

/* Which modules may print */
TEST(test_may_print)
{
    begin();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {WORLD_KERNELS}, .id = 7));
    assert_int_equal(w.value[2], 1);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {WORLD_LAYOUTS}, .id = 8));
    assert_int_equal(w.value[2], 0);
    world_end(&w);
}

/* While the guest captures, what there is is told, and the capture goes on. */
TEST(test_in_capture)
{
    begin();
    assert_ok(CALL(&w, STREAM_CREATE, .id = 1, .flags = 1));
    launch(PRINT, 0, 3, 1);
    world_settle(&w, 0);
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 1, .flags = 0));
    launch(PRINT, 1, 4, 1);
    assert_ok(output(1, ROOM));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 1, .graph = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 1));
    world_settle(&w, 1);
    assert_ok(output(1, ROOM));
    assert_non_null(memmem(room, ROOM, "number 4\n", 9));
    world_end(&w);
}

/* A context that ends leaves what was printed in it. */
TEST(test_context_ends)
{
    begin();
    launch(PRINT, 0, 9, 1);
    world_settle(&w, 0);
    session_guest_context(&w.g, 2, false);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_prints(0, "number 9\n");
    assert_prints(2, "");
    world_end(&w);
}

/* ---- Assertions -------------------------------------------------------------------------------
 */

TEST(test_assert)
{
    static char text[ROOM], error[ROOM];

    begin();
    launch(PRINT, 0, 1, 1);
    launch(ASSERT, 0, 5, 1);
    world_settle(&w, 0);
    assert_prints(1, "number 1\n");

    launch(ASSERT, 0, -5, 1);
    for (unsigned i = 0; w.g.header->sticky == 0 && i < 60000; i++) {
        (void) CALL(&w, NOP, 0);
        usleep(1000);
    }
    assert_int_equal(w.g.header->sticky, CUDA_ERROR_ASSERT);
    output_all(1, text, error, ROOM);
    assert_string_equal(text, "");
    assert_non_null(strstr(error, "Assertion `number > 0` failed.\n"));
    assert_fails(CALL(&w, NOP, 0), CUDA_ERROR_ASSERT);
    output_all(0, text, error, ROOM);
    assert_string_equal(error, "");

    /* The log has what happened, and nothing that a kernel said. */
    assert_true(session_guest_says(&w.g, "CUDA's error 710"));
    assert_false(session_guest_says(&w.g, "Assertion"));
    world_end_after_error(&w);
}

/* ---- Limits ------------------------------------------------------------------------------------
 */

/* A guest that never asks has the executor keep only so much. */
TEST(test_too_much)
{
    enum { FIFO = 1, LINE = 9, LINES = 1000000, FIFO_SIZE = 32 << 20 };
    const uint64_t kept_max = UINT64_C(16) << 20;
    uint64_t n = 0, lost;
    char last[256] = "";

    if (world_is_gpu())
        skip();
    begin();
    assert_ok(CALL(&w, CONTEXT_LIMIT_SET, .limit = FIFO, .value = FIFO_SIZE));
    for (unsigned i = 0; i < LINES / 1000; i++) {
        const int32_t number = 5;

        assert_ok(CALL_WITH(&w, LAUNCH, &number, sizeof(number), .function = PRINT,
                            .grid = {2, 1, 1}, .block = {1000, 1, 1},
                            .parameters_size = sizeof(number)));
    }
    world_settle(&w, 0);
    do {
        assert_ok(output(1, ROOM));
        n += w.value[0];
        if (w.value[2] == 0)
            memcpy(last, room + (w.value[0] < 200 ? 0 : w.value[0] - 200),
                   w.value[0] < 200 ? w.value[0] : 200);
    } while (w.value[2] != 0);
    assert_non_null(strstr(last, "\nvgpu: "));
    assert_int_equal(
        sscanf(strstr(last, "vgpu: "), "vgpu: %lu bytes that kernels printed here are", &lost), 1);
    assert_true(n <= kept_max + 100);
    n -= strlen(strstr(last, "\nvgpu: "));
    assert_int_equal(n + lost, UINT64_C(2) * LINES * LINE);

    /* After that it goes on. */
    launch(PRINT, 0, 17, 1);
    world_settle(&w, 0);
    assert_prints(1, "number 17\n");
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print),        cmocka_unit_test(test_print_beside_work),
        cmocka_unit_test(test_room),         cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_may_print),    cmocka_unit_test(test_in_capture),
        cmocka_unit_test(test_context_ends), cmocka_unit_test(test_assert),
        cmocka_unit_test(test_too_much),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
