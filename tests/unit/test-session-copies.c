/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's copies and sets: each as it should be, and wrong by one.
 *
 *   test-session-copies fake    over the fake driver
 *   test-session-copies gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdlib.h>

/* Nobody's: far from all that a driver gives */
#define NOWHERE UINT64_C(0x123400000000)

static World w;

static void fill_pattern(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char) (i * 7 + i / 251 + seed);
}

/* ---- Copies --------------------------------------------------------------------------------- */

TEST(test_copy_everywhere)
{
    const size_t size = 3 * MIB + 17;
    unsigned char *up, *down;
    uint64_t a, b;

    world_begin(&w, NULL);
    up = world_window(&w, size);
    down = world_window(&w, size);
    a = world_alloc(&w, size);
    b = world_alloc(&w, size);
    fill_pattern(up, size, 3);
    assert_ok(CALL(&w, COPY, .to = a, .from = world_address(up), .size = size));
    assert_ok(CALL(&w, COPY, .to = b, .from = a, .size = size));
    assert_ok(CALL(&w, COPY, .to = world_address(down), .from = b, .size = size));
    world_settle(&w, 0);
    assert_memory_equal(up, down, size);
    assert_int_equal(w.g.control->bytes_to_device, size);
    assert_int_equal(w.g.control->bytes_from_device, size);

    /* From window to window, and a part */
    memset(down, 0, size);
    assert_ok(
        CALL(&w, COPY, .to = world_address(down + 5), .from = world_address(up + 3), .size = 1000));
    world_settle(&w, 0);
    assert_memory_equal(down + 5, up + 3, 1000);
    assert_int_equal(down[4], 0);
    assert_int_equal(down[1005], 0);
    assert_int_equal(w.g.control->bytes_to_device, size);
    world_end(&w);
}

TEST(test_copy_edges)
{
    const uint64_t size = 4096;
    uint64_t window, a, b, end;

    world_begin(&w, NULL);
    window = world_address(world_window(&w, size));
    end = world_address(w.g.window + w.g.window_size);
    a = world_alloc(&w, size);
    b = world_alloc(&w, size);
    assert_ok(CALL(&w, COPY, .to = a, .from = window, .size = size));
    assert_ok(CALL(&w, COPY, .to = a, .from = b, .size = size));
    assert_ok(CALL(&w, COPY, .to = a + size, .from = window, .size = 0));
    assert_ok(CALL(&w, COPY, .to = a + size - 1, .from = end - 1, .size = 1));

    assert_fails(CALL(&w, COPY, .to = a, .from = window, .size = size + 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a + 1, .from = window, .size = size),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = window, .from = b + 1, .size = size),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a, .from = b, .size = size + 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a, .from = end - 1, .size = 2), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = end, .from = a, .size = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a, .from = world_address(w.g.window) - 1, .size = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a, .from = window, .size = UINT64_MAX),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = UINT64_MAX, .from = window, .size = 2),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = NOWHERE, .from = window, .size = 1),
                 CUDA_ERROR_INVALID_VALUE);
    /* The executor's own memory is none of the session's. */
    assert_fails(CALL(&w, COPY, .to = window, .from = world_address(&w), .size = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, COPY, .to = a, .from = window, .size = 1, .stream = 9),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    assert_fails(CALL(&w, COPY, .to = a, .from = window, .size = 1), CUDA_ERROR_INVALID_VALUE);
    world_settle(&w, 0);
    world_end(&w);
}

/* ---- Boxes ---------------------------------------------------------------------------------- */

enum { PITCH = 64, ROWS = 16, SLICES = 4, BOX = PITCH * ROWS * SLICES };

static VGPUSessionCopy3D box(uint64_t to, uint64_t from)
{
    return (VGPUSessionCopy3D){
        .to = {.address = to, .pitch = PITCH, .height = ROWS, .x_bytes = 3, .y = 2, .z = 1},
        .from = {.address = from, .pitch = PITCH, .height = ROWS, .x_bytes = 7, .y = 5, .z = 0},
        .width_bytes = 21,
        .height = 6,
        .depth = 3,
    };
}

static uint32_t copy_box(const VGPUSessionCopy3D *p)
{
    return world_call(&w, VGPU_SESSION_OP_COPY_3D, p, sizeof(*p), NULL, 0);
}

static unsigned char *in_box(unsigned char *bytes, const VGPUSessionPlace *place, uint64_t x,
                             uint64_t y, uint64_t z)
{
    return bytes + ((place->z + z) * ROWS + place->y + y) * PITCH + place->x_bytes + x;
}

