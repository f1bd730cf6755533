/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM takes memory of its window away while the executor computes in it. What is to be computed
 * in that window is refused; the process and all other windows go on. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "huge-pages.h"
#include "test-executor-start.h"
#include "test-executor-window.h"
#include "test.h"

#define PAGES 4u

static HugePages huge_pages = {.lock = -1};

static int open_pages(void **state)
{
    (void) state;
    return huge_pages_open(&huge_pages, PAGES) ? 0 : -1;
}

static int close_pages(void **state)
{
    (void) state;
    huge_pages_close(&huge_pages);
    return 0;
}

static Client *start(void)
{
    const ClientOptions options = {.executor = getenv("VGPU_EXECUTOR"), .backend = "cpu"};

    return start_ready(&options);
}

static TestWindow create_huge(uint32_t id)
{
    int fd = huge_pages_memfd(PAGES);

    assert_true(fd >= 0);
    return window_create_in(fd, id, PAGES * HUGE_PAGE_SIZE);
}

/* It reads and writes every page of the window, on the loop's thread or on a worker. */
static VGPUSubmission addition(uint64_t count)
{
    uint32_t stride = (uint32_t) (PAGES * HUGE_PAGE_SIZE / 8 / count);

    return (VGPUSubmission){
        .opcode = VGPU_OP_RING_ADD,
        .type = VGPU_TYPE_INT64,
        .count = count,
        .a = operand(0, stride),
        .b = operand(0, stride),
        .c = operand(0, stride),
    };
}

/* c lies in the last page, and is written by the threads that OpenBLAS may have. */
static VGPUSubmission product(void)
{
    uint32_t n = 512;

    return (VGPUSubmission){
        .opcode = VGPU_OP_RING_MATMUL,
        .type = VGPU_TYPE_FLOAT64,
        .count = n,
        .n = n,
        .k = n,
        .a = operand(0, n),
        .b = operand(HUGE_PAGE_SIZE, n),
        .c = operand((PAGES - 1) * HUGE_PAGE_SIZE, n),
    };
}

static void check_loss(const VGPUSubmission *s, unsigned page)
{
    Client *c = start();
    TestWindow w = create_huge(5), other = window_create(6, UINT64_C(1) << 20), again;
    VGPUSubmission sum = {
        .opcode = VGPU_OP_RING_SUM, .type = VGPU_TYPE_INT64, .count = 1000, .a = operand(0, 1)};
    char *text;

    window_fill(&w, 1, VGPU_TYPE_FLOAT64, true);
    window_fill(&other, 2, VGPU_TYPE_INT64, false);
    window_send_add(c, &w);
    window_send_add(c, &other);
    window_compute(c, &w, s);

    assert_true(huge_pages_punch(&huge_pages, w.fd, page));
    window_refused(c, &w, s, VGPU_ERROR_INVALID_REQUEST);
    window_refused(c, &w, &sum, VGPU_ERROR_INVALID_REQUEST); /* nothing is missing there */
    window_compute(c, &other, &sum);

    /* The id may be used again. */
    window_send_remove(c, &w);
    again = window_create(5, UINT64_C(1) << 20);
    window_fill(&again, 3, VGPU_TYPE_INT64, false);
    window_send_add(c, &again);
    window_compute(c, &again, &sum);

    client_hang_up(c);
    assert_int_equal(client_end(c, &text), EXECUTOR_EXIT_OK);
    assert_string_equal(
        text, "vgpu-executor: pool T: window 5: its VM took memory of it away\n"); /* once */
    free(text);
    window_destroy(&w);
    window_destroy(&other);
    window_destroy(&again);
}

TEST(test_small_job)
{
    const VGPUSubmission s = addition(64);

    check_loss(&s, 2);
}

TEST(test_large_job)
{
    const VGPUSubmission s = addition(1u << 16);

    check_loss(&s, 0);
}

TEST(test_matrix_product)
{
    const VGPUSubmission s = product();

    check_loss(&s, PAGES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_job, open_pages, close_pages),
        cmocka_unit_test_setup_teardown(test_large_job, open_pages, close_pages),
        cmocka_unit_test_setup_teardown(test_matrix_product, open_pages, close_pages),
    };

    if (!huge_pages_open(&huge_pages, PAGES)) {
        printf("1..0 # SKIP no huge pages can be had\n");
        return 0;
    }
    huge_pages_close(&huge_pages);
    return cmocka_run_group_tests_name("window-loss", tests, NULL, NULL);
}
