/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-model.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

#include "mmio.h"

#define PCI_COMMAND 4
#define PCI_INTX_DISABLE 0x400u

/* The model behind the registers. mmio_read() and mmio_write() have no other way to find it. */
static model *current;

uint32_t model_get(const model *m, uint32_t offset)
{
    return m->bar[offset / 4];
}

void model_set(model *m, uint32_t offset, uint32_t value)
{
    m->bar[offset / 4] = value;
}

VGPURequest *model_request(model *m)
{
    return (VGPURequest *) &m->bar[VGPU_REG_REQUEST / 4];
}

VGPUResponse *model_response(model *m)
{
    return (VGPUResponse *) &m->bar[VGPU_REG_RESPONSE / 4];
}

void model_reset(model *m)
{
    memset(m->bar, 0, sizeof(m->bar));
    model_set(m, VGPU_REG_POOL_ID, 'A');
    model_set(m, VGPU_REG_PRIORITY, VGPU_PRIORITY_MEDIUM);
    model_set(m, VGPU_REG_VM_ID, 3);
    model_set(m, VGPU_REG_PROTOCOL_VER, VGPU_PROTOCOL_VERSION);
    model_set(m, VGPU_REG_CAPABILITIES, VGPU_CAP_BASIC);
    ring_model_reset(m);
}

model *model_current(void)
{
    return current;
}

void model_start(model *m)
{
    memset(m, 0, sizeof(*m));
    m->uio_fd = m->config_fd = -1;
    m->clock = 1000000;
    model_reset(m);
    current = m;
}

/* ---- Interrupts ----------------------------------------------------------- */

static bool is_asserted(const model *m)
{
    return ((model_get(m, VGPU_REG_IRQ_STATUS) & model_get(m, VGPU_REG_IRQ_CTRL)) |
            (model_get(m, VGPU_REG_RING_IRQ_STATUS) & model_get(m, VGPU_REG_RING_IRQ_CTRL))) &
           VGPU_IRQ_COMPLETION;
}

/* What the kernel's handler does while the line is asserted and not masked. */
void model_update_line(model *m)
{
    const uint32_t count = 1;
    uint16_t command;

    if (m->uio_fd < 0 || !is_asserted(m))
        return;

    assert_int_equal(pread(m->config_fd, &command, sizeof(command), PCI_COMMAND), 2);
    if (command & PCI_INTX_DISABLE)
        return;
    command |= PCI_INTX_DISABLE;
    assert_int_equal(pwrite(m->config_fd, &command, sizeof(command), PCI_COMMAND), 2);
    assert_int_equal(write(m->uio_fd, &count, sizeof(count)), sizeof(count));
}

void model_interrupt(model *m, unsigned int vector)
{
    static const uint32_t controls[] = {VGPU_REG_IRQ_CTRL, VGPU_REG_RING_IRQ_CTRL};

    if (!m->message)
        model_update_line(m);
    else if (model_get(m, controls[vector]) & VGPU_IRQ_COMPLETION)
        m->message(m, vector);
}

/* ---- The host ------------------------------------------------------------- */

static void finish(model *m, uint32_t status)
{
    model_set(m, VGPU_REG_STATUS, status);
    m->clock += 10;
    model_set(m, VGPU_REG_TIMESTAMP_LO, (uint32_t) m->clock);
    model_set(m, VGPU_REG_TIMESTAMP_HI, (uint32_t) (m->clock >> 32));
    model_set(m, VGPU_REG_IRQ_STATUS, VGPU_IRQ_COMPLETION);
    model_interrupt(m, 0);
}

void model_end_with_error(model *m, uint32_t code)
{
    model_set(m, VGPU_REG_RESPONSE_LEN, 0);
    model_set(m, VGPU_REG_ERROR_CODE, code);
    finish(m, VGPU_STATUS_ERROR);
}

static void add_elements(uint32_t opcode, const uint8_t *a, const uint8_t *b, size_t bytes,
                         uint8_t *c)
{
    size_t size = vgpu_element_size(opcode);

    for (size_t at = 0; at < bytes; at += size) {
        union {
            uint32_t u32;
            uint64_t u64;
            float f32;
            double f64;
        } x, y;

        memcpy(&x, a + at, size);
        memcpy(&y, b + at, size);
        if (opcode == VGPU_OP_VECTOR_ADD_INT32)
            x.u32 += y.u32;
        else if (opcode == VGPU_OP_VECTOR_ADD_INT64)
            x.u64 += y.u64;
        else if (opcode == VGPU_OP_VECTOR_ADD_FLOAT32)
            x.f32 += y.f32;
        else
            x.f64 += y.f64;
        memcpy(c + at, &x, size);
    }
}

