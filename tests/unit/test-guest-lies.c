/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu: hosts and devices that answer what they must not. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "test-guest-fixture.h"
#include "test.h"

static const VGPURequest nop = {.version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_NOP};

static void status_4(model *m)
{
    model_set(m, VGPU_REG_STATUS, 4);
}

static void all_ones(model *m)
{
    memset(m->bar, 0xff, sizeof(m->bar));
}

static void test_impossible_status(void **state)
{
    fixture *f = *state;

    f->model.lie = status_4;
    assert_int_equal(fixture_add(f, LONG_MS), -EPROTO);
    assert_int_equal(fixture_add(f, LONG_MS), -EPROTO);
    f->model.lie = all_ones;
    model_reset(&f->model);
    assert_int_equal(fixture_add(f, LONG_MS), -ENODEV);
    assert_int_equal(fixture_add(f, LONG_MS), -ENODEV);
}

/* One word of the answer to an addition is wrong. */
static const struct lie {
    uint32_t offset, value;
} lies[] = {
    {VGPU_REG_RESPONSE_LEN, 0},
    {VGPU_REG_RESPONSE_LEN, 31},
    {VGPU_REG_RESPONSE_LEN, 32},
    {VGPU_REG_RESPONSE_LEN, 35},
    {VGPU_REG_RESPONSE_LEN, 1025},
    {VGPU_REG_RESPONSE_LEN, 0x80000000},
    {VGPU_REG_RESPONSE_LEN, 0xffffffff},
    {VGPU_REG_RESPONSE + 0, 0},
    {VGPU_REG_RESPONSE + 0, 0x00020000},
    {VGPU_REG_RESPONSE + 4, 12},
    {VGPU_REG_RESPONSE + 4, 0xffffffff},
    {VGPU_REG_RESPONSE + 8, 0},
    {VGPU_REG_RESPONSE + 8, 2},
    {VGPU_REG_RESPONSE + 8, 0x40000001},
    {VGPU_REG_RESPONSE + 8, 0xffffffff},
    {VGPU_REG_RESPONSE + 20, 0}, /* exec_time_us: any value is fine, so this is no lie */
    {VGPU_REG_RESPONSE + 16, 1},
    {VGPU_REG_RESPONSE + 16, 0xffffffff},
    {VGPU_REG_ERROR_CODE, 0},
};

static void tell_lie(model *m)
{
    model_set(m, lies[m->number].offset, lies[m->number].value);
}

static void test_lies(void **state)
{
    fixture *f = *state;

    f->model.lie = tell_lie;
    for (uint32_t i = 0; i < ELEMENTSOF(lies); i++) {
        bool harmless =
            lies[i].offset == VGPU_REG_RESPONSE + 20 || lies[i].offset == VGPU_REG_ERROR_CODE;

        f->model.number = i;
        assert_int_equal(fixture_add(f, LONG_MS), harmless ? 0 : -EPROTO);
    }
}

/* Whatever the words of the answer are, the library touches nothing outside the buffers (the
 * sanitizers watch), and its result is a documented one. */
static void random_answer(model *m)
{
    uint32_t fields[] = {
        VGPU_REG_RESPONSE_LEN, VGPU_REG_RESPONSE,      VGPU_REG_RESPONSE + 4,
        VGPU_REG_RESPONSE + 8, VGPU_REG_RESPONSE + 12, VGPU_REG_RESPONSE + 16,
        VGPU_REG_STATUS,       VGPU_REG_ERROR_CODE,
    };
    static const uint32_t edges[] = {
        0, 1, 2, 3, 4, 8, 31, 32, 33, 36, 992, 1023, 1024, 1025, 0x3fffffff, 0x7fffffff, 0xffffffff,
    };

    for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
        m->number = m->number * 1103515245u + 12345u;
        if (m->number >> 30 == 0)
            model_set(m, fields[i], edges[(m->number >> 8) % ELEMENTSOF(edges)]);
    }
    if (model_get(m, VGPU_REG_STATUS) == VGPU_STATUS_BUSY)
        model_set(m, VGPU_REG_STATUS, VGPU_STATUS_DONE);
}

