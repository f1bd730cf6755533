/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu selftest: it passes on a device that keeps the contract, and finds each way of breaking it.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "test-guest-command-fixture.h"
#include "test.h"

/* For the hooks, which are given the model alone. */
static command_fixture *fixture_of_test;

static int setup(void **state)
{
    command_setup(state);
    fixture_of_test = *state;
    return 0;
}

/* One of the checks breaks the rules of the ring. */
static int teardown(void **state)
{
    fixture_of_test->model.ring.violations = 0;
    return command_teardown(state);
}

static int run_selftest(command_fixture *f)
{
    return run(f, command_selftest, (char *[]){NULL});
}

static bool says(const command_fixture *f, const char *verdict, const char *check)
{
    char line[128];

    for (int number = 1; number < 100; number++) {
        snprintf(line, sizeof(line), "\n%s %d - %s", verdict, number, check);
        if (strstr(f->output, line))
            return true;
    }
    return false;
}

static int count_skips(const command_fixture *f)
{
    int n = 0;

    for (const char *p = f->output; (p = strstr(p, "# SKIP")); p++)
        n++;
    return n;
}

/* ---- Keeping the contract ------------------------------------------------- */

static void reset_if_asked(model *m, bool is_write, uint32_t offset)
{
    command_fixture *f = fixture_of_test;

    (void) is_write;
    (void) offset;
    if (strcmp(fake_sysfs_read(&f->sysfs, FAKE_ADDRESS, "reset"), "1") == 0) {
        fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "reset", "");
        model_reset(m);
    }
}

static void make_resettable(command_fixture *f)
{
    fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "reset", "");
    fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "reset_method", "flr\n");
}

static void test_good_device(void **state)
{
    command_fixture *f = *state;

    make_resettable(f);
    f->model.after = reset_if_asked;
    assert_int_equal(run_selftest(f), EXIT_OK);
    assert_null(strstr(f->output, "not ok"));
    assert_int_equal(count_skips(f), 8);
    assert_non_null(strstr(f->output, "the ring's registers # SKIP the device has no window"));
    assert_non_null(strstr(f->output, "\n1..34\n"));
}

static void test_good_device_with_ring(void **state)
{
    command_fixture *f = *state;

    make_resettable(f);
    ring_model_add(&f->model, &f->sysfs, UINT64_C(1) << 20);
    f->model.after = reset_if_asked;
    assert_int_equal(run_selftest(f), EXIT_OK);
    assert_null(strstr(f->output, "not ok"));
    assert_int_equal(count_skips(f), 1);
    assert_true(
        says(f, "ok", "the extension block is empty where the device offers nothing # SKIP"));
    assert_int_equal(f->model.ring.violations, 1);

    f->model.ring.start_error = VGPU_ERROR_UNSUPPORTED_OP;
    assert_int_equal(run_selftest(f), EXIT_OK);
    assert_non_null(strstr(f->output, "# SKIP the host has an older mediator"));
}

static void test_slow_device(void **state)
{
    command_fixture *f = *state;

    f->model.delay = 25;
    assert_int_equal(run_selftest(f), EXIT_OK);
    assert_true(says(f, "ok", "a function level reset"));
    assert_non_null(strstr(f->output, "# SKIP the kernel offers no function level reset"));
}

/* ---- Breaking it ---------------------------------------------------------- */

static bool land(model *m, uint32_t offset, uint32_t *value)
{
    if (offset != VGPU_REG_DOORBELL && offset == m->number)
        model_set(m, offset, *value);
    return true;
}

static void test_finds_writable_registers(void **state)
{
    static const struct {
        uint32_t offset;
        const char *check;
    } cases[] = {
        {VGPU_REG_STATUS, "read-only"},        {VGPU_REG_POOL_ID, "read-only"},
        {VGPU_REG_PRIORITY, "read-only"},      {VGPU_REG_VM_ID, "read-only"},
        {VGPU_REG_ERROR_CODE, "read-only"},    {VGPU_REG_RESPONSE_LEN, "read-only"},
        {VGPU_REG_PROTOCOL_VER, "read-only"},  {VGPU_REG_CAPABILITIES, "read-only"},
        {VGPU_REG_TIMESTAMP_LO, "read-only"},  {VGPU_REG_TIMESTAMP_HI, "read-only"},
        {VGPU_REG_RESPONSE, "the response"},   {VGPU_REG_EXTENSION - 4, "the response"},
        {VGPU_REG_EXTENSION, "the extension"}, {VGPU_BAR0_SIZE - 4, "the extension"},
    };
    command_fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        model_start(&f->model);
        f->model.filter = land;
        f->model.number = cases[i].offset;
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        assert_true(says(f, "not ok", cases[i].check));
    }
}

