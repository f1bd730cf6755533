/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random calls, with handles that are right, dead, of another kind or no handles at all, from
 * several threads at once. None may crash, hang or break the session; after all of it the memory is
 * free, and a kernel computes what it should. $VGPU_STORM_SEED and $VGPU_STORM_CALLS repeat one.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "test-libcuda.h"

#define THREADS 4u
#define PLACES 6u
#define MEMORY ((size_t) 64 << 10)

typedef enum Kind { STREAM, EVENT, GRAPH, EXEC, MODULE, FUNCTION, CONTEXT, N_KINDS } Kind;

typedef struct Storm {
    pthread_t thread;
    uint64_t random;
    void *handles[N_KINDS][PLACES]; /* NULL: none */
    void *dead[N_KINDS];            /* the last that was destroyed */
    CUdeviceptr memory[PLACES];     /* that graphs may name: stays */
    CUdeviceptr other[PLACES];      /* comes and goes */
    unsigned char *pinned;
    bool is_capturing;
    unsigned n_right; /* calls that succeeded */
} Storm;

static CUmodule shared_module;
static CUfunction shared_function;
static CUcontext shared_context;

static uint32_t draw(Storm *s, uint32_t n)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t) ((s->random >> 33) % n);
}

static void *pick(Storm *s, Kind kind)
{
    static char no_handle[64];

    switch (draw(s, 12)) {
    case 0:
        return NULL;
    case 1:
        return s->dead[kind];
    case 2:
        return s->handles[draw(s, N_KINDS)][draw(s, PLACES)];
    case 3:
        return no_handle + draw(s, 16);
    case 4:
        return (void *) (uintptr_t) draw(s, 4096);
    default:
        return s->handles[kind][draw(s, PLACES)];
    }
}

/* An address of memory, mostly with so many bytes behind it */
static CUdeviceptr pick_address(Storm *s, size_t *ret_size)
{
    CUdeviceptr base = s->memory[draw(s, PLACES)];
    size_t at = draw(s, (uint32_t) MEMORY);

    *ret_size = draw(s, (uint32_t) (MEMORY - at));
    switch (draw(s, 16)) {
    case 0:
        return draw(s, 4096);
    case 1:
        *ret_size = (size_t) 1 << draw(s, 50);
        return base + at;
    default:
        return base ? base + at : 0;
    }
}

static void keep(Storm *s, Kind kind, CUresult r, void *handle)
{
    void **place = &s->handles[kind][draw(s, PLACES)];

    if (r != CUDA_SUCCESS)
        return;
    s->n_right++;
    for (unsigned i = 0; i < PLACES && *place; i++)
        place = &s->handles[kind][i];
    if (!*place) {
        *place = handle;
        return;
    }
    switch (kind) {
    case STREAM:
        cuStreamDestroy_v2(handle);
        break;
    case EVENT:
        cuEventDestroy_v2(handle);
        break;
    case GRAPH:
        cuGraphDestroy(handle);
        break;
    case EXEC:
        cuGraphExecDestroy(handle);
        break;
    case MODULE:
        cuModuleUnload(handle);
        break;
    default:
        break;
    }
    s->dead[kind] = handle;
}

static void forget(Storm *s, Kind kind, CUresult r, void *handle)
{
    if (r != CUDA_SUCCESS)
        return;
    s->n_right++;
    for (unsigned i = 0; i < PLACES; i++)
        if (s->handles[kind][i] == handle)
            s->handles[kind][i] = NULL;
    s->dead[kind] = handle;
}

/* What only this thread has may be destroyed: another's may be in use. */
static bool is_own(Storm *s, Kind kind, const void *handle)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (handle && s->handles[kind][i] == handle)
            return true;
    return handle == s->dead[kind];
}

/* A capture is ended by the thread that has begun it. */
static void storm_end_captures(Storm *s)
{
    for (unsigned i = 0; i < PLACES; i++) {
        CUgraph graph = NULL;
        CUresult r = cuStreamEndCapture(s->handles[STREAM][i], &graph);

        keep(s, GRAPH, graph ? r : CUDA_ERROR_INVALID_VALUE, graph);
    }
    s->is_capturing = false;
}

/* ---- The calls ------------------------------------------------------------------------------ */

