/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The register table of the ABI, row by row, and accesses of every width at every
 * kind of place. One QEMU serves all cases; each begins with a reset.
 *
 * The device has no window, and must be as it was before there were windows. With the argument
 * "window" the device has one, and must be the same to a guest that knows of no windows.
 */
#include "testbed.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

#define POOL 'B'
#define PRIORITY VGPU_PRIORITY_HIGH
#define VM_ID 0xfedcba98u

enum access {
    READ_ONLY,
    READ_WRITE,
    ONE_BIT, /* keeps bit 0 alone */
};

static const struct row {
    const char *name;
    uint32_t reg;
    enum access access;
    uint32_t power_on;
} rows[] = {
    {"DOORBELL", VGPU_REG_DOORBELL, READ_ONLY, 0},
    {"STATUS", VGPU_REG_STATUS, READ_ONLY, VGPU_STATUS_IDLE},
    {"POOL_ID", VGPU_REG_POOL_ID, READ_ONLY, POOL},
    {"PRIORITY", VGPU_REG_PRIORITY, READ_ONLY, PRIORITY},
    {"VM_ID", VGPU_REG_VM_ID, READ_ONLY, VM_ID},
    {"ERROR_CODE", VGPU_REG_ERROR_CODE, READ_ONLY, VGPU_ERROR_NONE},
    {"REQUEST_LEN", VGPU_REG_REQUEST_LEN, READ_WRITE, 0},
    {"RESPONSE_LEN", VGPU_REG_RESPONSE_LEN, READ_ONLY, 0},
    {"PROTOCOL_VER", VGPU_REG_PROTOCOL_VER, READ_ONLY, 0x00010000},
    {"CAPABILITIES", VGPU_REG_CAPABILITIES, READ_ONLY, 0x00000001},
    {"IRQ_CTRL", VGPU_REG_IRQ_CTRL, ONE_BIT, 0},
    {"IRQ_STATUS", VGPU_REG_IRQ_STATUS, READ_ONLY, 0}, /* writing 1 to a 0 leaves it */
    {"REQUEST_ID", VGPU_REG_REQUEST_ID, READ_WRITE, 0},
    {"TIMESTAMP_LO", VGPU_REG_TIMESTAMP_LO, READ_ONLY, 0},
    {"TIMESTAMP_HI", VGPU_REG_TIMESTAMP_HI, READ_ONLY, 0},
    {"SCRATCH", VGPU_REG_SCRATCH, READ_WRITE, 0},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

#define PROPERTIES ",pool_id=B,priority=high,vm_id=0xfedcba98"

static int open_without_window(void **state)
{
    *state = (char[]){PROPERTIES ",window-size=0"};
    return testbed_setup(state);
}

static int open_with_window(void **state)
{
    *state = (char[]){PROPERTIES};
    return testbed_setup(state);
}

static int reset(void **state)
{
    Testbed *t = *state;

    device_reset(&t->device);
    device_enable(&t->device);
    return 0;
}

static uint64_t read_n(Testbed *t, uint32_t offset, unsigned size)
{
    return qtest_read(t->qtest, DEVICE_BAR0 + offset, size);
}

static void write_n(Testbed *t, uint32_t offset, unsigned size, uint64_t value)
{
    qtest_write(t->qtest, DEVICE_BAR0 + offset, size, value);
}

static uint64_t low_bytes(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << (size * 8)) - 1);
}

/* ---- The table ---------------------------------------------------------------- */

static void test_pci_identity(void **state)
{
    Testbed *t = *state;
    QTest *q = t->qtest;
    uint8_t slot = t->device.slot;

    assert_int_equal(pci_read32(q, 0, slot, PCI_VENDOR_ID), 0x11111af4);
    assert_int_equal(pci_read32(q, 0, slot, PCI_CLASS_REVISION), 0x12000002);
    assert_int_equal(pci_read32(q, 0, slot, PCI_INTERRUPT_LINE) >> 8 & 0xff, 1); /* pin A */

    /* 4 KiB of 32-bit memory that is not prefetchable */
    pci_write32(q, 0, slot, PCI_BASE_ADDRESS_0, 0xffffffff);
    assert_int_equal(pci_read32(q, 0, slot, PCI_BASE_ADDRESS_0), 0xfffff000);
}

