/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request's way from doorbell to completion, with a mediator that behaves. */
#include "testbed.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

static uint64_t timestamp(Device *d)
{
    return (uint64_t) device_read(d, VGPU_REG_TIMESTAMP_HI) << 32 |
           device_read(d, VGPU_REG_TIMESTAMP_LO);
}

/* One complete addition, on a connection that exists. */
static void add_once(Testbed *t, uint32_t id)
{
    device_submit_add(&t->device, id, id, 1000);
    testbed_serve_add(t, id);
    assert_int_equal(device_result(&t->device), id + 1000);
}

/* ---- Success ------------------------------------------------------------------- */

static void test_done(void **state)
{
    Testbed *t = *state;
    uint64_t before = now_usec(), at;

    device_submit_add(&t->device, 5, 100, 200);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), 0);
    fake_accept(&t->mediator, NULL);
    fake_welcome(&t->mediator);
    testbed_serve_add(t, 5);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_NONE);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), sizeof(VGPUResponse) + 4);
    assert_int_equal(device_read(&t->device, VGPU_REG_REQUEST_ID), 5);
    assert_int_equal(device_result(&t->device), 300);
    at = timestamp(&t->device);
    assert_in_range(at, before, now_usec());
}

static void test_what_the_mediator_is_told(void **state)
{
    static const uint8_t uuid[16] = {0x5c, 0x1d, 0xb2, 0x10, 0x6a, 0x7b, 0x4c, 0x1d,
                                     0x8e, 0x9f, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55};
    WireMessage hello, request;
    VGPUHello payload;
    Testbed *t = *state;

    device_submit_add(&t->device, 0xdeadbeef, 1, 2);
    fake_accept(&t->mediator, &hello);
    fake_expect_request(&t->mediator, 0xdeadbeef, &request);

    assert_int_equal(hello.header.payload_len, sizeof(VGPUHello));
    memcpy(&payload, hello.payload, sizeof(payload));
    assert_memory_equal(payload.uuid, uuid, sizeof(uuid));
    assert_int_equal(payload.features, VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS);
    assert_int_equal(payload.reserved, 0);
    assert_int_equal(hello.header.vm_id, 4000000000u);

    assert_int_equal(request.header.vm_id, 4000000000u);
    assert_int_equal(request.header.pool_id, 'C');
    assert_int_equal(request.header.priority, VGPU_PRIORITY_LOW);
    assert_int_equal(request.header.payload_len, sizeof(VGPURequest) + 8);
    assert_int_equal(vgpu_request_check(request.payload, request.header.payload_len, NULL),
                     VGPU_ERROR_NONE);
}

static void hello_uuid(const char *const *args, VGPUHello *ret)
{
    WireMessage hello;
    Testbed t;

    testbed_open_args(&t, 0, args);
    device_submit_add(&t.device, 1, 1, 2);
    fake_accept(&t.mediator, &hello);
    memcpy(ret, hello.payload, sizeof(*ret));
    testbed_close(&t);
}

TEST(test_the_vm_has_a_uuid)
{
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    VGPUHello hello;

    hello_uuid((const char *const[]){"-machine", "q35", "-uuid",
                                     "01020304-0506-0708-090a-0b0c0d0e0f10", "-device",
                                     "vgpu-stub,socket=mediator.sock", NULL},
               &hello);
    assert_memory_equal(hello.uuid, uuid, sizeof(uuid));
}

TEST(test_the_vm_has_no_uuid)
{
    static const uint8_t none[16];
    VGPUHello hello;

    hello_uuid(
        (const char *const[]){"-machine", "q35", "-device", "vgpu-stub,socket=mediator.sock", NULL},
        &hello);
    assert_memory_equal(hello.uuid, none, sizeof(none));
}

static void test_one_connection_and_only_when_needed(void **state)
{
    Testbed *t = *state;

    assert_false(fake_has_caller(&t->mediator));
    device_submit_add(&t->device, 1, 1, 1000);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    for (uint32_t id = 2; id < 20; id++)
        add_once(t, id);
    assert_false(fake_has_caller(&t->mediator));
}

/* The mediator need not send WELCOME before it answers, nor at all. */
static void test_request_follows_hello_at_once(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 2);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
}

