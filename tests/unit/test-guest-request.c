/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu: requests and answers, waiting, time-outs and interrupts, against a model of the device.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "test-guest-fixture.h"
#include "test.h"

/* ---- Honest hosts --------------------------------------------------------- */

static void test_typed_calls(void **state)
{
    fixture *f = *state;
    VGPUDeviceInfo info;
    uint32_t sum;

    assert_int_equal(vgpu_nop(f->dev, LONG_MS), 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    assert_int_equal(vgpu_add(f->dev, UINT32_MAX, 2, -1, &sum), 0);
    assert_int_equal(sum, 1);
    assert_int_equal(vgpu_get_device_info(f->dev, LONG_MS, &info), 0);
    assert_string_equal(info.name, "A model");
    assert_int_equal(info.multiprocessors, 2);
}

/* The header promises how many accesses a request takes, whether its answer comes at once or late.
 */
static void test_economy(void **state)
{
    static const uint32_t delays[] = {0, 1, 7, 40};
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(delays); i++) {
        uint64_t before = f->model.reads + f->model.writes, polls = f->model.status_busy_reads;
        vgpu_counters start, end;

        f->model.delay = delays[i];
        vgpu_get_counters(f->dev, &start);
        assert_int_equal(fixture_add(f, LONG_MS), 0);
        vgpu_get_counters(f->dev, &end);

        polls = f->model.status_busy_reads - polls;
        assert_int_equal(f->model.reads + f->model.writes - before - polls, 26);
        assert_int_equal(end.polls - start.polls, polls);
        assert_int_equal(end.reads + end.writes - start.reads - start.writes - polls, 26);
        assert_int_equal(end.requests - start.requests, 1);
    }
}

static void test_tail_is_padded(void **state)
{
    fixture *f = *state;
    uint8_t request[40], response[VGPU_RESPONSE_MAX];
    size_t size;

    memset(request, 0xee, sizeof(request));
    for (uint32_t length = 33; length <= 36; length++) {
        for (uint32_t at = VGPU_REG_REQUEST; at < VGPU_REG_RESPONSE; at += 4)
            model_set(&f->model, at, 0x77777777);
        assert_int_equal(
            vgpu_call(f->dev, request, length, LONG_MS, response, sizeof(response), &size),
            VGPU_ERROR_INVALID_REQUEST);
        assert_int_equal(model_get(&f->model, VGPU_REG_REQUEST_LEN), length);
        assert_int_equal(model_get(&f->model, VGPU_REG_REQUEST + 28), 0xeeeeeeee);
        assert_int_equal(model_get(&f->model, VGPU_REG_REQUEST + 32),
                         0xeeeeeeee >> 8 * (36 - length));
        assert_int_equal(model_get(&f->model, VGPU_REG_REQUEST + 36), 0x77777777);
    }
}

static void test_sizes(void **state)
{
    fixture *f = *state;
    uint8_t request[VGPU_REQUEST_MAX + 1] = {0}, response[VGPU_RESPONSE_MAX];
    size_t size;

    assert_int_equal(vgpu_call(f->dev, request, 0, 0, response, sizeof(response), &size),
                     -EMSGSIZE);
    assert_int_equal(
        vgpu_call(f->dev, request, sizeof(request), 0, response, sizeof(response), &size),
        -EMSGSIZE);
    assert_int_equal(f->model.doorbells, 0);
    assert_int_equal(
        vgpu_call(f->dev, request, VGPU_REQUEST_MAX, LONG_MS, response, sizeof(response), &size),
        VGPU_ERROR_INVALID_REQUEST);
    assert_int_equal(f->model.doorbells, 1);
}