static bool drop_bit(model *m, uint32_t offset, uint32_t *value)
{
    if (offset == m->number)
        *value &= ~1u;
    return true;
}

static bool drop_write(model *m, uint32_t offset, uint32_t *value)
{
    (void) value;
    return offset != m->number;
}

static void test_finds_forgetful_registers(void **state)
{
    static const struct {
        uint32_t offset;
        const char *check;
    } cases[] = {
        {VGPU_REG_SCRATCH, "read-write"},       {VGPU_REG_REQUEST_ID, "read-write"},
        {VGPU_REG_REQUEST_LEN, "read-write"},   {VGPU_REG_IRQ_CTRL, "IRQ_CTRL"},
        {VGPU_REG_IRQ_STATUS, "IRQ_STATUS"},    {VGPU_REG_REQUEST, "the request buffer"},
        {VGPU_REG_RESPONSE - 4, "the request"}, {VGPU_REG_REQUEST + 512, "the request"},
    };
    command_fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        for (int dropping = 0; dropping < 2; dropping++) {
            model_start(&f->model);
            f->model.filter = dropping ? drop_write : drop_bit;
            f->model.number = cases[i].offset;
            assert_int_equal(run_selftest(f), EXIT_REFUSED);
            assert_true(says(f, "not ok", cases[i].check));
        }
}

static bool ring_always(model *m, uint32_t offset, uint32_t *value)
{
    if (offset == VGPU_REG_DOORBELL && *value == m->number)
        *value = 1;
    return true;
}

static bool clear_by_anything(model *m, uint32_t offset, uint32_t *value)
{
    if (offset == VGPU_REG_IRQ_STATUS && *value == m->number)
        *value = 1;
    return true;
}

static void test_finds_wrong_writes(void **state)
{
    static const uint32_t doorbells[] = {0, 2, 3, 0x80000000, 0x80000001, 0xffffffff};
    command_fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(doorbells); i++) {
        model_start(&f->model);
        f->model.filter = ring_always;
        f->model.number = doorbells[i];
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        assert_true(says(f, "not ok", "doorbell values"));
    }
    for (uint32_t value = 0; value < 2; value++) {
        model_start(&f->model);
        f->model.filter = clear_by_anything;
        f->model.number = value == 0 ? 0 : 0xfffffffe;
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        assert_true(says(f, "not ok", "IRQ_STATUS"));
    }
}

static void test_finds_a_reset_that_is_none(void **state)
{
    command_fixture *f = *state;

    make_resettable(f);
    assert_int_equal(run_selftest(f), EXIT_REFUSED);
    assert_true(says(f, "not ok", "a function level reset"));
}

static void wrong_length_code(model *m, bool is_write, uint32_t offset)
{
    if (is_write && offset == VGPU_REG_DOORBELL && model_get(m, VGPU_REG_ERROR_CODE) == m->number)
        model_set(m, VGPU_REG_ERROR_CODE, VGPU_ERROR_INVALID_REQUEST);
}

static void test_finds_wrong_length_codes(void **state)
{
    command_fixture *f = *state;

    for (uint32_t i = 0; i < 2; i++) {
        model_start(&f->model);
        f->model.after = wrong_length_code;
        f->model.number = i ? VGPU_ERROR_INVALID_LENGTH : VGPU_ERROR_REQUEST_TOO_LARGE;
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        assert_true(says(f, "not ok", "INVALID_LENGTH"));
    }
}

/* ---- Hosts that break it -------------------------------------------------- */

static void wrong_code(model *m)
{
    if (model_get(m, VGPU_REG_ERROR_CODE) == m->number)
        model_set(m, VGPU_REG_ERROR_CODE, VGPU_ERROR_CUDA_ERROR);
}

static void unavailable(model *m)
{
    model_end_with_error(m, VGPU_ERROR_MEDIATOR_UNAVAILABLE);
}

static void stop_the_clock(model *m)
{
    model_set(m, VGPU_REG_TIMESTAMP_LO, 1);
}

