/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The executor, started and spoken to as by the mediator. Run with
 *
 *   test-executor cpu    the CPU backend
 *   test-executor fake   the CUDA backend over tests/fake-cuda
 *   test-executor gpu    the CUDA backend over the host's driver; skips without a GPU
 *
 * Environment: VGPU_EXECUTOR (the program), VGPU_FAKE_CUDA_DIR and
 * VGPU_KERNELS (for builds without nvcc).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "test-executor-start.h"
#include "test.h"

#define SLOTS 8u

static ClientOptions options;

static const uint32_t vector_opcodes[] = {
    VGPU_OP_VECTOR_ADD_INT32,
    VGPU_OP_VECTOR_ADD_INT64,
    VGPU_OP_VECTOR_ADD_FLOAT32,
    VGPU_OP_VECTOR_ADD_FLOAT64,
};
#define N_VECTOR_OPCODES 4u

static int setup(void **state)
{
    *state = start_ready(&options);
    return 0;
}

static int teardown(void **state)
{
    assert_good_end(*state);
    return 0;
}

/* ---- Helpers ------------------------------------------------------------- */

static ClientResponse call(Client *c, const void *message, size_t size, uint64_t tag)
{
    ClientResponse r;

    assert_true(client_send(c, message, size));
    assert_true(client_receive(c, &r));
    assert_int_equal(r.tag, tag);
    return r;
}

/* The reference: the definition in vgpu-protocol.h, element by element. */
static void expected_sum(uint32_t opcode, const void *a, const void *b, void *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        switch (opcode) {
        case VGPU_OP_VECTOR_ADD_INT32:
            ((uint32_t *) c)[i] = ((const uint32_t *) a)[i] + ((const uint32_t *) b)[i];
            break;
        case VGPU_OP_VECTOR_ADD_INT64:
            ((uint64_t *) c)[i] = ((const uint64_t *) a)[i] + ((const uint64_t *) b)[i];
            break;
        case VGPU_OP_VECTOR_ADD_FLOAT32:
            ((float *) c)[i] = ((const float *) a)[i] + ((const float *) b)[i];
            break;
        case VGPU_OP_VECTOR_ADD_FLOAT64:
            ((double *) c)[i] = ((const double *) a)[i] + ((const double *) b)[i];
            break;
        }
    }
}

static bool is_nan(uint32_t opcode, const void *c, uint32_t i)
{
    if (opcode == VGPU_OP_VECTOR_ADD_FLOAT32)
        return __builtin_isnan(((const float *) c)[i]);
    if (opcode == VGPU_OP_VECTOR_ADD_FLOAT64)
        return __builtin_isnan(((const double *) c)[i]);
    return false;
}

/* The same bits, but for a NaN's payload */
static void assert_same(uint32_t opcode, const void *c, const void *expected, uint32_t n)
{
    uint32_t element = vgpu_element_size(opcode);

    for (uint32_t i = 0; i < n; i++) {
        if (is_nan(opcode, expected, i))
            assert_true(is_nan(opcode, c, i));
        else
            assert_memory_equal((const char *) c + i * element,
                                (const char *) expected + i * element, element);
    }
}

static void assert_vector_response(const ClientResponse *r, uint32_t opcode, const void *a,
                                   const void *b, uint32_t n)
{
    uint64_t c[BUFSIZ / 8], expected[BUFSIZ / 8];
    uint32_t size = n * vgpu_element_size(opcode);

    assert_int_equal(r->header.status, VGPU_ERROR_NONE);
    assert_int_equal(r->header.result_count, 0);
    assert_int_equal(r->header.data_length, size);
    assert_in_range(r->header.exec_time_us, 1, 60 * 1000 * 1000);

    memcpy(c, r->bytes + r->header.data_offset, size);
    expected_sum(opcode, a, b, expected, n);
    assert_same(opcode, c, expected, n);
}

static void assert_vector_add(Client *c, uint32_t opcode, const void *a, const void *b, uint32_t n)
{
    unsigned char m[MESSAGE_MAX];
    size_t size =
        message_vector(m, n, VGPU_PRIORITY_LOW, opcode, a, b, n * vgpu_element_size(opcode));
    ClientResponse r = call(c, m, size, n);

    assert_vector_response(&r, opcode, a, b, n);
}

