/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histograms, held against a sorted list of the same values; and the time of the last seconds */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "statistics.h"
#include "test.h"

TEST(test_buckets_are_in_order)
{
    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++)
        assert_true(histogram_bucket_max(i) > histogram_bucket_max(i - 1));
    assert_true(histogram_bucket_max(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

/* The lowest and the highest value of each bucket fall into it, and into no other. */
TEST(test_edges)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        Histogram h = {0};

        histogram_add(&h, i == 0 ? 0 : histogram_bucket_max(i - 1) + 1);
        histogram_add(&h, histogram_bucket_max(i));
        assert_int_equal(h.bucket[i], 2);
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

TEST(test_percentiles)
{
    enum { N = 20001 };
    static uint64_t values[N];
    Histogram h = {0};
    uint64_t sum = 0;

    srand(2);
    for (unsigned i = 0; i < N; i++) {
        values[i] = (uint64_t) rand() >> (rand() % 31);
        sum += values[i];
        histogram_add(&h, values[i]);
    }
    qsort(values, N, sizeof(values[0]), compare_u64);

    assert_true(h.sum == sum);
    assert_true(h.max == values[N - 1]);
    for (unsigned p = 1; p <= 100; p++) {
        uint64_t exact = values[(N * p + 99) / 100 - 1], told = histogram_percentile(&h, p);

        assert_true(told >= exact);
        assert_true(told - exact <= exact / 8);
    }
}

TEST(test_empty_and_one)
{
    Histogram h = {0};

    assert_int_equal(histogram_percentile(&h, 99), 0);
    histogram_add(&h, 1000);
    assert_int_equal(histogram_percentile(&h, 1), 1000);
    assert_int_equal(histogram_percentile(&h, 50), 1000);
    assert_int_equal(histogram_percentile(&h, 100), 1000);
    histogram_add(&h, UINT64_MAX);
    assert_true(histogram_percentile(&h, 100) == UINT64_MAX);
}

/* ---- Time of the last seconds ---------------------------------------------------------- */

#define SECOND UINT64_C(1000000)

static void expect_share(double got, double wanted)
{
    if (got < wanted - 1e-9 || got > wanted + 1e-9)
        fail_msg("%f instead of %f", got, wanted);
}

TEST(test_time_is_counted_in_its_seconds)
{
    TimeWindow w = {0};

    time_window_add(&w, 100 * SECOND + SECOND / 2, 102 * SECOND + SECOND / 4);
    /* Second 102 is not over. */
    expect_share(time_window_share(&w, 102 * SECOND + SECOND / 2), 0.15);
    expect_share(time_window_share(&w, 103 * SECOND), 0.175);
    /* Second 100 is the last one of ten, and then is out. */
    expect_share(time_window_share(&w, 110 * SECOND + SECOND - 1), 0.175);
    expect_share(time_window_share(&w, 111 * SECOND), 0.125);
    expect_share(time_window_share(&w, 113 * SECOND), 0);
    expect_share(time_window_share(&w, 1000 * SECOND), 0);
}

TEST(test_time_of_a_long_request)
{
    TimeWindow w = {0};

    time_window_add(&w, 10 * SECOND, 11 * SECOND);
    time_window_add(&w, 20 * SECOND, 500 * SECOND);
    expect_share(time_window_share(&w, 500 * SECOND), 1);
    expect_share(time_window_share(&w, 505 * SECOND), 0.5);
    /* Those beside each other count each, and there is no more than all. */
    time_window_add(&w, 495 * SECOND, 500 * SECOND);
    expect_share(time_window_share(&w, 500 * SECOND), 1);
    expect_share(time_window_share(&w, 505 * SECOND), 1);
    /* One that ended earlier, and is heard of later, counts where it was. */
    time_window_add(&w, 506 * SECOND, 507 * SECOND);
    time_window_add(&w, 505 * SECOND, 505 * SECOND + SECOND / 2);
    expect_share(time_window_share(&w, 516 * SECOND), 0.1);
    expect_share(time_window_share(&w, 515 * SECOND), 0.15);
}

/* Every microsecond of a random load, held against a plain count. */
TEST(test_busy_time)
{
    enum { SECONDS = 60, STEP = 1000, STEPS = SECONDS * 1000 };
    static bool busy[STEPS];
    BusyTime b = {0};
    unsigned n = 0;

    srand(3);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t now = (uint64_t) i * STEP;

        if (i % SECONDS == 0 && rand() % 3 == 0 && n < 4) {
            busy_begin(&b, now);
            n++;
        } else if (i % SECONDS == 0 && n > 0) {
            busy_end(&b, now);
            n--;
        }
        busy[i] = n > 0;
        if (i % 777 == 0) {
            unsigned last = i / 1000 * 1000, first = last < 10000 ? 0 : last - 10000, recent = 0;
            uint64_t total = 0;

            for (unsigned k = 0; k < i; k++) {
                total += busy[k];
                recent += busy[k] && k >= first && k < last;
            }
            assert_int_equal(busy_total(&b, now), total * STEP);
            expect_share(busy_share(&b, now), recent / 10000.0);
        }
    }
    busy_reset(&b, STEPS * STEP);
    assert_int_equal(busy_total(&b, STEPS * STEP), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_are_in_order),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_time_is_counted_in_its_seconds),
        cmocka_unit_test(test_time_of_a_long_request),
        cmocka_unit_test(test_busy_time),
        cmocka_unit_test(test_empty_and_one),
    };

    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
