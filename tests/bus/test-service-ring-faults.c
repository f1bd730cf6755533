/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings when something goes wrong: wrong descriptors, guests that lie, connections, executors
 * and mediators that end in the middle. A stopped executor (SIGSTOP) keeps requests where a
 * test wants them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ring-peer.h"
#include "test.h"

#define DEFAULT                                                      \
    "[Pool A]\nBackend=cpu\nInFlight=6\n[Limits]\nVMQueueLimit=64\n" \
    "[Timeouts]\nRequestTimeoutSec=infinity\n"
#define NARROW "[Pool A]\nBackend=cpu\nInFlight=1\n[Timeouts]\n"

/* The ring of the test at hand, and the stopped executor */
static RingGuest g;
static int fd;
static pid_t executor;

/* Publishes @n additions in place, entry i on cell 8192 + i, so that an entry that is done
 * twice shows. */
static void publish_increments(unsigned n)
{
    *ring_cell(&g, 8191) = 1;
    for (unsigned i = 0; i < n; i++) {
        uint64_t cell = 8 * (8192 + (uint64_t) i);
        const VGPUSubmission add = ring_guest_add(i, 1, cell, UINT64_C(8) * 8191, cell);

        ring_guest_fill(&g, &add);
    }
    (void) ring_guest_publish(&g);
}

/* A mediator whose executor is stopped, and a ring with @increments entries */
static int start_held(void **state, unsigned entries, unsigned increments)
{
    if (start_configured(state) < 0)
        return -1;
    executor = hold_executor();
    fd = ring_up(&g, entries, 0);
    publish_increments(increments);
    return 0;
}

/* The ring is full: four entries are with the executor, as many as low priority may have there, and
 * 60 wait. */
static int start_full(void **state)
{
    int r = start_held(state, 64, 64);

    ring_wait_taken(&g);
    return r;
}

static int start_two(void **state)
{
    return start_held(state, 4, 2);
}

static int stop_ring(void **state)
{
    ring_down(&g, fd);
    return stop(state);
}

static void let_executor_go_on(void)
{
    assert_int_equal(kill(executor, SIGCONT), 0);
}

/* ---- Descriptors -------------------------------------------------------------------------- */

static int sealed_memfd(uint64_t size, int seals)
{
    int window = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(window >= 0);
    assert_int_equal(ftruncate(window, (off_t) size), 0);
    assert_int_equal(fcntl(window, F_ADD_SEALS, seals), 0);
    return window;
}

/* RING_SETUP with these instead of the guest's own; the ring is refused, the connection stays. */
static void expect_refused(RingGuest bad, int window, int doorbell, int completion)
{
    if (window >= 0)
        bad.fds[0] = window;
    if (doorbell >= 0)
        bad.fds[1] = doorbell;
    if (completion >= 0)
        bad.fds[2] = completion;
    assert_true(ring_guest_setup(&bad, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
    ring_turn_off(fd);
    close(window);
}

TEST(test_refused_windows)
{
    fd = ring_hello(5, VGPU_PRIORITY_LOW);
    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 16, 0), 0);
    expect_refused(g, sealed_memfd(RING_WINDOW, 0), -1, -1);
    expect_refused(g, sealed_memfd(RING_WINDOW, F_SEAL_GROW), -1, -1);
    expect_refused(g, sealed_memfd(RING_WINDOW, F_SEAL_SHRINK | F_SEAL_SEAL), -1, -1);
    expect_refused(g, sealed_memfd(RING_WINDOW, F_SEAL_SHRINK | F_SEAL_WRITE), -1, -1);
    expect_refused(g, sealed_memfd(RING_WINDOW, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), -1, -1);
    expect_refused(g, sealed_memfd(VGPU_WINDOW_SIZE_MIN - 1, F_SEAL_SHRINK), -1, -1);
    expect_refused(g, sealed_memfd(VGPU_WINDOW_SIZE_MAX + 1, F_SEAL_SHRINK), -1, -1);
    expect_refused(g, open("/dev/zero", O_RDWR | O_CLOEXEC), -1, -1);
    expect_refused(g, open("/", O_RDONLY | O_CLOEXEC), -1, -1);
    expect_refused(g, -1, g.fds[0], -1);
    expect_refused(g, -1, -1, g.fds[0]);

    /* The ring's place in it. */
    for (unsigned i = 0; i < 8; i++) {
        RingGuest bad = g;

        if (i < 4)
            bad.setup.entries = (const uint32_t[]){0, 2, 12, 2048}[i];
        else if (i < 7)
            bad.setup.offset = (const uint64_t[]){8, RING_WINDOW, UINT64_MAX - 4095}[i - 4];
        else
            bad.setup.flags = 1;
        expect_refused(bad, -1, -1, -1);
    }

    ring_turn_on(&g, fd);
    expect_ring_works(&g);
    assert_int_equal(ftruncate(g.fds[0], 4096), -1);
    assert_int_equal(ftruncate(g.fds[0], 2 * RING_WINDOW), -1);
}

