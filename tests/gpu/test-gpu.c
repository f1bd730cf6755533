/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CUDA backend on a real GPU against the CPU backend: the same requests give the same
 * bits. And the effects of real faults. Environment:
 *
 *   VGPU_EXECUTOR       the program
 *   VGPU_FAULT_KERNELS  faults.cu, compiled
 *   VGPU_PTX_KERNELS    the built-in kernels as PTX, to be compiled by the driver
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test-executor-start.h"
#include "test-executor-window.h"
#include "test.h"

#include <signal.h>

#define N_MIXED 1000000u

static const uint32_t vector_opcodes[] = {
    VGPU_OP_VECTOR_ADD_INT32,
    VGPU_OP_VECTOR_ADD_INT64,
    VGPU_OP_VECTOR_ADD_FLOAT32,
    VGPU_OP_VECTOR_ADD_FLOAT64,
};

static ClientOptions options_for(const char *backend, const char *kernels)
{
    return (ClientOptions){
        .executor = getenv("VGPU_EXECUTOR"),
        .backend = backend,
        .slots = EXECUTOR_SLOTS_MAX,
        .kernels = kernels,
    };
}

static Client *start(const char *backend, const char *kernels)
{
    const ClientOptions o = options_for(backend, kernels);
    Client *c = start_ready(&o);

    assert_string_equal(c->device.backend, backend);
    return c;
}

/* ---- The same bits ------------------------------------------------------------ */

/* Zeros, denormals, infinities, NaNs and the ends of the integers, in both widths */
static const uint64_t edges[] = {
    0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001,
    0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0xffefffffffffffff,
    0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xffffffffffffffff,
    0x7fffffffffffffff, 0x3ff0000000000000, 0x3ca0000000000001, 0xbff0000000000000,
    0x8000000000000001, 0x007fffff807fffff, 0x008000007f7fffff, 0xff7fffff7f800000,
    0xff8000007fc00000, 0x7f8000013f800000, 0x338000003f800001, 0xbf800000ffffffff,
};
#define N_EDGES (sizeof(edges) / sizeof(edges[0]))

/* One operand: random bits, or edges in random order. */
static void fill(uint64_t *words, size_t n, uint64_t *seed)
{
    bool of_edges = random_bits(seed) % 4 == 0;

    for (size_t i = 0; i < n; i++)
        words[i] = of_edges ? edges[random_bits(seed) % N_EDGES] : random_bits(seed);
}

/* Request number @tag of the mix; the same one at each call. */
static size_t mixed_message(void *buf, uint64_t tag)
{
    uint64_t a[VGPU_REQUEST_DATA_MAX / 16], b[VGPU_REQUEST_DATA_MAX / 16], seed = tag;
    uint32_t kind = random_bits(&seed) % 16, priority = random_bits(&seed) % VGPU_N_PRIORITIES;
    uint32_t opcode, max;

    if (kind == 0)
        return message_plain(buf, tag, VGPU_OP_NOP);
    if (kind < 6)
        return message_scalar(buf, tag, priority, (uint32_t) random_bits(&seed),
                              (uint32_t) random_bits(&seed));

    opcode = vector_opcodes[kind % 4];
    max = sizeof(a) / vgpu_element_size(opcode);
    fill(a, sizeof(a) / sizeof(a[0]), &seed);
    fill(b, sizeof(b) / sizeof(b[0]), &seed);
    return message_vector(buf, tag, priority, opcode, a, b,
                          (1 + (uint32_t) random_bits(&seed) % max) * vgpu_element_size(opcode));
}

/* A NaN may have any payload. So every NaN becomes the same one. */
static void canonicalize(uint32_t opcode, unsigned char *data, uint32_t size)
{
    for (uint32_t i = 0; opcode == VGPU_OP_VECTOR_ADD_FLOAT32 && i < size; i += 4) {
        float f;

        memcpy(&f, data + i, sizeof(f));
        if (__builtin_isnan(f))
            memset(data + i, 0xff, sizeof(f));
    }
    for (uint32_t i = 0; opcode == VGPU_OP_VECTOR_ADD_FLOAT64 && i < size; i += 8) {
        double d;

        memcpy(&d, data + i, sizeof(d));
        if (__builtin_isnan(d))
            memset(data + i, 0xff, sizeof(d));
    }
}