static CUresult storm_stream(Storm *s)
{
    CUstream stream = NULL, any = pick(s, STREAM);
    unsigned flags;
    int priority;
    CUresult r;

    switch (draw(s, 8)) {
    case 0:
        r = cuStreamCreate(&stream, draw(s, 3));
        keep(s, STREAM, r, stream);
        return r;
    case 1:
        r = cuStreamCreateWithPriority(&stream, draw(s, 2), (int) draw(s, 9) - 5);
        keep(s, STREAM, r, stream);
        return r;
    case 2:
        if (!is_own(s, STREAM, any) || s->is_capturing)
            return CUDA_SUCCESS;
        r = cuStreamDestroy_v2(any);
        forget(s, STREAM, r, any);
        return r;
    case 3:
        return cuStreamSynchronize(any);
    case 4:
        return cuStreamQuery(any);
    case 5:
        return cuStreamGetFlags(any, draw(s, 8) ? &flags : NULL);
    case 6:
        return cuStreamGetPriority(any, &priority);
    default:
        return cuStreamWaitEvent(any, pick(s, EVENT), draw(s, 2));
    }
}

static CUresult storm_event(Storm *s)
{
    CUevent event = NULL, any = pick(s, EVENT);
    float msec;
    CUresult r;

    switch (draw(s, 6)) {
    case 0:
        r = cuEventCreate(&event, draw(s, 4));
        keep(s, EVENT, r, event);
        return r;
    case 1:
        if (!is_own(s, EVENT, any) || s->is_capturing)
            return CUDA_SUCCESS;
        r = cuEventDestroy_v2(any);
        forget(s, EVENT, r, any);
        return r;
    case 2:
        return cuEventRecord(any, pick(s, STREAM));
    case 3:
        return cuEventQuery(any);
    case 4:
        return cuEventSynchronize(any);
    default:
        return cuEventElapsedTime(&msec, any, pick(s, EVENT));
    }
}

static CUresult storm_memory(Storm *s)
{
    CUdeviceptr address, base, *place = &s->other[draw(s, PLACES)];
    size_t size, more;
    unsigned type;
    CUresult r;

    switch (draw(s, 10)) {
    case 0:
        if (*place)
            return CUDA_SUCCESS;
        r = cuMemAlloc_v2(&address, draw(s, 8) ? MEMORY : (size_t) draw(s, 2) << 60);
        if (r == CUDA_SUCCESS)
            *place = address;
        return r;
    case 1:
        if (!*place || s->is_capturing)
            return cuMemFree_v2(draw(s, 4096) + 1);
        r = cuMemFree_v2(*place);
        if (r == CUDA_SUCCESS)
            *place = 0;
        return r;
    case 2:
        address = pick_address(s, &size);
        return size <= MEMORY ? cuMemcpyHtoDAsync_v2(address, s->pinned, size, pick(s, STREAM))
                              : CUDA_SUCCESS;
    case 3:
        address = pick_address(s, &size);
        return size <= MEMORY ? cuMemcpyDtoHAsync_v2(s->pinned, address, size, pick(s, STREAM))
                              : CUDA_SUCCESS;
    case 4:
        address = pick_address(s, &size);
        base = pick_address(s, &more);
        return cuMemcpyDtoDAsync_v2(address, base, size < more ? size : more, pick(s, STREAM));
    case 5:
        address = pick_address(s, &size);
        return cuMemsetD8Async(address, (unsigned char) draw(s, 256), size, pick(s, STREAM));
    case 6:
        address = pick_address(s, &size);
        return cuMemsetD2D32Async(address, draw(s, 512), draw(s, 256), draw(s, 64), draw(s, 64),
                                  pick(s, STREAM));
    case 7:
        return cuPointerGetAttribute(&type, 2, pick_address(s, &size));
    case 8:
        return cuMemGetAddressRange_v2(&base, &size, pick_address(s, &more));
    default:
        return cuMemGetInfo_v2(&size, &more);
    }
}

static CUresult storm_launch(Storm *s)
{
    uint32_t n = draw(s, 1024);
    float a = 1;
    CUdeviceptr x = s->memory[0], y = s->memory[1];
    void *parameters[] = {&n, &a, &x, &y};
    CUfunction function = draw(s, 4) ? shared_function : pick(s, FUNCTION);
    unsigned grid = draw(s, 16) ? 4 : draw(s, 2) * UINT32_MAX;

    if (!x || !y)
        n = 0;
    return cuLaunchKernel(function, grid > 4 ? grid : 4, draw(s, 32) ? 1 : 0, 1,
                          draw(s, 16) ? 256 : draw(s, 4096), 1, 1,
                          draw(s, 32) ? 0 : draw(s, 2) << 30, pick(s, STREAM),
                          draw(s, 32) ? parameters : NULL, NULL);
}