/* Breaks one of the rules about descriptors; each costs the peer its connection. */
static void break_rules(unsigned rule)
{
    VGPUSocketHeader h = wire_header(VGPU_MSG_PING, 5, 1, 0, 0);
    VGPUSocketHeader setup =
        wire_header(VGPU_MSG_RING_SETUP, 5, RING_SETUP_ID, 0, sizeof(VGPURingSetup));
    const VGPUHello hello = {0};
    const int many[6] = {g.fds[0], g.fds[1], g.fds[2], g.fds[0], g.fds[1], g.fds[2]};
    int bad = rule == 5 || rule == 6 ? dial() : ring_hello(5, VGPU_PRIORITY_LOW);

    switch (rule) {
    case 0:
    case 1:
    case 2: /* too few */
        assert_true(ring_guest_setup(&g, bad, RING_SETUP_ID, rule));
        break;
    case 3: /* too many */
        assert_true(wire_send_fds(bad, &setup, &g.setup, many, 4));
        break;
    case 4: /* with a message that takes none */
        assert_true(wire_send_fds(bad, &h, NULL, many, 3));
        break;
    case 5: /* with the HELLO */
        h = wire_header(VGPU_MSG_HELLO, 5, 1, 0, sizeof(hello));
        assert_true(wire_send_fds(bad, &h, &hello, many, 1));
        break;
    case 6: /* before it */
        assert_true(ring_guest_setup(&g, bad, RING_SETUP_ID, 3));
        break;
    case 7: /* a ring where there is one */
        ring_turn_on(&g, bad);
        assert_true(ring_guest_setup(&g, bad, RING_SETUP_ID, 3));
        break;
    case 8: /* half a message, and then the end */
        setup.payload_len = 0;
        assert_true(wire_send_fds(bad, &setup, NULL, many, 3));
        break;
    case 9: /* twice, while the first waits for its rest */
        assert_int_equal(send(bad, &h, 3, MSG_NOSIGNAL), 3);
        h.payload_len = 0;
        assert_true(wire_send_fds(bad, &h, NULL, many, 3));
        break;
    case 10: /* more than anything could take */
        assert_true(wire_send_fds(bad, &setup, &g.setup, many, 6));
        break;
    }

    for (;;) {
        WireMessage m;
        int r = wire_receive(bad, &m);

        if (r == 1)
            continue; /* what it said before it noticed */
        assert_true(r == 0 || r == -ECONNRESET);
        break;
    }
    close(bad);
}

/* The mediator closes what came from a peer beside its other work. */
static void expect_fds(pid_t pid, unsigned most)
{
    time_t end = time(NULL) + 20;

    while (count_fds(pid) > most) {
        assert_true(time(NULL) < end);
        usleep(1000);
    }
}

