/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-session-fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW_BASE UINT64_C(0x300000000000)
#define WINDOW_SIZE (32 * MIB)
#define PIECE 5000u

static bool is_gpu;

static void skip_without_gpu(void)
{
    SessionGuest g;
    int r;

    session_guest_open(&g, NULL);
    session_guest_spawn(&g, NULL);
    r = session_guest_start(&g);
    if (r != 0) {
        printf("1..0 # SKIP no GPU for sessions: error %d, CUDA's %u\n", r, g.started.cuda_result);
        exit(EXIT_SUCCESS);
    }
    (void) session_guest_end(&g, NULL);
    session_guest_close(&g);
}

bool world_main(int argc, char **argv)
{
    if (argc != 2 || (strcmp(argv[1], "fake") != 0 && strcmp(argv[1], "gpu") != 0)) {
        fprintf(stderr, "usage: %s fake|gpu\n", argv[0]);
        exit(EXIT_FAILURE);
    }
    is_gpu = strcmp(argv[1], "gpu") == 0;
    if (is_gpu) {
        unsetenv("VGPU_FAKE_CUDA_DIR");
        skip_without_gpu();
    }
    return is_gpu;
}

bool world_is_gpu(void)
{
    return is_gpu;
}

void world_open(World *w, const SessionGuestOptions *options, const WorldLimits *limits)
{
    /* A test that failed has left its own. */
    if (w->is_open)
        session_guest_close(&w->g);
    memset(w, 0, sizeof(*w));
    w->is_open = true;
    session_guest_open(&w->g, options);
    if (limits && limits->memory_max)
        w->g.account->memory_max = limits->memory_max;
    if (limits && limits->images_max)
        w->g.start.images_max = limits->images_max;
    if (limits && limits->objects_max)
        w->g.start.objects_max = limits->objects_max;
    session_guest_spawn(&w->g, limits ? limits->plan : NULL);
    assert_int_equal(session_guest_start(&w->g), 0);
    session_guest_context(&w->g, 1, true);
    w->fence_at = session_guest_alloc(&w->g, sizeof(uint64_t));
    if (w->g.header->flags & VGPU_SESSION_PINS)
        assert_ok(CALL(w, WINDOW_PIN, .bytes = {w->fence_at, 4096}));
}

void world_begin(World *w, const WorldLimits *limits)
{
    const SessionGuestOptions options = {
        .window_size = WINDOW_SIZE,
        .window_base = WINDOW_BASE,
    };

    world_open(w, &options, limits);
}

void world_open_unpinned(World *w, uint64_t window_size, const WorldLimits *limits)
{
    const SessionGuestOptions options = {
        .window_size = window_size,
        .window_base = WINDOW_BASE,
        .flags = VGPU_SESSION_PINS,
    };

    world_open(w, &options, limits);
}

static void world_end_well(World *w, bool quietly)
{
    char *text;

    assert_int_equal(session_guest_end(&w->g, &text), 0);
    if (quietly)
        assert_string_equal(text, "");
    free(text);
    session_guest_close(&w->g);
    w->is_open = false;
}

void world_end(World *w)
{
    world_end_well(w, true);
}

void world_end_after_error(World *w)
{
    world_end_well(w, false);
}

uint32_t world_call(World *w, uint16_t opcode, const void *parameters, size_t size,
                    const void *more, size_t more_size)
{
    return session_guest_call_with(&w->g, opcode, 1, parameters, (uint32_t) size, more,
                                   (uint32_t) more_size, w->value);
}

void world_settle(World *w, uint32_t stream)
{
    session_guest_fence(&w->g, 1, stream, w->fence_at, ++w->fence);
    assert_true(session_guest_wait_word(&w->g, w->fence_at, w->fence, SESSION_GUEST_TIMEOUT_MSEC));
}

uint64_t world_alloc(World *w, uint64_t size)
{
    assert_ok(CALL(w, MEMORY_ALLOC, .size = size));
    assert_int_not_equal(w->value[0], 0);
    return w->value[0];
}

