/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring with a real executor: rings at their edges, entries at theirs, and
 * what of them the queue makes. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"

static int start_default(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\n[Limits]\nVMQueueLimit=64\n");
}

/* ---- Rings ------------------------------------------------------------------------ */

TEST(test_round_trip)
{
    RingGuest g;
    int fd = ring_up(&g, 8, 0);
    VGPUSubmission add = ring_guest_add(7, 3, 65536, 65536 + 24, 65536 + 48), sum = add;

    expect_ring_works(&g);
    for (unsigned i = 0; i < 6; i++)
        *ring_cell(&g, 8192 + i) = INT64_C(1) << (10 * i);
    ring_guest_submit(&g, &add);
    expect_tag(&g, 7);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(*ring_cell(&g, 8192 + 6 + i),
                         (INT64_C(1) << (10 * i)) + (INT64_C(1) << (10 * (i + 3))));

    sum.opcode = VGPU_OP_RING_SUM;
    ring_guest_submit(&g, &sum);
    assert_int_equal(expect_completion(&g, VGPU_ERROR_NONE).result, 1 + (1 << 10) + (1 << 20));
    ring_down(&g, fd);
}

/* As many as there are entries, again and again, with every index at the seam. */
TEST(test_wrap)
{
    int fd = ring_hello(5, VGPU_PRIORITY_LOW);

    for (uint32_t entries = 4; entries <= 16; entries *= 2)
        for (uint32_t back = 0; back <= entries; back++) {
            RingGuest g;

            assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, entries, 0u - back), 0);
            assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
            expect_ready(fd, VGPU_ERROR_NONE);
            for (uint32_t round = 0; round < 3; round++) {
                for (uint32_t i = 0; i < entries; i++) {
                    const VGPUSubmission nop = ring_guest_nop(i);

                    ring_guest_fill(&g, &nop);
                }
                (void) ring_guest_publish(&g);
                for (uint32_t i = 0; i < entries; i++)
                    expect_tag(&g, i);
            }
            assert_int_equal(g.header->sq_head, g.sq_tail);
            ring_off(fd);
            expect_stopped(fd);
            ring_guest_close(&g);
        }
    close(fd);
}

/* A thousand with one doorbell, far more than the VM may have in the queue: each is done
 * once, and few signals tell of them. */
TEST(test_full)
{
    bool seen[VGPU_RING_ENTRIES_MAX] = {false};
    RingGuest g;
    int fd = ring_up(&g, VGPU_RING_ENTRIES_MAX, 12345);

    ring_wait_taken(&g);
    for (uint32_t i = 0; i < VGPU_RING_ENTRIES_MAX; i++) {
        const VGPUSubmission nop = ring_guest_nop(i);

        ring_guest_fill(&g, &nop);
    }
    assert_int_equal(ring_guest_room(&g), 0);
    assert_true(ring_guest_publish(&g));
    for (uint32_t i = 0; i < VGPU_RING_ENTRIES_MAX; i++) {
        uint64_t tag = expect_completion(&g, VGPU_ERROR_NONE).tag;

        assert_true(tag < VGPU_RING_ENTRIES_MAX && !seen[tag]);
        seen[tag] = true;
    }
    assert_int_equal(g.n_doorbells, 1);
    assert_true(g.n_signals < VGPU_RING_ENTRIES_MAX / 2);
    assert_int_equal(ring_guest_room(&g), VGPU_RING_ENTRIES_MAX);
    ring_down(&g, fd);
}

/* Nothing is begun that could not be told of; taking lets it go on. */
TEST(test_completions_not_taken)
{
    RingGuest g;
    int fd = ring_up(&g, 4, 0);

    for (uint64_t tag = 0; tag < 8; tag++) {
        const VGPUSubmission nop = ring_guest_nop(tag);

        while (ring_guest_room(&g) == 0)
            continue;
        ring_guest_submit(&g, &nop);
    }
    expect_pong(fd);
    assert_int_equal(g.header->cq_tail, 4);
    for (uint64_t tag = 0; tag < 8; tag++)
        expect_tag(&g, tag);
    expect_ring_works(&g);
    ring_down(&g, fd);
}