static void test_no_other_bar_and_no_msix(void **state)
{
    Testbed *t = *state;
    QTest *q = t->qtest;
    uint8_t slot = t->device.slot;

    assert_int_equal(pci_capability(q, 0, slot, PCI_CAP_ID_MSIX), 0);
    for (uint8_t bar = PCI_BASE_ADDRESS_1; bar <= PCI_BASE_ADDRESS_5; bar += 4) {
        pci_write32(q, 0, slot, bar, 0xffffffff);
        assert_int_equal(pci_read32(q, 0, slot, bar), 0);
    }
}

/* uio_pci_generic refuses a device without this bit. */
static void test_interrupt_disable_bit(void **state)
{
    Testbed *t = *state;
    QTest *q = t->qtest;
    uint8_t slot = t->device.slot;
    uint32_t command = pci_read32(q, 0, slot, PCI_COMMAND) & 0xffff;

    pci_write32(q, 0, slot, PCI_COMMAND, command | PCI_COMMAND_INTX_DISABLE);
    assert_true(pci_read32(q, 0, slot, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
    pci_write32(q, 0, slot, PCI_COMMAND, command);
    assert_false(pci_read32(q, 0, slot, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
}

static void test_power_on_values(void **state)
{
    Testbed *t = *state;
    uint8_t all[VGPU_BAR0_SIZE];

    for (size_t i = 0; i < N_ROWS; i++)
        if (device_read(&t->device, rows[i].reg) != rows[i].power_on)
            fail_msg("%s is 0x%x", rows[i].name, device_read(&t->device, rows[i].reg));

    qtest_read_buffer(t->qtest, DEVICE_BAR0, all, sizeof(all));
    for (size_t i = VGPU_REG_REQUEST; i < VGPU_REG_EXTENSION; i++)
        assert_int_equal(all[i], 0);
}

static void test_access_of_each_register(void **state)
{
    static const uint32_t patterns[] = {0xffffffff, 0xa5a5a5a4, 0x5a5a5a5b, 0};
    Testbed *t = *state;

    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t j = 0; j < sizeof(patterns) / sizeof(patterns[0]); j++) {
            uint32_t wanted = rows[i].access == READ_ONLY ? rows[i].power_on
                              : rows[i].access == ONE_BIT ? patterns[j] & 1
                                                          : patterns[j];

            device_write(&t->device, rows[i].reg, patterns[j]);
            if (device_read(&t->device, rows[i].reg) != wanted)
                fail_msg("%s is 0x%x after writing 0x%x", rows[i].name,
                         device_read(&t->device, rows[i].reg), patterns[j]);
        }

    /* None of it has changed a neighbour. */
    for (size_t i = 0; i < N_ROWS; i++)
        assert_int_equal(device_read(&t->device, rows[i].reg), rows[i].power_on);
}

static void test_doorbell_ignores_other_values(void **state)
{
    static const uint32_t values[] = {0, 2, 3, 0x100, 0x101, 0x80000001, 0xffffffff};
    Testbed *t = *state;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        device_write(&t->device, VGPU_REG_DOORBELL, values[i]);
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
        assert_int_equal(device_read(&t->device, VGPU_REG_DOORBELL), 0);
    }
}

static void test_extension_block_is_empty(void **state)
{
    Testbed *t = *state;
    uint8_t bytes[VGPU_BAR0_SIZE - VGPU_REG_EXTENSION];

    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_EXTENSION, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);
    memset(bytes, 0xff, sizeof(bytes));
    qtest_write_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_EXTENSION, bytes, sizeof(bytes));
    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_EXTENSION, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);
}

static void test_response_is_read_only(void **state)
{
    Testbed *t = *state;
    uint8_t bytes[VGPU_RESPONSE_MAX];

    memset(bytes, 0xff, sizeof(bytes));
    qtest_write_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_RESPONSE, bytes, sizeof(bytes));
    qtest_read_buffer(t->qtest, DEVICE_BAR0 + VGPU_REG_RESPONSE, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 0);
}