static void test_largest_request_and_response(void **state)
{
    Testbed *t = *state;
    WireMessage message;
    char request[VGPU_REQUEST_MAX], response[VGPU_RESPONSE_MAX], found[VGPU_RESPONSE_MAX];

    for (size_t i = 0; i < sizeof(request); i++)
        request[i] = (char) (i * 7);
    for (size_t i = 0; i < sizeof(response); i++)
        response[i] = (char) (i * 13);
    fake_response(VGPU_ERROR_NONE, 0, response);

    device_write_request(&t->device, 9, request, sizeof(request));
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1);
    device_write(&t->device, VGPU_REG_DOORBELL, 1);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 9, &message);
    assert_int_equal(message.header.payload_len, sizeof(request));
    assert_memory_equal(message.payload, request, sizeof(request));

    fake_send(&t->mediator, VGPU_MSG_RESPONSE, 9, response, sizeof(response));
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), sizeof(response));
    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_RESPONSE, found, sizeof(found));
    assert_memory_equal(found, response, sizeof(response));

    /* A shorter one leaves nothing of it behind. */
    device_write(&t->device, VGPU_REG_DOORBELL, 1);
    fake_expect_request(&t->mediator, 9, NULL);
    fake_respond(&t->mediator, 9, VGPU_ERROR_NONE, 1);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_RESPONSE, found, sizeof(found));
    for (size_t i = sizeof(VGPUResponse) + 4; i < sizeof(found); i++)
        assert_int_equal(found[i], 0);
}

/* What the guest's bytes mean is the mediator's business. */
static void test_smallest_request(void **state)
{
    Testbed *t = *state;
    WireMessage message;

    device_write_request(&t->device, 1, "x", 1);
    device_write(&t->device, VGPU_REG_DOORBELL, 1);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, &message);
    assert_int_equal(message.header.payload_len, 1);
    assert_int_equal(message.payload[0], 'x');
}

/* ---- The doorbell in each state ---------------------------------------------------- */

static void test_doorbell_in_done_and_error(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1); /* in IDLE */
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_respond(&t->mediator, 1, VGPU_ERROR_CUDA_ERROR, 700);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);

    device_write(&t->device, VGPU_REG_DOORBELL, 1); /* in ERROR */
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_NONE);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), 0);
    testbed_serve_add(t, 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_NONE);

    add_once(t, 2); /* in DONE */
}

static void test_doorbell_in_busy_is_ignored(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    device_write(&t->device, VGPU_REG_REQUEST_ID, 2);
    for (int i = 0; i < 10; i++)
        device_write(&t->device, VGPU_REG_DOORBELL, 1);
    device_write(&t->device, VGPU_REG_REQUEST_LEN, 0); /* would be an error elsewhere */
    device_write(&t->device, VGPU_REG_DOORBELL, 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_BUSY);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);

    /* The next message is the next request, not one of those. */
    add_once(t, 3);
}

static void test_states_stay_until_the_next_doorbell(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);
    device_write(&t->device, VGPU_REG_REQUEST_LEN, 0);
    device_write(&t->device, VGPU_REG_REQUEST_ID, 99);
    device_write(&t->device, VGPU_REG_REQUEST, 99);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_DONE);
    assert_int_equal(device_result(&t->device), 2);
}

/* What the guest writes in BUSY belongs to the next request, even when this one is sent again. */
static void test_request_is_as_it_was_at_the_doorbell(void **state)
{
    Testbed *t = *state;
    WireMessage first, second;
    char junk[VGPU_REQUEST_MAX];

    device_submit_add(&t->device, 1, 100, 200);
    memset(junk, 0xff, sizeof(junk));
    device_write_request(&t->device, 2, junk, sizeof(junk));

    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, &first);
    fake_hang_up(&t->mediator);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, &second);
    assert_int_equal(first.header.payload_len, sizeof(VGPURequest) + 8);
    assert_int_equal(second.header.payload_len, first.header.payload_len);
    assert_memory_equal(second.payload, first.payload, first.header.payload_len);
    fake_respond(&t->mediator, 1, VGPU_ERROR_NONE, 300);
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_DONE);
    assert_int_equal(device_read(&t->device, VGPU_REG_REQUEST_ID), 2);
    assert_int_equal(device_read(&t->device, VGPU_REG_REQUEST_LEN), sizeof(junk));
}

/* ---- Errors ------------------------------------------------------------------------ */

static void assert_error(Testbed *t, uint32_t code)
{
    assert_int_equal(device_wait(&t->device), VGPU_STATUS_ERROR);
    assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), code);
    assert_int_not_equal(timestamp(&t->device), 0);
}

static void test_lengths_that_cannot_be(void **state)
{
    static const struct {
        uint32_t len;
        uint32_t code;
    } lengths[] = {
        {0, VGPU_ERROR_INVALID_LENGTH},
        {1025, VGPU_ERROR_REQUEST_TOO_LARGE},
        {0x80000000, VGPU_ERROR_REQUEST_TOO_LARGE},
        {0xffffffff, VGPU_ERROR_REQUEST_TOO_LARGE},
    };
    Testbed *t = *state;

    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        device_write(&t->device, VGPU_REG_REQUEST_LEN, lengths[i].len);
        device_write(&t->device, VGPU_REG_DOORBELL, 1);
        assert_error(t, lengths[i].code);
        assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), 0);
    }
    assert_false(fake_has_caller(&t->mediator)); /* nobody was bothered with them */
}