unsigned char *world_window(World *w, uint64_t size)
{
    return (unsigned char *) w->g.window + session_guest_alloc(&w->g, size);
}

uint64_t world_address(const void *place)
{
    return (uintptr_t) place;
}

uint64_t world_offset(const World *w, const void *place)
{
    return (uint64_t) ((const char *) place - w->g.window);
}

void world_write(World *w, uint64_t address, const void *bytes, size_t size)
{
    const uint64_t heap = w->g.heap;
    unsigned char *staging = world_window(w, size);

    memcpy(staging, bytes, size);
    assert_ok(CALL(w, COPY, .to = address, .from = world_address(staging), .size = size));
    world_settle(w, 0);
    w->g.heap = heap;
}

void world_read(World *w, uint64_t address, void *bytes, size_t size)
{
    const uint64_t heap = w->g.heap;
    unsigned char *staging = world_window(w, size);

    assert_ok(CALL(w, COPY, .to = world_address(staging), .from = address, .size = size));
    world_settle(w, 0);
    memcpy(bytes, staging, size);
    w->g.heap = heap;
}

/* ---- Kernels -------------------------------------------------------------------------------- */

void world_load_image(World *w, const uint8_t *key, const void *image, size_t size)
{
    unsigned char *staging = world_window(w, PIECE);
    VGPUSessionImage p = {.size = size};

    memcpy(p.key, key, sizeof(p.key));
    assert_ok(world_call(w, VGPU_SESSION_OP_IMAGE_BEGIN, &p, sizeof(p), NULL, 0));
    assert_int_equal(w->value[0], 0);
    for (size_t at = 0; at < size; at += PIECE) {
        p.at = at;
        p.piece.offset = world_offset(w, staging);
        p.piece.size = size - at < PIECE ? size - at : PIECE;
        memcpy(staging, (const char *) image + at, p.piece.size);
        assert_ok(world_call(w, VGPU_SESSION_OP_IMAGE_PIECE, &p, sizeof(p), NULL, 0));
    }
    assert_ok(world_call(w, VGPU_SESSION_OP_IMAGE_BEGIN, &p, sizeof(p), NULL, 0));
    assert_int_equal(w->value[0], 1);
}

size_t world_load_text(World *w, const uint8_t *key, const char *variable)
{
    static char text[1 << 17];
    const char *path = getenv(variable);
    size_t size;
    FILE *f;

    assert_non_null(path);
    f = fopen(path, "re");
    assert_non_null(f);
    size = fread(text, 1, sizeof(text), f);
    fclose(f);
    world_load_image(w, key, text, size);
    return size;
}

void world_load_module(World *w, uint32_t id, const char *variable)
{
    VGPUSessionModule p = {.key = {(uint8_t) id}, .id = id};

    world_load_text(w, p.key, variable);
    assert_ok(world_call(w, VGPU_SESSION_OP_MODULE_LOAD, &p, sizeof(p), NULL, 0));
}

void world_load_kernels(World *w)
{
    world_load_module(w, WORLD_KERNELS, "VGPU_SESSION_KERNELS");
    world_load_module(w, WORLD_LAYOUTS, "VGPU_SESSION_LAYOUTS");
}

const VGPUSessionFunction *world_function(World *w, uint32_t module, uint32_t id, const char *name)
{
    unsigned char *into = world_window(w, 4096);
    VGPUSessionFunction *f = (VGPUSessionFunction *) into;

    assert_ok(CALL_WITH(w, FUNCTION_GET, name, strlen(name) + 1, .module = module, .id = id,
                        .into = {world_offset(w, into), 4096},
                        .name_size = (uint32_t) strlen(name) + 1));
    assert_int_equal(w->value[0], sizeof(*f) + f->n_parameters * sizeof(VGPUSessionParameter));
    return f;
}
