/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histograms, held against a sorted list of the same values */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_are_in_order),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_empty_and_one),
    };

    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