static void test_reset_returns_power_on_values(void **state)
{
    Testbed *t = *state;
    uint8_t bytes[VGPU_REQUEST_MAX];

    memset(bytes, 0xff, sizeof(bytes));
    device_write_request(&t->device, 77, bytes, sizeof(bytes));
    device_write(&t->device, VGPU_REG_SCRATCH, 78);
    device_write(&t->device, VGPU_REG_IRQ_CTRL, 1);
    device_write(&t->device, VGPU_REG_REQUEST_LEN, 0);
    device_write(&t->device, VGPU_REG_DOORBELL, 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_ERROR);
    assert_int_not_equal(device_read(&t->device, VGPU_REG_TIMESTAMP_LO), 0);
    qtest_wait_irq(t->qtest, true);

    reset(state);
    qtest_wait_irq(t->qtest, false);
    test_power_on_values(state);
}

/* ---- Widths ------------------------------------------------------------------- */

/* Each width at each place of two words, against an array of bytes. */
static void test_every_width_in_the_request_buffer(void **state)
{
    const uint32_t at = VGPU_REG_REQUEST + 16;
    Testbed *t = *state;

    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned shift = 0; shift < 8; shift++) {
            uint8_t model[24], found[24];
            const uint64_t value = UINT64_C(0x8877665544332211);

            memset(model, 0xee, sizeof(model));
            qtest_write_buffer(t->qtest, DEVICE_BAR0 + at, model, sizeof(model));
            memcpy(model + shift, &value, size);
            write_n(t, at + shift, size, value);

            qtest_read_buffer(t->qtest, DEVICE_BAR0 + at, found, sizeof(found));
            assert_memory_equal(found, model, sizeof(model));
            assert_int_equal(read_n(t, at + shift, size), low_bytes(value, size));
        }
}

static void test_every_width_reads_a_register(void **state)
{
    Testbed *t = *state;

    /* PROTOCOL_VER, CAPABILITIES, IRQ_CTRL: 00 00 01 00, 01 00 00 00, 00 … */
    static const uint8_t bytes[16] = {0, 0, 1, 0, 1};

    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned shift = 0; shift < 8; shift++) {
            uint64_t wanted = 0;

            memcpy(&wanted, bytes + shift, size);
            assert_int_equal(read_n(t, VGPU_REG_PROTOCOL_VER + shift, size), wanted);
        }
}

/* A register keeps the bytes that the access does not carry. */
static void test_narrow_writes_to_registers(void **state)
{
    static const uint32_t regs[] = {VGPU_REG_SCRATCH, VGPU_REG_REQUEST_LEN, VGPU_REG_REQUEST_ID};
    Testbed *t = *state;

    for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
        device_write(&t->device, regs[i], 0x44332211);
        write_n(t, regs[i] + 1, 1, 0xaa);
        assert_int_equal(device_read(&t->device, regs[i]), 0x4433aa11);
        write_n(t, regs[i] + 2, 2, 0xbbcc);
        assert_int_equal(device_read(&t->device, regs[i]), 0xbbccaa11);
        write_n(t, regs[i] + 1, 2, 0xddee);
        assert_int_equal(device_read(&t->device, regs[i]), 0xbbddee11);
    }
}

static void test_quad_write_to_registers(void **state)
{
    Testbed *t = *state;

    /* IRQ_STATUS (nothing to clear) and REQUEST_ID */
    write_n(t, VGPU_REG_IRQ_STATUS, 8, UINT64_C(0x12345678ffffffff));
    assert_int_equal(device_read(&t->device, VGPU_REG_REQUEST_ID), 0x12345678);
    assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 0);
    /* POOL_ID and PRIORITY are read-only in this way too */
    write_n(t, VGPU_REG_POOL_ID, 8, UINT64_MAX);
    assert_int_equal(read_n(t, VGPU_REG_POOL_ID, 8), (uint64_t) PRIORITY << 32 | POOL);
}

