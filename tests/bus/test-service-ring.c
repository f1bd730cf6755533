/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings with a real executor: full and empty rings, entries at the edges of what is valid, and
 * how the queue treats them. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"

#define DEFAULT "[Pool A]\nBackend=cpu\n[Limits]\nVMQueueLimit=64\n"
#define ORDERED                                                       \
    "[Pool A]\nBackend=cpu\nInFlight=1\n[Limits]\nVMQueueLimit=128\n" \
    "[Timeouts]\nRequestTimeoutSec=infinity\n"
#define TIGHT "[Pool A]\nBackend=cpu\nInFlight=1\nQueueLimit=2\n[Limits]\nVMQueueLimit=1\n"
#define FAIR "[Pool A]\nBackend=cpu\nInFlight=4\n[Limits]\nVMQueueLimit=32\n"

/* The ring of the test at hand */
static RingGuest g;
static int fd;

static int stop_ring(void **state)
{
    ring_down(&g, fd);
    return stop(state);
}

/* ---- Rings ------------------------------------------------------------------------ */

TEST(test_round_trip)
{
    VGPUSubmission add = ring_guest_add(7, 3, 65536, 65536 + 24, 65536 + 48), sum = add;

    fd = ring_up(&g, 8, 0);
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
}

/* Fills the ring again and again, with each index at the seam of 2^32. */
TEST(test_wrap)
{
    fd = ring_hello(5, VGPU_PRIORITY_LOW);
    for (uint32_t entries = 4; entries <= 16; entries *= 2)
        for (uint32_t back = 0; back <= entries; back++) {
            assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, entries, 0u - back), 0);
            ring_turn_on(&g, fd);
            for (uint32_t round = 0; round < 3; round++) {
                (void) ring_publish_nops(&g, 0, entries);
                expect_tags(&g, 0, entries);
            }
            assert_int_equal(g.header->sq_head, g.sq_tail);
            ring_turn_off(fd);
            ring_guest_close(&g);
        }
    close(fd);
}

/* A thousand entries with one doorbell, far more than the VM may have queued. Each is done
 * once, and there are few completion signals. */
TEST(test_full)
{
    bool seen[VGPU_RING_ENTRIES_MAX] = {false};

    fd = ring_up(&g, VGPU_RING_ENTRIES_MAX, 12345);
    ring_wait_taken(&g);
    assert_true(ring_publish_nops(&g, 0, VGPU_RING_ENTRIES_MAX));
    for (uint32_t i = 0; i < VGPU_RING_ENTRIES_MAX; i++) {
        uint64_t tag = expect_completion(&g, VGPU_ERROR_NONE).tag;

        assert_true(tag < VGPU_RING_ENTRIES_MAX && !seen[tag]);
        seen[tag] = true;
    }
    assert_int_equal(g.n_doorbells, 1);
    assert_true(g.n_signals < VGPU_RING_ENTRIES_MAX / 2);
    assert_int_equal(ring_guest_room(&g), VGPU_RING_ENTRIES_MAX);
}

/* The mediator begins no entry for whose completion there is no room. It goes on when the guest
 * takes completions. */
TEST(test_completions_not_taken)
{
    fd = ring_up(&g, 4, 0);
    for (uint64_t tag = 0; tag < 8; tag++) {
        const VGPUSubmission nop = ring_guest_nop(tag);

        while (ring_guest_room(&g) == 0)
            continue;
        ring_guest_submit(&g, &nop);
    }
    expect_pong(fd);
    assert_int_equal(g.header->cq_tail, 4);
    expect_tags(&g, 0, 8);
    expect_ring_works(&g);
}

/* Fills the ring with entries that do nothing; returns how many. */
static uint32_t fill_up(RingGuest *ring, uint64_t tag)
{
    uint32_t n = ring_guest_room(ring);

    (void) ring_publish_nops(ring, tag, n);
    return n;
}