static void assert_scalar_add(Client *c, uint32_t a, uint32_t b)
{
    unsigned char m[MESSAGE_MAX];
    ClientResponse r = call(c, m, message_scalar(m, a, VGPU_PRIORITY_HIGH, a, b), a);
    uint32_t sum;

    assert_int_equal(r.header.status, VGPU_ERROR_NONE);
    assert_int_equal(r.header.result_count, 1);
    assert_int_equal(r.header.data_length, 0);
    assert_in_range(r.header.exec_time_us, 1, 60 * 1000 * 1000);
    memcpy(&sum, r.bytes + sizeof(r.header), sizeof(sum));
    assert_int_equal(sum, a + b);
}

static void fill_random(void *buf, size_t size, uint64_t *seed)
{
    unsigned char *p = buf;

    for (size_t i = 0; i < size; i++)
        p[i] = (unsigned char) random_bits(seed);
}

/* ---- Requests -------------------------------------------------------------- */

static void test_hello_names_the_device(void **state)
{
    const VGPUDeviceInfo *d = &((Client *) *state)->device;

    assert_string_equal(d->backend, options.backend);
    assert_in_range(strnlen(d->name, sizeof(d->name)), 1, sizeof(d->name) - 1);
    assert_true(d->memory_total > 0);
    assert_true(d->memory_free <= d->memory_total);
    assert_true(d->multiprocessors > 0);
    if (strcmp(d->backend, "cpu") == 0) {
        /* Nothing of the host shows. */
        assert_string_equal(d->name, "CPU");
        assert_int_equal(d->memory_total, VGPU_WINDOW_SIZE_DEFAULT);
        assert_int_equal(d->memory_free, VGPU_WINDOW_SIZE_DEFAULT);
        assert_int_equal(d->multiprocessors, 1);
    }
    assert_int_equal(d->driver_version != 0, strcmp(d->backend, "cuda") == 0);
    assert_int_equal(d->compute_major != 0, strcmp(d->backend, "cuda") == 0);
}

static void test_nop(void **state)
{
    unsigned char m[MESSAGE_MAX];
    ClientResponse r = call(*state, m, message_plain(m, UINT64_MAX, VGPU_OP_NOP), UINT64_MAX);

    assert_int_equal(r.header.status, VGPU_ERROR_NONE);
    assert_int_equal(r.header.result_count, 0);
    assert_int_equal(r.size, sizeof(VGPUResponse));
}

static void test_device_info(void **state)
{
    Client *c = *state;
    unsigned char m[MESSAGE_MAX];
    ClientResponse r = call(c, m, message_plain(m, 1, VGPU_OP_GET_DEVICE_INFO), 1);
    VGPUDeviceInfo info;

    assert_int_equal(r.header.status, VGPU_ERROR_NONE);
    assert_int_equal(r.header.data_length, sizeof(info));
    memcpy(&info, r.bytes + r.header.data_offset, sizeof(info));

    assert_true(info.memory_free > 0);
    info.memory_free = c->device.memory_free;
    assert_memory_equal(&info, &c->device, sizeof(info));
}

static void test_scalar(void **state)
{
    assert_scalar_add(*state, 100, 200);
    assert_scalar_add(*state, 0, 0);
    assert_scalar_add(*state, UINT32_MAX, 1);
    assert_scalar_add(*state, UINT32_MAX, UINT32_MAX);
    assert_scalar_add(*state, INT32_MAX, 1);
    assert_scalar_add(*state, 0x80000000u, 0x80000000u);
}

/* Every length of every type that fits, on random bits: among the floats are
 * NaNs, infinities and denormals. */
static void test_vectors_of_every_length(void **state)
{
    uint64_t a[VGPU_REQUEST_DATA_MAX / 16], b[VGPU_REQUEST_DATA_MAX / 16], seed = 1;

    for (unsigned i = 0; i < N_VECTOR_OPCODES; i++) {
        uint32_t max = VGPU_REQUEST_DATA_MAX / 2 / vgpu_element_size(vector_opcodes[i]);

        assert_int_equal(max, vgpu_element_size(vector_opcodes[i]) == 4 ? 124 : 62);
        for (uint32_t n = 1; n <= max; n++) {
            fill_random(a, sizeof(a), &seed);
            fill_random(b, sizeof(b), &seed);
            assert_vector_add(*state, vector_opcodes[i], a, b, n);
        }
    }
}

