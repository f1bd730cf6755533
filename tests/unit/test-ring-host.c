/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mediator's end of a ring, on plain memory: no process and no eventfd takes part. */
#include <stdlib.h>
#include <string.h>

#include "ring-host.h"
#include "test.h"

#define WINDOW_SIZE (UINT64_C(1) << 20)

typedef struct Shared {
    VGPURingHeader *header;
    VGPUSubmission *submissions;
    VGPUCompletion *completions;
    uint32_t entries;
    RingHost ring;
} Shared;

/* Makes a ring all of whose indices begin at @index. */
static Shared *shared_new(uint32_t entries, uint32_t index)
{
    Shared *s = calloc(1, sizeof(*s));
    char *memory = aligned_alloc(4096, (vgpu_ring_size(entries) + 4095) / 4096 * 4096);

    assert_non_null(s);
    assert_non_null(memory);
    memset(memory, 0xa5, vgpu_ring_size(entries));
    *s = (Shared){
        .header = (VGPURingHeader *) memory,
        .submissions = (VGPUSubmission *) (memory + sizeof(VGPURingHeader)),
        .completions =
            (VGPUCompletion *) (memory + sizeof(VGPURingHeader) + entries * sizeof(VGPUSubmission)),
        .entries = entries,
    };
    *s->header = (VGPURingHeader){
        .sq_tail = index,
        .cq_head = index,
        .cq_event = index,
        .sq_head = index,
        .cq_tail = index,
        .sq_event = index,
    };
    assert_int_equal(ring_host_open(&s->ring, memory, entries, WINDOW_SIZE), RING_NOTHING);
    return s;
}

static void shared_free(Shared *s)
{
    free(s->header);
    free(s);
}

static int reopen(Shared *s)
{
    return ring_host_open(&s->ring, s->header, s->entries, WINDOW_SIZE);
}

static VGPUSubmission *slot(Shared *s, uint32_t index)
{
    return &s->submissions[index % s->entries];
}

static void submit(Shared *s, VGPUSubmission submission)
{
    *slot(s, s->header->sq_tail) = submission;
    s->header->sq_tail++;
}

static VGPUSubmission nop(uint64_t tag)
{
    return (VGPUSubmission){.tag = tag, .opcode = VGPU_OP_RING_NOP};
}

/* c = a + c: it shows when this is done twice. */
static VGPUSubmission accumulate(uint64_t tag)
{
    return (VGPUSubmission){
        .tag = tag,
        .opcode = VGPU_OP_RING_ADD,
        .type = VGPU_TYPE_INT32,
        .count = 4,
        .a = {.offset = 4096, .stride = 1},
        .b = {.offset = 8192, .stride = 1},
        .c = {.offset = 8192, .stride = 1},
    };
}

static RingEntry take(Shared *s)
{
    RingEntry e;

    assert_int_equal(ring_host_take(&s->ring, &e), RING_ENTRY);
    return e;
}

static void complete(Shared *s, const RingEntry *e, uint64_t value)
{
    const RingResult result = {.value = value, .exec_time_us = 7};

    ring_host_complete(&s->ring, e->index, e->submission.tag, &result);
}

/* The guest takes the next completion, which is this. */
static void expect_completion(Shared *s, uint64_t tag, uint32_t status, uint64_t value)
{
    const VGPUCompletion *c = &s->completions[s->header->cq_head % s->entries];

    assert_int_not_equal(s->header->cq_head, s->header->cq_tail);
    assert_int_equal(c->tag, tag);
    assert_int_equal(c->status, status);
    assert_int_equal(c->result, value);
    s->header->cq_head++;
}

/* ---- The way of an entry ----------------------------------------------------------- */

static void one_by_one(uint32_t entries, uint32_t begin)
{
    Shared *s = shared_new(entries, begin);

    for (uint32_t i = 0; i < 3 * entries; i++) {
        RingEntry e;

        assert_int_equal(ring_host_look(&s->ring), RING_NOTHING);
        submit(s, nop(1000 + i));
        e = take(s);
        assert_int_equal(e.index, begin + i);
        assert_int_equal(e.error, VGPU_ERROR_NONE);
        ring_host_start(&s->ring, e.index);
        assert_int_equal(slot(s, e.index)->state, VGPU_ENTRY_STARTED);
        complete(s, &e, i);
        assert_int_equal(slot(s, e.index)->state, VGPU_ENTRY_DONE);
        assert_int_equal(slot(s, e.index)->cq_index, begin + i);
        assert_int_equal(s->header->sq_head, begin + i + 1);
        expect_completion(s, 1000 + i, VGPU_ERROR_NONE, i);
    }
    shared_free(s);
}

