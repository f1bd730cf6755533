/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The executor's end of a session's ring, with guests that write whatever they like. */
#include <stdlib.h>

#include "session-ring.h"
#include "test.h"

#define SIZE VGPU_SESSION_RING_MIN

typedef struct Guest {
    unsigned char *memory; /* exactly the ring, for the sanitizer's eyes */
    uint64_t tail;
    SessionRing ring;
} Guest;

static int setup(void **state)
{
    Guest *g = calloc(1, sizeof(*g));

    assert_non_null(g);
    g->memory = aligned_alloc(16, SIZE);
    assert_non_null(g->memory);
    memset(g->memory, 0xee, SIZE);
    session_ring_init(&g->ring, g->memory, &g->tail, SIZE);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    Guest *g = *state;

    free(g->memory);
    free(g);
    return 0;
}

static void write_at(Guest *g, uint64_t position, const VGPUSessionRecord *r)
{
    memcpy(g->memory + position % SIZE, r, sizeof(*r));
}

/* A record at tail, and tail behind it; its parameters are what lies there. */
static void put(Guest *g, VGPUSessionRecord r)
{
    write_at(g, g->tail, &r);
    g->tail += r.size;
}

static VGPUSessionRecord nop(void)
{
    return (VGPUSessionRecord){.size = 32, .opcode = VGPU_SESSION_OP_NOP};
}

static int take(Guest *g, SessionRingRecord *ret)
{
    return session_ring_take(&g->ring, ret);
}

static void assert_broken(Guest *g, const char *reason)
{
    SessionRingRecord record;
    uint64_t head = g->ring.head;

    assert_int_equal(take(g, &record), SESSION_RING_BROKEN);
    assert_string_equal(g->ring.reason, reason);
    assert_int_equal(g->ring.head, head);
    /* for ever, whatever the guest does now */
    g->tail = head;
    put(g, nop());
    assert_int_equal(take(g, &record), SESSION_RING_BROKEN);
}

/* ---- What is right ----------------------------------------------------------------------------
 */

static void test_empty(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    assert_false(session_ring_has_news(&g->ring));
    assert_int_equal(take(g, &record), SESSION_RING_EMPTY);
    put(g, nop());
    assert_true(session_ring_has_news(&g->ring));
    assert_int_equal(take(g, &record), 0);
    assert_int_equal(record.position, 0);
    assert_int_equal(record.record->opcode, VGPU_SESSION_OP_NOP);
    assert_true(record.known);
    assert_null(record.more);
    assert_int_equal(record.more_size, 0);
    assert_int_equal(g->ring.head, 32);
    assert_int_equal(take(g, &record), SESSION_RING_EMPTY);
}

/* Every operation with exactly its parameters is a record; the table says what it is. */
static void test_every_operation(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

#define TAKE(name, number, type, expected)                                              \
    put(g, (VGPUSessionRecord){.size = (uint32_t) (16 + (sizeof(type) + 15) / 16 * 16), \
                               .opcode = VGPU_SESSION_OP_##name,                        \
                               .reply = VGPU_SESSION_REPLIES,                           \
                               .capture_mode = 2});                                     \
    assert_int_equal(take(g, &record), 0);                                              \
    assert_true(record.known);                                                          \
    assert_int_equal(record.properties, (expected));                                    \
    assert_int_equal((uintptr_t) record.parameters % 16, 0);
    VGPU_SESSION_OPERATIONS(TAKE)
#undef TAKE
    assert_int_equal(take(g, &record), SESSION_RING_EMPTY);
}

/* What follows the parameters, up to the end of the record */
static void test_more(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    memset(g->memory, 7, SIZE);
    put(g, (VGPUSessionRecord){.size = 16 + 96, .opcode = VGPU_SESSION_OP_LAUNCH});
    assert_int_equal(take(g, &record), 0);
    assert_int_equal(record.more_size, 96 - sizeof(VGPUSessionLaunch));
    assert_ptr_equal(record.more,
                     (const unsigned char *) record.parameters + sizeof(VGPUSessionLaunch));
    assert_int_equal(record.more[record.more_size - 1], 7);
}