static void wrong_scalar(model *m)
{
    /* The carry out of the lower half is lost. */
    if (model_request(m)->opcode == VGPU_OP_CUDA_KERNEL) {
        uint32_t a = model_get(m, VGPU_REG_REQUEST + 32), b = model_get(m, VGPU_REG_REQUEST + 36);

        model_set(m, VGPU_REG_RESPONSE + 32,
                  ((a & 0xffff0000) + (b & 0xffff0000)) | ((a + b) & 0xffff));
    }
}

static void no_backend(model *m)
{
    if (model_request(m)->opcode == VGPU_OP_GET_DEVICE_INFO)
        model_set(m, VGPU_REG_RESPONSE + 32, 0);
}

static void too_much_free(model *m)
{
    if (model_request(m)->opcode == VGPU_OP_GET_DEVICE_INFO)
        model_set(m, VGPU_REG_RESPONSE + 32 + 92, 1);
}

/* The last element of a full request is wrong in its lowest bit. */
static void wrong_last_element(model *m)
{
    const VGPURequest *request = model_request(m);
    uint32_t size = vgpu_element_size(request->opcode);

    if (request->opcode == m->number && request->data_length == 992) {
        uint32_t offset = VGPU_REG_RESPONSE + 32 + 496 - size;

        model_set(m, offset, model_get(m, offset) ^ 1);
    }
}

static void flush_denormals(model *m)
{
    const VGPURequest *request = model_request(m);
    float *f32 = (float *) (model_response(m) + 1);
    double *f64 = (double *) (model_response(m) + 1);

    if (request->opcode == VGPU_OP_VECTOR_ADD_FLOAT32)
        for (uint32_t i = 0; i < request->data_length / 8; i++)
            f32[i] = fabsf(f32[i]) < FLT_MIN ? 0 : f32[i];
    else if (request->opcode == VGPU_OP_VECTOR_ADD_FLOAT64)
        for (uint32_t i = 0; i < request->data_length / 16; i++)
            f64[i] = fabs(f64[i]) < DBL_MIN ? 0 : f64[i];
}

static void test_finds_hosts_that_err(void **state)
{
    static const struct {
        void (*lie)(model *m);
        uint32_t number;
        const char *check;
    } cases[] = {
        {unavailable, 0, "NOP"},
        {stop_the_clock, 0, "completion times"},
        {wrong_code, VGPU_ERROR_INVALID_REQUEST, "INVALID_REQUEST: shorter"},
        {wrong_code, VGPU_ERROR_INVALID_REQUEST, "INVALID_REQUEST: version"},
        {wrong_code, VGPU_ERROR_INVALID_REQUEST, "INVALID_REQUEST: number"},
        {wrong_code, VGPU_ERROR_INVALID_REQUEST, "INVALID_REQUEST: where"},
        {wrong_code, VGPU_ERROR_UNSUPPORTED_OP, "UNSUPPORTED_OP"},
        {wrong_scalar, 0, "scalar add"},
        {no_backend, 0, "GET_DEVICE_INFO"},
        {too_much_free, 0, "GET_DEVICE_INFO"},
        {wrong_last_element, VGPU_OP_VECTOR_ADD_INT32, "vectors of int32"},
        {wrong_last_element, VGPU_OP_VECTOR_ADD_INT64, "vectors of int64"},
        {wrong_last_element, VGPU_OP_VECTOR_ADD_FLOAT32, "vectors of float32"},
        {wrong_last_element, VGPU_OP_VECTOR_ADD_FLOAT64, "vectors of float64"},
        {flush_denormals, 0, "vectors of float32"},
        {flush_denormals, 0, "vectors of float64"},
    };
    command_fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        model_start(&f->model);
        f->model.lie = cases[i].lie;
        f->model.number = cases[i].number;
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        if (!says(f, "not ok", cases[i].check))
            fail_msg("%s was not found: %s", cases[i].check, f->output);
    }
}

/* ---- Rings that break it -------------------------------------------------- */

static void wrong_ring_code(model *m, VGPUCompletion *c)
{
    if (c->status == m->number)
        c->status = VGPU_ERROR_CUDA_ERROR;
}

static void wrong_result(model *m, VGPUCompletion *c)
{
    if (ring_model_submission(m, m->ring.pending[0].index)->opcode == m->number)
        c->result ^= 1;
}