static void test_accesses_across_the_buffers_edges(void **state)
{
    Testbed *t = *state;

    /* from SCRATCH into REQUEST */
    write_n(t, VGPU_REG_SCRATCH, 8, UINT64_C(0x0807060504030201));
    assert_int_equal(device_read(&t->device, VGPU_REG_SCRATCH), 0x04030201);
    assert_int_equal(device_read(&t->device, VGPU_REG_REQUEST), 0x08070605);
    write_n(t, VGPU_REG_SCRATCH + 2, 4, 0xd4c3b2a1);
    assert_int_equal(read_n(t, VGPU_REG_SCRATCH, 8), UINT64_C(0x0807d4c3b2a10201));

    /* from REQUEST into RESPONSE, which takes nothing */
    write_n(t, VGPU_REG_RESPONSE - 3, 8, UINT64_MAX);
    assert_int_equal(read_n(t, VGPU_REG_RESPONSE - 4, 8), UINT64_C(0xffffff00));
}

static void test_accesses_at_the_empty_extension_blocks_edges(void **state)
{
    Testbed *t = *state;

    /* from RESPONSE into the extension block, and the last bytes of the BAR */
    write_n(t, VGPU_REG_EXTENSION - 2, 4, UINT32_MAX);
    assert_int_equal(read_n(t, VGPU_REG_EXTENSION - 2, 4), 0);
    for (unsigned size = 1; size <= 8; size *= 2) {
        write_n(t, VGPU_BAR0_SIZE - size, size, UINT64_MAX);
        assert_int_equal(read_n(t, VGPU_BAR0_SIZE - size, size), 0);
    }
}

/* Only the value of the doorbell's word counts, whatever the width of the write. */
static void test_doorbell_by_every_width(void **state)
{
    Testbed *t = *state;

    for (unsigned size = 1; size <= 8; size *= 2) {
        reset(state);
        write_n(t, VGPU_REG_DOORBELL, size, 1);
        assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_ERROR);
        assert_int_equal(device_read(&t->device, VGPU_REG_ERROR_CODE), VGPU_ERROR_INVALID_LENGTH);
    }
    reset(state);
    for (unsigned shift = 1; shift < 4; shift++)
        write_n(t, VGPU_REG_DOORBELL + shift, 1, 1);
    assert_int_equal(device_read(&t->device, VGPU_REG_STATUS), VGPU_STATUS_IDLE);
}

/* Bytes that an access does not carry clear nothing. */
static void test_interrupt_status_by_every_width(void **state)
{
    Testbed *t = *state;

    for (unsigned size = 1; size <= 8; size *= 2) {
        device_write(&t->device, VGPU_REG_DOORBELL, 1);
        assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 1);
        for (unsigned shift = 1; shift < 4; shift++)
            write_n(t, VGPU_REG_IRQ_STATUS + shift, 1, 0xff);
        write_n(t, VGPU_REG_IRQ_STATUS, 4, 0xfffffffe);
        assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 1);
        write_n(t, VGPU_REG_IRQ_STATUS, size, 1);
        assert_int_equal(device_read(&t->device, VGPU_REG_IRQ_STATUS), 0);
    }
}

/* Thousands of accesses of any width anywhere behind SCRATCH, against an array of bytes. */
static void check_random_accesses(Testbed *t, uint32_t end)
{
    uint8_t model[VGPU_BAR0_SIZE + 8] = {0}, found[VGPU_BAR0_SIZE];
    unsigned seed = 20260101;

    for (unsigned i = 0; i < 4000; i++) {
        unsigned size = 1u << (rand_r(&seed) % 4);
        uint32_t at = VGPU_REG_SCRATCH + (uint32_t) rand_r(&seed) % (end - VGPU_REG_SCRATCH - size);
        uint64_t value = (uint64_t) rand_r(&seed) << 40 ^ (uint64_t) rand_r(&seed) << 20 ^
                         (uint64_t) rand_r(&seed);

        if (rand_r(&seed) % 2) {
            for (unsigned j = 0; j < size; j++)
                if (at + j < VGPU_REG_RESPONSE)
                    model[at + j] = (uint8_t) (value >> (8 * j));
            write_n(t, at, size, value);
        } else {
            uint64_t wanted = 0;

            memcpy(&wanted, model + at, size);
            assert_int_equal(read_n(t, at, size), wanted);
        }
    }
    qtest_read_buffer(t->qtest, DEVICE_BAR0, found, sizeof(found));
    assert_memory_equal(found + VGPU_REG_SCRATCH, model + VGPU_REG_SCRATCH, end - VGPU_REG_SCRATCH);
}