/* The largest record, in every place where it fits */
static void test_largest(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    for (unsigned i = 0; i < 8; i++) {
        put(g,
            (VGPUSessionRecord){.size = VGPU_SESSION_RECORD_MAX, .opcode = VGPU_SESSION_OP_LAUNCH});
        assert_int_equal(take(g, &record), 0);
        assert_int_equal(record.position, (uint64_t) i * VGPU_SESSION_RECORD_MAX);
        assert_int_equal(record.more_size,
                         VGPU_SESSION_RECORD_MAX - 16 - sizeof(VGPUSessionLaunch));
    }
}

/* Positions run on while the ring goes round; a PAD of any size fills its end. */
static void test_round_and_round(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 37; i++) {
            put(g, (VGPUSessionRecord){.size = 16 + 1600, .opcode = VGPU_SESSION_OP_LAUNCH});
            assert_int_equal(take(g, &record), 0);
            assert_int_equal(record.position + 1616, g->tail);
        }
        put(g, (VGPUSessionRecord){.size = (uint32_t) (SIZE - g->tail % SIZE)});
        assert_int_equal(take(g, &record), 0);
        assert_int_equal(record.record->opcode, VGPU_SESSION_OP_PAD);
        assert_int_equal(g->ring.head % SIZE, 0);
    }
}

/* A PAD has no contents, so it may be as long as the ring, and as short as a header. Its reserved
 * bytes do not count. */
static void test_pads(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    put(g, (VGPUSessionRecord){.size = SIZE, .reply = 65535, .capture_mode = 9});
    assert_int_equal(take(g, &record), 0);
    put(g, (VGPUSessionRecord){.size = 16});
    assert_int_equal(take(g, &record), 0);
    assert_null(record.more);
    assert_int_equal(record.more_size, 0);
    assert_int_equal(take(g, &record), SESSION_RING_EMPTY);
}

/* Positions may pass 2^64. */
static void test_wrap_of_positions(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    g->ring.head = g->ring.seen = g->tail = UINT64_MAX - 15;
    put(g, (VGPUSessionRecord){.size = 16});
    put(g, nop());
    assert_int_equal(take(g, &record), 0);
    assert_int_equal(take(g, &record), 0);
    assert_int_equal(record.position, 0);
    assert_int_equal(g->ring.head, 32);
}

/* Operations that do not exist here are records all the same: a newer guest may ask for them. */
static void test_unknown_operation(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;
    static const uint16_t opcodes[] = {0x00f, VGPU_SESSION_N_OPS, 0x3ff, 65535};

    for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
        put(g, (VGPUSessionRecord){.size = 64, .opcode = opcodes[i], .reply = 3});
        assert_int_equal(take(g, &record), 0);
        assert_false(record.known);
        assert_int_equal(record.properties, 0);
        assert_int_equal(record.record->reply, 3);
    }
}

/* What the guest changes after a record was taken, nobody sees. */
static void test_copy(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    put(g, nop());
    assert_int_equal(take(g, &record), 0);
    memset(g->memory, 0xff, SIZE);
    assert_int_equal(record.record->opcode, VGPU_SESSION_OP_NOP);
    assert_int_equal(record.record->size, 32);
    assert_int_equal(*(const unsigned char *) record.parameters, 0xee);
}

/* All that was there at one look is taken before tail is looked at again. */
static void test_tail_is_read_once(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    put(g, nop());
    put(g, nop());
    assert_int_equal(take(g, &record), 0);
    g->tail = 7;
    assert_int_equal(take(g, &record), 0);
    assert_broken(g, "its tail is not in the ring");
}

/* ---- What is wrong ----------------------------------------------------------------------------
 */