static void test_random_answers(void **state)
{
    fixture *f = *state;
    int32_t a[5] = {1, 2, 3, 4, 5}, c[5];

    f->model.lie = random_answer;
    for (int i = 0; i < 20000; i++) {
        VGPUDeviceInfo info;
        uint32_t sum;
        int r;

        if (i % 3 == 0)
            r = vgpu_add(f->dev, 1, 2, LONG_MS, &sum);
        else if (i % 3 == 1)
            r = vgpu_get_device_info(f->dev, LONG_MS, &info);
        else
            r = vgpu_vector_add(f->dev, VGPU_INT32, a, a, 5, 0, c, NULL);
        assert_true(r >= 0 || r == -EPROTO || r == -ENODEV || r == -ECONNRESET);
        if (r == 0 && i % 3 == 1)
            assert_true(strlen(info.name) < sizeof(info.name));
        if (model_get(&f->model, VGPU_REG_STATUS) > VGPU_STATUS_ERROR)
            model_set(&f->model, VGPU_REG_STATUS, VGPU_STATUS_IDLE);
    }
}

static void error_none(model *m)
{
    model_set(m, VGPU_REG_STATUS, VGPU_STATUS_ERROR);
    model_set(m, VGPU_REG_ERROR_CODE, m->number);
}

static void test_error_without_code(void **state)
{
    fixture *f = *state;

    f->model.lie = error_none;
    assert_int_equal(fixture_add(f, LONG_MS), -EPROTO);
    f->model.number = 0x80000000;
    assert_int_equal(fixture_add(f, LONG_MS), -EPROTO);
    f->model.number = VGPU_ERROR_TIMEOUT;
    assert_int_equal(fixture_add(f, LONG_MS), VGPU_ERROR_TIMEOUT);
}

/* The answer says that it failed while STATUS is DONE. */
static void failed_but_done(model *m)
{
    model_response(m)->status = VGPU_ERROR_CUDA_ERROR;
}

static void failed_with_answer(model *m)
{
    failed_but_done(m);
    model_set(m, VGPU_REG_STATUS, VGPU_STATUS_ERROR);
    model_set(m, VGPU_REG_ERROR_CODE, m->number);
}

static void test_answers_of_errors(void **state)
{
    union {
        VGPUResponse header;
        uint8_t bytes[VGPU_RESPONSE_MAX];
    } response;
    fixture *f = *state;
    size_t size = 0;

    f->model.lie = failed_but_done;
    assert_int_equal(
        vgpu_call(f->dev, &nop, sizeof(nop), LONG_MS, &response, sizeof(response), &size),
        VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(size, sizeof(VGPUResponse));

    f->model.lie = failed_with_answer;
    f->model.number = VGPU_ERROR_CUDA_ERROR;
    size = 0;
    assert_int_equal(
        vgpu_call(f->dev, &nop, sizeof(nop), LONG_MS, &response, sizeof(response), &size),
        VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(size, sizeof(VGPUResponse));
    assert_int_equal(response.header.status, VGPU_ERROR_CUDA_ERROR);

    /* The library does not hand over the rest of another request's answer. */
    f->model.number = VGPU_ERROR_TIMEOUT;
    assert_int_equal(
        vgpu_call(f->dev, &nop, sizeof(nop), LONG_MS, &response, sizeof(response), &size),
        VGPU_ERROR_TIMEOUT);
    assert_int_equal(size, 0);
}

static void long_strings(model *m)
{
    VGPUResponse *response = model_response(m);

    if (response->data_length == sizeof(VGPUDeviceInfo))
        memset(response + 1, 'x', 80);
}

static void short_info(model *m)
{
    model_response(m)->data_length--;
}

static void longer_info(model *m)
{
    model_response(m)->data_length += 8;
    model_set(m, VGPU_REG_RESPONSE_LEN, model_get(m, VGPU_REG_RESPONSE_LEN) + 8);
}

static void test_device_info_lies(void **state)
{
    fixture *f = *state;
    VGPUDeviceInfo info;

    f->model.lie = long_strings;
    assert_int_equal(vgpu_get_device_info(f->dev, LONG_MS, &info), 0);
    assert_int_equal(strlen(info.backend), 15);
    assert_int_equal(strlen(info.name), 63);
    f->model.lie = short_info;
    assert_int_equal(vgpu_get_device_info(f->dev, LONG_MS, &info), -EPROTO);
    f->model.lie = longer_info; /* a later host's */
    assert_int_equal(vgpu_get_device_info(f->dev, LONG_MS, &info), 0);
    assert_string_equal(info.backend, "cpu");
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_impossible_status), CASE(test_lies),
        CASE(test_random_answers),    CASE(test_error_without_code),
        CASE(test_answers_of_errors), CASE(test_device_info_lies),
    };

    return cmocka_run_group_tests_name("guest-lies", tests, NULL, NULL);
}