/* Fills the ring each time, and completes from the last entry to the first. */
static void full_and_backwards(uint32_t entries, uint32_t begin)
{
    Shared *s = shared_new(entries, begin);
    RingEntry *e = calloc(entries, sizeof(*e));

    assert_non_null(e);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < entries; i++)
            submit(s, nop(i));
        for (uint32_t i = 0; i < entries; i++)
            e[i] = take(s);
        assert_int_equal(ring_host_look(&s->ring), RING_NOTHING);
        for (uint32_t i = entries; i-- > 0;) {
            assert_int_equal(s->header->sq_head, begin + round * entries);
            complete(s, &e[i], i);
        }
        assert_int_equal(s->header->sq_head, begin + (round + 1) * entries);
        for (uint32_t i = entries; i-- > 0;)
            expect_completion(s, i, VGPU_ERROR_NONE, i);
    }
    free(e);
    shared_free(s);
}

TEST(test_wrap)
{
    for (uint32_t entries = VGPU_RING_ENTRIES_MIN; entries <= 64; entries *= 2)
        for (uint32_t back = 0; back <= 2 * entries; back++) {
            one_by_one(entries, 0u - back);
            full_and_backwards(entries, 0u - back);
        }
    for (uint32_t begin = 0; begin < VGPU_RING_ENTRIES_MAX; begin += 31)
        full_and_backwards(VGPU_RING_ENTRIES_MAX, begin);
}

/* The mediator works with its copy, whatever the guest writes after publishing. */
TEST(test_copied_once)
{
    Shared *s = shared_new(8, 0);
    RingEntry e;

    submit(s, accumulate(1));
    e = take(s);
    memset(slot(s, 0), 0xff, sizeof(VGPUSubmission));
    assert_int_equal(e.submission.count, 4);
    complete(s, &e, 5);
    expect_completion(s, 1, VGPU_ERROR_NONE, 5);
    assert_int_equal(s->header->sq_head, 1);

    /* Nor does the mediator believe its own indices where the guest can write them. */
    s->header->sq_head = s->header->cq_tail = 77;
    submit(s, accumulate(2));
    e = take(s);
    assert_int_equal(e.index, 1);
    complete(s, &e, 6);
    assert_int_equal(s->header->sq_head, 2);
    assert_int_equal(s->header->cq_tail, 2);
    expect_completion(s, 2, VGPU_ERROR_NONE, 6);
    shared_free(s);
}

static void test_bad_entries(void **state)
{
    Shared *s = shared_new(8, 0);
    VGPUSubmission bad[5];

    (void) state;
    for (unsigned i = 0; i < 5; i++)
        bad[i] = accumulate(i);
    bad[0].opcode = 0x0101;
    bad[1].c.offset = WINDOW_SIZE - 15;
    bad[2].a.stride = 0;
    bad[3].state = VGPU_ENTRY_STARTED;
    bad[4].state = VGPU_ENTRY_DONE;
    for (unsigned i = 0; i < 5; i++) {
        submit(s, bad[i]);
        assert_int_equal(take(s).error,
                         i == 0 ? VGPU_ERROR_UNSUPPORTED_OP : VGPU_ERROR_INVALID_REQUEST);
    }
    shared_free(s);
}

/* ---- No room for completions ---------------------------------------------------------- */

TEST(test_completions_not_taken)
{
    Shared *s = shared_new(4, 0xfffffffe);
    RingEntry e;

    for (unsigned i = 0; i < 4; i++) {
        submit(s, nop(i));
        e = take(s);
        complete(s, &e, i);
    }
    submit(s, nop(4));
    assert_int_equal(ring_host_look(&s->ring), RING_FULL);
    assert_int_equal(ring_host_take(&s->ring, &e), RING_FULL);
    expect_completion(s, 0, VGPU_ERROR_NONE, 0);
    e = take(s);

    /* One entry in hand and three completions that are not taken fill the ring, too. */
    submit(s, nop(5));
    assert_int_equal(ring_host_look(&s->ring), RING_FULL);
    complete(s, &e, 4);
    assert_int_equal(ring_host_look(&s->ring), RING_FULL);
    for (unsigned i = 1; i < 5; i++)
        expect_completion(s, i, VGPU_ERROR_NONE, i);
    e = take(s);
    complete(s, &e, 5);
    expect_completion(s, 5, VGPU_ERROR_NONE, 5);
    shared_free(s);
}