/* Up into a device that has 0 everywhere, across it, and down: each byte is where it belongs. */
TEST(test_boxes)
{
    unsigned char *up, *down, *expected;
    VGPUSessionCopy3D p;
    uint64_t a, b;

    world_begin(&w, NULL);
    up = world_window(&w, BOX);
    down = world_window(&w, BOX);
    expected = calloc(1, BOX);
    a = world_alloc(&w, BOX);
    b = world_alloc(&w, BOX);
    fill_pattern(up, BOX, 4);
    assert_ok(CALL(&w, SET, .address = a, .count = BOX, .rows = 1, .width = 1));
    assert_ok(CALL(&w, SET, .address = b, .count = BOX, .rows = 1, .width = 1));

    p = box(a, world_address(up));
    assert_ok(copy_box(&p));
    p = box(b, a);
    p.from = p.to;
    p.from.address = a;
    assert_ok(copy_box(&p));
    p = box(world_address(down), b);
    p.from = p.to;
    p.from.address = b;
    p.to.x_bytes = 0;
    assert_ok(copy_box(&p));
    world_settle(&w, 0);

    for (uint64_t z = 0; z < p.depth; z++)
        for (uint64_t y = 0; y < p.height; y++)
            for (uint64_t x = 0; x < p.width_bytes; x++)
                *in_box(expected, &p.to, x, y, z) =
                    *in_box(up, &(VGPUSessionPlace){.x_bytes = 7, .y = 5}, x, y, z);
    assert_memory_equal(down, expected, BOX);
    assert_int_equal(w.g.control->bytes_to_device, 21 * 6 * 3);
    assert_int_equal(w.g.control->bytes_from_device, 21 * 6 * 3);
    free(expected);
    world_end(&w);
}

/* One number more, and the last byte lies behind the end. */
TEST(test_box_edges)
{
    VGPUSessionCopy3D p, whole = {
                             .to = {.pitch = PITCH, .height = ROWS},
                             .from = {.pitch = PITCH, .height = ROWS},
                             .width_bytes = PITCH,
                             .height = ROWS,
                             .depth = SLICES,
                         };
    uint64_t window;

    world_begin(&w, NULL);
    window = session_guest_alloc(&w.g, BOX);
    /* The last bytes of the window */
    whole.from.address = world_address(w.g.window + w.g.window_size - BOX);
    whole.to.address = world_alloc(&w, BOX);
    assert_ok(copy_box(&whole));
#define WRONG(member, number)                                 \
    do {                                                      \
        p = whole;                                            \
        p.member = (number);                                  \
        assert_fails(copy_box(&p), CUDA_ERROR_INVALID_VALUE); \
    } while (0)
    WRONG(depth, SLICES + 1);
    WRONG(to.z, 1);
    WRONG(from.z, 1);
    WRONG(height, ROWS + 1);
    WRONG(to.y, 1);
    WRONG(width_bytes, PITCH + 1);
    WRONG(from.x_bytes, 1);
    WRONG(to.pitch, PITCH - 1);
    WRONG(to.pitch, PITCH + 1);
    WRONG(from.height, ROWS - 1);
    WRONG(from.height, ROWS + 1);
    WRONG(to.address, whole.to.address + 1);
    WRONG(from.address, whole.from.address + 1);
    WRONG(from.address, NOWHERE);
    /* Numbers whose products and sums wrap around */
    WRONG(depth, UINT64_MAX);
    WRONG(height, UINT64_MAX);
    WRONG(width_bytes, UINT64_MAX);
    WRONG(to.z, UINT64_C(1) << 58);
    WRONG(to.z, UINT64_MAX);
    WRONG(from.y, UINT64_MAX);
    WRONG(from.x_bytes, UINT64_MAX);
    WRONG(to.pitch, UINT64_MAX);
    WRONG(to.pitch, UINT64_C(1) << 58);
    WRONG(to.height, UINT64_C(1) << 58);
    WRONG(to.address, UINT64_MAX);
    WRONG(to.reserved, 1);
#undef WRONG
    p = whole;
    p.from.array = 1;
    assert_fails(copy_box(&p), CUDA_ERROR_INVALID_HANDLE);
    p = whole;
    p.stream = 77;
    assert_fails(copy_box(&p), CUDA_ERROR_INVALID_HANDLE);

    /* An empty box is nowhere. A row has no pitch, and a slice no height. */
    p = whole;
    p.depth = 0;
    p.to.address = NOWHERE;
    assert_ok(copy_box(&p));
    p = whole;
    p.depth = 1;
    p.from.height = p.to.height = 0;
    assert_ok(copy_box(&p));
    p.height = 1;
    p.from.pitch = p.to.pitch = 0;
    p.width_bytes = BOX;
    assert_ok(copy_box(&p));
    p.width_bytes = BOX + 1;
    assert_fails(copy_box(&p), CUDA_ERROR_INVALID_VALUE);
    world_settle(&w, 0);
    (void) window;
    world_end(&w);
}