static void test_integers_wrap(void **state)
{
    const uint32_t a32[] = {UINT32_MAX, INT32_MAX, 0x80000000u}, b32[] = {1, 1, 0x80000000u};
    const uint64_t a64[] = {UINT64_MAX, INT64_MAX, UINT64_C(1) << 63};
    const uint64_t b64[] = {1, 1, UINT64_C(1) << 63};

    assert_vector_add(*state, VGPU_OP_VECTOR_ADD_INT32, a32, b32, 3);
    assert_vector_add(*state, VGPU_OP_VECTOR_ADD_INT64, a64, b64, 3);
}

/* Every pair of these: zeros of both signs, the smallest and largest denormals
 * and normals, infinities, NaN, numbers that round to even either way. */
static void test_float32_edges(void **state)
{
    static const uint32_t edges[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff,
                                     0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff,
                                     0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x3f800000,
                                     0x33800000, 0x33800001, 0x3f800001, 0xbf800000, 0x4b800000};
    enum { N = sizeof(edges) / sizeof(edges[0]) };
    uint32_t b[N];

    for (unsigned shift = 0; shift < N; shift++) {
        for (unsigned i = 0; i < N; i++)
            b[i] = edges[(i + shift) % N];
        assert_vector_add(*state, VGPU_OP_VECTOR_ADD_FLOAT32, edges, b, N);
    }
}

static void test_float64_edges(void **state)
{
    static const uint64_t edges[] = {
        0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001,
        0x000fffffffffffff, 0x800fffffffffffff, 0x0010000000000000, 0x8010000000000000,
        0x7fefffffffffffff, 0xffefffffffffffff, 0x7ff0000000000000, 0xfff0000000000000,
        0x7ff8000000000000, 0x7ff0000000000001, 0x3ff0000000000000, 0x3ca0000000000000,
        0x3ca0000000000001, 0x3ff0000000000001, 0xbff0000000000000, 0x4340000000000000};
    enum { N = sizeof(edges) / sizeof(edges[0]) };
    uint64_t b[N];

    for (unsigned shift = 0; shift < N; shift++) {
        for (unsigned i = 0; i < N; i++)
            b[i] = edges[(i + shift) % N];
        assert_vector_add(*state, VGPU_OP_VECTOR_ADD_FLOAT64, edges, b, N);
    }
}

/* Negative zero and infinity by their bits, so that the test does not trust its reference
 * blindly */
static void test_known_bits(void **state)
{
    const uint32_t a[] = {0x80000000, 0x7f7fffff, 0x00000001};
    const uint32_t b[] = {0x80000000, 0x7f7fffff, 0x00000001};
    const uint32_t sum[] = {0x80000000, 0x7f800000, 0x00000002};
    unsigned char m[MESSAGE_MAX];
    size_t size = message_vector(m, 9, VGPU_PRIORITY_LOW, VGPU_OP_VECTOR_ADD_FLOAT32, a, b, 12);
    ClientResponse r = call(*state, m, size, 9);

    assert_memory_equal(r.bytes + r.header.data_offset, sum, sizeof(sum));
}

/* data_offset is the guest's choice, and need not be aligned. */
static void test_unaligned_data(void **state)
{
    unsigned char payload[sizeof(VGPURequest) + 3 + 16], m[MESSAGE_MAX];
    const VGPURequest request = {
        .version = VGPU_PROTOCOL_VERSION,
        .opcode = VGPU_OP_VECTOR_ADD_INT32,
        .data_offset = sizeof(request) + 3,
        .data_length = 16,
    };
    const uint32_t data[] = {1, 2, 30, 40};
    ClientResponse r;

    memset(payload, 0xee, sizeof(payload));
    memcpy(payload, &request, sizeof(request));
    memcpy(payload + sizeof(request) + 3, data, sizeof(data));
    r = call(*state, m, message_raw(m, 5, payload, sizeof(payload)), 5);
    assert_vector_response(&r, request.opcode, data, data + 2, 2);
}

static void assert_refused(Client *c, const void *payload, uint32_t size, uint32_t error)
{
    unsigned char m[MESSAGE_MAX];
    ClientResponse r = call(c, m, message_raw(m, error, payload, size), error);

    assert_int_equal(r.header.status, error);
    assert_int_equal(r.size, sizeof(VGPUResponse));
}