TEST(test_ring_and_messages_at_once)
{
    enum { N = 2000 };
    uint64_t tag = 0, done = 0;

    fd = ring_up(&g, 64, 0);
    for (uint32_t id = 0; id < N; id++) {
        VGPUCompletion c;

        tag += fill_up(&g, tag);
        expect_add(fd, 5, id, 0, id, 1);
        while (ring_guest_take(&g, &c)) {
            assert_int_equal(c.status, VGPU_ERROR_NONE);
            done++;
        }
    }
    for (; done < tag; done++)
        (void) expect_completion(&g, VGPU_ERROR_NONE);
}

/* ---- Entries ---------------------------------------------------------------------- */

static void expect_status(const VGPUSubmission *s, uint32_t status)
{
    ring_guest_submit(&g, s);
    assert_int_equal(expect_completion(&g, status).tag, s->tag);
}

/* Moves each operand across the end of the window and to the largest numbers. */
TEST(test_boundaries)
{
    static const uint64_t far[] = {UINT64_MAX,        UINT64_MAX - 7,    UINT64_MAX - 31,
                                   UINT64_C(1) << 63, UINT64_C(1) << 40, RING_WINDOW};

    fd = ring_up(&g, 16, 0);
    for (unsigned which = 0; which < 3; which++) {
        for (uint64_t offset = RING_WINDOW - 40; offset <= RING_WINDOW; offset++) {
            VGPUSubmission s = ring_guest_add(offset, 4, 8192, 16384, 32768);
            bool fits = offset % 8 == 0 && offset + 32 <= RING_WINDOW;

            (which == 0 ? &s.a : which == 1 ? &s.b : &s.c)->offset = offset;
            expect_status(&s, fits ? VGPU_ERROR_NONE : VGPU_ERROR_INVALID_REQUEST);
        }
        for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
            VGPUSubmission s = ring_guest_add(i, 4, 8192, 16384, 32768);
            VGPUOperand *o = which == 0 ? &s.a : which == 1 ? &s.b : &s.c;

            o->offset = far[i];
            expect_status(&s, VGPU_ERROR_INVALID_REQUEST);
            o->offset = 8192;
            s.count = far[i];
            expect_status(&s, VGPU_ERROR_INVALID_REQUEST);
            s.count = 4;
            o->stride = (uint32_t) far[i];
            if (o->stride == 0 || o->stride > RING_WINDOW)
                expect_status(&s, VGPU_ERROR_INVALID_REQUEST);
        }
    }
    expect_ring_works(&g);
}

TEST(test_bad_entries)
{
    VGPUSubmission s;

    fd = ring_up(&g, 16, 0);
    s = ring_guest_add(1, 4, 8192, 16384, 32768);
    s.opcode = VGPU_OP_VECTOR_ADD_INT32;
    expect_status(&s, VGPU_ERROR_UNSUPPORTED_OP);
    s.opcode = VGPU_OP_RING_AXPY; /* not for int64 */
    expect_status(&s, VGPU_ERROR_UNSUPPORTED_OP);
    s = ring_guest_add(1, 0, 8192, 16384, 32768);
    expect_status(&s, VGPU_ERROR_INVALID_REQUEST);
    s = ring_guest_nop(1);
    s.state = VGPU_ENTRY_STARTED;
    expect_status(&s, VGPU_ERROR_INVALID_REQUEST);
    s.state = VGPU_ENTRY_DONE;
    expect_status(&s, VGPU_ERROR_INVALID_REQUEST);
    expect_ring_works(&g);
}

/* Overwrites all entries all the time, by turns with what may be computed and with what must
 * not. */
static void *scribble(void *userdata)
{
    const bool *end = userdata;

    for (uint32_t i = 0; !__atomic_load_n(end, __ATOMIC_RELAXED); i++) {
        volatile VGPUSubmission *e = &g.submissions[i % g.setup.entries];

        e->c.offset = i & 16 ? RING_WINDOW - 8 : 32768;
        e->count = i & 32 ? UINT64_MAX / 8 : 4;
        e->a.stride = i & 64 ? 0x20000000 : 1;
        e->opcode = i & 128 ? 0xffffffff : VGPU_OP_RING_ADD;
    }
    return NULL;
}