/* ---- Sets ----------------------------------------------------------------------------------- */

TEST(test_sets)
{
    unsigned char back[1024], expected[1024];
    uint64_t a;

    world_begin(&w, NULL);
    a = world_alloc(&w, sizeof(back));
    assert_ok(CALL(&w, SET, .address = a, .count = 1024, .rows = 1, .width = 1, .value = 0x1a5));
    assert_ok(CALL(&w, SET, .address = a + 2, .count = 3, .rows = 1, .width = 2, .value = 0x61234));
    assert_ok(
        CALL(&w, SET, .address = a + 12, .count = 2, .rows = 1, .width = 4, .value = 0x89abcdef));
    /* Rows */
    assert_ok(CALL(&w, SET, .address = a + 256, .count = 3, .rows = 2, .pitch = 64, .width = 1,
                   .value = 1));
    assert_ok(CALL(&w, SET, .address = a + 512, .count = 2, .rows = 3, .pitch = 64, .width = 2,
                   .value = 0x203));
    assert_ok(CALL(&w, SET, .address = a + 768, .count = 1, .rows = 4, .pitch = 64, .width = 4,
                   .value = 0x4050607));
    world_read(&w, a, back, sizeof(back));

    memset(expected, 0xa5, sizeof(expected));
    for (unsigned i = 0; i < 3; i++)
        memcpy(expected + 2 + 2 * i, "\x34\x12", 2);
    for (unsigned i = 0; i < 2; i++)
        memcpy(expected + 12 + 4 * i, "\xef\xcd\xab\x89", 4);
    for (unsigned i = 0; i < 2; i++)
        memcpy(expected + 256 + 64 * i, "\1\1\1", 3);
    for (unsigned i = 0; i < 3; i++)
        memcpy(expected + 512 + 64 * i, "\3\2\3\2", 4);
    for (unsigned i = 0; i < 4; i++)
        memcpy(expected + 768 + 64 * i, "\7\6\5\4", 4);
    assert_memory_equal(back, expected, sizeof(back));
    world_end(&w);
}

TEST(test_set_edges)
{
    uint64_t a;

    world_begin(&w, NULL);
    a = world_alloc(&w, 1024);
#define SET(...) CALL(&w, SET, __VA_ARGS__)
    assert_ok(SET(.address = a, .count = 1024, .rows = 1, .width = 1));
    assert_ok(SET(.address = a, .count = 64, .rows = 16, .pitch = 64, .width = 1));
    assert_ok(SET(.address = a + 1, .count = 63, .rows = 16, .pitch = 64, .width = 1));
    assert_ok(SET(.address = NOWHERE, .count = 0, .rows = 1, .width = 1));
    assert_ok(SET(.address = NOWHERE, .count = 1, .rows = 0, .width = 4));
    /* The window, too */
    assert_ok(SET(.address = world_address(w.g.window + w.g.window_size - 4), .count = 1, .rows = 1,
                  .width = 4, .value = 0x1020304));
    world_settle(&w, 0);
    assert_memory_equal(w.g.window + w.g.window_size - 4, "\4\3\2\1", 4);

    assert_fails(SET(.address = a, .count = 1025, .rows = 1, .width = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 513, .rows = 1, .width = 2), CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 257, .rows = 1, .width = 4), CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a - 1, .count = 2, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a + 1, .count = 1, .rows = 1, .width = 2),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 1, .rows = 1, .width = 3), CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 1, .rows = 1, .width = 8), CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 64, .rows = 17, .pitch = 64, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a + 1, .count = 64, .rows = 16, .pitch = 64, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 2, .rows = 2, .pitch = 66, .width = 4),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 65, .rows = 2, .pitch = 64, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = UINT64_MAX, .rows = 1, .width = 4),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = UINT64_C(1) << 62, .rows = 1, .width = 4),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 1, .rows = UINT64_MAX, .pitch = 64, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        SET(.address = a, .count = 1, .rows = (UINT64_C(1) << 58) + 1, .pitch = 64, .width = 1),
        CUDA_ERROR_INVALID_VALUE);
    assert_fails(SET(.address = a, .count = 1, .rows = 1, .width = 1, .stream = 3),
                 CUDA_ERROR_INVALID_HANDLE);
#undef SET
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_everywhere),
        cmocka_unit_test(test_copy_edges),
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_box_edges),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_set_edges),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
