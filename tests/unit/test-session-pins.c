/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session whose guest pins pieces of its window: what is pinned, what crosses pieces, and what is
 * refused.
 *
 *   test-session-pins fake    over the fake driver, which refuses to cross pieces by ending
 *   test-session-pins gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAGE UINT64_C(4096)
#define WINDOW (32 * MIB)
#define AT (4 * MIB) /* where these tests pin */

static World w;

static void fill_pattern(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char) (i * 7 + i / 251 + seed);
}

static uint64_t window_at(uint64_t offset)
{
    return world_address(w.g.window + offset);
}

static uint32_t pin(uint64_t offset, uint64_t size)
{
    return CALL(&w, WINDOW_PIN, .bytes = {offset, size});
}

/* Pieces of all sizes, side by side, @size bytes from AT on */
static void pin_pieces(uint64_t size)
{
    static const uint64_t pages[] = {1, 3, 2, 7, 1, 16};

    for (uint64_t at = 0, i = 0; at < size; i++) {
        uint64_t n = pages[i % 6] * PAGE;

        if (n > size - at)
            n = size - at;
        assert_ok(pin(AT + at, n));
        at += n;
    }
}

TEST(test_pins)
{
    const uint64_t area = vgpu_session_size(VGPU_SESSION_RING_MIN);
    uint64_t a;

    world_open_unpinned(&w, WINDOW, NULL);
    a = world_alloc(&w, 2 * PAGE);
    assert_fails(CALL(&w, COPY, .to = a, .from = window_at(AT), .size = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(pin(AT, 2 * PAGE));
    assert_ok(pin(AT, 2 * PAGE)); /* again */
    assert_ok(CALL(&w, COPY, .to = a, .from = window_at(AT), .size = 2 * PAGE));
    assert_fails(CALL(&w, COPY, .to = a, .from = window_at(AT + 1), .size = 2 * PAGE),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a, .from = window_at(AT - 1), .size = 2),
                 CUDA_ERROR_INVALID_VALUE);

    /* Wrong ones */
    assert_fails(pin(AT, PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(AT + PAGE, PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(AT - PAGE, 2 * PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(AT - PAGE, 4 * PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(AT + PAGE, 2 * PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(8 * MIB, 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(8 * MIB, PAGE + 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(8 * MIB + 512, PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(WINDOW, PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(WINDOW - PAGE, 2 * PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(UINT64_MAX - PAGE + 1, PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(PAGE, UINT64_MAX - PAGE + 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(pin(0, WINDOW), CUDA_ERROR_INVALID_VALUE);

    /* The area is pinned already. */
    assert_ok(CALL(&w, COPY, .to = a, .from = window_at(VGPU_SESSION_HEADER_SIZE), .size = PAGE));
    assert_fails(pin(0, PAGE), CUDA_ERROR_INVALID_VALUE);
    assert_ok(pin(0, area));

    /* To the last byte */
    assert_ok(pin(WINDOW - PAGE, PAGE));
    assert_ok(CALL(&w, COPY, .to = window_at(WINDOW - 1), .from = a, .size = 1));
    world_settle(&w, 0);
    world_end(&w);
}

/* Boxes between pieces and an array are cut, too, but no element is. */
TEST(test_arrays)
{
    enum { WIDTH = 1500, HEIGHT = 40, PITCH = WIDTH * 4 };
    const size_t size = (size_t) PITCH * HEIGHT;
    VGPUSessionCopy3D up = {.to = {.array = 1}, .width_bytes = PITCH, .height = HEIGHT, .depth = 1};
    VGPUSessionCopy3D down = up;
    unsigned char *bytes;

    world_open_unpinned(&w, WINDOW, NULL);
    pin_pieces(MIB);
    assert_ok(CALL(&w, ARRAY_CREATE, .id = 1, .width = WIDTH, .height = HEIGHT,
                   .format = CU_AD_FORMAT_FLOAT, .channels = 1));
    bytes = (unsigned char *) w.g.window + AT;
    fill_pattern(bytes, size, 5);
    up.from = (VGPUSessionPlace){.address = window_at(AT), .pitch = PITCH, .height = HEIGHT};
    down.from = (VGPUSessionPlace){.array = 1};
    down.to = up.from;
    down.to.address = window_at(AT + MIB / 2 + 8);
    assert_ok(world_call(&w, VGPU_SESSION_OP_COPY_3D, &up, sizeof(up), NULL, 0));
    assert_ok(world_call(&w, VGPU_SESSION_OP_COPY_3D, &down, sizeof(down), NULL, 0));
    world_settle(&w, 0);
    assert_memory_equal(bytes, bytes + MIB / 2 + 8, size);
    assert_int_equal(w.g.control->bytes_to_device, size);

    /* An element that lies in two pieces */
    up.from = (VGPUSessionPlace){.address = window_at(AT + PAGE - 2)};
    up.width_bytes = 4;
    up.height = 1;
    assert_fails(world_call(&w, VGPU_SESSION_OP_COPY_3D, &up, sizeof(up), NULL, 0),
                 CUDA_ERROR_INVALID_VALUE);
    world_settle(&w, 0);
    world_end(&w);
}

/* Without the flag all of the window is one piece. */
TEST(test_whole)
{
    uint64_t a;

    world_begin(&w, NULL);
    a = world_alloc(&w, PAGE);
    assert_ok(CALL(&w, COPY, .to = a, .from = window_at(AT), .size = PAGE));
    assert_ok(pin(0, WINDOW));
    assert_fails(pin(AT, PAGE), CUDA_ERROR_INVALID_VALUE);
    world_settle(&w, 0);
    world_end(&w);
}

TEST(test_words)
{
    uint64_t at = AT + PAGE;

    world_open_unpinned(&w, WINDOW, NULL);
    assert_ok(pin(at, PAGE));
    assert_fails(CALL(&w, FENCE, .offset = at - 8, .value = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, FENCE, .offset = at + PAGE, .value = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, WORD_WRITE, .address = window_at(at - 8), .value = 1, .bits = 64),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, WORD_WAIT, .address = window_at(at + PAGE), .value = 1, .bits = 32),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, FENCE, .offset = at + PAGE - 8, .value = 77));
    assert_true(session_guest_wait_word(&w.g, at + PAGE - 8, 77, SESSION_GUEST_TIMEOUT_MSEC));
    assert_ok(CALL(&w, WORD_WRITE, .address = window_at(at), .value = 5, .bits = 64));
    assert_true(session_guest_wait_word(&w.g, at, 5, SESSION_GUEST_TIMEOUT_MSEC));
    /* In the area, too */
    assert_ok(CALL(&w, FENCE, .offset = offsetof(VGPUSessionHeader, reserved), .value = 3));
    world_settle(&w, 0);
    world_end(&w);
}

TEST(test_lines_across_pieces)
{
    const size_t size = 60 * PAGE;
    unsigned char *up, *down;
    uint64_t a;

    world_open_unpinned(&w, WINDOW, NULL);
    pin_pieces(2 * size);
    up = (unsigned char *) w.g.window + AT;
    down = up + size;
    a = world_alloc(&w, size);
    fill_pattern(up, size, 3);
    assert_ok(CALL(&w, COPY, .to = a, .from = world_address(up), .size = size));
    assert_ok(CALL(&w, COPY, .to = world_address(down) + 5, .from = a + 2, .size = size - 9));
    world_settle(&w, 0);
    assert_memory_equal(down + 5, up + 2, size - 9);
    assert_int_equal(w.g.control->bytes_to_device, size);
    assert_int_equal(w.g.control->bytes_from_device, size - 9);

    /* Both ends in the window, at other places in their pieces */
    memset(down, 0, size);
    assert_ok(
        CALL(&w, COPY, .to = world_address(down) + 1, .from = world_address(up), .size = size - 1));
    world_settle(&w, 0);
    assert_memory_equal(down + 1, up, size - 1);

    /* Sets: a line, and rows */
    assert_ok(CALL(&w, SET, .address = world_address(up), .count = size / 4, .rows = 1, .width = 4,
                   .value = 0x01020304));
    assert_ok(CALL(&w, SET, .address = world_address(down), .count = 1000, .rows = size / 2000,
                   .pitch = 2000, .width = 2, .value = 0x0506));
    world_settle(&w, 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(up[i], 4 - i % 4);
    for (size_t i = 0; i < size / 2000 * 2000; i++)
        assert_int_equal(down[i], 6 - i % 2);
    /* A gap is none of the session's. */
    assert_fails(
        CALL(&w, SET, .address = world_address(up), .count = 2 * size + 1, .rows = 1, .width = 1),
        CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* ---- Boxes ---------------------------------------------------------------------------------- */

enum { PITCH = 5000, ROWS = 9, SLICES = 5, BOX = PITCH * ROWS * SLICES };

static VGPUSessionCopy3D box(uint64_t to, uint64_t from)
{
    return (VGPUSessionCopy3D){
        .to = {.address = to, .pitch = PITCH, .height = ROWS, .x_bytes = 3, .y = 1, .z = 1},
        .from = {.address = from, .pitch = PITCH, .height = ROWS, .x_bytes = 7, .y = 2},
        .width_bytes = 4990,
        .height = 6,
        .depth = 4,
    };
}

static uint32_t copy_box(const VGPUSessionCopy3D *p)
{
    return world_call(&w, VGPU_SESSION_OP_COPY_3D, p, sizeof(*p), NULL, 0);
}

static size_t in_box(const VGPUSessionPlace *place, uint64_t y, uint64_t z)
{
    return ((place->z + z) * ROWS + place->y + y) * PITCH + place->x_bytes;
}

TEST(test_boxes_across_pieces)
{
    const uint64_t span = (BOX + PAGE) / PAGE * PAGE;
    unsigned char *up, *down;
    VGPUSessionCopy3D there, back;
    uint64_t a;

    world_open_unpinned(&w, WINDOW, NULL);
    pin_pieces(2 * span);
    up = (unsigned char *) w.g.window + AT;
    down = up + span;
    a = world_alloc(&w, BOX);
    fill_pattern(up, BOX, 4);
    memset(down, 0xee, BOX);
    there = box(a, world_address(up));
    back = box(world_address(down), a);
    back.from = there.to;
    assert_ok(copy_box(&there));
    assert_ok(copy_box(&back));
    world_settle(&w, 0);
    for (uint64_t z = 0; z < there.depth; z++)
        for (uint64_t y = 0; y < there.height; y++) {
            assert_memory_equal(down + in_box(&back.to, y, z), up + in_box(&there.from, y, z),
                                there.width_bytes);
            assert_int_equal(down[in_box(&back.to, y, z) - 1], 0xee);
            assert_int_equal(down[in_box(&back.to, y, z) + there.width_bytes], 0xee);
        }
    assert_int_equal(w.g.control->bytes_to_device, 4990 * 6 * 4);

    /* One row, whose pitch says nothing, and from window to window */
    there = (VGPUSessionCopy3D){
        .to = {.address = world_address(down) + 1},
        .from = {.address = world_address(up)},
        .width_bytes = BOX - 1,
        .height = 1,
        .depth = 1,
    };
    assert_ok(copy_box(&there));
    world_settle(&w, 0);
    assert_memory_equal(down + 1, up, BOX - 1);
    there.width_bytes = 2 * span;
    assert_fails(copy_box(&there), CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* A copy that crosses pieces becomes several nodes of a graph. */
TEST(test_pieces_in_a_graph)
{
    unsigned char *up, *down;
    uint64_t a;

    world_open_unpinned(&w, WINDOW, NULL);
    pin_pieces(2 * 20 * PAGE);
    up = (unsigned char *) w.g.window + AT;
    down = up + 20 * PAGE;
    a = world_alloc(&w, 20 * PAGE);
    fill_pattern(up, 20 * PAGE, 9);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 1, .flags = 1));
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 1));
    /* A pin harms no capture. */
    assert_ok(pin(8 * MIB, PAGE));
    assert_ok(CALL(&w, COPY, .to = a, .from = world_address(up), .size = 20 * PAGE, .stream = 1));
    assert_ok(CALL(&w, COPY, .to = world_address(down), .from = a, .size = 20 * PAGE, .stream = 1));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 1, .graph = 1));
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 1));
    world_settle(&w, 1);
    assert_memory_equal(up, down, 20 * PAGE);
    world_end(&w);
}

/* ---- Contexts ---------------------------------------------------------------------------------
 */

static void check_copy(uint32_t context)
{
    unsigned char *up = (unsigned char *) w.g.window + AT;
    const uint64_t back = AT + 20 * PAGE;
    VGPUSessionMemory memory = {.size = 20 * PAGE};
    VGPUSessionCopy copy;
    uint64_t value[6];

    fill_pattern(up, 20 * PAGE, context);
    memset(up + 20 * PAGE, 0, 20 * PAGE);
    assert_ok(session_guest_call_with(&w.g, VGPU_SESSION_OP_MEMORY_ALLOC, context, &memory,
                                      sizeof(memory), NULL, 0, value));
    copy = (VGPUSessionCopy){.to = value[0], .from = window_at(AT), .size = 20 * PAGE};
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_COPY, context, &copy, sizeof(copy)));
    copy = (VGPUSessionCopy){.to = window_at(back), .from = value[0], .size = 20 * PAGE};
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_COPY, context, &copy, sizeof(copy)));
    session_guest_synchronize(&w.g, context, 0);
    assert_memory_equal(up, up + 20 * PAGE, 20 * PAGE);
}

/* Pieces that were pinned in a context stay when it ends, and those of a session without any come
 * back with the next context. */
TEST(test_contexts)
{
    const VGPUSessionId first = {.id = 1}, second = {.id = 2};
    const VGPUSessionPin p = {.bytes = {AT + 30 * PAGE, 10 * PAGE}};

    world_open_unpinned(&w, WINDOW, NULL);
    /* For session_guest_synchronize() */
    assert_ok(pin(w.g.heap, PAGE));
    pin_pieces(30 * PAGE);
    session_guest_context(&w.g, 2, false);
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_WINDOW_PIN, 2, &p, sizeof(p)));
    assert_fails(session_guest_call(&w.g, VGPU_SESSION_OP_WINDOW_PIN, 3, &p, sizeof(p)),
                 CUDA_ERROR_INVALID_CONTEXT);
    check_copy(1);
    check_copy(2);
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_CONTEXT_DESTROY, 0, &first, sizeof(first)));
    check_copy(2);
    session_guest_context(&w.g, 1, true);
    assert_ok(
        session_guest_call(&w.g, VGPU_SESSION_OP_CONTEXT_DESTROY, 0, &second, sizeof(second)));
    check_copy(1);
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_CONTEXT_DESTROY, 0, &first, sizeof(first)));
    session_guest_context(&w.g, 1, true);
    check_copy(1);
    world_end(&w);
}