static CUresult storm_graph(Storm *s)
{
    void *any = pick(s, GRAPH), *exec = pick(s, EXEC);
    CUstream stream = s->handles[STREAM][0];
    CUgraphExec made = NULL;
    size_t n = 0;
    CUresult r;

    switch (draw(s, 8)) {
    case 0:
        r = cuStreamBeginCapture_v2(pick(s, STREAM), (int) draw(s, 5) - 1);
        s->is_capturing = s->is_capturing || r == CUDA_SUCCESS;
        return r;
    case 1:
    case 2:
        storm_end_captures(s);
        return CUDA_SUCCESS;
    case 3:
        r = cuGraphInstantiateWithFlags(&made, any, draw(s, 8) ? 0 : draw(s, 64));
        keep(s, EXEC, r, made);
        return r;
    case 4:
        return cuGraphLaunch(exec, draw(s, 2) ? stream : pick(s, STREAM));
    case 5:
        return cuGraphGetNodes(any, NULL, &n);
    case 6:
        if (!is_own(s, GRAPH, any))
            return CUDA_SUCCESS;
        r = cuGraphDestroy(any);
        forget(s, GRAPH, r, any);
        return r;
    default:
        if (!is_own(s, EXEC, exec))
            return CUDA_SUCCESS;
        r = cuGraphExecDestroy(exec);
        forget(s, EXEC, r, exec);
        return r;
    }
}

static CUresult storm_code(Storm *s)
{
    void *any = pick(s, MODULE), *function = pick(s, FUNCTION);
    CUmodule module = NULL;
    CUfunction found = NULL;
    CUdeviceptr address;
    const char *name;
    size_t size;
    int value;

    switch (draw(s, 7)) {
    case 0:
        return cuModuleGetFunction(&found, draw(s, 2) ? shared_module : any,
                                   draw(s, 4) ? "saxpy" : "no such kernel");
    case 1:
        return cuModuleGetGlobal_v2(&address, &size, any, "nothing");
    case 2:
        return cuFuncGetAttribute(&value, (int) draw(s, 20) - 2,
                                  draw(s, 2) ? shared_function : function);
    case 3:
        return cuFuncGetName(&name, draw(s, 2) ? shared_function : function);
    case 4:
        return cuOccupancyMaxActiveBlocksPerMultiprocessor(
            &value, draw(s, 2) ? shared_function : function, (int) draw(s, 2048) - 10,
            draw(s, 100000));
    case 5:
        return cuModuleLoadData(&module, "this is no module");
    default:
        return cuFuncGetParamInfo(draw(s, 2) ? shared_function : function, draw(s, 8), &size,
                                  draw(s, 2) ? &size : NULL);
    }
}

static CUresult storm_context(Storm *s)
{
    CUcontext context = NULL;
    CUdevice device;
    size_t value;
    int number;

    switch (draw(s, 6)) {
    case 0:
        /* It stays: pushed and popped again. */
        if (cuCtxPushCurrent_v2(shared_context) != CUDA_SUCCESS)
            return CUDA_ERROR_UNKNOWN;
        return cuCtxPopCurrent_v2(&context);
    case 1:
        if (cuCtxPushCurrent_v2(pick(s, CONTEXT)) == CUDA_SUCCESS)
            return cuCtxPopCurrent_v2(&context);
        return CUDA_SUCCESS;
    case 2:
        return cuCtxGetDevice(&device);
    case 3:
        return cuCtxGetLimit(&value, (int) draw(s, 12) - 1);
    case 4:
        return cuDeviceGetAttribute(&number, (int) draw(s, 200) - 20, (int) draw(s, 4) - 1);
    default:
        return cuCtxSynchronize();
    }
}

/* ---- A thread of it ---------------------------------------------------------------------------
 */

static unsigned storm_calls(void)
{
    const char *text = getenv("VGPU_STORM_CALLS");

    return text ? (unsigned) strtoul(text, NULL, 0) : 20000;
}