TEST(test_ring_and_messages_at_once)
{
    enum { N = 2000 };
    RingGuest g;
    int fd = ring_up(&g, 64, 0);
    uint64_t tag = 0, done = 0;

    for (uint32_t id = 0; id < N; id++) {
        VGPUCompletion c;

        while (ring_guest_room(&g) > 0) {
            const VGPUSubmission nop = ring_guest_nop(tag++);

            ring_guest_fill(&g, &nop);
        }
        (void) ring_guest_publish(&g);
        assert_true(wire_send_add(fd, 5, id, 0, id, 1));
        expect_sum(fd, id, id + 1);
        while (ring_guest_take(&g, &c)) {
            assert_int_equal(c.status, VGPU_ERROR_NONE);
            done++;
        }
    }
    for (; done < tag; done++)
        (void) expect_completion(&g, VGPU_ERROR_NONE);
    ring_down(&g, fd);
}

/* ---- Entries ---------------------------------------------------------------------- */

static void expect_status(RingGuest *g, const VGPUSubmission *s, uint32_t status)
{
    ring_guest_submit(g, s);
    assert_int_equal(expect_completion(g, status).tag, s->tag);
}

/* Each operand in turn, around the end of the window and of the numbers. */
TEST(test_boundaries)
{
    static const uint64_t far[] = {UINT64_MAX,        UINT64_MAX - 7,    UINT64_MAX - 31,
                                   UINT64_C(1) << 63, UINT64_C(1) << 40, RING_WINDOW};
    RingGuest g;
    int fd = ring_up(&g, 16, 0);

    for (unsigned which = 0; which < 3; which++) {
        for (uint64_t offset = RING_WINDOW - 40; offset <= RING_WINDOW; offset++) {
            VGPUSubmission s = ring_guest_add(offset, 4, 8192, 16384, 32768);
            bool fits = offset % 8 == 0 && offset + 32 <= RING_WINDOW;

            (which == 0 ? &s.a : which == 1 ? &s.b : &s.c)->offset = offset;
            expect_status(&g, &s, fits ? VGPU_ERROR_NONE : VGPU_ERROR_INVALID_REQUEST);
        }
        for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
            VGPUSubmission s = ring_guest_add(i, 4, 8192, 16384, 32768);
            VGPUOperand *o = which == 0 ? &s.a : which == 1 ? &s.b : &s.c;

            o->offset = far[i];
            expect_status(&g, &s, VGPU_ERROR_INVALID_REQUEST);
            o->offset = 8192;
            s.count = far[i];
            expect_status(&g, &s, VGPU_ERROR_INVALID_REQUEST);
            s.count = 4;
            o->stride = (uint32_t) far[i];
            if (o->stride == 0 || o->stride > RING_WINDOW)
                expect_status(&g, &s, VGPU_ERROR_INVALID_REQUEST);
        }
    }
    expect_ring_works(&g);
    ring_down(&g, fd);
}

static void test_bad_entries(void **state)
{
    RingGuest g;
    int fd = ring_up(&g, 16, 0);
    VGPUSubmission s;

    (void) state;
    s = ring_guest_add(1, 4, 8192, 16384, 32768);
    s.opcode = VGPU_OP_VECTOR_ADD_INT32;
    expect_status(&g, &s, VGPU_ERROR_UNSUPPORTED_OP);
    s.opcode = VGPU_OP_RING_AXPY; /* of int64 */
    expect_status(&g, &s, VGPU_ERROR_UNSUPPORTED_OP);
    s = ring_guest_add(1, 0, 8192, 16384, 32768);
    expect_status(&g, &s, VGPU_ERROR_INVALID_REQUEST);
    s = ring_guest_nop(1);
    s.state = VGPU_ENTRY_STARTED;
    expect_status(&g, &s, VGPU_ERROR_INVALID_REQUEST);
    s.state = VGPU_ENTRY_DONE;
    expect_status(&g, &s, VGPU_ERROR_INVALID_REQUEST);
    expect_ring_works(&g);
    ring_down(&g, fd);
}

typedef struct Scribbler {
    RingGuest *g;
    bool stop;
} Scribbler;