TEST(test_leaks)
{
    unsigned mediator_fds, executor_fds;

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
            break_rules(rule);
        used = ring_again(&g);
        expect_ring_works(&g);
        ring_turn_off(used);
        ring_turn_on(&g, used);
        expect_ring_works(&g);
        assert_int_equal(shutdown(used, SHUT_WR), 0);
        expect_closed(used);
    }

    expect_pong(fd);
    expect_fds(mediator.pid, mediator_fds);
    /* The last WINDOW_REMOVE is handled when what follows it is answered. */
    expect_add(fd, 9, 1, 0, 1, 2);
    assert_int_equal(count_fds(executor), executor_fds);
}

/* ---- Guests that lie ---------------------------------------------------------------------- */

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
    int other_fd = ring_up(&other, 16, 0);

    fd = ring_hello(5, VGPU_PRIORITY_LOW);
    for (unsigned which = 0; which < 6; which++) {
        assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 16, 0), 0);
        ring_turn_on(&g, fd);
        expect_ring_works(&g);
        lie(which, g.header);
        assert_int_equal(write(g.fds[1], &one, sizeof(one)), sizeof(one));
        expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
        expect_add(fd, 5, which, 0, which, 1);
        expect_ring_works(&other);

        /* From the next ring on as if nothing had been, with a RING_OFF or without one. */
        if (which % 2)
            ring_turn_off(fd);
        g.header->sq_tail = g.sq_tail;
        g.header->cq_head = g.cq_head;
        ring_turn_on(&g, fd);
        expect_ring_works(&g);
        ring_turn_off(fd);
        ring_guest_close(&g);
    }
    close(fd);
    ring_down(&other, other_fd);
}

/* The completion's counter is full, and a blocking write would wait for ever. */
TEST(test_full_completion)
{
    const uint64_t full = UINT64_MAX - 1;
    uint64_t n;

    fd = ring_up(&g, 16, 0);
    expect_ring_works(&g);
    /* The signal of what was taken already may still come. */
    while (write(g.fds[2], &full, sizeof(full)) < 0)
        (void) !read(g.fds[2], &n, sizeof(n));
    assert_int_equal(fcntl(g.fds[2], F_SETFL, O_RDWR), 0);
    for (unsigned i = 0; i < 200; i++) {
        const VGPUSubmission nop = ring_guest_nop(i);

        g.header->cq_event = g.header->cq_tail;
        ring_guest_submit(&g, &nop);
        g.spins = true;
        expect_tag(&g, i);
    }
    expect_add_works();
}

/* ---- The end of a ring -------------------------------------------------------------------- */

static void expect_incremented_once(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(*ring_cell(&g, 8192 + i), 1);
}

/* What the executor has is finished; what it has not stays in the ring for the next time. */
TEST(test_off_with_full_ring)
{
    ring_off(fd);
    expect_pong(fd); /* and not RING_STOPPED */
    let_executor_go_on();
    expect_stopped(fd);
    assert_int_equal(g.header->cq_tail, 4);

    ring_turn_on(&g, fd);
    expect_tags(&g, 0, 64);
    expect_incremented_once(64);
}

/* All 64 complete. Of the four that were with the executor nobody knows that they were computed: in
 * place, they cannot be computed again. */
static void expect_four_lost(void)
{
    for (unsigned i = 0; i < 64; i++) {
        VGPUCompletion c = expect_completion(&g, i < 4 ? VGPU_ERROR_CUDA_ERROR : VGPU_ERROR_NONE);

        assert_int_equal(c.tag, i);
        assert_int_equal(c.cuda_result, i < 4 ? 719 : 0);
        assert_int_equal(*ring_cell(&g, 8192 + i), 1);
    }
}

/* Once the connection is closed, nothing more is written into the ring. The next ring in that
 * window begins when the executor has let go of it. */
