/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CUDA backend on large operands in a window: float32 addition of 2^24 elements
 * against the same kernel called natively on the same registered memory. It also shows which
 * way of computing is the fastest at which size, and so why cuda-compute.c is as it is.
 *
 * Native is the plainest use of the driver API: copy a, copy b, kernel, copy c back, in
 * one stream, wait. Mapped is one kernel that works in the window.
 *
 * It shows the executor's share, from the message to the answer. It does not show the
 * ring's, the mediator's or the guest's, nor several VMs at once.
 *
 * Usage: cuda-window [EXECUTOR]   or VGPU_EXECUTOR; exit status 77: no GPU, no kernels
 */
#include "window-client.h"

#include "cuda-driver.h"
#include "kernels-image.h"
#include "kernels.h"

#define N (UINT64_C(1) << 24)
#define N_ROUNDS 21u
#define EXIT_SKIP 77

typedef struct Native {
    CudaDriver driver;
    CUfunction add;
    CUstream stream;
    unsigned char *host;
    CUdeviceptr mapped, device;
} Native;

static void check(const Native *b, CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;

    printf("%s: %s (%d)\n", what, cuda_driver_error_name(&b->driver, result), result);
    exit(EXIT_SKIP);
}

static void open_native(Native *b, void *window, size_t size)
{
    char reason[256];
    CUcontext context;
    CUmodule module;
    CUdevice device;
    double start;

    if (cuda_driver_open(&b->driver, reason, sizeof(reason)) < 0) {
        puts(reason);
        exit(EXIT_SKIP);
    }
    check(b, b->driver.init(0), "cuInit");
    check(b, b->driver.device_get(&device, 0), "device");
    check(b, b->driver.primary_ctx_set_flags(device, CU_CTX_SCHED_SPIN), "flags");
    check(b, b->driver.primary_ctx_retain(&context, device), "context");
    check(b, b->driver.ctx_set_current(context), "context");
    check(b, b->driver.module_load_data(&module, kernels_image), "kernels");
    check(b, b->driver.module_get_function(&b->add, module, "vgpu_ring_add_float32"), "kernel");
    check(b, b->driver.stream_create_with_priority(&b->stream, CU_STREAM_NON_BLOCKING, 0),
          "stream");
    start = now_us();
    check(b,
          b->driver.mem_host_register(window, size,
                                      CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP),
          "register");
    printf("registering %zu MiB that are there: %.0f us\n", size >> 20, now_us() - start);
    check(b, b->driver.mem_host_get_device_pointer(&b->mapped, window, 0), "map");
    check(b, b->driver.mem_alloc(&b->device, 3 * N * sizeof(float)), "memory");
    b->host = window;
}

static void launch(Native *b, CUdeviceptr base, uint64_t n, unsigned blocks)
{
    KernelVector v = {
        .a = base,
        .b = base + n * 4,
        .c = base + n * 8,
        .sa = 1,
        .sb = 1,
        .sc = 1,
        .n = n,
    };
    void *params[] = {&v};

    check(b,
          b->driver.launch_kernel(b->add, blocks, 1, 1, KERNEL_THREADS, 1, 1, 0, b->stream, params,
                                  NULL),
          "launch");
}

static void native(Native *b, uint64_t n)
{
    check(b, b->driver.memcpy_h_to_d_async(b->device, b->host, n * 4, b->stream), "copy");
    check(b, b->driver.memcpy_h_to_d_async(b->device + n * 4, b->host + n * 4, n * 4, b->stream),
          "copy");
    launch(b, b->device, n, 1024);
    check(b, b->driver.memcpy_d_to_h_async(b->host + n * 8, b->device + n * 8, n * 4, b->stream),
          "copy");
}

static void mapped(Native *b, uint64_t n)
{
    uint64_t blocks = (n + 1023) / 1024;

    launch(b, b->mapped, n, blocks < KERNEL_BLOCKS_MAX ? (unsigned) blocks : KERNEL_BLOCKS_MAX);
}

static double measure(Native *b, void (*compute)(Native *, uint64_t), uint64_t n)
{
    double us[N_ROUNDS];

    for (unsigned i = 0; i <= N_ROUNDS; i++) {
        double start = now_us();

        compute(b, n);
        check(b, b->driver.stream_synchronize(b->stream), "synchronize");
        us[i % N_ROUNDS] = now_us() - start;
    }
    return median(us, N_ROUNDS);
}

static void fill(float *memory, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        memory[i] = (float) (i % 1000);
        memory[n + i] = 0.5f;
        memory[2 * n + i] = -1;
    }
}

static void verify(const float *memory, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (memory[2 * n + i] != (float) (i % 1000) + 0.5f) {
            printf("wrong sum at %llu\n", (unsigned long long) i);
            exit(1);
        }
    }
}

