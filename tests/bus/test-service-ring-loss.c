/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM takes memory of its window away: its ring ends, and nobody else notices. */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "huge-pages.h"
#include "ring-peer.h"
#include "test.h"

#define PAGES 2u
#define RING_PAGE 0u
#define DATA_PAGE 1u

static HugePages huge_pages = {.lock = -1};

/* The VM that takes memory away */
static RingGuest g;
static int fd;

/* Its window is of huge pages, all of which are in memory. */
static int open_all(void **state)
{
    int window;

    if (!huge_pages_open(&huge_pages, PAGES) ||
        start_with("[Pool A]\nBackend=cpu\nInFlight=4\n"
                   "[Timeouts]\nRequestTimeoutSec=infinity\n") < 0)
        return -1;

    (void) state;
    window = huge_pages_memfd(PAGES);
    assert_true(window >= 0);
    assert_int_equal(ring_guest_open_in(&g, window, PAGES * HUGE_PAGE_SIZE, 0, 16, 0), 0);
    *ring_cell(&g, HUGE_PAGE_SIZE / 8) = 1;
    fd = ring_hello(4, VGPU_PRIORITY_LOW);
    return 0;
}

static int close_all(void **state)
{
    int r;

    ring_down(&g, fd);
    r = stop(state);
    huge_pages_close(&huge_pages);
    return r;
}

static void punch(unsigned page)
{
    assert_true(huge_pages_punch(&huge_pages, g.fds[0], page));
}

static void ring_doorbell(void)
{
    const uint64_t one = 1;

    assert_int_equal(write(g.fds[1], &one, sizeof(one)), sizeof(one));
}

static VGPUSubmission add_in_data_page(uint64_t tag)
{
    return ring_guest_add(tag, 1, HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, HUGE_PAGE_SIZE + 8);
}

/* On the connection of the VM that lost its window */
static void expect_next_ring_works(void)
{
    RingGuest next;

    assert_int_equal(ring_guest_open(&next, RING_WINDOW, 0, 16, 0), 0);
    ring_turn_on(&next, fd);
    expect_ring_works(&next);
    ring_guest_close(&next);
}

static void expect_told(void)
{
    assert_int_equal(test_mediator_wait_log(&mediator, "it took memory of its window away"), 0);
}

TEST(test_ring)
{
    RingGuest other;
    int other_fd = ring_up(&other, 16, 0);

    ring_turn_on(&g, fd);
    expect_ring_works(&g);

    punch(RING_PAGE);
    ring_doorbell();
    expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
    expect_told();
    expect_ring_works(&other);
    expect_next_ring_works();
    ring_down(&other, other_fd);
}

/* What the executor runs meanwhile ends, and its completion finds no ring. */
TEST(test_ring_with_work)
{
    pid_t executor = hold_executor();
    RingGuest other;
    int other_fd;

    ring_turn_on(&g, fd);
    for (uint64_t tag = 0; tag < 16; tag++) {
        const VGPUSubmission add = add_in_data_page(tag);

        ring_guest_fill(&g, &add);
    }
    (void) ring_guest_publish(&g);
    ring_wait_first_taken(&g);
    expect_pong(fd);

    punch(RING_PAGE);
    assert_int_equal(kill(executor, SIGCONT), 0);
    expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
    expect_told();
    other_fd = ring_up(&other, 16, 0);
    expect_ring_works(&other);
    expect_next_ring_works();
    ring_down(&other, other_fd);
}

/* Only the executor notices; the ring itself goes on. */
TEST(test_data)
{
    const VGPUSubmission add = add_in_data_page(9), elsewhere = ring_guest_add(7, 1, 0, 0, 65536);
    RingGuest other;
    int other_fd = ring_up(&other, 16, 0);
    const VGPUSubmission others = ring_guest_add(5, 1, 65536, 65536, 65536);
    pid_t executor;

    expect_add_works();
    executor = test_mediator_executor(&mediator);
    ring_turn_on(&g, fd);
    ring_guest_submit(&g, &add);
    expect_tag(&g, 9);
    assert_int_equal(*ring_cell(&g, HUGE_PAGE_SIZE / 8 + 1), 2);

    punch(DATA_PAGE);
    ring_guest_submit(&g, &add);
    (void) expect_completion(&g, VGPU_ERROR_INVALID_REQUEST);
    ring_guest_submit(&g, &elsewhere);
    (void) expect_completion(&g, VGPU_ERROR_INVALID_REQUEST);
    ring_guest_submit(&other, &others);
    expect_tag(&other, 5);
    assert_int_equal(test_mediator_executor(&mediator), executor);

    ring_turn_off(fd);
    expect_next_ring_works();
    ring_down(&other, other_fd);
}

/* The memory is gone before the ring is turned on. */
TEST(test_before)
{
    punch(RING_PAGE);
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, VGPU_ERROR_INVALID_REQUEST);
    expect_next_ring_works();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ring, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_ring_with_work, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_data, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_before, open_all, close_all),
    };

    if (!huge_pages_open(&huge_pages, PAGES)) {
        printf("1..0 # SKIP no huge pages can be had\n");
        return 0;
    }
    huge_pages_close(&huge_pages);
    return cmocka_run_group_tests_name("service-ring-loss", tests, NULL, NULL);
}