TEST(test_hang_up_with_full_ring)
{
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect_closed(fd);

    fd = ring_hello(5, VGPU_PRIORITY_LOW);
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, 3));
    expect_pong(fd); /* and not RING_READY */
    assert_int_equal(g.header->cq_tail, 0);
    let_executor_go_on();
    expect_ready(fd, VGPU_ERROR_NONE);

    expect_four_lost();
}

/* ---- Executors that fail ------------------------------------------------------------------ */

/* The stopped executor has begun nothing. So all that it had runs on the next one, even in place.
 */
TEST(test_executor_killed)
{
    assert_int_equal(kill(executor, SIGKILL), 0);
    expect_tags(&g, 0, 64);
    expect_incremented_once(64);
}

TEST(test_run_timeout)
{
    assert_int_equal(expect_completion(&g, VGPU_ERROR_TIMEOUT).tag, 0);
    assert_int_equal(kill(executor, 0), -1); /* so nobody writes into the window any more */
    expect_tag(&g, 1);
}

TEST(test_queue_timeout)
{
    assert_int_equal(expect_completion(&g, VGPU_ERROR_TIMEOUT).tag, 1);
    let_executor_go_on();
    expect_tag(&g, 0);
}

/* ---- Mediators that end ------------------------------------------------------------------- */

#define KILL_ENTRIES 256
#define KILL_COUNT 64 /* elements of each */
#define KILL_CELL UINT64_C(65536)

static uint64_t kill_cell(unsigned entry)
{
    return KILL_CELL + (uint64_t) entry * KILL_COUNT;
}

/* Even entries add in place; odd ones write elsewhere than they read. */
static void publish_round(const uint64_t *value)
{
    for (unsigned i = 0; i < KILL_ENTRIES; i++) {
        uint64_t at = 8 * kill_cell(i), ones = 8 * kill_cell(KILL_ENTRIES);
        const VGPUSubmission add = ring_guest_add(i, KILL_COUNT, i % 2 ? ones : at, ones, at);

        for (unsigned j = 0; j < KILL_COUNT; j++)
            *ring_cell(&g, kill_cell(i) + j) = (int64_t) value[i];
        ring_guest_fill(&g, &add);
    }
    (void) ring_guest_publish(&g);
}

/* Returns whether the entry failed, which only an addition in place may. */
static bool check_round(const VGPUCompletion *c, const uint64_t *value)
{
    bool in_place = c->tag % 2 == 0, failed = c->status != VGPU_ERROR_NONE;

    assert_true(!failed || (in_place && c->status == VGPU_ERROR_CUDA_ERROR));
    for (unsigned j = 0; j < KILL_COUNT; j++) {
        uint64_t cell = (uint64_t) *ring_cell(&g, kill_cell((unsigned) c->tag) + j);

        if (in_place)
            assert_true(cell == value[c->tag] + 1 || (failed && cell == value[c->tag]));
        else
            assert_int_equal(cell, 2);
    }
    return failed;
}

/* Kills the mediator and connects to the next one. Returns how many entries were left in the
 * ring. */
static uint32_t kill_mediator(void)
{
    uint32_t left;

    assert_int_equal(test_mediator_signal_and_wait(&mediator, SIGKILL), 128 + SIGKILL);
    left = g.header->sq_tail - g.header->sq_head;
    close(fd);
    assert_int_equal(test_mediator_run(&mediator, "none"), 0);
    fd = ring_again(&g);
    return left;
}

/* The mediator is killed after any number of completions, while the rest of a full ring is in
 * every state. Each entry completes once, and none is computed twice that must not be. */