/* Prints a row for each size. Returns the native time of the last one over the executor's. */
static double bench_sizes(Native *b, Client *c)
{
    double ratio = 0;

    printf("%10s %12s %12s %12s   us for a float32 addition\n", "elements", "native", "mapped",
           "executor");
    for (uint64_t n = 1 << 8; n <= N; n *= 2) {
        VGPUSubmission s = bench_vector(VGPU_OP_RING_ADD, VGPU_TYPE_FLOAT32, n);
        double bare, kernel, executor;

        fill((float *) (void *) b->host, n);
        bare = measure(b, native, n);
        kernel = measure(b, mapped, n);
        memset(b->host + n * 8, 0, n * 4);
        executor = bench_median(c, &s, N_ROUNDS);
        verify((float *) (void *) b->host, n);
        printf("%10llu %12.1f %12.1f %12.1f   %.2f, %.1f GB/s\n", (unsigned long long) n, bare,
               kernel, executor, bare / executor, (double) n * 12 / executor / 1e3);
        ratio = bare / executor;
    }

    return ratio;
}

static void report(Client *c, const char *name, const VGPUSubmission *s, double amount,
                   const char *unit)
{
    double first = bench_compute(c, s), us = bench_median(c, s, N_ROUNDS);

    printf("%-28s first %10.0f us, then %10.0f us %10.1f %s\n", name, first, us, amount / us / 1e3,
           unit);
}

/* From the executor's start to its HELLO, and the first requests after it */
static void bench_start(const char *executor)
{
    const ClientOptions o = {.executor = executor, .backend = "cuda", .slots = 4};
    double start = now_us(), ready, first, second;
    Client *c = client_start(&o);
    unsigned char m[256];
    ClientResponse r;

    client_hello(c);
    ready = now_us();
    client_send(c, m, message_scalar(m, 1, VGPU_PRIORITY_HIGH, 1, 2));
    client_receive(c, &r);
    first = now_us();
    client_send(c, m, message_scalar(m, 1, VGPU_PRIORITY_HIGH, 1, 2));
    client_receive(c, &r);
    second = now_us();
    printf("ready after %.0f ms, first request %.0f us, second %.0f us\n", (ready - start) / 1e3,
           first - ready, second - first);
    bench_end(c);
}

static void bench_others(Client *c)
{
    VGPUSubmission s = bench_vector(VGPU_OP_RING_DOT, VGPU_TYPE_FLOAT32, N);

    report(c, "float32 dot of 2^24", &s, (double) N * 8, "GB/s");
    s = bench_vector(VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT64, N);
    report(c, "float64 sum of 2^24", &s, (double) N * 8, "GB/s");
    s = bench_vector(VGPU_OP_RING_ADD, VGPU_TYPE_FLOAT32, N / 2);
    s.a.stride = s.b.stride = s.c.stride = 2;
    s.b.offset = 4;
    s.c.offset = (uint64_t) N * 4;
    report(c, "every other one of 2^24", &s, (double) N / 2 * 12, "GB/s");
    s = bench_matrix(VGPU_TYPE_FLOAT32, 64);
    report(c, "float32 matrix, 64^3", &s, 2.0 * 64 * 64 * 64, "GFLOP/s");
    s = bench_matrix(VGPU_TYPE_FLOAT32, 2048);
    report(c, "float32 matrix, 2048^3", &s, 2.0 * 2048 * 2048 * 2048, "GFLOP/s");
    s = bench_matrix(VGPU_TYPE_FLOAT32, 4096);
    report(c, "float32 matrix, 4096^3", &s, 2.0 * 4096 * 4096 * 4096, "GFLOP/s");
    s = bench_matrix(VGPU_TYPE_FLOAT64, 2816);
    report(c, "float64 matrix, 2816^3", &s, 2.0 * 2816 * 2816 * 2816, "GFLOP/s");
}

int main(int argc, char *argv[])
{
    const char *executor = argc > 1 ? argv[1] : getenv("VGPU_EXECUTOR");
    size_t size = 3 * N * sizeof(float);
    Native b = {0};
    void *memory;
    double ratio;
    Client *c;
    int fd;

    if (!executor) {
        fprintf(stderr, "which executor?\n");
        return 2;
    }
    if (kernels_image_size == 0) {
        puts("skipped: this build has no CUDA kernels");
        return EXIT_SKIP;
    }

    memory = bench_window(size, &fd);
    open_native(&b, memory, size);
    bench_start(executor);
    c = bench_executor(executor, "cuda", fd);
    ratio = bench_sizes(&b, c);
    bench_others(c);
    bench_end(c);
    printf("executor's speed over native's, 2^24 elements: %.2f\n", ratio);
    return 0;
}
