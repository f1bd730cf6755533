/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring when something goes wrong: descriptors that are none, guests that lie,
 * connections, executors and mediators that end in the middle. A stopped executor
 * (SIGSTOP) holds requests where a test wants them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"

static int start_default(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\nInFlight=4\n[Limits]\nVMQueueLimit=64\n"
                      "[Timeouts]\nRequestTimeoutSec=infinity\n");
}

/* ---- Descriptors --------------------------------------------------------------------- */

static int sealed_memfd(uint64_t size, int seals)
{
    int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t) size), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* RING_SETUP with these instead of the guest's own; the ring is refused, the connection stays. */
static void expect_refused(int fd, RingGuest g, int window, int doorbell, int completion)
{
    if (window >= 0)
        g.fds[0] = window;
    if (doorbell >= 0)
        g.fds[1] = doorbell;
    if (completion >= 0)
        g.fds[2] = completion;
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
    ring_off(fd);
    expect_stopped(fd);
    close(window);
}

TEST(test_refused_windows)
{
    RingGuest g;
    int fd = ring_hello(5, VGPU_PRIORITY_LOW);

    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 16, 0), 0);
    expect_refused(fd, g, sealed_memfd(RING_WINDOW, 0), -1, -1);
    expect_refused(fd, g, sealed_memfd(RING_WINDOW, F_SEAL_GROW), -1, -1);
    expect_refused(fd, g, sealed_memfd(RING_WINDOW, F_SEAL_SHRINK | F_SEAL_SEAL), -1, -1);
    expect_refused(fd, g, sealed_memfd(RING_WINDOW, F_SEAL_SHRINK | F_SEAL_WRITE), -1, -1);
    expect_refused(fd, g, sealed_memfd(RING_WINDOW, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), -1, -1);
    expect_refused(fd, g, sealed_memfd(VGPU_WINDOW_SIZE_MIN - 1, F_SEAL_SHRINK), -1, -1);
    expect_refused(fd, g, sealed_memfd(VGPU_WINDOW_SIZE_MAX + 1, F_SEAL_SHRINK), -1, -1);
    expect_refused(fd, g, open("/dev/zero", O_RDWR | O_CLOEXEC), -1, -1);
    expect_refused(fd, g, open("/", O_RDONLY | O_CLOEXEC), -1, -1);
    expect_refused(fd, g, -1, g.fds[0], -1);
    expect_refused(fd, g, -1, -1, g.fds[0]);

    /* The ring's place in it. */
    for (unsigned i = 0; i < 8; i++) {
        RingGuest bad = g;

        if (i < 4)
            bad.setup.entries = (const uint32_t[]){0, 2, 12, 2048}[i];
        else if (i < 7)
            bad.setup.offset = (const uint64_t[]){8, RING_WINDOW, UINT64_MAX - 4095}[i - 4];
        else
            bad.setup.flags = 1;
        expect_refused(fd, bad, -1, -1, -1);
    }

    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, VGPU_ERROR_NONE);
    expect_ring_works(&g);
    assert_int_equal(ftruncate(g.fds[0], 4096), -1);
    assert_int_equal(ftruncate(g.fds[0], 2 * RING_WINDOW), -1);
    ring_down(&g, fd);
}