static void *storm_run(void *data)
{
    static CUresult (*const areas[])(Storm *) = {storm_stream, storm_event, storm_memory,
                                                 storm_launch, storm_graph, storm_code,
                                                 storm_context};
    const unsigned n = storm_calls();
    Storm *s = data;

    /* What the main thread asserts in its place fails the test there. */
    if (cuCtxSetCurrent(shared_context) != CUDA_SUCCESS)
        abort();
    for (unsigned i = 0; i < n; i++) {
        CUresult r = areas[draw(s, sizeof(areas) / sizeof(areas[0]))](s);

        s->n_right += r == CUDA_SUCCESS;
        if (r == CUDA_ERROR_UNKNOWN || r == CUDA_ERROR_LAUNCH_FAILED ||
            r == CUDA_ERROR_ILLEGAL_ADDRESS) {
            fprintf(stderr, "call %u: CUDA error %d\n", i, r);
            abort();
        }
    }
    storm_end_captures(s);
    return NULL;
}

/* An error of an earlier call may be told by any: until there is none. */
static void settle(void)
{
    for (unsigned i = 0; i < 1000 && cuCtxSynchronize() != CUDA_SUCCESS; i++)
        continue;
    CALL(cuCtxSynchronize());
}

/* What the thread has left */
static void storm_end(Storm *s)
{
    for (unsigned i = 0; i < PLACES; i++) {
        if (s->handles[STREAM][i])
            (void) cuStreamDestroy_v2(s->handles[STREAM][i]);
        if (s->handles[EVENT][i])
            (void) cuEventDestroy_v2(s->handles[EVENT][i]);
        if (s->handles[EXEC][i])
            (void) cuGraphExecDestroy(s->handles[EXEC][i]);
        if (s->handles[GRAPH][i])
            (void) cuGraphDestroy(s->handles[GRAPH][i]);
        CALL(cuMemFree_v2(s->memory[i]));
        if (s->other[i])
            CALL(cuMemFree_v2(s->other[i]));
    }
    CALL(cuMemFreeHost(s->pinned));
}

static void check_saxpy(void)
{
    uint32_t n = 1000;
    float a = 3, numbers[1000];
    CUdeviceptr x, y;
    void *parameters[] = {&n, &a, &x, &y};

    for (uint32_t i = 0; i < n; i++)
        numbers[i] = (float) i;
    CALL(cuMemAlloc_v2(&x, sizeof(numbers)));
    CALL(cuMemAlloc_v2(&y, sizeof(numbers)));
    CALL(cuMemcpyHtoD_v2(x, numbers, sizeof(numbers)));
    CALL(cuMemcpyHtoD_v2(y, numbers, sizeof(numbers)));
    CALL(cuLaunchKernel(shared_function, 4, 1, 1, 256, 1, 1, 0, NULL, parameters, NULL));
    CALL(cuMemcpyDtoH_v2(numbers, y, sizeof(numbers)));
    for (uint32_t i = 0; i < n; i++)
        assert_true(numbers[i] == 4 * (float) i);
    CALL(cuMemFree_v2(x));
    CALL(cuMemFree_v2(y));
}

TEST(test_storm)
{
    static Storm storms[THREADS];
    const char *text = getenv("VGPU_STORM_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t) getpid();
    size_t free_before, free_after, total;
    unsigned n_right = 0;

    printf("# VGPU_STORM_SEED=%llu\n", (unsigned long long) seed);
    fflush(stdout);
    shared_context = libcuda_primary();
    shared_module = libcuda_load("guest/examples/saxpy.ptx");
    CALL(cuModuleGetFunction(&shared_function, shared_module, "saxpy"));
    check_saxpy();
    CALL(cuMemGetInfo_v2(&free_before, &total));

    for (unsigned i = 0; i < THREADS; i++) {
        storms[i].random = seed * THREADS + i;
        CALL(cuMemAllocHost_v2((void **) &storms[i].pinned, MEMORY));
        for (unsigned j = 0; j < PLACES; j++)
            CALL(cuMemAlloc_v2(&storms[i].memory[j], MEMORY));
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(storms[i].thread, NULL), 0);
    settle();
    for (unsigned i = 0; i < THREADS; i++) {
        storm_end(&storms[i]);
        n_right += storms[i].n_right;
    }
    assert_true(n_right > storm_calls() / 4);
    settle();
    check_saxpy();
    CALL(cuMemGetInfo_v2(&free_after, &total));
    assert_int_equal(free_after, free_before);
    CALL(cuModuleUnload(shared_module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),
    };

    return libcuda_test_main(argc, argv, tests);
}