static void test_bad_requests_are_answered(void **state)
{
    VGPURequest r = {.version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_NOP};

    assert_refused(*state, &r, 0, VGPU_ERROR_INVALID_LENGTH);
    assert_refused(*state, &r, sizeof(r) - 1, VGPU_ERROR_INVALID_REQUEST);
    r.version++;
    assert_refused(*state, &r, sizeof(r), VGPU_ERROR_INVALID_REQUEST);
    r.version--;
    r.opcode = VGPU_OP_VECTOR_ADD_INT32;
    assert_refused(*state, &r, sizeof(r), VGPU_ERROR_INVALID_REQUEST);
    r.data_offset = sizeof(r);
    r.data_length = 8;
    assert_refused(*state, &r, sizeof(r), VGPU_ERROR_INVALID_REQUEST);
    r = (VGPURequest){.version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_CUDA_KERNEL};
    assert_refused(*state, &r, sizeof(r), VGPU_ERROR_INVALID_REQUEST);
    r.opcode = VGPU_OP_MEMORY_ALLOC;
    assert_refused(*state, &r, sizeof(r), VGPU_ERROR_UNSUPPORTED_OP);
    r.opcode = UINT32_MAX;
    assert_refused(*state, &r, sizeof(r), VGPU_ERROR_UNSUPPORTED_OP);

    assert_scalar_add(*state, 1, 2);
}

/* ---- Many at once ----------------------------------------------------------- */

/* Sends @n scalar requests with one write and takes their answers, in any order. */
static void run_many(Client *c, unsigned n)
{
    size_t size = 0;
    unsigned char *m = malloc(n * MESSAGE_MAX);
    bool *seen = calloc(n, sizeof(*seen));
    ClientResponse r;

    assert_non_null(m);
    assert_non_null(seen);
    for (unsigned i = 0; i < n; i++)
        size += message_scalar(m + size, i, i % VGPU_N_PRIORITIES, i, 1000 * i);
    assert_true(client_send(c, m, size));

    for (unsigned i = 0; i < n; i++) {
        uint32_t sum;

        assert_true(client_receive(c, &r));
        assert_true(r.tag < n);
        assert_false(seen[r.tag]);
        seen[r.tag] = true;
        assert_int_equal(r.header.status, VGPU_ERROR_NONE);
        memcpy(&sum, r.bytes + sizeof(r.header), sizeof(sum));
        assert_int_equal(sum, 1001 * r.tag);
    }

    free(seen);
    free(m);
}

static void test_all_slots_in_flight(void **state)
{
    for (unsigned i = 0; i < 200; i++)
        run_many(*state, SLOTS);
}

/* The mediator promises not to do this. The executor must survive it all the same. */
static void test_more_than_the_slots(void **state)
{
    run_many(*state, 1000);
    run_many(*state, 1);
}

static void test_largest_in_flight(void **state)
{
    static unsigned char m[SLOTS * MESSAGE_MAX];
    uint64_t a[62], b[62], seed = 7;
    size_t size = 0;
    ClientResponse r;

    fill_random(a, sizeof(a), &seed);
    fill_random(b, sizeof(b), &seed);
    for (unsigned i = 0; i < SLOTS; i++)
        size += message_vector(m + size, i, i % VGPU_N_PRIORITIES, vector_opcodes[i % 4], a, b,
                               sizeof(a));
    assert_true(client_send(*state, m, size));

    for (unsigned i = 0; i < SLOTS; i++) {
        uint32_t opcode;

        assert_true(client_receive(*state, &r));
        opcode = vector_opcodes[r.tag % 4];
        assert_vector_response(&r, opcode, a, b, sizeof(a) / vgpu_element_size(opcode));
    }
}

/* ---- The end ------------------------------------------------------------------ */

static void assert_garbage_ends(ExecutorHeader header)
{
    void *state;
    ClientResponse r;

    setup(&state);
    assert_true(client_send(state, &header, sizeof(header)));
    assert_false(client_receive(state, &r));
    assert_end(state, EXECUTOR_EXIT_FAILURE, "makes no sense");
}

