/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu selftest: requests, their answers, and the errors that a guest can provoke. */
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "selftest.h"

/* A request with room for everything. */
typedef union raw_request {
    VGPURequest header;
    uint8_t bytes[VGPU_REQUEST_MAX];
} raw_request;

static int call_raw(selftest *t, const raw_request *request, size_t size)
{
    uint8_t response[VGPU_RESPONSE_MAX];
    size_t got;

    return vgpu_call(t->dev, request, size, t->options->timeout_ms, response, sizeof(response),
                     &got);
}

static raw_request make_raw(uint32_t opcode, uint32_t param_count)
{
    return (raw_request){
        .header =
            {
                .version = VGPU_PROTOCOL_VERSION,
                .opcode = opcode,
                .param_count = param_count,
            },
    };
}

static void check_nop(selftest *t)
{
    t->answers = expect_result(t, vgpu_nop(t->dev, t->options->timeout_ms), 0, "NOP");
    if (t->answers) {
        expect_register(t, VGPU_REG_STATUS, VGPU_STATUS_DONE, "STATUS after NOP");
        expect_register(t, VGPU_REG_DOORBELL, 0, "DOORBELL after NOP");
    }
}

static void check_irq_status(selftest *t)
{
    set(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    expect_register(t, VGPU_REG_IRQ_STATUS, 0, "IRQ_STATUS, cleared");

    /* The check does this by register accesses alone: with --interrupt the library clears the bit
     * while it waits. */
    set(t, VGPU_REG_REQUEST_LEN, 0);
    set(t, VGPU_REG_DOORBELL, 1);
    settle(t);
    expect_register(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION, "IRQ_STATUS, after a completion");
    set(t, VGPU_REG_IRQ_STATUS, 0);
    expect_register(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION, "IRQ_STATUS, after writing 0");
    set(t, VGPU_REG_IRQ_STATUS, 0xfffffffe);
    expect_register(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION, "IRQ_STATUS, after other bits");
    set(t, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    expect_register(t, VGPU_REG_IRQ_STATUS, 0, "IRQ_STATUS, after writing 1");
}

static uint64_t timestamp(selftest *t)
{
    return (uint64_t) get(t, VGPU_REG_TIMESTAMP_HI) << 32 | get(t, VGPU_REG_TIMESTAMP_LO);
}

static void check_timestamp(selftest *t)
{
    uint64_t first, second;

    expect_result(t, vgpu_nop(t->dev, t->options->timeout_ms), 0, "NOP");
    first = timestamp(t);
    expect_result(t, vgpu_nop(t->dev, t->options->timeout_ms), 0, "NOP");
    second = timestamp(t);

    if (first == 0 || second <= first)
        fail(t, "completion times are %" PRIu64 " and then %" PRIu64 " us", first, second);
}

static void check_second_doorbell(selftest *t)
{
    const raw_request request = make_raw(VGPU_OP_NOP, 0);
    uint8_t response[VGPU_RESPONSE_MAX];
    size_t size;
    int r;

    for (int i = 0; i < 8; i++) {
        r = vgpu_submit(t->dev, &request, sizeof(request.header), t->options->timeout_ms);
        if (!expect_result(t, r, 0, "submit"))
            return;
        set(t, VGPU_REG_DOORBELL,
            1); /* the device ignores it while BUSY; otherwise it is the same request again */
        r = vgpu_wait(t->dev, t->options->timeout_ms);
        if (!expect_result(t, r, 0, "wait"))
            return;
        r = vgpu_collect(t->dev, response, sizeof(response), &size);
        if (!expect_result(t, r, 0, "collect"))
            return;
    }
}

static void expect_invalid(selftest *t, const raw_request *request, size_t size, const char *what)
{
    expect_result(t, call_raw(t, request, size), VGPU_ERROR_INVALID_REQUEST, what);
}

static void check_short_requests(selftest *t)
{
    const raw_request request = make_raw(VGPU_OP_NOP, 0);

    expect_invalid(t, &request, 1, "a request of 1 byte");
    expect_invalid(t, &request, 4, "a request of 4 bytes");
    expect_invalid(t, &request, sizeof(VGPURequest) - 1, "a request of 31 bytes");
}

static void check_header_fields(selftest *t)
{
    raw_request request;

    request = make_raw(VGPU_OP_NOP, 0);
    request.header.version = 0;
    expect_invalid(t, &request, sizeof(VGPURequest), "version 0");
    request.header.version = VGPU_PROTOCOL_VERSION + 1;
    expect_invalid(t, &request, sizeof(VGPURequest), "a later version");

    request = make_raw(VGPU_OP_NOP, 0);
    request.header.flags = 1;
    expect_invalid(t, &request, sizeof(VGPURequest), "a flag");

    for (size_t i = 0; i < ELEMENTSOF(request.header.reserved); i++) {
        request = make_raw(VGPU_OP_NOP, 0);
        request.header.reserved[i] = 1;
        expect_invalid(t, &request, sizeof(VGPURequest), "a reserved field");
    }
}

static void check_param_counts(selftest *t)
{
    static const uint32_t counts[] = {0, 1, 3, 249, 0x3fffffff, 0x40000002, 0xffffffff};

    for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
        const raw_request request = make_raw(VGPU_OP_CUDA_KERNEL, counts[i]);

        expect_invalid(t, &request, sizeof(VGPURequest) + 8, "CUDA_KERNEL, param_count");
    }
    for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
        const raw_request request = make_raw(VGPU_OP_NOP, counts[i]);

        if (counts[i] > 0)
            expect_invalid(t, &request, VGPU_REQUEST_MAX, "NOP, param_count");
    }
}