/* Entries change while they are read. Each is computed or refused, and the executor lives. */
TEST(test_changed_after_publishing)
{
    enum { ROUNDS = 3000 };
    pthread_t thread;
    bool end = false;
    pid_t executor;

    fd = ring_up(&g, 64, 0);
    expect_ring_works(&g);
    executor = test_mediator_executor(&mediator);
    assert_int_equal(pthread_create(&thread, NULL, scribble, &end), 0);
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
    __atomic_store_n(&end, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_ring_works(&g);
    expect_add_works();
    assert_int_equal(test_mediator_executor(&mediator), executor);
}

/* ---- Windows ------------------------------------------------------------------------- */

static void use_window(uint64_t size, uint64_t offset)
{
    uint64_t last = size - 8;
    VGPUSubmission add = ring_guest_add(1, 1, last, last, last);

    fd = ring_hello(5, VGPU_PRIORITY_LOW);
    if (offset == size)
        add = ring_guest_add(1, 1, 0, 0, 0);
    assert_int_equal(ring_guest_open(&g, size, offset, 256, 0), 0);
    ring_turn_on(&g, fd);
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

/* 64 entries of one ring get priorities from the messages in between. They complete in the
 * order of priority, and within one priority in the order of the ring. */
/* A guest turns its ring on and off with each program that it runs, and its device comes back
 * after a restart. The window is the same memory each time, all of it used, and as large as one may
 * be. */
TEST(test_ever_so_often)
{
    int others[12];

    fd = ring_up(&g, 8, 0);
    memset(g.window + 65536, 1, RING_WINDOW - 65536);
    for (unsigned i = 0; i < 1000; i++) {
        ring_turn_off(fd);
        ring_turn_on(&g, fd);
    }
    expect_ring_works(&g);
    for (unsigned i = 0; i < 1000; i++) {
        close(fd);
        fd = ring_again(&g);
    }

    /* Nobody has an entry in it now, which each of them would take. */
    for (unsigned i = 0; i < 12; i++)
        others[i] = ring_again(&g);
    expect_pong(fd);
    for (unsigned i = 0; i < 12; i++)
        close(others[i]);
}

TEST(test_priorities)
{
    static const uint8_t priority[] = {VGPU_PRIORITY_LOW, VGPU_PRIORITY_HIGH, VGPU_PRIORITY_MEDIUM,
                                       VGPU_PRIORITY_HIGH};
    static const uint64_t order[] = {1, 3, 2, 0};
    pid_t executor = hold_executor();

    fd = ring_up(&g, 128, 0);
    for (unsigned batch = 0; batch < 4; batch++) {
        /* The first of these requests runs, the others are queued. */
        assert_true(wire_send_add(fd, 5, batch, priority[batch], batch, 0));
        expect_pong(fd);
        (void) ring_publish_nops(&g, 16 * batch, 16);
        ring_wait_taken(&g);
    }
    assert_int_equal(kill(executor, SIGCONT), 0);
    for (unsigned batch = 0; batch < 4; batch++)
        expect_tags(&g, 16 * order[batch], 16);
}

/* The queue has hardly any places, and the rings wait for them in turn. */
TEST(test_tight_queue)
{
    enum { RINGS = 5, ENTRIES = 256 };
    RingGuest rings[RINGS];
    int fds[RINGS];

    for (unsigned i = 0; i < RINGS; i++)
        fds[i] = ring_up(&rings[i], ENTRIES, i);
    for (unsigned i = 0; i < RINGS; i++) {
        (void) ring_publish_nops(&rings[i], 0, ENTRIES);
    }
    for (unsigned i = 0; i < RINGS; i++) {
        expect_tags(&rings[i], 0, ENTRIES);
        ring_down(&rings[i], fds[i]);
    }
}

static void *flood(void *userdata)
{
    const bool *end = userdata;
    uint64_t tag = 0;

    g.spins = true;
    while (!__atomic_load_n(end, __ATOMIC_RELAXED)) {
        VGPUCompletion c;

        tag += fill_up(&g, tag);
        while (ring_guest_take(&g, &c))
            continue;
    }
    return NULL;
}

/* A neighbour of the same priority waits for what the flooding VM may have queued and what the
 * executor may have, and for no more. The factor is for what the flood gets done between the
 * test's looks and the mediator's. */
TEST(test_flood)
{
    enum { N = 500, BOUND = 32 + 4 };
    int neighbour = ring_hello(6, VGPU_PRIORITY_LOW);
    unsigned within = 0;
    pthread_t thread;
    bool end = false;

    fd = ring_up(&g, VGPU_RING_ENTRIES_MAX, 0);
    assert_int_equal(pthread_create(&thread, NULL, flood, &end), 0);
    for (uint32_t id = 0; id < N; id++) {
        uint32_t before = __atomic_load_n(&g.header->cq_tail, __ATOMIC_ACQUIRE);

        expect_add(neighbour, 6, id, VGPU_PRIORITY_LOW, id, 1);
        if (__atomic_load_n(&g.header->cq_tail, __ATOMIC_ACQUIRE) - before <= 8 * BOUND)
            within++;
    }
    __atomic_store_n(&end, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(within >= N * 9 / 10);
    close(neighbour);
}

/* ---- What costs too much ---------------------------------------------------------------- */

/* A product of 128 rows costs two million, and is refused before it touches anything. */
TEST(test_cost)
{
    const uint64_t area = UINT64_C(1) << 18;
    VGPUSubmission add = ring_guest_add(1, 128, area, 2 * area, 3 * area), product = add;

    product.opcode = VGPU_OP_RING_MATMUL;
    product.type = VGPU_TYPE_FLOAT64;
    product.n = product.k = product.a.stride = product.b.stride = product.c.stride = 128;
    fd = ring_up(&g, 8, 0);
    *ring_cell(&g, 3 * area / 8) = 77;
    ring_guest_submit(&g, &product);
    expect_completion(&g, VGPU_ERROR_INVALID_REQUEST);
    assert_int_equal(*ring_cell(&g, 3 * area / 8), 77);
    assert_int_equal(
        test_mediator_wait_log(&mediator, "million operations, and RequestCostMax= of pool A is 1"),
        0);

    product.k = 32; /* half a million */
    ring_guest_submit(&g, &product);
    expect_tag(&g, 1);
    ring_guest_submit(&g, &add);
    expect_tag(&g, 1);
}

/* A test whose ring the teardown lets go */
#define WITH_RING(config, test)                                     \
    {                                                               \
#test, test, start_configured, stop_ring, (void *) (config) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RING(DEFAULT, test_round_trip),
        WITH_MEDIATOR(DEFAULT, test_wrap),
        WITH_RING(DEFAULT, test_full),
        WITH_RING(DEFAULT, test_completions_not_taken),
        WITH_RING(DEFAULT, test_ring_and_messages_at_once),
        WITH_RING(DEFAULT, test_boundaries),
        WITH_RING(DEFAULT, test_bad_entries),
        WITH_RING(DEFAULT, test_changed_after_publishing),
        WITH_MEDIATOR(DEFAULT "[Limits]\nWindowSizeMax=64G\n", test_windows),
        WITH_RING(DEFAULT "WindowSizeMax=1M\n", test_ever_so_often),
        WITH_RING(ORDERED, test_priorities),
        WITH_MEDIATOR(TIGHT, test_tight_queue),
        WITH_RING(FAIR, test_flood),
        WITH_RING("[Pool A]\nBackend=cpu\nRequestCostMax=1\n", test_cost),
    };

    return cmocka_run_group_tests_name("service-ring", tests, NULL, NULL);
}