/* All that a peer may do wrong with descriptors; each costs it the connection. */
static void break_rules(unsigned rule, const RingGuest *g)
{
    VGPUSocketHeader h = wire_header(VGPU_MSG_PING, 5, 1, 0, 0);
    VGPUSocketHeader setup =
        wire_header(VGPU_MSG_RING_SETUP, 5, RING_SETUP_ID, 0, sizeof(VGPURingSetup));
    const VGPUHello hello = {0};
    const int many[6] = {g->fds[0], g->fds[1], g->fds[2], g->fds[0], g->fds[1], g->fds[2]};
    int fd = rule == 5 || rule == 6 ? dial() : ring_hello(5, VGPU_PRIORITY_LOW);

    switch (rule) {
    case 0:
    case 1:
    case 2: /* too few */
        assert_true(ring_guest_setup(g, fd, RING_SETUP_ID, rule));
        break;
    case 3: /* too many */
        assert_true(wire_send_fds(fd, &setup, &g->setup, many, 4));
        break;
    case 4: /* with a message that takes none */
        assert_true(wire_send_fds(fd, &h, NULL, many, 3));
        break;
    case 5: /* with the HELLO */
        h = wire_header(VGPU_MSG_HELLO, 5, 1, 0, sizeof(hello));
        assert_true(wire_send_fds(fd, &h, &hello, many, 1));
        break;
    case 6: /* before it */
        assert_true(ring_guest_setup(g, fd, RING_SETUP_ID, 3));
        break;
    case 7: /* a ring where there is one */
        assert_true(ring_guest_setup(g, fd, RING_SETUP_ID, 3));
        expect_ready(fd, VGPU_ERROR_NONE);
        assert_true(ring_guest_setup(g, fd, RING_SETUP_ID, 3));
        break;
    case 8: /* half a message, and then the end */
        setup.payload_len = 0;
        assert_true(wire_send_fds(fd, &setup, NULL, many, 3));
        break;
    case 9: /* twice, while the first waits for its rest */
        assert_int_equal(send(fd, &h, 3, MSG_NOSIGNAL), 3);
        h.payload_len = 0;
        assert_true(wire_send_fds(fd, &h, NULL, many, 3));
        break;
    case 10: /* more than anything could take */
        assert_true(wire_send_fds(fd, &setup, &g->setup, many, 6));
        break;
    }

    for (;;) {
        WireMessage m;
        int r = wire_receive(fd, &m);

        if (r == 1)
            continue; /* what it said before it noticed */
        assert_true(r == 0 || r == -ECONNRESET);
        break;
    }
    close(fd);
}

TEST(test_leaks)
{
    pid_t executor;
    unsigned mediator_fds, executor_fds;
    RingGuest g;
    int fd;

    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 16, 0), 0);
    fd = ring_again(&g);
    expect_ring_works(&g);
    close(fd);
    expect_add_works();
    executor = test_mediator_executor(&mediator);
    fd = ring_hello(9, VGPU_PRIORITY_LOW);
    expect_pong(fd);
    mediator_fds = count_fds(mediator.pid);
    executor_fds = count_fds(executor);

    for (unsigned i = 0; i < 10; i++) {
        int used;

        for (unsigned rule = 0; rule <= 10; rule++)
            break_rules(rule, &g);
        used = ring_again(&g);
        expect_ring_works(&g);
        ring_off(used);
        expect_stopped(used);
        assert_true(ring_guest_setup(&g, used, RING_SETUP_ID, 3));
        expect_ready(used, VGPU_ERROR_NONE);
        expect_ring_works(&g);
        assert_int_equal(shutdown(used, SHUT_WR), 0);
        expect_closed(used);
    }

    expect_pong(fd);
    assert_int_equal(count_fds(mediator.pid), mediator_fds);
    /* The last WINDOW_REMOVE is handled when what follows it is answered. */
    assert_true(wire_send_add(fd, 9, 1, 0, 1, 2));
    expect_sum(fd, 1, 3);
    assert_int_equal(count_fds(executor), executor_fds);
    close(fd);
    ring_guest_close(&g);
}

/* ---- Guests that lie -------------------------------------------------------------------- */

static void lie(unsigned which, VGPURingHeader *h)
{
    static const uint32_t far[] = {17, 1000, 0x80000000};
    uint32_t *index = which < 3 ? &h->sq_tail : &h->cq_head;

    __atomic_store_n(index, *index + far[which % 3], __ATOMIC_SEQ_CST);
}