TEST(test_too_many)
{
    world_open_unpinned(&w, WINDOW, NULL);
    /* One is the fixture's. */
    for (unsigned i = 1; i < VGPU_SESSION_PINS_MAX; i++)
        assert_ok(pin(AT + i * PAGE, PAGE));
    assert_fails(pin(AT, PAGE), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(pin(AT + PAGE, PAGE)); /* again */
    assert_ok(CALL(&w, SET, .address = window_at(AT + PAGE),
                   .count = (VGPU_SESSION_PINS_MAX - 1) * PAGE, .rows = 1, .width = 1, .value = 9));
    world_settle(&w, 0);
    assert_int_equal(w.g.window[AT + VGPU_SESSION_PINS_MAX * PAGE - 1], 9);
    world_end(&w);
}

/* ---- What it costs ------------------------------------------------------------------------------
 */

static double now_msec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}

static double first_context(uint64_t window_size)
{
    const VGPUSessionId id = {.id = 1};
    double begin;

    world_open_unpinned(&w, window_size, NULL);
    assert_ok(session_guest_call(&w.g, VGPU_SESSION_OP_CONTEXT_DESTROY, 0, &id, sizeof(id)));
    begin = now_msec();
    session_guest_context(&w.g, 1, true);
    begin = now_msec() - begin;
    world_end(&w);
    return begin;
}

/* Figures to read, not to judge: the driver's time is what it is. */
TEST(test_cost)
{
    double small = first_context(32 * MIB), large = first_context(1024 * MIB), begin;

    world_open_unpinned(&w, 256 * MIB, NULL);
    begin = now_msec();
    assert_ok(pin(AT, 128 * MIB));
    begin = now_msec() - begin;
    world_end(&w);
    printf("# a context with 32 MiB: %.1f ms, with 1 GiB: %.1f ms; a pin: %.1f us a MiB\n", small,
           large, begin * 1000 / 128);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_lines_across_pieces),
        cmocka_unit_test(test_boxes_across_pieces),
        cmocka_unit_test(test_pieces_in_a_graph),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_cost),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
