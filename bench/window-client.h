/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks of windows share: a window, an executor that has it, and the times of jobs */
#ifndef BENCH_WINDOW_CLIENT_H
#define BENCH_WINDOW_CLIENT_H

#include "measure.h"
#include "test-executor-client.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW_ID 1u

static inline double now_us(void)
{
    return now_sec() * 1e6;
}

/* Makes a window of this size, all of it in memory. */
static inline void *bench_window(size_t size, int *ret_fd)
{
    int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *memory;

    if (fd < 0 || ftruncate(fd, (off_t) size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
        perror("memfd");
        exit(1);
    }
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    memset(memory, 0, size);
    *ret_fd = fd;
    return memory;
}

static inline Client *bench_executor(const char *executor, const char *backend, int window_fd)
{
    const ClientOptions o = {.executor = executor, .backend = backend, .slots = 4};
    unsigned char m[256];
    size_t size = message_window(m, EXECUTOR_MSG_WINDOW_ADD, WINDOW_ID);
    Client *c = client_start(&o);

    client_hello(c);
    if (!client_send_with_fds(c, m, size, &window_fd, 1))
        exit(1);
    return c;
}

/* Returns the microseconds from the message to the answer. */
static inline double bench_compute(Client *c, const VGPUSubmission *s)
{
    unsigned char m[512];
    size_t size = message_compute(m, 1, VGPU_PRIORITY_HIGH, WINDOW_ID, s);
    double start = now_us();
    ClientResponse r;

    if (!client_send(c, m, size) || !client_receive(c, &r) || r.type != EXECUTOR_MSG_RESULT ||
        r.result.status != VGPU_ERROR_NONE) {
        puts("the executor failed");
        exit(1);
    }
    return now_us() - start;
}

/* Returns the median of @n jobs, after one that does not count. */
static inline double bench_median(Client *c, const VGPUSubmission *s, size_t n)
{
    double us[64];

    bench_compute(c, s);
    for (size_t i = 0; i < n; i++)
        us[i] = bench_compute(c, s);
    return median(us, n);
}

static inline void bench_end(Client *c)
{
    char *text;

    client_hang_up(c);
    if (client_end(c, &text) != EXECUTOR_EXIT_OK) {
        printf("the executor failed: %s", text);
        exit(1);
    }
    free(text);
}

/* The operands a, b and c lie one after the other. */
static inline VGPUSubmission bench_vector(uint32_t opcode, uint32_t type, uint64_t count)
{
    uint64_t bytes = count * vgpu_ring_type_size(type);

    return (VGPUSubmission){
        .opcode = opcode,
        .type = type,
        .count = count,
        .scalar = 0.5,
        .a = {.offset = 0, .stride = 1},
        .b = {.offset = bytes, .stride = 1},
        .c = {.offset = 2 * bytes, .stride = 1},
    };
}

static inline VGPUSubmission bench_matrix(uint32_t type, uint32_t side)
{
    uint64_t bytes = (uint64_t) side * side * vgpu_ring_type_size(type);

    return (VGPUSubmission){
        .opcode = VGPU_OP_RING_MATMUL,
        .type = type,
        .count = side,
        .n = side,
        .k = side,
        .a = {.offset = 0, .stride = side},
        .b = {.offset = bytes, .stride = side},
        .c = {.offset = 2 * bytes, .stride = side},
    };
}

#endif