static void test_tails(void **state)
{
    Guest *g = *state;
    static const struct {
        uint64_t tail;
        const char *reason;
    } wrong[] = {
        {8, "its tail is not aligned"},
        {SIZE - 1, "its tail is not aligned"},
        {SIZE + 16, "its tail is not in the ring"},
        {UINT64_MAX, "its tail is not in the ring"},
        {UINT64_MAX - 15, "its tail is not in the ring"},
        {UINT64_C(1) << 63, "its tail is not in the ring"},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        session_ring_init(&g->ring, g->memory, &g->tail, SIZE);
        g->tail = wrong[i].tail;
        assert_broken(g, wrong[i].reason);
    }
}

static void test_tail_goes_back(void **state)
{
    Guest *g = *state;
    SessionRingRecord record;

    put(g, nop());
    assert_int_equal(take(g, &record), 0);
    g->tail = 16;
    assert_broken(g, "its tail is not in the ring");
}

static void test_records(void **state)
{
    Guest *g = *state;
    const uint16_t n = VGPU_SESSION_OP_NOP, launch = VGPU_SESSION_OP_LAUNCH;
    const struct {
        uint64_t tail; /* behind it */
        VGPUSessionRecord record;
        const char *reason;
    } wrong[] = {
        {32, {.size = 0, .opcode = n}, "a record has a size that none can have"},
        {32, {.size = 8, .opcode = n}, "a record has a size that none can have"},
        {32, {.size = 31, .opcode = n}, "a record has a size that none can have"},
        {32, {.size = 33, .opcode = n}, "a record has a size that none can have"},
        {32, {.size = 0}, "a record has a size that none can have"},
        {32, {.size = UINT32_MAX, .opcode = n}, "a record has a size that none can have"},
        {32, {.size = UINT32_MAX - 15, .opcode = n}, "a record is too large"},
        {SIZE, {.size = VGPU_SESSION_RECORD_MAX + 16, .opcode = launch}, "a record is too large"},
        {16, {.size = 32, .opcode = n}, "a record ends behind the tail"},
        {32, {.size = 48}, "a record ends behind the tail"},
        {32, {.size = UINT32_MAX - 15}, "a record ends behind the tail"},
        {32, {.size = 16, .opcode = n}, "an operation lacks parameters"},
        {64, {.size = 64, .opcode = launch}, "an operation lacks parameters"},
        {48, {.size = 48, .opcode = n}, "an operation has more parameters than it takes"},
        {32,
         {.size = 32, .opcode = n, .reply = 257},
         "a record has a reply slot that does not exist"},
        {32,
         {.size = 32, .opcode = n, .reply = 65535},
         "a record has a reply slot that does not exist"},
        {32,
         {.size = 32, .opcode = 999, .reply = 257},
         "a record has a reply slot that does not exist"},
        {32,
         {.size = 32, .opcode = n, .capture_mode = 3},
         "a record's header has bits that mean nothing"},
        {32,
         {.size = 32, .opcode = n, .reserved = 1},
         "a record's header has bits that mean nothing"},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        session_ring_init(&g->ring, g->memory, &g->tail, SIZE);
        write_at(g, 0, &wrong[i].record);
        g->tail = wrong[i].tail;
        assert_broken(g, wrong[i].reason);
    }
}

/* A record that goes on at the ring's beginning, and a PAD that does */
static void test_over_the_end(void **state)
{
    Guest *g = *state;
    static const uint16_t opcodes[] = {VGPU_SESSION_OP_NOP, VGPU_SESSION_OP_PAD};
    SessionRingRecord record;

    for (unsigned i = 0; i < 2; i++) {
        g->tail = 0;
        session_ring_init(&g->ring, g->memory, &g->tail, SIZE);
        put(g, (VGPUSessionRecord){.size = SIZE - 16});
        assert_int_equal(take(g, &record), 0);
        put(g, (VGPUSessionRecord){.size = 32, .opcode = opcodes[i]});
        assert_broken(g, "a record goes over the end of the ring");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_operation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_and_round, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrap_of_positions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_operation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_over_the_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
