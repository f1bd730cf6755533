/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One session, in an executor over the fake driver or the host's own, for tests of its operations.
 *
 * A program is called with "fake", or "gpu": then it skips without a GPU.
 */
#ifndef TEST_SESSION_FIXTURE_H
#define TEST_SESSION_FIXTURE_H

#include "cuda-session.h"
#include "session-guest.h"
#include "test.h"

#define MIB (UINT64_C(1) << 20)

typedef struct World {
    bool is_open;
    SessionGuest g;
    uint64_t value[6]; /* of the last reply */
    uint64_t fence;    /* the last one's value */
    uint64_t fence_at; /* window bytes */
} World;

/* What a session may have; 0: no limit */
typedef struct WorldLimits {
    uint64_t memory_max;
    uint64_t images_max;
    uint32_t objects_max;
    const char *plan; /* of the fake driver; NULL: none */
} WorldLimits;

/* world_main() - reads the program's argument; ends it without a GPU, where one is wanted. Returns
 * whether that is so */
bool world_main(int argc, char **argv);

/* world_is_gpu() - is it the host's own driver? */
bool world_is_gpu(void);

/* world_begin() - a session, with the primary context as number 1. @limits: NULL for none */
void world_begin(World *w, const WorldLimits *limits);

/* world_open() - the same with a window of one's own */
void world_open(World *w, const SessionGuestOptions *options, const WorldLimits *limits);

/* world_open_unpinned() - world_begin() with a window of which nothing is pinned */
void world_open_unpinned(World *w, uint64_t window_size, const WorldLimits *limits);

/* world_end() - the executor ends well, and has said nothing */
void world_end(World *w);

/* world_end_after_error() - the context did not survive the test; the executor ends well */
void world_end_after_error(World *w);

/* world_call() - an operation in context 1; its result, and value */
uint32_t world_call(World *w, uint16_t opcode, const void *parameters, size_t size,
                    const void *more, size_t more_size);

/* CALL() - the same by name, with the members of its parameters */
#define WORLD_PARAMETERS_(name, number, parameters, properties) \
    typedef parameters WorldParameters_##name;
VGPU_SESSION_OPERATIONS(WORLD_PARAMETERS_)
#undef WORLD_PARAMETERS_
#define CALL(w, name, ...)                                                                \
    world_call((w), VGPU_SESSION_OP_##name, &(const WorldParameters_##name){__VA_ARGS__}, \
               sizeof(WorldParameters_##name), NULL, 0)
#define CALL_WITH(w, name, more, more_size, ...)                                          \
    world_call((w), VGPU_SESSION_OP_##name, &(const WorldParameters_##name){__VA_ARGS__}, \
               sizeof(WorldParameters_##name), (more), (more_size))

/* assert_ok(), assert_fails() - with the CUresult in the message */
#define assert_ok(result) assert_int_equal((result), CUDA_SUCCESS)
#define assert_fails(result, error) assert_int_equal((result), (error))

/* world_settle() - until all in @stream is done */
void world_settle(World *w, uint32_t stream);

/* world_alloc() - device memory */
uint64_t world_alloc(World *w, uint64_t size);

/* world_window() - @size bytes of the window; an address for the program and for the device */
unsigned char *world_window(World *w, uint64_t size);

/* world_address(), world_offset() - of a place in the window */
uint64_t world_address(const void *place);
uint64_t world_offset(const World *w, const void *place);

/* world_write(), world_read() - bytes to device memory, and back */
void world_write(World *w, uint64_t address, const void *bytes, size_t size);
void world_read(World *w, uint64_t address, void *bytes, size_t size);

/* world_load_image() - send an image in pieces, as the one with that key */
void world_load_image(World *w, const uint8_t *key, const void *image, size_t size);

/* world_load_text() - the same with the file that an environment variable names; returns its bytes
 */
size_t world_load_text(World *w, const uint8_t *key, const char *variable);

/* Modules, and the keys of their images: tests/fake-cuda/session-kernels.ptx, and
 * tests/gpu/session-layouts.ptx */
enum { WORLD_KERNELS = 1, WORLD_LAYOUTS = 2 };

/* world_load_module() - load the image in the file that the environment's @variable names, as
 * module
 * @id, which is the first byte of the image's key, too */
void world_load_module(World *w, uint32_t id, const char *variable);

/* world_load_kernels() - load both */
void world_load_kernels(World *w);

/* world_function() - FUNCTION_GET; returns what it says, until the session ends */
const VGPUSessionFunction *world_function(World *w, uint32_t module, uint32_t id, const char *name);

#endif