/* Writes over all entries, between what may be computed and what must not. */
static void *scribble(void *userdata)
{
    Scribbler *s = userdata;
    volatile VGPUSubmission *entry = s->g->submissions;

    for (uint32_t i = 0; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
        volatile VGPUSubmission *e = &entry[i % s->g->setup.entries];

        e->c.offset = i & 16 ? RING_WINDOW - 8 : 32768;
        e->count = i & 32 ? UINT64_MAX / 8 : 4;
        e->a.stride = i & 64 ? 0x20000000 : 1;
        e->opcode = i & 128 ? 0xffffffff : VGPU_OP_RING_ADD;
    }
    return NULL;
}

/* Entries that change while they are read: each ends one way or the other, and the
 * executor that computes them lives. */
TEST(test_changed_after_publishing)
{
    enum { ROUNDS = 3000 };
    RingGuest g;
    int fd = ring_up(&g, 64, 0);
    Scribbler scribbler = {.g = &g};
    pthread_t thread;
    pid_t executor;

    expect_ring_works(&g);
    executor = test_mediator_executor(&mediator);
    assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 16; i++) {
            const VGPUSubmission add = ring_guest_add(i, 4, 8192, 16384, 32768);

            ring_guest_fill(&g, &add);
        }
        (void) ring_guest_publish(&g);
        for (unsigned i = 0; i < 16; i++) {
            VGPUCompletion c;

            assert_true(ring_guest_wait(&g, &c, WIRE_TIMEOUT_MSEC));
            assert_true(c.status == VGPU_ERROR_NONE || c.status == VGPU_ERROR_INVALID_REQUEST ||
                        c.status == VGPU_ERROR_UNSUPPORTED_OP);
        }
    }
    __atomic_store_n(&scribbler.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_ring_works(&g);
    expect_add_works();
    assert_int_equal(test_mediator_executor(&mediator), executor);
    ring_down(&g, fd);
}

/* ---- Windows ------------------------------------------------------------------------- */

static void use_window(uint64_t size, uint64_t offset)
{
    int fd = ring_hello(5, VGPU_PRIORITY_LOW);
    RingGuest g;
    uint64_t last = size - 8;
    VGPUSubmission add = ring_guest_add(1, 1, last, last, last);

    if (offset == size)
        add = ring_guest_add(1, 1, 0, 0, 0);
    assert_int_equal(ring_guest_open(&g, size, offset, 256, 0), 0);
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, VGPU_ERROR_NONE);
    *ring_cell(&g, last / 8) = 21;
    ring_guest_submit(&g, &add);
    expect_tag(&g, 1);
    assert_int_equal(*ring_cell(&g, last / 8), 42);
    ring_down(&g, fd);
}

TEST(test_windows)
{
    use_window(VGPU_WINDOW_SIZE_MIN, 0);
    use_window(VGPU_WINDOW_SIZE_DEFAULT, VGPU_WINDOW_SIZE_DEFAULT / 2);
    use_window(UINT64_C(1) << 30, (UINT64_C(1) << 30) - 65536);
    use_window(UINT64_C(1) << 36, UINT64_C(1) << 35);
}

/* ---- The queue ------------------------------------------------------------------------ */

static int start_ordered(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\nInFlight=1\n[Limits]\nVMQueueLimit=128\n"
                      "[Timeouts]\nRequestTimeoutSec=infinity\n");
}

/* 64 on one ring, at priorities that the v1 messages in between set: they end in the order
 * of the priorities, and inside one in that of the ring. */
TEST(test_priorities)
{
    static const uint8_t priority[] = {VGPU_PRIORITY_LOW, VGPU_PRIORITY_HIGH, VGPU_PRIORITY_MEDIUM,
                                       VGPU_PRIORITY_HIGH};
    static const uint64_t order[] = {1, 3, 2, 0};
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 128, 0);

    for (unsigned batch = 0; batch < 4; batch++) {
        /* Queued, and the first of all on the executor. */
        assert_true(wire_send_add(fd, 5, batch, priority[batch], batch, 0));
        expect_pong(fd);
        for (unsigned i = 0; i < 16; i++) {
            const VGPUSubmission nop = ring_guest_nop(16 * batch + i);

            ring_guest_fill(&g, &nop);
        }
        (void) ring_guest_publish(&g);
        ring_wait_taken(&g);
    }
    assert_int_equal(kill(executor, SIGCONT), 0);
    for (unsigned i = 0; i < 64; i++)
        expect_tag(&g, 16 * order[i / 16] + i % 16);
    ring_down(&g, fd);
}

