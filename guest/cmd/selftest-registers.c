/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu selftest: checks that need no host. */
#include <errno.h>
#include <inttypes.h>

#include "cleanup.h"
#include "selftest.h"

#define REQUEST_LAST (VGPU_REG_REQUEST + VGPU_REQUEST_MAX - 4)
#define RESPONSE_LAST (VGPU_REG_RESPONSE + VGPU_RESPONSE_MAX - 4)

static void check_identity(selftest *t)
{
    uint32_t pool = get(t, VGPU_REG_POOL_ID), priority = get(t, VGPU_REG_PRIORITY);

    expect_register(t, VGPU_REG_PROTOCOL_VER, VGPU_PROTOCOL_VERSION, "PROTOCOL_VER");
    expect_register(t, VGPU_REG_CAPABILITIES, VGPU_CAP_BASIC, "CAPABILITIES");
    if (!vgpu_pool_is_valid(pool))
        fail(t, "POOL_ID is 0x%" PRIx32, pool);
    if (priority >= VGPU_N_PRIORITIES)
        fail(t, "PRIORITY is %" PRIu32, priority);
}

/* Give each register that a reset clears another value, as far as a guest can without asserting an
 * interrupt that perhaps nobody answers. */
static void dirty_registers(selftest *t)
{
    set(t, VGPU_REG_REQUEST_LEN, 0);
    set(t, VGPU_REG_DOORBELL, 1); /* the device itself answers: ERROR, INVALID_LENGTH */
    settle(t);

    set(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    set(t, VGPU_REG_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    set(t, VGPU_REG_SCRATCH, 0xdeadbeef);
    set(t, VGPU_REG_REQUEST_ID, 0xdeadbeef);
    set(t, VGPU_REG_REQUEST_LEN, 77);
    set(t, VGPU_REG_REQUEST, 0xdeadbeef);
    set(t, REQUEST_LAST, 0xdeadbeef);
}

/* Results of a reset that say nothing about the device */
static const char *why_no_reset(int result)
{
    switch (result) {
    case -EOPNOTSUPP:
        return "the kernel offers no function level reset of this device";
    case -EBUSY:
        return "a process has a CUDA session on this device";
    case -EACCES:
        return "only root may reset this device";
    default:
        return NULL;
    }
}

static void check_reset(selftest *t)
{
    static const uint32_t zero[] = {
        VGPU_REG_DOORBELL,     VGPU_REG_STATUS,       VGPU_REG_ERROR_CODE, VGPU_REG_REQUEST_LEN,
        VGPU_REG_RESPONSE_LEN, VGPU_REG_IRQ_CTRL,     VGPU_REG_IRQ_STATUS, VGPU_REG_REQUEST_ID,
        VGPU_REG_TIMESTAMP_LO, VGPU_REG_TIMESTAMP_HI, VGPU_REG_SCRATCH,
    };
    static const uint32_t kept[] = {
        VGPU_REG_POOL_ID,      VGPU_REG_PRIORITY,     VGPU_REG_VM_ID,
        VGPU_REG_PROTOCOL_VER, VGPU_REG_CAPABILITIES,
    };
    uint32_t before[ELEMENTSOF(kept)];
    int r;

    for (size_t i = 0; i < ELEMENTSOF(kept); i++)
        before[i] = get(t, kept[i]);
    dirty_registers(t);
    r = vgpu_reset(t->dev);
    t->skip = why_no_reset(r);
    if (t->skip) {
        set(t, VGPU_REG_IRQ_CTRL, 0);
        return;
    }
    if (!expect_result(t, r, 0, "reset"))
        return;

    for (size_t i = 0; i < ELEMENTSOF(kept); i++)
        expect_register(t, kept[i], before[i], "after reset");
    for (size_t i = 0; i < ELEMENTSOF(zero); i++)
        expect_register(t, zero[i], 0, "after reset");
    for (uint32_t at = VGPU_REG_REQUEST; at <= RESPONSE_LAST; at += 4)
        if (!expect_register(t, at, 0, "after reset"))
            break;
}

static void check_read_only(selftest *t)
{
    static const uint32_t registers[] = {
        VGPU_REG_STATUS,       VGPU_REG_POOL_ID,      VGPU_REG_PRIORITY,     VGPU_REG_VM_ID,
        VGPU_REG_ERROR_CODE,   VGPU_REG_RESPONSE_LEN, VGPU_REG_PROTOCOL_VER, VGPU_REG_CAPABILITIES,
        VGPU_REG_TIMESTAMP_LO, VGPU_REG_TIMESTAMP_HI,
    };

    settle(t);
    for (size_t i = 0; i < ELEMENTSOF(registers); i++) {
        uint32_t before = get(t, registers[i]);

        set(t, registers[i], ~before);
        expect_register(t, registers[i], before, "after writing the inverse");
        set(t, registers[i], 0);
        expect_register(t, registers[i], before, "after writing 0");
    }
}

static void check_patterns(selftest *t, uint32_t offset, const char *name)
{
    static const uint32_t patterns[] = {0xffffffff, 0x55555555, 0xaaaaaaaa, 0x01020304, 0};

    for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
        set(t, offset, patterns[i]);
        expect_register(t, offset, patterns[i], name);
    }
}

static void check_read_write(selftest *t)
{
    check_patterns(t, VGPU_REG_SCRATCH, "SCRATCH");
    check_patterns(t, VGPU_REG_REQUEST_ID, "REQUEST_ID");
    check_patterns(t, VGPU_REG_REQUEST_LEN, "REQUEST_LEN");
}

static void check_irq_ctrl(selftest *t)
{
    set(t, VGPU_REG_IRQ_CTRL, VGPU_IRQ_COMPLETION);
    if (!(get(t, VGPU_REG_IRQ_CTRL) & VGPU_IRQ_COMPLETION))
        fail(t, "bit 0 of IRQ_CTRL cannot be set");
    set(t, VGPU_REG_IRQ_CTRL, 0);
    expect_register(t, VGPU_REG_IRQ_CTRL, 0, "IRQ_CTRL");
}

/* Each word gets a value of its own, so that the check finds a write in the wrong place, and then
 * the inverse, so that each bit is once 0 and once 1. */
static void check_request_buffer(selftest *t)
{
    static const uint32_t masks[] = {0, 0xffffffff};
    uint32_t before[] = {get(t, VGPU_REG_RESPONSE), get(t, VGPU_REG_RESPONSE + 4)};

    set(t, VGPU_REG_SCRATCH, 0x5c5c5c5c);
    for (size_t i = 0; i < ELEMENTSOF(masks); i++) {
        for (uint32_t at = VGPU_REG_REQUEST; at <= REQUEST_LAST; at += 4)
            set(t, at, (0xa5000000 | at) ^ masks[i]);
        for (uint32_t at = VGPU_REG_REQUEST; at <= REQUEST_LAST; at += 4)
            if (!expect_register(t, at, (0xa5000000 | at) ^ masks[i], "request buffer"))
                break;
    }

    expect_register(t, VGPU_REG_SCRATCH, 0x5c5c5c5c, "the register before the request buffer");
    expect_register(t, VGPU_REG_RESPONSE, before[0], "the word behind the request buffer");
    expect_register(t, VGPU_REG_RESPONSE + 4, before[1], "the second word behind it");
}

static void check_response_buffer(selftest *t)
{
    settle(t);
    for (uint32_t at = VGPU_REG_RESPONSE; at <= RESPONSE_LAST; at += 4) {
        uint32_t before = get(t, at);

        set(t, at, ~before);
        if (!expect_register(t, at, before, "response buffer, after a write"))
            break;
    }
}

static void check_extension(selftest *t)
{
    if (get(t, VGPU_REG_EXTENSION) != 0) {
        t->skip = "it is not: see the checks of the window and the ring";
        return;
    }

    for (uint32_t at = VGPU_REG_EXTENSION; at < VGPU_BAR0_SIZE; at += 4) {
        if (!expect_register(t, at, 0, "extension block"))
            break;
        set(t, at, 0xffffffff);
        if (!expect_register(t, at, 0, "extension block, after a write"))
            break;
    }
}

static void check_doorbell_values(selftest *t)
{
    static const uint32_t ignored[] = {0, 2, 3, 0x80000000, 0x80000001, 0xffffffff};
    uint32_t status = settle(t);

    /* If the device took one of them, the empty request would change STATUS or set IRQ_STATUS at
     * once. */
    set(t, VGPU_REG_REQUEST_LEN, 0);
    set(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    for (size_t i = 0; i < ELEMENTSOF(ignored); i++) {
        set(t, VGPU_REG_DOORBELL, ignored[i]);
        expect_register(t, VGPU_REG_DOORBELL, 0, "DOORBELL");
        expect_register(t, VGPU_REG_STATUS, status, "after a doorbell value to ignore");
        expect_register(t, VGPU_REG_IRQ_STATUS, 0, "after a doorbell value to ignore");
    }
}

/* The device judges the length without asking the host. */
static void expect_length_error(selftest *t, uint32_t length, uint32_t code)
{
    set(t, VGPU_REG_REQUEST_LEN, length);
    set(t, VGPU_REG_DOORBELL, 1);
    settle(t);
    expect_register(t, VGPU_REG_STATUS, VGPU_STATUS_ERROR, "STATUS after a bad length");
    expect_register(t, VGPU_REG_ERROR_CODE, code, "ERROR_CODE after a bad length");
    expect_register(t, VGPU_REG_DOORBELL, 0, "DOORBELL");
}

static void check_lengths(selftest *t)
{
    expect_length_error(t, 0, VGPU_ERROR_INVALID_LENGTH);
    expect_length_error(t, VGPU_REQUEST_MAX + 1, VGPU_ERROR_REQUEST_TOO_LARGE);
    expect_length_error(t, 0x7fffffff, VGPU_ERROR_REQUEST_TOO_LARGE);
    expect_length_error(t, 0x80000000, VGPU_ERROR_REQUEST_TOO_LARGE);
    expect_length_error(t, 0xffffffff, VGPU_ERROR_REQUEST_TOO_LARGE);
    expect_length_error(t, 0, VGPU_ERROR_INVALID_LENGTH);
}

const check register_checks[] = {
    {"identity registers", check_identity, false},
    {"a function level reset brings back the power-on values", check_reset, false},
    {"read-only registers ignore writes", check_read_only, false},
    {"read-write registers hold what is written", check_read_write, false},
    {"IRQ_CTRL holds its bit", check_irq_ctrl, false},
    {"the request buffer holds each word", check_request_buffer, false},
    {"the response buffer ignores writes", check_response_buffer, false},
    {"the extension block is empty where the device offers nothing", check_extension, false},
    {"doorbell values other than 1 are ignored", check_doorbell_values, false},
    {"INVALID_LENGTH and REQUEST_TOO_LARGE", check_lengths, false},
    {0},
};