static void assert_same_response(uint32_t opcode, ClientResponse *x, ClientResponse *y)
{
    VGPUResponse hx = x->header, hy = y->header;

    assert_int_equal(hx.status, VGPU_ERROR_NONE);
    assert_int_equal(x->tag, y->tag);
    assert_int_equal(x->size, y->size);
    hx.exec_time_us = hy.exec_time_us = 0;
    assert_memory_equal(&hx, &hy, sizeof(hx));
    canonicalize(opcode, x->bytes + hx.data_offset, hx.data_length);
    canonicalize(opcode, y->bytes + hy.data_offset, hy.data_length);
    assert_memory_equal(x->bytes + sizeof(hx), y->bytes + sizeof(hy), x->size - sizeof(hx));
}

static void assert_same_answer(Client *cpu, Client *cuda, const void *m, size_t size)
{
    ClientResponse x, y;
    VGPURequest request;

    memcpy(&request, (const char *) m + sizeof(ExecutorHeader), sizeof(request));
    assert_true(client_send(cpu, m, size));
    assert_true(client_send(cuda, m, size));
    assert_true(client_receive(cpu, &x));
    assert_true(client_receive(cuda, &y));
    assert_same_response(request.opcode, &x, &y);
}

TEST(test_every_length)
{
    Client *cpu = start("cpu", NULL), *cuda = start("cuda", NULL);
    uint64_t a[VGPU_REQUEST_DATA_MAX / 16], b[VGPU_REQUEST_DATA_MAX / 16], seed = 2;
    unsigned char m[MESSAGE_MAX];

    for (unsigned i = 0; i < 4; i++) {
        uint32_t element = vgpu_element_size(vector_opcodes[i]);

        for (uint32_t size = element; size <= sizeof(a); size += element) {
            for (unsigned round = 0; round < 8; round++) {
                fill(a, sizeof(a) / sizeof(a[0]), &seed);
                fill(b, sizeof(b) / sizeof(b[0]), &seed);
                assert_same_answer(cpu, cuda, m,
                                   message_vector(m, size, round % VGPU_N_PRIORITIES,
                                                  vector_opcodes[i], a, b, size));
            }
        }
    }

    assert_good_end(cpu);
    assert_good_end(cuda);
}

/* Every edge with every other, as each type. */
TEST(test_edges)
{
    Client *cpu = start("cpu", NULL), *cuda = start("cuda", NULL);
    unsigned char m[MESSAGE_MAX];
    uint64_t b[N_EDGES];

    for (unsigned i = 0; i < 4; i++) {
        for (size_t shift = 0; shift < N_EDGES; shift++) {
            for (size_t k = 0; k < N_EDGES; k++)
                b[k] = edges[(k + shift) % N_EDGES];
            assert_same_answer(cpu, cuda, m,
                               message_vector(m, shift, VGPU_PRIORITY_LOW, vector_opcodes[i], edges,
                                              b, sizeof(edges)));
        }
    }

    assert_good_end(cpu);
    assert_good_end(cuda);
}

static void assert_mixed_response(Client *cpu, ClientResponse *y)
{
    unsigned char m[MESSAGE_MAX];
    size_t size = mixed_message(m, y->tag);
    VGPURequest request;
    ClientResponse x;

    memcpy(&request, m + sizeof(ExecutorHeader), sizeof(request));
    assert_true(client_send(cpu, m, size));
    assert_true(client_receive(cpu, &x));
    assert_same_response(request.opcode, &x, y);
}

/* All slots stay in flight: the next request follows each answer. */
static void run_mixed(Client *cpu, Client *cuda, uint64_t n)
{
    uint64_t sent = 0, received = 0;
    static unsigned char m[EXECUTOR_SLOTS_MAX * MESSAGE_MAX];

    while (received < n) {
        size_t size = 0;
        ClientResponse y;

        for (; sent < n && sent - received < EXECUTOR_SLOTS_MAX; sent++)
            size += mixed_message(m + size, sent);
        assert_true(client_send(cuda, m, size));
        do {
            assert_true(client_receive(cuda, &y));
            assert_mixed_response(cpu, &y);
            received++;
        } while (client_has_input(cuda));
    }
}