/* The ring ends; the connection, its requests by messages, and other VMs do not notice. */
TEST(test_hostile_indices)
{
    const uint64_t one = 1;
    RingGuest other;
    int fd = ring_hello(5, VGPU_PRIORITY_LOW), other_fd = ring_up(&other, 16, 0);

    for (unsigned which = 0; which < 6; which++) {
        RingGuest g;

        assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 16, 0), 0);
        assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, 3));
        expect_ready(fd, VGPU_ERROR_NONE);
        expect_ring_works(&g);
        lie(which, g.header);
        assert_int_equal(write(g.fds[1], &one, sizeof(one)), sizeof(one));
        expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
        assert_true(wire_send_add(fd, 5, which, 0, which, 1));
        expect_sum(fd, which, which + 1);
        expect_ring_works(&other);

        /* From the next ring on as if nothing had been, with a RING_OFF or without one. */
        if (which % 2) {
            ring_off(fd);
            expect_stopped(fd);
        }
        g.header->sq_tail = g.sq_tail;
        g.header->cq_head = g.cq_head;
        assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, 3));
        expect_ready(fd, VGPU_ERROR_NONE);
        expect_ring_works(&g);
        ring_off(fd);
        expect_stopped(fd);
        ring_guest_close(&g);
    }
    close(fd);
    ring_down(&other, other_fd);
}

/* The counter of the completion is full, and whoever adds to it would block. */
TEST(test_full_completion)
{
    const uint64_t full = UINT64_MAX - 1;
    RingGuest g;
    int fd = ring_up(&g, 16, 0);

    expect_ring_works(&g);
    assert_int_equal(write(g.fds[2], &full, sizeof(full)), sizeof(full));
    assert_int_equal(fcntl(g.fds[2], F_SETFL, O_RDWR), 0);
    for (unsigned i = 0; i < 200; i++) {
        const VGPUSubmission nop = ring_guest_nop(i);

        g.header->cq_event = g.header->cq_tail;
        ring_guest_submit(&g, &nop);
        g.spins = true;
        expect_tag(&g, i);
    }
    expect_add_works();
    ring_down(&g, fd);
}

/* ---- The end of a ring -------------------------------------------------------------------- */

/* In place, so that doing it twice shows: the first @n cells from 8192 on, one entry each. */
static void publish_increments(RingGuest *g, unsigned n)
{
    *ring_cell(g, 8191) = 1;
    for (unsigned i = 0; i < n; i++) {
        uint64_t cell = 8 * (8192 + (uint64_t) i);
        const VGPUSubmission add = ring_guest_add(i, 1, cell, UINT64_C(8) * 8191, cell);

        ring_guest_fill(g, &add);
    }
    (void) ring_guest_publish(g);
}

/* What was on the executor ends like any other; what was not stays for the next ring. */
TEST(test_off_with_full_ring)
{
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 64, 0);

    publish_increments(&g, 64);
    ring_wait_taken(&g);
    ring_off(fd);
    expect_pong(fd); /* and not RING_STOPPED */
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_stopped(fd);
    assert_int_equal(g.header->cq_tail, 4);

    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, 3));
    expect_ready(fd, VGPU_ERROR_NONE);
    for (unsigned i = 0; i < 64; i++)
        expect_tag(&g, i);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(*ring_cell(&g, 8192 + i), 1);
    ring_down(&g, fd);
}

/* All 64 are complete; the four that were with the executor failed with it, after they were
 * computed (@computed 1) or before. */
static void expect_four_lost(RingGuest *g, int computed)
{
    for (unsigned i = 0; i < 64; i++) {
        VGPUCompletion c = expect_completion(g, i < 4 ? VGPU_ERROR_CUDA_ERROR : VGPU_ERROR_NONE);

        assert_int_equal(c.tag, i);
        assert_int_equal(c.cuda_result, i < 4 ? 719 : 0);
        assert_int_equal(*ring_cell(g, 8192 + i), i < 4 ? computed : 1);
    }
}

/* After the connection nothing more is written into the ring; the next one in that window
 * begins when the executor has let go of it. */
TEST(test_hang_up_with_full_ring)
{
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 64, 0);

    publish_increments(&g, 64);
    ring_wait_taken(&g);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect_closed(fd);

    fd = ring_hello(5, VGPU_PRIORITY_LOW);
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, 3));
    expect_pong(fd); /* and not RING_READY */
    assert_int_equal(g.header->cq_tail, 0);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_ready(fd, VGPU_ERROR_NONE);

    expect_four_lost(&g, 1);
    ring_down(&g, fd);
}

