/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 1u
#define NUMBERS 4096u
#define BLOCK 256u
#define WINDOW (UINT64_C(16) << 20)

static const struct {
    const char *name;
    const char *file; /* the variable that names it */
} kernels[GUEST_N_KERNELS] = {
    [GUEST_SAXPY] = {"saxpy", "VGPU_SESSION_KERNELS"},
    [GUEST_COPY_STRUCT] = {"copy_struct", "VGPU_SESSION_KERNELS"},
    [GUEST_TRAP] = {"trap", "VGPU_SESSION_KERNELS"},
    [GUEST_ILLEGAL_ADDRESS] = {"illegal_address", "VGPU_SESSION_KERNELS"},
    [GUEST_ASSERT] = {"assert_positive", "VGPU_SESSION_KERNELS"},
    [GUEST_ENDLESS] = {"endless", "VGPU_SESSION_KERNELS"},
    [GUEST_BUSY] = {"busy", "VGPU_SESSION_KERNELS"},
    [GUEST_MISALIGNED] = {"misaligned", "VGPU_SESSION_FAULTS"},
    [GUEST_STACK_OVERFLOW] = {"stack_overflow", "VGPU_SESSION_FAULTS"},
    [GUEST_JUMP] = {"jump", "VGPU_SESSION_FAULTS"},
    [GUEST_COUNT_OTHERS] = {"count_others", "VGPU_SESSION_FAULTS"},
};

static int load_module(GuestProcess *g, const char *file, uint32_t *ret)
{
    FILE *f = fopen(file, "re");
    static char text[1 << 17];
    size_t n;

    if (!f)
        return VGPU_CUDA_ERROR_NOT_FOUND;
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    return vgpu_session_module_load(g->session, &g->from, text, n + 1, NULL, NULL, ret);
}

static int load_kernels(GuestProcess *g)
{
    const char *loaded = NULL;
    uint32_t module = 0;
    int r = 0;

    for (size_t i = 0; i < GUEST_N_KERNELS && r == 0; i++) {
        VGPUSessionFunction *function = NULL;
        const char *file = getenv(kernels[i].file);

        if (!file)
            return VGPU_CUDA_ERROR_NOT_FOUND;
        if (!loaded || strcmp(loaded, file) != 0)
            r = load_module(g, file, &module);
        loaded = file;
        if (r == 0)
            r = vgpu_session_function_get(g->session, &g->from, module, kernels[i].name,
                                          &g->function[i], &function);
        free(function);
    }
    return r;
}

int guest_process_open(GuestProcess *g)
{
    const vgpu_session_options options = {.window_size = WINDOW};
    const VGPUSessionContext context = {.id = CONTEXT, .primary = 1};
    int cuda = 0, r;

    *g = (GuestProcess){.from = {.context = CONTEXT}};
    r = vgpu_session_open(&options, &g->session, &cuda);
    if (r != 0) {
        printf("# no session: %s\n", r < 0 ? strerror(-r) : vgpu_strerror(r));
        return cuda != 0 ? cuda : VGPU_CUDA_ERROR_UNKNOWN;
    }
    r = vgpu_session_call(g->session, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &context,
                          sizeof(context), NULL, 0, NULL);
    if (r == 0)
        r = load_kernels(g);
    if (r == 0)
        r = vgpu_session_fence_new(g->session, &g->fence);
    if (r == 0)
        r = vgpu_session_memory_alloc(g->session, &g->from, 3 * NUMBERS * sizeof(uint32_t),
                                      &g->memory);
    return r;
}

void guest_process_close(GuestProcess *g)
{
    if (g->session)
        g->fence = vgpu_session_fence_free(g->session, g->fence);
    g->session = vgpu_session_close(g->session);
}

int guest_process_launch(GuestProcess *g, GuestKernel kernel, uint32_t grid, uint32_t block,
                         uint32_t shared_bytes, const void *parameters, size_t size)
{
    const VGPUSessionLaunch launch = {
        .function = g->function[kernel],
        .grid = {grid, 1, 1},
        .block = {block, 1, 1},
        .shared_bytes = shared_bytes,
        .parameters_size = (uint32_t) size,
    };

    return vgpu_session_post(g->session, VGPU_SESSION_OP_LAUNCH, &g->from, &launch, sizeof(launch),
                             parameters, size);
}

static int take_error(GuestProcess *g)
{
    const VGPUSessionNone none = {{0}};
    VGPUSessionReply reply = {0};
    int r = vgpu_session_call(g->session, VGPU_SESSION_OP_ERROR_TAKE, NULL, &none, sizeof(none),
                              NULL, 0, &reply);

    return r != 0 ? r : (int) reply.value[0];
}

int guest_process_wait(GuestProcess *g)
{
    uint64_t number;
    int r = vgpu_session_fence_post(g->session, &g->from, 0, g->fence, &number);

    if (r == 0)
        r = vgpu_session_fence_wait(g->session, &g->from, 0, g->fence, number);
    if (r == 0 && vgpu_session_get_latched(g->session) != 0)
        r = take_error(g);
    return r;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

typedef struct CopyStruct {
    uint64_t from, to;
    uint32_t n, add;
} CopyStruct;

typedef struct Saxpy {
    uint32_t n;
    float a;
    uint64_t x, y;
} Saxpy;

/* Small enough for float to have all of them, and their sums */
static uint32_t small(uint32_t seed, uint32_t i)
{
    return (seed * 2654435761u + i * 40503u) % 1000000u;
}

int guest_process_compute(GuestProcess *g, uint32_t seed)
{
    const size_t bytes = NUMBERS * sizeof(uint32_t);
    const uint64_t x = g->memory, y = x + bytes, z = y + bytes;
    const CopyStruct copy = {.from = x, .to = y, .n = NUMBERS, .add = seed};
    const Saxpy saxpy = {.n = NUMBERS, .a = 2, .x = z, .y = z};
    uint32_t up[NUMBERS], down[NUMBERS];
    float scaled[NUMBERS];
    int r;

    for (uint32_t i = 0; i < NUMBERS; i++) {
        up[i] = small(seed, i);
        scaled[i] = (float) up[i];
    }
    r = vgpu_session_upload(g->session, &g->from, 0, x, up, bytes);
    if (r == 0)
        r = vgpu_session_upload(g->session, &g->from, 0, z, scaled, bytes);
    if (r == 0)
        r = guest_process_launch(g, GUEST_COPY_STRUCT, NUMBERS / BLOCK, BLOCK, 0, &copy,
                                 sizeof(copy));
    if (r == 0)
        r = guest_process_launch(g, GUEST_SAXPY, NUMBERS / BLOCK, BLOCK, 0, &saxpy, sizeof(saxpy));
    if (r == 0)
        r = vgpu_session_download(g->session, &g->from, 0, down, y, bytes);
    if (r == 0)
        r = vgpu_session_download(g->session, &g->from, 0, scaled, z, bytes);
    if (r == 0 && vgpu_session_get_latched(g->session) != 0)
        r = take_error(g);
    for (uint32_t i = 0; r == 0 && i < NUMBERS; i++)
        if (down[i] != up[i] + seed || scaled[i] != 3.0f * (float) up[i])
            r = GUEST_WRONG;
    return r;
}