static VGPUDeviceInfo device_info(Client *c)
{
    unsigned char m[MESSAGE_MAX];
    VGPUDeviceInfo info;
    ClientResponse r;

    assert_true(client_send(c, m, message_plain(m, 0, VGPU_OP_GET_DEVICE_INFO)));
    assert_true(client_receive(c, &r));
    assert_int_equal(r.header.status, VGPU_ERROR_NONE);
    assert_int_equal(r.header.data_length, sizeof(info));
    memcpy(&info, r.bytes + r.header.data_offset, sizeof(info));
    return info;
}

/* A context costs hundreds of megabytes of the device's memory, a stream some kilobytes. After
 * the first requests, nothing more is ever made. */
TEST(test_a_million_mixed_requests)
{
    Client *cpu = start("cpu", NULL), *cuda = start("cuda", NULL);
    VGPUDeviceInfo before, after;

    run_mixed(cpu, cuda, N_MIXED / 10);
    before = device_info(cuda);
    run_mixed(cpu, cuda, N_MIXED);
    after = device_info(cuda);

    assert_memory_equal(&before, &after, sizeof(before));
    assert_good_end(cpu);
    assert_good_end(cuda);
}

/* A GPU newer than every architecture of the build runs the PTX. */
TEST(test_kernels_from_ptx)
{
    Client *cpu = start("cpu", NULL), *cuda = start("cuda", getenv("VGPU_PTX_KERNELS"));

    run_mixed(cpu, cuda, 1000);
    assert_good_end(cpu);
    assert_good_end(cuda);
}

/* ---- Real faults ----------------------------------------------------------------- */

static size_t fault_message(void *buf, uint64_t tag, uint32_t opcode)
{
    const uint64_t zero = 0;

    return message_vector(buf, tag, VGPU_PRIORITY_HIGH, opcode, &zero, &zero, sizeof(zero));
}

/* Every request in flight is answered with the error, then the process ends. */
static void assert_faults(uint32_t opcode, uint32_t first_error, uint32_t last_error)
{
    Client *c = start("cuda", getenv("VGPU_FAULT_KERNELS"));
    unsigned char m[8 * MESSAGE_MAX];
    unsigned answered = 0;
    size_t size = 0;
    ClientResponse r;

    for (unsigned i = 0; i < 8; i++)
        size += fault_message(m + size, i, opcode);
    assert_true(client_send(c, m, size));

    while (client_receive(c, &r)) {
        uint32_t error;

        assert_int_equal(r.header.status, VGPU_ERROR_CUDA_ERROR);
        assert_int_equal(r.header.result_count, 1);
        memcpy(&error, r.bytes + sizeof(r.header), sizeof(error));
        assert_in_range(error, first_error, last_error);
        answered++;
    }
    assert_int_equal(answered, 8);
    assert_lost(c);
}

TEST(test_illegal_address)
{
    assert_faults(VGPU_OP_VECTOR_ADD_INT32, 700, 700);
}

/* 715 or 719, depending on the driver's version */
TEST(test_trap)
{
    assert_faults(VGPU_OP_VECTOR_ADD_FLOAT32, 715, 719);
}

TEST(test_misaligned_address)
{
    assert_faults(VGPU_OP_VECTOR_ADD_FLOAT64, 716, 716);
}

/* A kernel that never ends is in flight: the answer to a NOP shows that it was submitted. The
 * process still ends by the mediator's hang-up and by SIGKILL. */
static Client *start_with_hung_kernel(void)
{
    Client *c = start("cuda", getenv("VGPU_FAULT_KERNELS"));
    unsigned char m[2 * MESSAGE_MAX];
    size_t size = fault_message(m, 1, VGPU_OP_VECTOR_ADD_INT64);
    ClientResponse r;

    size += message_plain(m + size, 2, VGPU_OP_NOP);
    assert_true(client_send(c, m, size));
    assert_true(client_receive(c, &r));
    assert_int_equal(r.tag, 2);
    return c;
}