/* ---- Indices that make no sense ---------------------------------------------------------- */

TEST(test_hostile_indices)
{
    static const uint32_t far[] = {5, 6, 1000, 0x7fffffff, 0x80000000, 0xffffffff};

    for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++)
        for (uint32_t begin = 0xfffffffa; begin != 6; begin++) {
            Shared *s = shared_new(4, begin);
            RingEntry e;

            submit(s, nop(1));
            e = take(s);
            s->header->sq_tail = begin + far[i];
            assert_int_equal(ring_host_look(&s->ring), RING_BROKEN);
            assert_int_equal(ring_host_take(&s->ring, &e), RING_BROKEN);
            assert_int_equal(ring_host_sleep(&s->ring), RING_BROKEN);

            s->header->sq_tail = begin + 1;
            complete(s, &e, 0);
            s->header->cq_head = begin - 1 + far[i];
            assert_int_equal(ring_host_look(&s->ring), RING_BROKEN);
            s->header->cq_head = begin - 1;
            assert_int_equal(ring_host_look(&s->ring), RING_BROKEN);
            s->header->cq_head = begin + 1;
            assert_int_equal(ring_host_look(&s->ring), RING_NOTHING);
            s->header->cq_head = begin;
            assert_int_equal(ring_host_look(&s->ring), RING_BROKEN);
            s->header->cq_head = begin + 1;

            /* The tail goes back behind what was taken. */
            s->header->sq_tail = begin;
            assert_int_equal(ring_host_look(&s->ring), RING_BROKEN);

            s->header->sq_tail = s->header->sq_head + far[i];
            assert_int_equal(reopen(s), RING_BROKEN);
            s->header->sq_tail = s->header->sq_head;
            s->header->cq_tail = s->header->cq_head + far[i];
            assert_int_equal(reopen(s), RING_BROKEN);
            shared_free(s);
        }
}

/* ---- Recovery -------------------------------------------------------------------------------- */

TEST(test_recover_each_state)
{
    Shared *s = shared_new(8, 0xfffffffd);
    VGPUSubmission pure = accumulate(4);
    RingEntry e[4];

    pure.c.offset = 16384;
    submit(s, nop(0));        /* will be STARTED */
    submit(s, accumulate(1)); /* DONE, and its completion is there */
    submit(s, accumulate(2)); /* STARTED, and must not be done again */
    submit(s, accumulate(3)); /* taken, and not started */
    submit(s, pure);          /* STARTED */
    submit(s, accumulate(5)); /* never looked at */
    for (unsigned i = 0; i < 4; i++)
        e[i] = take(s);
    ring_host_start(&s->ring, e[0].index);
    ring_host_start(&s->ring, e[1].index);
    ring_host_start(&s->ring, e[2].index);
    ring_host_start(&s->ring, e[0].index + 4);
    complete(s, &e[1], 11);

    assert_int_equal(reopen(s), RING_NOTHING);
    for (uint64_t tag = 0; tag < 6; tag++) {
        RingEntry again;

        if (tag == 1)
            continue;
        again = take(s);
        assert_int_equal(again.submission.tag, tag);
        if (tag == 2) {
            assert_int_equal(again.error, VGPU_ERROR_CUDA_ERROR);
            assert_int_equal(again.cuda_result, 719);
        } else {
            assert_int_equal(again.error, VGPU_ERROR_NONE);
        }
        complete(s, &again, tag);
    }
    assert_int_equal(ring_host_look(&s->ring), RING_NOTHING);
    assert_int_equal(s->header->sq_head, s->header->sq_tail);
    expect_completion(s, 1, VGPU_ERROR_NONE, 11);
    for (uint64_t tag = 0; tag < 6; tag++)
        if (tag != 1)
            expect_completion(s, tag, VGPU_ERROR_NONE, tag);
    shared_free(s);
}

