/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * driver-figures SAXPY.ptx - what calls of the driver API cost. Loads libcuda.so.1, whosever it is.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGE ((size_t) 256 << 20)
#define PINNED ((size_t) 64 << 20)
#define ROUNDS_MAX 200

typedef uint64_t Address;
typedef void *Handle;

/* Those of the driver that are called here; CUresult is an int. */
#define FUNCTIONS(X)                                                                       \
    X(cuInit, (unsigned) )                                                                 \
    X(cuDeviceGet, (int *, int) )                                                          \
    X(cuDevicePrimaryCtxRetain, (Handle *, int) )                                          \
    X(cuDevicePrimaryCtxGetState, (int, unsigned *, int *) )                               \
    X(cuStreamIsCapturing, (Handle, int *) )                                               \
    X(cuFuncGetAttribute, (int *, int, Handle))                                            \
    X(cuPointerGetAttribute, (void *, int, Address))                                       \
    X(cuCtxSetCurrent, (Handle))                                                           \
    X(cuCtxGetDevice, (int *) )                                                            \
    X(cuCtxSynchronize, (void) )                                                           \
    X(cuModuleLoad, (Handle *, const char *) )                                             \
    X(cuModuleGetFunction, (Handle *, Handle, const char *) )                              \
    X(cuMemAlloc_v2, (Address *, size_t))                                                  \
    X(cuMemFree_v2, (Address))                                                             \
    X(cuMemAllocHost_v2, (void **, size_t))                                                \
    X(cuMemcpyHtoD_v2, (Address, const void *, size_t))                                    \
    X(cuMemcpyDtoH_v2, (void *, Address, size_t))                                          \
    X(cuMemcpyHtoDAsync_v2, (Address, const void *, size_t, Handle))                       \
    X(cuMemcpyDtoHAsync_v2, (void *, Address, size_t, Handle))                             \
    X(cuStreamCreate, (Handle *, unsigned) )                                               \
    X(cuStreamSynchronize, (Handle))                                                       \
    X(cuEventCreate, (Handle *, unsigned) )                                                \
    X(cuEventRecord, (Handle, Handle))                                                     \
    X(cuEventQuery, (Handle))                                                              \
    X(cuStreamBeginCapture_v2, (Handle, int) )                                             \
    X(cuStreamEndCapture, (Handle, Handle *) )                                             \
    X(cuGraphInstantiateWithFlags, (Handle *, Handle, unsigned long long) )                \
    X(cuGraphLaunch, (Handle, Handle))                                                     \
    X(cuLaunchKernel, (Handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, \
                       unsigned, Handle, void **, void **) )

#define MEMBER_(name, parameters) int(*name) parameters;
static struct {
    FUNCTIONS(MEMBER_)
} api;
#undef MEMBER_