/* Change the last element that was written. */
static void wrong_element(model *m, VGPUCompletion *c)
{
    const VGPUSubmission *s = ring_model_submission(m, m->ring.pending[0].index);

    if (s->opcode == m->number && c->status == VGPU_ERROR_NONE && s->count > 1)
        m->ring.window[s->c.offset + (s->count - 1) * s->c.stride * vgpu_ring_type_size(s->type)] ^=
            1;
}

static void fail_without_reason(model *m)
{
    model_set(m, VGPU_REG_RING_ERROR, VGPU_ERROR_NONE);
}

static void test_finds_rings_that_err(void **state)
{
    static const struct {
        void (*lie)(model *m, VGPUCompletion *c);
        uint32_t number;
        const char *check;
    } cases[] = {
        {wrong_ring_code, VGPU_ERROR_NONE, "a ring full of NOPs"},
        {wrong_ring_code, VGPU_ERROR_INVALID_REQUEST, "errors of requests on the ring"},
        {wrong_ring_code, VGPU_ERROR_UNSUPPORTED_OP, "errors of requests on the ring"},
        {wrong_element, VGPU_OP_RING_ADD, "vectors on the ring"},
        {wrong_element, VGPU_OP_RING_MUL, "vectors on the ring"},
        {wrong_element, VGPU_OP_RING_AXPY, "vectors on the ring"},
        {wrong_result, VGPU_OP_RING_DOT, "vectors on the ring"},
        {wrong_result, VGPU_OP_RING_SUM, "vectors on the ring"},
        {wrong_result, VGPU_OP_RING_MIN, "vectors on the ring"},
        {wrong_result, VGPU_OP_RING_MAX, "vectors on the ring"},
        {wrong_element, VGPU_OP_RING_MATMUL, "matrices on the ring"},
    };
    command_fixture *f = *state;

    ring_model_add(&f->model, &f->sysfs, UINT64_C(1) << 20);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        f->model.ring.violations = 0;
        f->model.ring.lie = cases[i].lie;
        f->model.number = cases[i].number;
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        if (!says(f, "not ok", cases[i].check))
            fail_msg("%s was not found: %s", cases[i].check, f->output);
    }

    f->model.ring.violations = 0;
    f->model.ring.lie = NULL;
    f->model.ring.before_check = fail_without_reason;
    assert_int_equal(run_selftest(f), EXIT_REFUSED);
    assert_true(says(f, "not ok", "a ring with a bad index"));
}

static bool land_anywhere(model *m, uint32_t offset, uint32_t *value)
{
    if (offset == m->number)
        model_set(m, offset, *value);
    return true;
}

static void test_finds_writable_extension(void **state)
{
    static const uint32_t offsets[] = {
        VGPU_REG_EXT_MAGIC,      VGPU_REG_EXT_VERSION,    VGPU_REG_EXT_FEATURES,
        VGPU_REG_WINDOW_SIZE_LO, VGPU_REG_WINDOW_SIZE_HI, VGPU_REG_RING_ERROR,
    };
    command_fixture *f = *state;

    ring_model_add(&f->model, &f->sysfs, UINT64_C(1) << 20);
    for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
        ring_model_reset(&f->model);
        f->model.ring.violations = 0;
        f->model.filter = land_anywhere;
        f->model.number = offsets[i];
        assert_int_equal(run_selftest(f), EXIT_REFUSED);
        assert_true(says(f, "not ok", "the extension block says what it offers"));
    }
}

/* Checks that need no host still run, and checks that need one are not called good. */
static void test_without_host(void **state)
{
    command_fixture *f = *state;

    f->model.lie = unavailable;
    assert_int_equal(run_selftest(f), EXIT_REFUSED);
    assert_true(says(f, "ok", "the request buffer"));
    assert_true(says(f, "not ok", "NOP"));
    assert_true(says(f, "ok", "scalar add # SKIP the host does not answer"));
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_good_device),
        CASE(test_good_device_with_ring),
        CASE(test_slow_device),
        CASE(test_finds_writable_registers),
        CASE(test_finds_forgetful_registers),
        CASE(test_finds_wrong_writes),
        CASE(test_finds_a_reset_that_is_none),
        CASE(test_finds_wrong_length_codes),
        CASE(test_finds_hosts_that_err),
        CASE(test_finds_rings_that_err),
        CASE(test_finds_writable_extension),
        CASE(test_without_host),
    };

    return cmocka_run_group_tests_name("guest-selftest", tests, NULL, NULL);
}
