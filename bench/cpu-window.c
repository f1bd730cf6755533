/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CPU backend on large operands in a window: the addition of 2^24 float32 elements, beside the
 * plain loop on the same memory in this process, and the other operations.
 *
 * It shows the executor's share, from the message to the answer. It does not show the ring, the
 * mediator or the guest, nor what other work does to either side.
 *
 * Usage: cpu-window [EXECUTOR]   or VGPU_EXECUTOR
 */
#include "window-client.h"

#define N (UINT64_C(1) << 24)
#define N_ROUNDS 15u

/* The plain loop, as anybody would write it */
__attribute__((noinline)) static void add(const float *a, const float *b, float *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        c[i] = a[i] + b[i];
}

/* Both are measured in turn, so that what disturbs the machine disturbs both. */
static void bench_add(Client *c, float *memory)
{
    VGPUSubmission s = bench_vector(VGPU_OP_RING_ADD, VGPU_TYPE_FLOAT32, N);
    double plain[N_ROUNDS], executor[N_ROUNDS], p, e;

    bench_compute(c, &s);
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        double start = now_us();

        add(memory, memory + N, memory + 2 * N, N);
        plain[i] = now_us() - start;
        executor[i] = bench_compute(c, &s);
    }
    p = median(plain, N_ROUNDS);
    e = median(executor, N_ROUNDS);
    printf("float32 add of 2^24: plain loop %.0f us, executor %.0f us\n", p, e);
    printf("executor's speed over the plain loop's: %.2f\n", p / e);
}

static void report(Client *c, const char *name, const VGPUSubmission *s, double amount,
                   const char *unit)
{
    double us = bench_median(c, s, N_ROUNDS);

    printf("%-28s %10.0f us %8.1f %s\n", name, us, amount / us / 1e3, unit);
}

int main(int argc, char *argv[])
{
    const char *executor = argc > 1 ? argv[1] : getenv("VGPU_EXECUTOR");
    VGPUSubmission s;
    float *memory;
    Client *c;
    int fd;

    if (!executor) {
        fprintf(stderr, "which executor?\n");
        return 2;
    }
    memory = bench_window(3 * N * sizeof(float), &fd);
    c = bench_executor(executor, "cpu", fd);
    bench_add(c, memory);

    for (uint32_t type = 0; type < VGPU_N_TYPES; type++) {
        static const char *const types[] = {"int32", "int64", "float32", "float64"};
        static const struct {
            uint32_t opcode;
            const char *name;
            unsigned operands;
        } ops[] = {{VGPU_OP_RING_ADD, "add", 3},
                   {VGPU_OP_RING_MUL, "mul", 3},
                   {VGPU_OP_RING_DOT, "dot", 2},
                   {VGPU_OP_RING_SUM, "sum", 1},
                   {VGPU_OP_RING_MIN, "min", 1}};

        for (unsigned i = 0; i < 5; i++) {
            char name[32];

            snprintf(name, sizeof(name), "%s %s of 2^20", types[type], ops[i].name);
            s = bench_vector(ops[i].opcode, type, 1 << 20);
            report(c, name, &s, (1 << 20) * ops[i].operands * vgpu_ring_type_size(type), "GB/s");
        }
    }
    s = bench_matrix(VGPU_TYPE_FLOAT32, 1024);
    report(c, "float32 matrix, 1024^3", &s, 2.0 * 1024 * 1024 * 1024, "GFLOP/s");
    s = bench_matrix(VGPU_TYPE_FLOAT64, 1024);
    report(c, "float64 matrix, 1024^3", &s, 2.0 * 1024 * 1024 * 1024, "GFLOP/s");

    bench_end(c);
    return 0;
}