#define CALL(call)                                             \
    do {                                                       \
        int _r = api.call;                                     \
        if (_r != 0) {                                         \
            fprintf(stderr, "%s: CUDA error %d\n", #call, _r); \
            exit(EXIT_FAILURE);                                \
        }                                                      \
    } while (0)

static Handle kernel, stream, event, exec;
static Address x, y;
static void *pinned, *pageable;
static uint32_t n_elements = 256;
static float factor = 2;
static void *parameters[] = {&n_elements, &factor, &x, &y};

static double now_usec(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    const double x_ = *(const double *) a, y_ = *(const double *) b;

    return (x_ > y_) - (x_ < y_);
}

/* The median of @rounds rounds, of @n calls each, for one call; a few rounds more before, to warm
 * up */
static double measure(void (*call)(void), unsigned n, unsigned rounds)
{
    const unsigned warm = rounds / 5 + 1;
    double times[ROUNDS_MAX];

    for (unsigned i = 0; i < warm + rounds; i++) {
        double began = now_usec();

        for (unsigned j = 0; j < n; j++)
            call();
        if (i >= warm)
            times[i - warm] = (now_usec() - began) / n;
        CALL(cuCtxSynchronize());
    }
    qsort(times, rounds, sizeof(*times), compare);
    return times[rounds / 2];
}

static void get_device(void)
{
    int device;

    CALL(cuCtxGetDevice(&device));
}

static void primary_state(void)
{
    unsigned flags;
    int is_active;

    CALL(cuDevicePrimaryCtxGetState(0, &flags, &is_active));
}

static void is_capturing(void)
{
    int status;

    CALL(cuStreamIsCapturing(stream, &status));
}

static void function_attribute(void)
{
    int threads;

    CALL(cuFuncGetAttribute(&threads, 0, kernel));
}

static void pointer_attribute(void)
{
    enum { MEMORY_TYPE = 2 };
    unsigned type;

    CALL(cuPointerGetAttribute(&type, MEMORY_TYPE, x + 4096));
}

static void launch(void)
{
    CALL(cuLaunchKernel(kernel, 1, 1, 1, 256, 1, 1, 0, stream, parameters, NULL));
}

static void launch_and_wait(void)
{
    launch();
    CALL(cuStreamSynchronize(stream));
}

static void record(void)
{
    CALL(cuEventRecord(event, stream));
}

static void query(void)
{
    (void) api.cuEventQuery(event);
}

static void replay(void)
{
    CALL(cuGraphLaunch(exec, stream));
    CALL(cuStreamSynchronize(stream));
}

static void alloc_and_free(void)
{
    Address a;

    CALL(cuMemAlloc_v2(&a, 1 << 20));
    CALL(cuMemFree_v2(a));
}

static void small_up(void)
{
    CALL(cuMemcpyHtoD_v2(x, pageable, 4096));
}

static void small_down(void)
{
    CALL(cuMemcpyDtoH_v2(pageable, x, 4096));
}

static void pinned_up(void)
{
    CALL(cuMemcpyHtoDAsync_v2(y, pinned, PINNED, stream));
    CALL(cuStreamSynchronize(stream));
}

static void pinned_down(void)
{
    CALL(cuMemcpyDtoHAsync_v2(pinned, y, PINNED, stream));
    CALL(cuStreamSynchronize(stream));
}

static void pageable_up(void)
{
    CALL(cuMemcpyHtoD_v2(y, pageable, LARGE));
    CALL(cuCtxSynchronize());
}

static void pageable_down(void)
{
    CALL(cuMemcpyDtoH_v2(pageable, y, LARGE));
}

static void load_api(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);

    if (!library) {
        printf("skip %s\n", dlerror());
        exit(EXIT_SUCCESS);
    }
#define LOAD_(name, parameters)                             \
    *(void **) &api.name = dlsym(library, #name);           \
    if (!api.name) {                                        \
        fprintf(stderr, "libcuda.so.1 has no " #name "\n"); \
        exit(EXIT_FAILURE);                                 \
    }
    FUNCTIONS(LOAD_)
#undef LOAD_
}

static void set_up(const char *image)
{
    Handle context, module, graph;
    double began = now_usec();
    int device;

    if (api.cuInit(0) != 0) {
        printf("skip no device\n");
        exit(EXIT_SUCCESS);
    }
    CALL(cuDeviceGet(&device, 0));
    CALL(cuDevicePrimaryCtxRetain(&context, device));
    CALL(cuCtxSetCurrent(context));
    printf("time first-context %.0f\n", now_usec() - began);
    CALL(cuModuleLoad(&module, image));
    CALL(cuModuleGetFunction(&kernel, module, "saxpy"));
    CALL(cuStreamCreate(&stream, 1));
    CALL(cuEventCreate(&event, 2));
    CALL(cuMemAlloc_v2(&x, 1 << 20));
    CALL(cuMemAlloc_v2(&y, LARGE));
    CALL(cuMemAllocHost_v2(&pinned, PINNED));
    pageable = malloc(LARGE);
    if (!pageable)
        exit(EXIT_FAILURE);
    memset(pinned, 1, PINNED);
    memset(pageable, 0, LARGE);
    CALL(cuMemcpyHtoD_v2(x, pageable, 1 << 20));
    CALL(cuMemcpyHtoD_v2(y, pageable, LARGE));
    CALL(cuStreamBeginCapture_v2(stream, 0));
    for (int i = 0; i < 3; i++)
        launch();
    CALL(cuStreamEndCapture(stream, &graph));
    CALL(cuGraphInstantiateWithFlags(&exec, graph, 0));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: driver-figures SAXPY.ptx\n");
        return EXIT_FAILURE;
    }
    load_api();
    set_up(argv[1]);
    printf("time get-device-ns %.2f\n", measure(get_device, 100000, 20) * 1000);
    printf("time primary-state-ns %.2f\n", measure(primary_state, 100000, 20) * 1000);
    printf("time is-capturing-ns %.2f\n", measure(is_capturing, 100000, 20) * 1000);
    printf("time function-attribute-ns %.2f\n", measure(function_attribute, 100000, 20) * 1000);
    printf("time pointer-attribute-ns %.2f\n", measure(pointer_attribute, 100000, 20) * 1000);
    printf("time launch-of-10 %.3f\n", measure(launch, 10, 200));
    printf("time launch-of-10000 %.3f\n", measure(launch, 10000, 20));
    printf("time launch-and-wait %.3f\n", measure(launch_and_wait, 100, 100));
    printf("time replay-of-three %.3f\n", measure(replay, 100, 50));
    printf("time event-record %.3f\n", measure(record, 1000, 50));
    printf("time event-query %.3f\n", measure(query, 1000, 50));
    printf("time alloc-and-free-1M %.3f\n", measure(alloc_and_free, 10, 50));
    printf("time up-4K %.3f\n", measure(small_up, 100, 50));
    printf("time down-4K %.3f\n", measure(small_down, 100, 50));
    printf("rate pinned-up-GB/s %.2f\n", PINNED / 1e3 / measure(pinned_up, 1, 20));
    printf("rate pinned-down-GB/s %.2f\n", PINNED / 1e3 / measure(pinned_down, 1, 20));
    printf("rate pageable-up-GB/s %.2f\n", LARGE / 1e3 / measure(pageable_up, 1, 9));
    printf("rate pageable-down-GB/s %.2f\n", LARGE / 1e3 / measure(pageable_down, 1, 9));
    return EXIT_SUCCESS;
}