/* ---- Executors that fail --------------------------------------------------------------------- */

TEST(test_executor_killed)
{
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 64, 0);

    publish_increments(&g, 64);
    ring_wait_taken(&g);
    assert_int_equal(kill(executor, SIGKILL), 0);
    expect_four_lost(&g, 0);
    ring_down(&g, fd);
}

static int start_short_run(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\nInFlight=1\n[Timeouts]\nRequestTimeoutSec=1\n");
}

TEST(test_run_timeout)
{
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 4, 0);

    publish_increments(&g, 2);
    assert_int_equal(expect_completion(&g, VGPU_ERROR_TIMEOUT).tag, 0);
    assert_int_equal(kill(executor, 0), -1); /* nobody writes into the window any more */
    expect_tag(&g, 1);
    ring_down(&g, fd);
}

static int start_short_queue(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\nInFlight=1\n"
                      "[Timeouts]\nRequestTimeoutSec=infinity\nQueueTimeoutSec=1\n");
}

TEST(test_queue_timeout)
{
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 4, 0);

    publish_increments(&g, 2);
    assert_int_equal(expect_completion(&g, VGPU_ERROR_TIMEOUT).tag, 1);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_tag(&g, 0);
    ring_down(&g, fd);
}

/* ---- Mediators that end ------------------------------------------------------------------------
 */

#define KILL_ENTRIES 256
#define KILL_COUNT 64 /* elements of each */
#define KILL_CELL UINT64_C(65536)

static uint64_t kill_cell(unsigned entry)
{
    return KILL_CELL + (uint64_t) entry * KILL_COUNT;
}

/* Even entries add in place; odd ones write what they read from elsewhere. */
static void publish_round(RingGuest *g, const uint64_t *value)
{
    for (unsigned i = 0; i < KILL_ENTRIES; i++) {
        uint64_t at = 8 * kill_cell(i), ones = 8 * kill_cell(KILL_ENTRIES);
        const VGPUSubmission add = ring_guest_add(i, KILL_COUNT, i % 2 ? ones : at, ones, at);

        for (unsigned j = 0; j < KILL_COUNT; j++)
            *ring_cell(g, kill_cell(i) + j) = (int64_t) value[i];
        ring_guest_fill(g, &add);
    }
    (void) ring_guest_publish(g);
}

/* Returns whether it ended in an error, which an addition in place may. */
static bool check_round(const RingGuest *g, const VGPUCompletion *c, const uint64_t *value)
{
    bool in_place = c->tag % 2 == 0, failed = c->status != VGPU_ERROR_NONE;

    assert_true(!failed || (in_place && c->status == VGPU_ERROR_CUDA_ERROR));
    for (unsigned j = 0; j < KILL_COUNT; j++) {
        uint64_t cell = (uint64_t) *ring_cell(g, kill_cell((unsigned) c->tag) + j);

        if (in_place)
            assert_true(cell == value[c->tag] + 1 || (failed && cell == value[c->tag]));
        else
            assert_int_equal(cell, 2);
    }
    return failed;
}

/* Returns how many entries it left. */
static uint32_t kill_mediator(const RingGuest *g, int fd)
{
    uint32_t left;

    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGKILL), 128 + SIGKILL);
    left = g->header->sq_tail - g->header->sq_head;
    close(fd);
    assert_int_equal(test_mediator_run(&mediator, "none"), 0);
    return left;
}

static int start_for_kills(void **state)
{
    (void) state;
    return start_with("[Pool A]\nBackend=cpu\nInFlight=16\n");
}

/* Killed after any number of completions, with the rest of a full ring in every state: each
 * entry ends once, and none is done twice that must not be. */
