/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fault limit, with a clock of the test's own */
#include "clock.h"
#include "fault-limit.h"
#include "test.h"

#define HOUR (3600 * USEC_PER_SEC)

static const FaultLimit limit = {
    .max = 3,
    .interval_usec = 100 * USEC_PER_SEC,
    .wait_usec = 60 * USEC_PER_SEC,
};

/* Adds faults at once until the VM has to wait. */
static uint64_t next_wait(FaultRecord *f, const FaultLimit *l, uint64_t now)
{
    for (unsigned i = 1; i < l->max; i++)
        assert_int_equal(fault_record_add(f, l, now), 0);
    return fault_record_add(f, l, now);
}

TEST(test_within_the_interval)
{
    FaultRecord f = {0};

    assert_int_equal(fault_record_add(&f, &limit, 0), 0);
    assert_int_equal(fault_record_add(&f, &limit, 50 * USEC_PER_SEC), 0);
    assert_int_equal(fault_record_add(&f, &limit, 100 * USEC_PER_SEC), 60 * USEC_PER_SEC);
    assert_int_equal(f.end_usec, 160 * USEC_PER_SEC);
}

/* The time slides: any three, not the first three. */
TEST(test_sliding)
{
    FaultRecord f = {0};

    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(fault_record_add(&f, &limit, i * 51 * USEC_PER_SEC), 0);
    assert_int_not_equal(fault_record_add(&f, &limit, 999 * 51 * USEC_PER_SEC + 1), 0);
}

TEST(test_doubles)
{
    static const uint64_t waits[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
    FaultRecord f = {0};
    uint64_t now = 12345;

    for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_int_equal(next_wait(&f, &limit, now), waits[i] * USEC_PER_SEC);
        now = f.end_usec + USEC_PER_SEC;
    }
    /* An hour of good conduct, and it begins anew. */
    now = f.end_usec + HOUR;
    assert_int_equal(next_wait(&f, &limit, now), 3600 * USEC_PER_SEC);
    now = f.end_usec + HOUR + 1;
    assert_int_equal(next_wait(&f, &limit, now), 60 * USEC_PER_SEC);
}

TEST(test_extremes)
{
    FaultLimit l = {.max = 0, .interval_usec = UINT64_MAX, .wait_usec = UINT64_MAX};
    FaultRecord f = {0};

    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(fault_record_add(&f, &l, i), 0);
    f = (FaultRecord){0};
    l.max = FAULT_LIMIT_MAX;
    assert_true(next_wait(&f, &l, 1) == UINT64_MAX);
    assert_true(f.end_usec == UINT64_MAX);
    f = (FaultRecord){0};
    l.max = 1;
    l.wait_usec = 2 * HOUR; /* longer than doubling makes any */
    assert_int_equal(next_wait(&f, &l, 1), 2 * HOUR);
    assert_int_equal(next_wait(&f, &l, 2), 2 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_within_the_interval),
        cmocka_unit_test(test_sliding),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests_name("fault-limit", tests, NULL, NULL);
}