static void check_data_ranges(selftest *t)
{
    static const struct {
        uint32_t offset, length, size;
    } cases[] = {
        {32, 0, 48},          /* no element */
        {32, 4, 48},          /* half an element */
        {32, 12, 48},         /* one and a half */
        {32, 24, 48},         /* behind the end */
        {0, 16, 48},          /* in the header */
        {31, 16, 48},         /* begins in the header */
        {40, 16, 48},         /* ends behind the end */
        {48, 16, 48},         /* begins behind the end */
        {0xffffffff, 16, 48}, /* wraps */
        {0xfffffff0, 16, 48}, /* wraps to 0 */
        {32, 0xfffffff8, 48}, /* wraps, by length */
        {1024, 8, 1024},      /* begins at the end of the largest */
        {32, 1000, 1024},     /* 8 bytes too many for the largest */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        raw_request request = make_raw(VGPU_OP_VECTOR_ADD_INT32, 0);
        char what[64];

        request.header.data_offset = cases[i].offset;
        request.header.data_length = cases[i].length;
        snprintf(what, sizeof(what), "data at 0x%" PRIx32 ", 0x%" PRIx32 " bytes, request %" PRIu32,
                 cases[i].offset, cases[i].length, cases[i].size);
        expect_invalid(t, &request, cases[i].size, what);
    }
}

static void check_unsupported(selftest *t)
{
    static const uint32_t opcodes[] = {0x00ff, 0x0fff, 0x1000, 0x7fffffff, 0xffffffff};

    for (size_t i = 0; i < ELEMENTSOF(opcodes); i++) {
        const raw_request request = make_raw(opcodes[i], 0);
        char what[32];

        snprintf(what, sizeof(what), "opcode 0x%" PRIx32, opcodes[i]);
        expect_result(t, call_raw(t, &request, sizeof(VGPURequest)), VGPU_ERROR_UNSUPPORTED_OP,
                      what);
        expect_register(t, VGPU_REG_STATUS, VGPU_STATUS_ERROR, "STATUS");
        expect_register(t, VGPU_REG_ERROR_CODE, VGPU_ERROR_UNSUPPORTED_OP, "ERROR_CODE");
    }
}

static void check_recovery(selftest *t)
{
    const raw_request bad = make_raw(0x0fff, 0);
    uint32_t sum = 0;

    for (int i = 0; i < 4; i++) {
        call_raw(t, &bad, sizeof(VGPURequest));
        if (expect_result(t, vgpu_add(t->dev, 40, 2, t->options->timeout_ms, &sum), 0, "add") &&
            sum != 42)
            fail(t, "40 + 2 came back as %" PRIu32, sum);
    }
}

static void check_scalar_add(selftest *t)
{
    static const uint32_t operands[][2] = {
        {0, 0},
        {1, 0},
        {0, 1},
        {100, 200},
        {0xffffffff, 1},
        {0x7fffffff, 1},
        {0x80000000, 0x80000000},
        {0xffffffff, 0xffffffff},
        {0x12345678, 0x9abcdef0},
    };

    for (size_t i = 0; i < ELEMENTSOF(operands); i++) {
        uint32_t a = operands[i][0], b = operands[i][1], sum = 0;

        if (expect_result(t, vgpu_add(t->dev, a, b, t->options->timeout_ms, &sum), 0, "add") &&
            sum != a + b)
            fail(t, "%" PRIu32 " + %" PRIu32 " came back as %" PRIu32, a, b, sum);
    }
}

static void check_device_info(selftest *t)
{
    VGPUDeviceInfo info;

    if (!expect_result(t, vgpu_get_device_info(t->dev, t->options->timeout_ms, &info), 0,
                       "GET_DEVICE_INFO"))
        return;

    if (strcmp(info.backend, "cpu") != 0 && strcmp(info.backend, "cuda") != 0)
        fail(t, "the backend is neither cpu nor cuda");
    if (info.memory_total == 0 || info.memory_free > info.memory_total)
        fail(t, "%" PRIu64 " bytes of %" PRIu64 " are free", info.memory_free, info.memory_total);
    if (info.multiprocessors == 0)
        fail(t, "it has no processor");
}

const check request_checks[] = {
    {"NOP", check_nop, false},
    {"IRQ_STATUS is set by a completion and cleared by writing 1", check_irq_status, false},
    {"completion times grow", check_timestamp, true},
    {"a second doorbell does no harm", check_second_doorbell, true},
    {"INVALID_REQUEST: shorter than its header", check_short_requests, true},
    {"INVALID_REQUEST: version, flags, reserved fields", check_header_fields, true},
    {"INVALID_REQUEST: number of parameters", check_param_counts, true},
    {"INVALID_REQUEST: where the data is", check_data_ranges, true},
    {"UNSUPPORTED_OP", check_unsupported, true},
    {"requests after errors", check_recovery, true},
    {"scalar add", check_scalar_add, true},
    {"GET_DEVICE_INFO", check_device_info, true},
    {0},
};