static void test_room(void **state)
{
    const VGPURequest request = {
        .version = VGPU_PROTOCOL_VERSION,
        .opcode = VGPU_OP_GET_DEVICE_INFO,
    };
    const size_t needed = sizeof(VGPUResponse) + sizeof(VGPUDeviceInfo);
    uint8_t response[VGPU_RESPONSE_MAX];
    fixture *f = *state;
    size_t size = 77;

    memset(response, 0xee, sizeof(response));
    assert_int_equal(
        vgpu_call(f->dev, &request, sizeof(request), LONG_MS, response, needed - 1, &size),
        -ENOBUFS);
    assert_int_equal(size, 77);
    assert_int_equal(vgpu_call(f->dev, &request, sizeof(request), LONG_MS, response, needed, &size),
                     0);
    assert_int_equal(size, needed);
    assert_int_equal(response[needed], 0xee);
}

/* ---- Steps and states ----------------------------------------------------- */

static const VGPURequest nop = {.version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_NOP};

static void test_steps(void **state)
{
    uint8_t response[VGPU_RESPONSE_MAX];
    fixture *f = *state;
    size_t size;

    assert_int_equal(vgpu_submit(f->dev, &nop, sizeof(nop), 0), -ENOLCK);
    assert_int_equal(vgpu_wait(f->dev, 0), -ENOLCK);
    assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), -ENOLCK);

    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    assert_int_equal(vgpu_wait(f->dev, 0), -ENOTCONN);
    assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), -ENOTCONN);
    assert_int_equal(vgpu_submit(f->dev, &nop, sizeof(nop), 0), 0);
    assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), -ENOTCONN);
    assert_int_equal(vgpu_wait(f->dev, 0), 0);
    assert_int_equal(vgpu_wait(f->dev, 0), 0);
    assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), 0);
    assert_int_equal(size, sizeof(VGPUResponse));
    assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), -ENOTCONN);
    assert_int_equal(vgpu_wait(f->dev, 0), -ENOTCONN);

    /* Whole calls work under a lock that is held already, and leave it held. */
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    assert_int_equal(vgpu_lock(f->dev, 0), -EALREADY);
}

static void test_lock_forgets(void **state)
{
    fixture *f = *state;

    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    assert_int_equal(vgpu_submit(f->dev, &nop, sizeof(nop), 0), 0);
    vgpu_unlock(f->dev);
    assert_int_equal(vgpu_wait(f->dev, 0), -ENOLCK);
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    assert_int_equal(vgpu_wait(f->dev, 0), -ENOTCONN);
}

static void test_calls_lock(void **state)
{
    fixture *f = *state;
    vgpu_device *other;

    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &other), 0);
    assert_int_equal(vgpu_lock(other, 0), 0);
    assert_int_equal(fixture_add(f, 0), -EBUSY);
    assert_int_equal(fixture_add(f, 10), -EBUSY);
    assert_int_equal(f->model.doorbells, 0);
    vgpu_unlock(other);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    assert_int_equal(vgpu_lock(other, 0), 0);
    vgpu_close(other);
}

static void test_every_error(void **state)
{
    static const uint32_t codes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x1234, 0x7fffffff};
    fixture *f = *state;

    f->model.delay = MODEL_STUCK;
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
        uint8_t response[VGPU_RESPONSE_MAX];
        size_t size = 77;

        assert_int_equal(vgpu_submit(f->dev, &nop, sizeof(nop), 0), 0);
        model_end_with_error(&f->model, codes[i]);
        assert_int_equal(vgpu_wait(f->dev, 0), 0);
        assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), codes[i]);
        assert_int_equal(size, 0);
    }
}

static void test_error_after_error(void **state)
{
    const VGPURequest bad = {.version = VGPU_PROTOCOL_VERSION, .opcode = 0xfff};
    uint8_t response[VGPU_RESPONSE_MAX];
    fixture *f = *state;
    size_t size;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            vgpu_call(f->dev, &bad, sizeof(bad), LONG_MS, response, sizeof(response), &size),
            VGPU_ERROR_UNSUPPORTED_OP);
        assert_int_equal(fixture_add(f, LONG_MS), 0);
    }
}

/* ---- Time-outs ------------------------------------------------------------ */