TEST(test_mediator_killed)
{
    enum { ROUNDS = 24 };
    unsigned failed = 0, left = 0;
    RingGuest g;
    int fd;

    assert_int_equal(ring_guest_open(&g, UINT64_C(1) << 25, 0, KILL_ENTRIES, 0xffffff00), 0);
    for (unsigned j = 0; j < KILL_COUNT; j++)
        *ring_cell(&g, kill_cell(KILL_ENTRIES) + j) = 1;
    fd = ring_again(&g);

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t value[KILL_ENTRIES];
        bool seen[KILL_ENTRIES] = {false};

        for (unsigned i = 0; i < KILL_ENTRIES; i++)
            value[i] = round * 1000 + i;
        publish_round(&g, value);
        for (unsigned i = 0; i < KILL_ENTRIES; i++) {
            VGPUCompletion c;

            if (i == round * 10) {
                left += kill_mediator(&g, fd);
                fd = ring_again(&g);
            }
            assert_true(ring_guest_wait(&g, &c, WIRE_TIMEOUT_MSEC));
            assert_true(c.tag < KILL_ENTRIES && !seen[c.tag]);
            seen[c.tag] = true;
            failed += check_round(&g, &c, value);
        }
        assert_int_equal(g.header->cq_tail, g.cq_head);
    }
    /* No more at a time than were on the executor. */
    assert_true(failed <= ROUNDS * 16);
    assert_true(left > ROUNDS);
    ring_down(&g, fd);
}

/* The same with the executor held, so that four are STARTED for certain. */
TEST(test_mediator_killed_held)
{
    RingGuest g;
    int fd;

    hold_executor();
    fd = ring_up(&g, 64, 0);
    publish_increments(&g, 64);
    ring_wait_taken(&g);
    assert_int_equal(kill_mediator(&g, fd), 64);
    fd = ring_again(&g);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(expect_completion(&g, i < 4 ? VGPU_ERROR_CUDA_ERROR : VGPU_ERROR_NONE).tag,
                         i);
        assert_int_equal(*ring_cell(&g, 8192 + i), i < 4 ? 0 : 1);
    }
    ring_down(&g, fd);
}

/* SIGTERM: what was taken is finished, and the rest is the next mediator's. */
TEST(test_drain)
{
    pid_t executor = hold_executor();
    RingGuest g;
    int fd = ring_up(&g, 256, 0);

    publish_increments(&g, 256);
    expect_pong(fd);
    assert_int_equal(kill(mediator.pid, SIGTERM), 0);
    for (int stranger; (stranger = wire_connect(mediator.socket)) >= 0;)
        close(stranger);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_closed(fd);
    assert_int_equal(test_mediator_signal_and_wait(&mediator, 0), 0);
    assert_in_range(g.header->cq_tail, 4, 255);

    assert_int_equal(test_mediator_run(&mediator, "none"), 0);
    fd = ring_again(&g);
    for (unsigned i = 0; i < 256; i++)
        expect_tag(&g, i);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(*ring_cell(&g, 8192 + i), 1);
    ring_down(&g, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused_windows, start_default, stop),
        cmocka_unit_test_setup_teardown(test_leaks, start_default, stop),
        cmocka_unit_test_setup_teardown(test_hostile_indices, start_default, stop),
        cmocka_unit_test_setup_teardown(test_full_completion, start_default, stop),
        cmocka_unit_test_setup_teardown(test_off_with_full_ring, start_default, stop),
        cmocka_unit_test_setup_teardown(test_hang_up_with_full_ring, start_default, stop),
        cmocka_unit_test_setup_teardown(test_executor_killed, start_default, stop),
        cmocka_unit_test_setup_teardown(test_run_timeout, start_short_run, stop),
        cmocka_unit_test_setup_teardown(test_queue_timeout, start_short_queue, stop),
        cmocka_unit_test_setup_teardown(test_mediator_killed, start_for_kills, stop),
        cmocka_unit_test_setup_teardown(test_mediator_killed_held, start_default, stop),
        cmocka_unit_test_setup_teardown(test_drain, start_default, stop),
    };

    return cmocka_run_group_tests_name("service-ring-faults", tests, NULL, NULL);
}