static int start_tight(void **state)
{
    (void) state;
    return start_with(
        "[Pool A]\nBackend=cpu\nInFlight=1\nQueueLimit=2\n[Limits]\nVMQueueLimit=1\n");
}

/* Where the queue has next to no places, rings wait for them in turn. */
TEST(test_tight_queue)
{
    enum { RINGS = 5, ENTRIES = 256 };
    RingGuest g[RINGS];
    int fd[RINGS];

    for (unsigned i = 0; i < RINGS; i++)
        fd[i] = ring_up(&g[i], ENTRIES, i);
    for (unsigned i = 0; i < RINGS; i++) {
        for (uint64_t tag = 0; tag < ENTRIES; tag++) {
            const VGPUSubmission nop = ring_guest_nop(tag);

            ring_guest_fill(&g[i], &nop);
        }
        (void) ring_guest_publish(&g[i]);
    }
    for (unsigned i = 0; i < RINGS; i++) {
        for (uint64_t tag = 0; tag < ENTRIES; tag++)
            expect_tag(&g[i], tag);
        ring_down(&g[i], fd[i]);
    }
}

static int start_fair(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\nInFlight=4\n[Limits]\nVMQueueLimit=32\n");
}

typedef struct Flood {
    RingGuest g;
    bool stop;
} Flood;

static void *flood(void *userdata)
{
    Flood *f = userdata;
    uint64_t tag = 0;

    f->g.spins = true;
    while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
        VGPUCompletion c;

        while (ring_guest_room(&f->g) > 0) {
            const VGPUSubmission nop = ring_guest_nop(tag++);

            ring_guest_fill(&f->g, &nop);
        }
        (void) ring_guest_publish(&f->g);
        while (ring_guest_take(&f->g, &c))
            continue;
    }
    return NULL;
}

/* A neighbour of the same priority waits for what the flooding VM may have queued, and
 * what may be on the executor, and for no more. What is added is what the
 * flood gets done between the test's looks and the mediator's. */
TEST(test_flood)
{
    enum { N = 500, BOUND = 32 + 4 };
    Flood f = {.stop = false};
    unsigned within = 0;
    int fd = ring_up(&f.g, VGPU_RING_ENTRIES_MAX, 0), neighbour = ring_hello(6, VGPU_PRIORITY_LOW);
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, flood, &f), 0);
    for (uint32_t id = 0; id < N; id++) {
        uint32_t before = __atomic_load_n(&f.g.header->cq_tail, __ATOMIC_ACQUIRE);

        assert_true(wire_send_add(neighbour, 6, id, VGPU_PRIORITY_LOW, id, 1));
        expect_sum(neighbour, id, id + 1);
        if (__atomic_load_n(&f.g.header->cq_tail, __ATOMIC_ACQUIRE) - before <= 8 * BOUND)
            within++;
    }
    __atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(within >= N * 9 / 10);
    close(neighbour);
    ring_down(&f.g, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, start_default, stop),
        cmocka_unit_test_setup_teardown(test_wrap, start_default, stop),
        cmocka_unit_test_setup_teardown(test_full, start_default, stop),
        cmocka_unit_test_setup_teardown(test_completions_not_taken, start_default, stop),
        cmocka_unit_test_setup_teardown(test_ring_and_messages_at_once, start_default, stop),
        cmocka_unit_test_setup_teardown(test_boundaries, start_default, stop),
        cmocka_unit_test_setup_teardown(test_bad_entries, start_default, stop),
        cmocka_unit_test_setup_teardown(test_changed_after_publishing, start_default, stop),
        cmocka_unit_test_setup_teardown(test_windows, start_default, stop),
        cmocka_unit_test_setup_teardown(test_priorities, start_ordered, stop),
        cmocka_unit_test_setup_teardown(test_tight_queue, start_tight, stop),
        cmocka_unit_test_setup_teardown(test_flood, start_fair, stop),
    };

    return cmocka_run_group_tests_name("service-ring", tests, NULL, NULL);
}