static void test_timeout(void **state)
{
    fixture *f = *state;

    f->model.delay = MODEL_STUCK;
    assert_int_equal(fixture_add(f, 0), -ETIMEDOUT);
    assert_int_equal(f->model.doorbells, 1);
    assert_int_equal(fixture_add(f, 0), -EBUSY);
    assert_int_equal(fixture_add(f, 10), -EBUSY);
    assert_int_equal(f->model.doorbells, 1);

    /* The late answer, 42, is not taken for the answer to the next request. */
    model_complete(&f->model);
    f->model.delay = 3;
    assert_int_equal(vgpu_nop(f->dev, LONG_MS), 0);
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    assert_int_equal(f->model.doorbells, 3);
}

static void complete_at_20(model *m, bool is_write, uint32_t offset)
{
    (void) is_write;
    (void) offset;
    if (++m->number == 20) {
        model_complete(m);
        m->delay = 0;
    }
}

static void test_submit_waits_for_the_one_before(void **state)
{
    fixture *f = *state;

    f->model.delay = MODEL_STUCK;
    assert_int_equal(vgpu_nop(f->dev, 0), -ETIMEDOUT);
    f->model.after = complete_at_20;
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    assert_int_equal(f->model.doorbells, 2);
}

static void test_wait_again(void **state)
{
    uint8_t response[VGPU_RESPONSE_MAX];
    fixture *f = *state;
    size_t size;

    f->model.delay = MODEL_STUCK;
    assert_int_equal(vgpu_lock(f->dev, 0), 0);
    assert_int_equal(vgpu_submit(f->dev, &nop, sizeof(nop), 0), 0);
    assert_int_equal(vgpu_wait(f->dev, 0), -ETIMEDOUT);
    assert_int_equal(vgpu_wait(f->dev, 2), -ETIMEDOUT);
    model_complete(&f->model);
    assert_int_equal(vgpu_wait(f->dev, 0), 0);
    assert_int_equal(vgpu_collect(f->dev, response, sizeof(response), &size), 0);
}

/* ---- Trouble during a request --------------------------------------------- */

static void reset_at_20(model *m, bool is_write, uint32_t offset)
{
    (void) is_write;
    (void) offset;
    if (++m->number == 20)
        model_reset(m);
}

static void test_reset(void **state)
{
    fixture *f = *state;

    f->model.delay = MODEL_STUCK;
    f->model.after = reset_at_20;
    assert_int_equal(fixture_add(f, LONG_MS), -ECONNRESET);
    f->model.after = NULL;
    f->model.delay = 0;
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

/* A program that ignores the lock has done a whole request meanwhile. */
static void use_the_device(model *m)
{
    model_set(m, VGPU_REG_REQUEST_ID, model_get(m, VGPU_REG_REQUEST_ID) - 1);
}

static void test_foreign_answer(void **state)
{
    fixture *f = *state;

    f->model.lie = use_the_device;
    assert_int_equal(fixture_add(f, LONG_MS), -ESTALE);
    f->model.lie = NULL;
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

/* ---- Interrupts ----------------------------------------------------------- */

static void enable_interrupts(fixture *f)
{
    char path[128];

    fake_sysfs_bind(&f->sysfs, FAKE_ADDRESS, "uio_pci_generic");
    snprintf(path, sizeof(path), "%s/uio0", f->sysfs.dev);
    f->model.uio_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_return_code(f->model.uio_fd, 0);
    f->model.config_fd =
        open(fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "config"), O_RDWR | O_CLOEXEC);
    assert_return_code(f->model.config_fd, 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), 0);
    assert_int_equal(vgpu_enable_interrupts(f->dev), 0);
}

/* Time passes with accesses only, and the library makes none while it sleeps: complete the request
 * after the access whose number is delay, counted from the doorbell. */
static void complete_after(model *m, bool is_write, uint32_t offset)
{
    if (is_write && offset == VGPU_REG_DOORBELL)
        m->remaining = m->number;
    else if (model_get(m, VGPU_REG_STATUS) == VGPU_STATUS_BUSY && --m->remaining == 0)
        model_complete(m);
}

/* The device is as another handle leaves it that is killed between an interrupt and its next look.
 */