static void respond(model *m, const VGPURequest *request)
{
    const VGPUDeviceInfo info = {
        .backend = "cpu",
        .name = "A model",
        .memory_total = 1 << 30,
        .memory_free = 1 << 29,
        .multiprocessors = 2,
    };
    uint8_t *buffer = (uint8_t *) model_response(m), *data = buffer + sizeof(VGPUResponse);
    const uint8_t *in = (const uint8_t *) model_request(m);
    VGPUResponse header = {.version = VGPU_PROTOCOL_VERSION, .data_offset = sizeof(header)};
    uint32_t sum;

    if (request->opcode == VGPU_OP_CUDA_KERNEL) {
        sum = model_get(m, VGPU_REG_REQUEST + 32) + model_get(m, VGPU_REG_REQUEST + 36);
        memcpy(data, &sum, sizeof(sum));
        header.result_count = 1;
        header.data_offset += 4;
    } else if (request->opcode == VGPU_OP_GET_DEVICE_INFO) {
        memcpy(data, &info, sizeof(info));
        header.data_length = sizeof(info);
    } else if (request->opcode != VGPU_OP_NOP) {
        header.data_length = request->data_length / 2;
        add_elements(request->opcode, in + request->data_offset,
                     in + request->data_offset + header.data_length, header.data_length, data);
    }

    memcpy(buffer, &header, sizeof(header));
    model_set(m, VGPU_REG_RESPONSE_LEN, header.data_offset + header.data_length);
}

void model_complete(model *m)
{
    VGPURequest request;
    uint32_t code;

    code = vgpu_request_check(model_request(m), model_get(m, VGPU_REG_REQUEST_LEN), &request);
    if (code != VGPU_ERROR_NONE) {
        model_end_with_error(m, code);
    } else {
        respond(m, &request);
        finish(m, VGPU_STATUS_DONE);
    }
    if (m->lie)
        m->lie(m);
}

/* ---- The registers -------------------------------------------------------- */

static void ring(model *m)
{
    uint32_t length = model_get(m, VGPU_REG_REQUEST_LEN);

    if (model_get(m, VGPU_REG_STATUS) == VGPU_STATUS_BUSY)
        return;

    m->doorbells++;
    model_set(m, VGPU_REG_ERROR_CODE, VGPU_ERROR_NONE);
    if (length == 0) {
        model_end_with_error(m, VGPU_ERROR_INVALID_LENGTH);
    } else if (length > VGPU_REQUEST_MAX) {
        model_end_with_error(m, VGPU_ERROR_REQUEST_TOO_LARGE);
    } else {
        model_set(m, VGPU_REG_STATUS, VGPU_STATUS_BUSY);
        m->remaining = m->delay;
    }
}

/* Time passes with each access. */
static void tick(model *m)
{
    model_update_line(m);
    if (model_get(m, VGPU_REG_STATUS) != VGPU_STATUS_BUSY || m->delay == MODEL_STUCK)
        return;
    if (m->remaining > 0)
        m->remaining--;
    else
        model_complete(m);
}

static void check_access(const model *m, uint32_t offset)
{
    assert_non_null(m);
    assert_true(offset < VGPU_BAR0_SIZE);
    assert_int_equal(offset % 4, 0);
}

uint32_t mmio_read(const volatile uint32_t *bar, uint32_t offset)
{
    model *m = current;
    uint32_t value;

    (void) bar;
    check_access(m, offset);
    m->reads++;
    tick(m);
    value = offset == VGPU_REG_DOORBELL    ? 0
            : offset >= VGPU_REG_EXTENSION ? ring_model_read(m, offset)
                                           : model_get(m, offset);
    if (offset == VGPU_REG_STATUS && value == VGPU_STATUS_BUSY)
        m->status_busy_reads++;
    if (m->after)
        m->after(m, false, offset);
    return value;
}

static void write_register(model *m, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case VGPU_REG_DOORBELL:
        if (value == 1)
            ring(m);
        break;
    case VGPU_REG_IRQ_CTRL:
        model_set(m, offset, value & VGPU_IRQ_COMPLETION);
        break;
    case VGPU_REG_IRQ_STATUS:
        model_set(m, offset, model_get(m, offset) & ~value);
        break;
    case VGPU_REG_REQUEST_LEN:
    case VGPU_REG_REQUEST_ID:
    case VGPU_REG_SCRATCH:
        model_set(m, offset, value);
        break;
    default:
        if (offset >= VGPU_REG_REQUEST && offset < VGPU_REG_RESPONSE)
            model_set(m, offset, value);
        else if (offset >= VGPU_REG_EXTENSION)
            ring_model_write(m, offset, value);
    }
    model_update_line(m);
}

void mmio_write(volatile uint32_t *bar, uint32_t offset, uint32_t value)
{
    model *m = current;

    (void) bar;
    check_access(m, offset);
    m->writes++;
    tick(m);
    if (!m->filter || m->filter(m, offset, &value))
        write_register(m, offset, value);
    if (m->after)
        m->after(m, true, offset);
}