TEST(test_hung_kernel_and_hang_up)
{
    assert_good_end(start_with_hung_kernel());
}

TEST(test_hung_kernel_and_kill)
{
    Client *c = start_with_hung_kernel();

    kill(c->process.pid, SIGKILL);
    assert_hang_up(c, 128 + SIGKILL, "");
}

/* ---- Real faults in a window ------------------------------------------------------ */

static VGPUSubmission in_window(uint32_t opcode, uint64_t count)
{
    return (VGPUSubmission){
        .opcode = opcode,
        .type = VGPU_TYPE_INT32,
        .count = count,
        .a = operand(0, 1),
        .b = operand(0, 1),
        .c = operand(0, 1),
    };
}

/* A kernel in the window itself, and one behind copies. */
TEST(test_illegal_address_in_a_window)
{
    TestWindow w = window_create(1, UINT64_C(16) << 20);

    for (uint64_t count = 1; count <= 2000001; count += 2000000) {
        Client *c = start("cuda", getenv("VGPU_FAULT_KERNELS"));
        VGPUSubmission s = in_window(VGPU_OP_RING_ADD, count);
        unsigned answered = 0;
        ClientResponse r;

        window_send_add(c, &w);
        for (unsigned i = 0; i < 4; i++)
            window_send(c, &w, i, i % VGPU_N_PRIORITIES, &s);
        for (; client_receive(c, &r); answered++) {
            assert_int_equal(r.result.status, VGPU_ERROR_CUDA_ERROR);
            assert_int_equal(r.result.cuda_result, 700);
        }
        assert_int_equal(answered, 4);
        assert_lost(c);
    }
    window_destroy(&w);
}

/* One job never ends. Others do, small and large, until the process is killed. */
TEST(test_hung_job)
{
    TestWindow w = window_create(1, UINT64_C(16) << 20);
    Client *c = start("cuda", getenv("VGPU_FAULT_KERNELS"));
    VGPUSubmission hung = in_window(VGPU_OP_RING_SUM, 2000000);
    VGPUSubmission small = in_window(VGPU_OP_RING_MAX, 10);
    VGPUSubmission large = in_window(VGPU_OP_RING_MUL, 2000000);
    ClientResponse r;

    window_send_add(c, &w);
    window_send(c, &w, 1, VGPU_PRIORITY_LOW, &hung);
    window_send(c, &w, 2, VGPU_PRIORITY_LOW, &small);
    assert_true(client_receive(c, &r));
    assert_int_equal(r.tag, 2);
    assert_int_equal(r.result.status, VGPU_ERROR_NONE);
    window_send(c, &w, 3, VGPU_PRIORITY_MEDIUM, &large);
    assert_true(client_receive(c, &r));
    assert_int_equal(r.tag, 3);
    assert_int_equal(r.result.status, VGPU_ERROR_NONE);
    kill(c->process.pid, SIGKILL);
    assert_hang_up(c, 128 + SIGKILL, "");
    window_destroy(&w);
}

/* The faults above ended their processes only. The device computes as before. */
TEST(test_device_after_faults)
{
    Client *cpu = start("cpu", NULL), *cuda = start("cuda", NULL);

    run_mixed(cpu, cuda, 1000);
    assert_good_end(cpu);
    assert_good_end(cuda);
}

/* ---- main ---------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_a_million_mixed_requests),
        cmocka_unit_test(test_kernels_from_ptx),
        cmocka_unit_test(test_illegal_address),
        cmocka_unit_test(test_trap),
        cmocka_unit_test(test_misaligned_address),
        cmocka_unit_test(test_hung_kernel_and_hang_up),
        cmocka_unit_test(test_hung_kernel_and_kill),
        cmocka_unit_test(test_illegal_address_in_a_window),
        cmocka_unit_test(test_hung_job),
        cmocka_unit_test(test_device_after_faults),
    };

    (void) options_for_backend("gpu", 1);
    return cmocka_run_group_tests_name("gpu", tests, NULL, NULL);
}