TEST(test_mediator_killed)
{
    enum { ROUNDS = 24 };
    unsigned failed = 0, left = 0;

    assert_int_equal(ring_guest_open(&g, UINT64_C(1) << 25, 0, KILL_ENTRIES, 0xffffff00), 0);
    for (unsigned j = 0; j < KILL_COUNT; j++)
        *ring_cell(&g, kill_cell(KILL_ENTRIES) + j) = 1;
    fd = ring_again(&g);

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t value[KILL_ENTRIES];
        bool seen[KILL_ENTRIES] = {false};

        for (unsigned i = 0; i < KILL_ENTRIES; i++)
            value[i] = round * 1000 + i;
        publish_round(value);
        for (unsigned i = 0; i < KILL_ENTRIES; i++) {
            VGPUCompletion c;

            if (i == round * 10)
                left += kill_mediator();
            assert_true(ring_guest_wait(&g, &c, WIRE_TIMEOUT_MSEC));
            assert_true(c.tag < KILL_ENTRIES && !seen[c.tag]);
            seen[c.tag] = true;
            failed += check_round(&c, value);
        }
        assert_int_equal(g.header->cq_tail, g.cq_head);
    }
    /* At most the 16 that were with the executor fail at a time. */
    assert_true(failed <= ROUNDS * 16);
    assert_true(left > ROUNDS);
}

/* The same with the executor held, so that four are STARTED for certain. */
TEST(test_mediator_killed_held)
{
    assert_int_equal(kill_mediator(), 64);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t status = i < 4 ? VGPU_ERROR_CUDA_ERROR : VGPU_ERROR_NONE;

        assert_int_equal(expect_completion(&g, status).tag, i);
        assert_int_equal(*ring_cell(&g, 8192 + i), i < 4 ? 0 : 1);
    }
}

/* After SIGTERM the mediator finishes what the executor has, and leaves the rest to the next
 * mediator. */
TEST(test_drain)
{
    executor = hold_executor();
    fd = ring_up(&g, 256, 0);
    publish_increments(256);
    expect_pong(fd);
    assert_int_equal(kill(mediator.pid, SIGTERM), 0);
    for (int stranger; (stranger = wire_connect(mediator.socket)) >= 0;)
        close(stranger);
    let_executor_go_on();
    expect_closed(fd);
    assert_int_equal(test_mediator_signal_and_wait(&mediator, 0), 0);
    assert_in_range(g.header->cq_tail, 4, 255);

    assert_int_equal(test_mediator_run(&mediator, "none"), 0);
    fd = ring_again(&g);
    expect_tags(&g, 0, 256);
    expect_incremented_once(256);
}

/* A test with a ring, which the teardown lets go; with a full one whose executor is stopped;
 * and with a ring of two entries whose executor is stopped. */
#define WITH_RING(config, test)                                     \
    {                                                               \
#test, test, start_configured, stop_ring, (void *) (config) \
    }
#define WITH_FULL_RING(config, test)                          \
    {                                                         \
#test, test, start_full, stop_ring, (void *) (config) \
    }
#define WITH_TWO_ENTRIES(config, test)                       \
    {                                                        \
#test, test, start_two, stop_ring, (void *) (config) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RING(DEFAULT, test_refused_windows),
        WITH_RING(DEFAULT, test_leaks),
        WITH_MEDIATOR(DEFAULT, test_hostile_indices),
        WITH_RING(DEFAULT, test_full_completion),
        WITH_FULL_RING(DEFAULT, test_off_with_full_ring),
        WITH_FULL_RING(DEFAULT, test_hang_up_with_full_ring),
        WITH_FULL_RING(DEFAULT, test_executor_killed),
        WITH_TWO_ENTRIES(NARROW "RequestTimeoutSec=1\n", test_run_timeout),
        WITH_TWO_ENTRIES(NARROW "RequestTimeoutSec=infinity\nQueueTimeoutSec=1\n",
                         test_queue_timeout),
        WITH_RING("[Pool A]\nBackend=cpu\nInFlight=16\n", test_mediator_killed),
        WITH_FULL_RING(DEFAULT, test_mediator_killed_held),
        WITH_RING(DEFAULT, test_drain),
    };

    return cmocka_run_group_tests_name("service-ring-faults", tests, NULL, NULL);
}
