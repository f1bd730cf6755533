/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is believed of an executor's figures: against a page that says anything. */
#include <string.h>

#include "session-figures.h"
#include "test.h"

#define NO_LIMIT UINT64_MAX

TEST(test_honest)
{
    SessionControl page = {
        .memory = 300,
        .memory_peak = 500,
        .images = 7,
        .operations = 11,
        .launches = 5,
        .bytes_to_device = 1000,
        .bytes_from_device = 2000,
        .device_usec = 90,
    };
    SessionFigures f = {0};

    session_figures_read(&f, &page, 1000, 100);
    assert_int_equal(f.memory, 300);
    assert_int_equal(f.memory_peak, 500);
    assert_int_equal(f.images, 7);
    assert_int_equal(f.operations, 11);
    assert_int_equal(f.launches, 5);
    assert_int_equal(f.bytes_to_device, 1000);
    assert_int_equal(f.bytes_from_device, 2000);
    assert_int_equal(f.device_usec, 90);
    assert_int_equal(f.sticky, 0);

    /* What it has now may become less; the rest does not. */
    page.memory = page.images = 0;
    session_figures_read(&f, &page, 1000, 200);
    assert_int_equal(f.memory, 0);
    assert_int_equal(f.images, 0);
    assert_int_equal(f.memory_peak, 500);
}

/* Nothing runs backwards, whatever the page says next. */
TEST(test_backwards)
{
    SessionControl page;
    SessionFigures f = {0}, before;
    uint64_t seed = 1;

    for (unsigned round = 0; round < 10000; round++) {
        unsigned char *bytes = (unsigned char *) &page;

        for (unsigned i = 0; i < sizeof(page); i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[i] = round % 3 == 0 ? 0xff : round % 3 == 1 ? 0 : (unsigned char) (seed >> 56);
        }
        before = f;
        session_figures_read(&f, &page, NO_LIMIT, round);
        assert_true(f.memory <= f.memory_peak);
        assert_true(f.memory_peak >= before.memory_peak);
        assert_true(f.operations >= before.operations);
        assert_true(f.launches >= before.launches);
        assert_true(f.bytes_to_device >= before.bytes_to_device);
        assert_true(f.bytes_from_device >= before.bytes_from_device);
        assert_true(f.device_usec >= before.device_usec);
        assert_true(before.sticky == 0 || f.sticky == before.sticky);
    }
}

/* The largest numbers stay where 2^8 sessions of them still have a sum. */
TEST(test_huge)
{
    SessionControl page;
    SessionFigures f = {0};

    memset(&page, 0xff, sizeof(page));
    session_figures_read(&f, &page, NO_LIMIT, NO_LIMIT);
    assert_int_equal(f.memory, SESSION_BYTES_MAX);
    assert_int_equal(f.memory_peak, SESSION_BYTES_MAX);
    assert_int_equal(f.images, SESSION_BYTES_MAX);
    assert_int_equal(f.operations, SESSION_COUNT_MAX);
    assert_int_equal(f.launches, SESSION_COUNT_MAX);
    assert_int_equal(f.bytes_to_device, SESSION_BYTES_MAX);
    assert_int_equal(f.bytes_from_device, SESSION_BYTES_MAX);
    assert_int_equal(f.device_usec, SESSION_COUNT_MAX);
    assert_true(SESSION_BYTES_MAX <= UINT64_MAX >> 8);
}

/* No more memory than it may have, and no more time than has passed. */
TEST(test_limits)
{
    SessionControl page = {.memory = 1001, .memory_peak = 5000, .device_usec = 101};
    SessionFigures f = {0};

    session_figures_read(&f, &page, 1000, 100);
    assert_int_equal(f.memory, 1000);
    assert_int_equal(f.memory_peak, 1000);
    assert_int_equal(f.device_usec, 100);
    session_figures_read(&f, &page, 1000, 1000);
    assert_int_equal(f.device_usec, 101);
    page.memory_peak = 0;
    session_figures_read(&f, &page, 1000, 1000);
    assert_int_equal(f.memory_peak, 1000);
}

TEST(test_sticky)
{
    SessionControl page = {0};
    SessionFigures f = {0};

    session_figures_read(&f, &page, NO_LIMIT, 1);
    assert_int_equal(f.sticky, 0);
    page.sticky = 700;
    session_figures_read(&f, &page, NO_LIMIT, 1);
    page.sticky = 0;
    session_figures_read(&f, &page, NO_LIMIT, 1);
    assert_int_equal(f.sticky, 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest), cmocka_unit_test(test_backwards),
        cmocka_unit_test(test_huge),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sticky),
    };

    return cmocka_run_group_tests_name("session-figures", tests, NULL, NULL);
}