static void test_random_accesses(void **state)
{
    check_random_accesses(*state, VGPU_REG_EXTENSION);
}

static void test_random_accesses_to_the_end(void **state)
{
    check_random_accesses(*state, VGPU_BAR0_SIZE);
}

/* ---- Counters ------------------------------------------------------------------ */

static void test_accesses_are_counted(void **state)
{
    static const char path[] = "/machine/peripheral/gpu";
    Testbed *t = *state;
    uint64_t reads = qtest_counter(t->qtest, path, "mmio-reads");
    uint64_t writes = qtest_counter(t->qtest, path, "mmio-writes");
    char *reply;

    for (unsigned size = 1; size <= 8; size *= 2) {
        read_n(t, VGPU_REG_REQUEST, size);
        read_n(t, VGPU_REG_REQUEST + 3, size);
        write_n(t, VGPU_REG_REQUEST, size, 0);
    }
    assert_int_equal(qtest_counter(t->qtest, path, "mmio-reads"), reads + 8);
    assert_int_equal(qtest_counter(t->qtest, path, "mmio-writes"), writes + 4);

    /* Neither a reset nor the administrator sets them back. */
    reset(state);
    assert_int_equal(qtest_counter(t->qtest, path, "mmio-reads"), reads + 8);
    reply = qtest_qmp(t->qtest,
                      "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"%s\", "
                      "\"property\": \"mmio-reads\", \"value\": 0}}",
                      path);
    assert_non_null(strstr(reply, "\"error\""));
    free(reply);
    assert_int_equal(qtest_counter(t->qtest, path, "mmio-reads"), reads + 8);
}

int main(int argc, char **argv)
{
#define COMMON                                                                 \
    cmocka_unit_test_setup(test_pci_identity, reset),                          \
        cmocka_unit_test_setup(test_interrupt_disable_bit, reset),             \
        cmocka_unit_test_setup(test_power_on_values, reset),                   \
        cmocka_unit_test_setup(test_access_of_each_register, reset),           \
        cmocka_unit_test_setup(test_doorbell_ignores_other_values, reset),     \
        cmocka_unit_test_setup(test_response_is_read_only, reset),             \
        cmocka_unit_test_setup(test_reset_returns_power_on_values, reset),     \
        cmocka_unit_test_setup(test_every_width_in_the_request_buffer, reset), \
        cmocka_unit_test_setup(test_every_width_reads_a_register, reset),      \
        cmocka_unit_test_setup(test_narrow_writes_to_registers, reset),        \
        cmocka_unit_test_setup(test_quad_write_to_registers, reset),           \
        cmocka_unit_test_setup(test_accesses_across_the_buffers_edges, reset), \
        cmocka_unit_test_setup(test_doorbell_by_every_width, reset),           \
        cmocka_unit_test_setup(test_interrupt_status_by_every_width, reset),   \
        cmocka_unit_test_setup(test_random_accesses, reset),                   \
        cmocka_unit_test_setup(test_accesses_are_counted, reset)

    const struct CMUnitTest without_window[] = {
        COMMON,
        cmocka_unit_test_setup(test_no_other_bar_and_no_msix, reset),
        cmocka_unit_test_setup(test_extension_block_is_empty, reset),
        cmocka_unit_test_setup(test_accesses_at_the_empty_extension_blocks_edges, reset),
        cmocka_unit_test_setup(test_random_accesses_to_the_end, reset),
    };
    const struct CMUnitTest with_window[] = {COMMON};

#undef COMMON
    if (argc > 1 && strcmp(argv[1], "window") == 0)
        return cmocka_run_group_tests_name("registers beside a window", with_window,
                                           open_with_window, testbed_teardown);
    return cmocka_run_group_tests_name("registers without a window", without_window,
                                       open_without_window, testbed_teardown);
}