static void mask_interrupt(fixture *f)
{
    const uint16_t command = 0x400;

    assert_int_equal(pwrite(f->model.config_fd, &command, sizeof(command), 4), sizeof(command));
}

/* The library notices a completion at every point of its wait. The last point is while it sleeps.
 */
static void test_no_wakeup_is_lost(void **state)
{
    fixture *f = *state;

    enable_interrupts(f);
    f->model.delay = MODEL_STUCK;
    f->model.after = complete_after;
    /* STATUS, IRQ_CTRL, IRQ_STATUS, STATUS: after that it sleeps. */
    for (uint32_t n = 1; n <= 4; n++)
        for (int masked = 0; masked < 2; masked++) {
            if (masked)
                mask_interrupt(f);
            f->model.number = n;
            assert_int_equal(fixture_add(f, LONG_MS), 0);
            assert_int_equal(model_get(&f->model, VGPU_REG_IRQ_CTRL), 0);
        }
}

static void test_interrupt_timeout(void **state)
{
    fixture *f = *state;

    enable_interrupts(f);
    f->model.delay = MODEL_STUCK;
    assert_int_equal(fixture_add(f, 0), -ETIMEDOUT);
    assert_int_equal(fixture_add(f, 5), -EBUSY);
    assert_int_equal(model_get(&f->model, VGPU_REG_IRQ_CTRL), 0);
    model_complete(&f->model);
    f->model.after = complete_after;
    f->model.number = 4;
    assert_int_equal(fixture_add(f, LONG_MS), 0);
}

/* Interrupts that are not ours, or that came before, only cost a look. */
static void test_spurious_interrupts(void **state)
{
    const uint32_t count = 1;
    fixture *f = *state;

    enable_interrupts(f);
    for (int i = 0; i < 5; i++)
        assert_int_equal(write(f->model.uio_fd, &count, sizeof(count)), sizeof(count));
    f->model.delay = MODEL_STUCK;
    assert_int_equal(fixture_add(f, 5), -ETIMEDOUT);
}

static void test_without_interrupts_again(void **state)
{
    fixture *f = *state;

    enable_interrupts(f);
    vgpu_disable_interrupts(f->dev);
    f->model.delay = 30;
    assert_int_equal(fixture_add(f, LONG_MS), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_IRQ_CTRL), 0);
}

/* ---- Error strings -------------------------------------------------------- */

TEST(test_error_strings)
{
    for (int code = -140; code <= VGPU_N_ERRORS; code++) {
        const char *text = vgpu_strerror(code);

        assert_non_null(text);
        assert_true(strlen(text) > 3);
        if (code > 0 && code < VGPU_N_ERRORS)
            assert_non_null(strstr(text, vgpu_error_to_string((uint32_t) code)));
        for (int other = 0; other < code; other++)
            assert_string_not_equal(text, vgpu_strerror(other));
    }
    assert_string_equal(vgpu_strerror(0), "success");
    assert_string_equal(vgpu_strerror(-EACCES), strerror(EACCES));
    assert_string_not_equal(vgpu_strerror(-ETIMEDOUT), vgpu_strerror(VGPU_ERROR_TIMEOUT));
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_typed_calls),
        CASE(test_economy),
        CASE(test_tail_is_padded),
        CASE(test_sizes),
        CASE(test_room),
        CASE(test_steps),
        CASE(test_lock_forgets),
        CASE(test_calls_lock),
        CASE(test_every_error),
        CASE(test_error_after_error),
        CASE(test_timeout),
        CASE(test_submit_waits_for_the_one_before),
        CASE(test_wait_again),
        CASE(test_reset),
        CASE(test_foreign_answer),
        CASE(test_no_wakeup_is_lost),
        CASE(test_interrupt_timeout),
        CASE(test_spurious_interrupts),
        CASE(test_without_interrupts_again),
        cmocka_unit_test(test_error_strings),
    };

    return cmocka_run_group_tests_name("guest-request", tests, NULL, NULL);
}