/* Each code that a response can carry; the guest can read the response, too. */
static void test_every_error_of_the_mediator(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 0, 1, 1);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 0);

    for (uint32_t code = 1; code < VGPU_N_ERRORS; code++) {
        device_submit_add(&t->device, code, 1, 1);
        fake_expect_request(&t->mediator, code, NULL);
        fake_respond(&t->mediator, code, code, 0xabc0 + code);
        assert_error(t, code);
        assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), sizeof(VGPUResponse) + 4);
        assert_int_equal(device_result(&t->device), 0xabc0 + code);
    }
}

static void test_busy_and_quarantined(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    fake_accept(&t->mediator, NULL);
    fake_expect_request(&t->mediator, 1, NULL);
    fake_send(&t->mediator, VGPU_MSG_BUSY, 1, NULL, 0);
    assert_error(t, VGPU_ERROR_QUEUE_FULL);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), 0);

    device_submit_add(&t->device, 2, 1, 1);
    fake_expect_request(&t->mediator, 2, NULL);
    fake_send(&t->mediator, VGPU_MSG_QUARANTINED, 2, NULL, 0);
    assert_error(t, VGPU_ERROR_VM_QUARANTINED);
    assert_int_equal(device_read(&t->device, VGPU_REG_RESPONSE_LEN), 0);

    add_once(t, 3); /* neither is for ever */
}

/* ---- Interrupts ---------------------------------------------------------------------- */

/* Ends a request without an interrupt and returns when that has happened. */
static void finish_silently(Testbed *t, uint32_t id)
{
    device_write(&t->device, VGPU_REG_DOORBELL, 1);
    fake_serve_add(&t->mediator, id);
    while (device_read(&t->device, VGPU_REG_STATUS) == VGPU_STATUS_BUSY)
        ;
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_DONE);
}

static bool pci_says_interrupt(Testbed *t)
{
    return pci_read32(t->qtest, 0, t->device.slot, PCI_COMMAND) >> 16 & PCI_STATUS_INTERRUPT;
}

static void test_interrupt_control_and_status(void **state)
{
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);

    device_write(&t->device, VGPU_REG_IRQ_CTRL, 0);
    finish_silently(t, 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 1);
    assert_false(qtest_irq(t->qtest));
    assert_false(pci_says_interrupt(t));

    /* What has happened before counts when it is switched on. */
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1);
    assert_true(qtest_irq(t->qtest));
    assert_true(pci_says_interrupt(t));
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 0);
    assert_false(qtest_irq(t->qtest));
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1);
    assert_true(qtest_irq(t->qtest));

    /* It stays up until it is acknowledged, and writing 0 acknowledges nothing. */
    device_write(&t->device, VGPU_REG_IRQ_STATUS, 0);
    assert_true(qtest_irq(t->qtest));
    device_write(&t->device, VGPU_REG_IRQ_STATUS, 1);
    assert_false(qtest_irq(t->qtest));
    assert_false(pci_says_interrupt(t));
    assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 0);
}

/* uio_pci_generic uses this bit. */
static void test_pci_interrupt_disable(void **state)
{
    const uint32_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    Testbed *t = *state;

    device_submit_add(&t->device, 1, 1, 1);
    fake_accept(&t->mediator, NULL);
    testbed_serve_add(t, 1);

    pci_write32(t->qtest, 0, t->device.slot, PCI_COMMAND, on | PCI_COMMAND_INTX_DISABLE);
    finish_silently(t, 1);
    assert_false(qtest_irq(t->qtest));
    assert_true(pci_says_interrupt(t)); /* pending, but not passed on */
    pci_write32(t->qtest, 0, t->device.slot, PCI_COMMAND, on);
    assert_true(qtest_irq(t->qtest));
    device_write(&t->device, VGPU_REG_IRQ_STATUS, 1);
    assert_false(qtest_irq(t->qtest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTBED(test_done, NULL),
        TESTBED(test_what_the_mediator_is_told, ",pool_id=C,priority=low,vm_id=4000000000,"
                                                "uuid=5c1db210-6a7b-4c1d-8e9f-001122334455"),
        cmocka_unit_test(test_the_vm_has_a_uuid),
        cmocka_unit_test(test_the_vm_has_no_uuid),
        TESTBED(test_one_connection_and_only_when_needed, NULL),
        TESTBED(test_request_follows_hello_at_once, NULL),
        TESTBED(test_largest_request_and_response, NULL),
        TESTBED(test_smallest_request, NULL),
        TESTBED(test_doorbell_in_done_and_error, NULL),
        TESTBED(test_doorbell_in_busy_is_ignored, NULL),
        TESTBED(test_states_stay_until_the_next_doorbell, NULL),
        TESTBED(test_request_is_as_it_was_at_the_doorbell, NULL),
        TESTBED(test_lengths_that_cannot_be, NULL),
        TESTBED(test_every_error_of_the_mediator, NULL),
        TESTBED(test_busy_and_quarantined, NULL),
        TESTBED(test_interrupt_control_and_status, NULL),
        TESTBED(test_pci_interrupt_disable, NULL),
    };

    return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