TEST(test_garbage)
{
    assert_garbage_ends((ExecutorHeader){.type = 0x47474747});
    assert_garbage_ends((ExecutorHeader){.type = EXECUTOR_MSG_HELLO});
    assert_garbage_ends((ExecutorHeader){.type = EXECUTOR_MSG_RESPONSE});
    assert_garbage_ends(
        (ExecutorHeader){.type = EXECUTOR_MSG_REQUEST, .length = EXECUTOR_PAYLOAD_MAX + 1});
    assert_garbage_ends((ExecutorHeader){.type = EXECUTOR_MSG_REQUEST, .length = UINT32_MAX});
    assert_garbage_ends(
        (ExecutorHeader){.type = EXECUTOR_MSG_REQUEST, .priority = VGPU_N_PRIORITIES});
    assert_garbage_ends((ExecutorHeader){.type = EXECUTOR_MSG_REQUEST, .reserved = 1});
}

/* More messages than there can be, or fewer than there were */
TEST(test_garbage_positions)
{
    static const uint32_t wrong[] = {EXECUTOR_QUEUE_LENGTH + 2, 0, UINT32_MAX, UINT32_C(1) << 31};
    unsigned char m[MESSAGE_MAX];
    ClientResponse r;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        void *fresh;
        Client *c;

        setup(&fresh);
        c = fresh;
        (void) call(c, m, message_plain(m, 1, VGPU_OP_NOP), 1);
        (void) executor_writer_begin(&c->requests);
        c->requests.tail = wrong[i];
        executor_writer_flush(&c->requests);
        assert_false(client_receive(c, &r));
        assert_end(c, EXECUTOR_EXIT_FAILURE, "makes no sense");
    }
}

TEST(test_hang_up_in_mid_message)
{
    unsigned char m[MESSAGE_MAX];
    size_t size = message_window(m, EXECUTOR_MSG_WINDOW_REMOVE, 1);
    const size_t cuts[] = {1, sizeof(ExecutorHeader) - 1, sizeof(ExecutorHeader), size - 1};
    void *c;

    for (unsigned i = 0; i < 4; i++) {
        setup(&c);
        assert_true(client_send_socket(c, m, cuts[i]));
        client_hang_up(c);
        assert_end(c, EXECUTOR_EXIT_FAILURE, "in the middle of a message");
    }
}

/* Nobody hears the answers any more. */
TEST(test_hang_up_with_jobs_in_flight)
{
    static unsigned char m[SLOTS * MESSAGE_MAX];
    size_t size = 0;
    void *c;

    for (unsigned i = 0; i < SLOTS; i++)
        size += message_scalar(m + size, i, VGPU_PRIORITY_LOW, 1, 2);
    setup(&c);
    assert_true(client_send(c, m, size));
    client_hang_up(c);
    assert_end(c, EXECUTOR_EXIT_OK, "");
}

static void assert_usage_error(ClientOptions o, const char *says)
{
    assert_end(client_start(&o), EXECUTOR_EXIT_USAGE, says);
}

TEST(test_usage)
{
    ClientOptions o = options;

    o.backend = "gpu";
    assert_usage_error(o, "--backend=gpu is not");
    o = options;
    o.slots = EXECUTOR_SLOTS_MAX + 1;
    assert_usage_error(o, "--slots=65 is not a number from 1 to 64");
    o = options;
    o.device = "0x";
    assert_usage_error(o, "--device=0x is no device");
    o.device = "-1";
    assert_usage_error(o, "--device=-1 is no device");
}

TEST(test_every_number_of_slots)
{
    static const unsigned slots[] = {1, 2, 63, 64};
    ClientOptions o = options;

    for (unsigned i = 0; i < 4; i++) {
        Client *c;

        o.slots = slots[i];
        c = start_ready(&o);
        run_many(c, slots[i]);
        run_many(c, 2 * slots[i] + 1);
        assert_good_end(c);
    }
}

/* ---- main ---------------------------------------------------------------------- */

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hello_names_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_info, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scalar, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vectors_of_every_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_integers_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_float32_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_float64_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_known_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unaligned_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_requests_are_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_slots_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_the_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_largest_in_flight, setup, teardown),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_garbage_positions),
        cmocka_unit_test(test_hang_up_in_mid_message),
        cmocka_unit_test(test_hang_up_with_jobs_in_flight),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_every_number_of_slots),
    };
    const char *which = argc > 1 ? argv[1] : "";

    options = options_for_backend(which, SLOTS);
    return cmocka_run_group_tests_name(which, tests, NULL, NULL);
}