/* A mediator can die between any two of its steps: what it has written by then is recovered. */
static void test_recover_within_completion(void **state)
{
    enum { BEFORE_DONE, BEFORE_ENTRY, BEFORE_TAIL, BEFORE_HEAD, N };

    (void) state;
    for (unsigned step = 0; step < N; step++)
        for (uint32_t begin = 0xfffffff8; begin != 8; begin++) {
            Shared *s = shared_new(4, begin);
            VGPUSubmission *entry = slot(s, begin + 1);
            bool again = step == BEFORE_DONE;
            RingEntry e;

            submit(s, accumulate(1));
            submit(s, accumulate(2));
            e = take(s);
            ring_host_start(&s->ring, begin);
            complete(s, &e, 1);
            (void) take(s);
            ring_host_start(&s->ring, begin + 1);
            entry->status = VGPU_ERROR_NONE;
            entry->result = 22;
            entry->cq_index = begin + 1;
            if (step > BEFORE_DONE)
                entry->state = VGPU_ENTRY_DONE;
            if (step > BEFORE_ENTRY)
                s->completions[(begin + 1) % 4] = (VGPUCompletion){.tag = 2, .result = 22};
            if (step > BEFORE_TAIL)
                s->header->cq_tail++;

            assert_int_equal(reopen(s), RING_NOTHING);
            expect_completion(s, 1, VGPU_ERROR_NONE, 1);
            if (again) {
                e = take(s);
                assert_int_equal(e.error, VGPU_ERROR_CUDA_ERROR);
                complete(s, &e, 0);
            } else {
                expect_completion(s, 2, VGPU_ERROR_NONE, 22);
            }
            assert_int_equal(ring_host_look(&s->ring), RING_NOTHING);
            assert_int_equal(s->header->sq_head, begin + 2);
            assert_int_equal(s->header->cq_tail, begin + 2);
            shared_free(s);
        }
}

/* A guest may forge what an earlier mediator is said to have left. */
static void test_recover_hostile(void **state)
{
    Shared *s = shared_new(8, 0);

    (void) state;
    for (uint32_t i = 0; i < 8; i++) {
        VGPUSubmission done = nop(i);

        done.state = VGPU_ENTRY_DONE;
        done.cq_index = i;
        submit(s, done);
    }
    assert_int_equal(reopen(s), RING_NOTHING);
    assert_int_equal(s->header->cq_tail, 8);
    assert_int_equal(s->header->sq_head, 8);

    s->header->sq_head = 0;
    for (uint32_t i = 0; i < 8; i++)
        slot(s, i)->cq_index = 8 + i;
    assert_int_equal(reopen(s), RING_BROKEN);
    shared_free(s);
}

/* ---- Suppression --------------------------------------------------------------------------------
 */

TEST(test_events)
{
    Shared *s = shared_new(8, 0xffffffff);
    RingEntry e;

    assert_int_equal(ring_host_sleep(&s->ring), RING_NOTHING);
    assert_int_equal(s->header->sq_event, 0xffffffff);
    submit(s, nop(1));
    assert_true(vgpu_ring_must_notify(s->header->sq_event, 0, 0xffffffff));
    assert_int_equal(ring_host_sleep(&s->ring), RING_ENTRY);
    e = take(s);

    s->header->cq_event = 0xffffffff; /* the next completion */
    assert_false(ring_host_must_signal(&s->ring));
    complete(s, &e, 0);
    assert_true(ring_host_must_signal(&s->ring));
    assert_false(ring_host_must_signal(&s->ring));

    s->header->cq_event = 2; /* the third from here */
    for (uint32_t i = 0; i < 4; i++) {
        submit(s, nop(i));
        e = take(s);
        complete(s, &e, 0);
        assert_int_equal(ring_host_must_signal(&s->ring), i == 2);
    }
    shared_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_copied_once),
        cmocka_unit_test(test_bad_entries),
        cmocka_unit_test(test_completions_not_taken),
        cmocka_unit_test(test_hostile_indices),
        cmocka_unit_test(test_recover_each_state),
        cmocka_unit_test(test_recover_within_completion),
        cmocka_unit_test(test_recover_hostile),
        cmocka_unit_test(test_events),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
