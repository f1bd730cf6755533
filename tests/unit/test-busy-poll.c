/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When looking before sleeping pays. Only lower bounds of time are asserted. */
#include <stdint.h>
#include <time.h>

#include "busy-poll.h"
#include "test.h"

/* Longer than any limit */
static void wait_long(void)
{
    const struct timespec ts = {.tv_nsec = 2 * BUSY_POLL_MAX_USEC * 1000};

    while (nanosleep(&ts, NULL) < 0)
        continue;
}

/* A wait that is over at once, as far as a busy machine allows. */
static void wait_shortly(BusyPoll *p)
{
    do {
        busy_poll_begin(p);
        busy_poll_end(p);
    } while (!p->pays);
}

TEST(test_never)
{
    BusyPoll p;

    busy_poll_init(&p, 0);
    for (unsigned i = 0; i < 3; i++) {
        busy_poll_begin(&p);
        assert_false(busy_poll_go_on(&p));
        busy_poll_end(&p);
    }
}

TEST(test_not_before_it_has_paid)
{
    BusyPoll p;

    busy_poll_init(&p, BUSY_POLL_MAX_USEC);
    busy_poll_begin(&p);
    assert_false(busy_poll_go_on(&p));
}

TEST(test_ends_at_the_limit)
{
    struct timespec begin, end;
    BusyPoll p;

    busy_poll_init(&p, BUSY_POLL_MAX_USEC);
    wait_shortly(&p);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    busy_poll_begin(&p);
    while (busy_poll_go_on(&p))
        continue;
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000 >=
                BUSY_POLL_MAX_USEC - 1);
}

/* After a wait that was too long, the next begins asleep. After a short one it does not. */
TEST(test_learns)
{
    BusyPoll p;

    busy_poll_init(&p, BUSY_POLL_MAX_USEC);
    for (unsigned i = 0; i < 3; i++) {
        wait_shortly(&p);
        busy_poll_begin(&p);
        wait_long();
        assert_false(busy_poll_go_on(&p));
        busy_poll_end(&p);
        busy_poll_begin(&p);
        assert_false(busy_poll_go_on(&p));
        busy_poll_end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_not_before_it_has_paid),
        cmocka_unit_test(test_ends_at_the_limit),
        cmocka_unit_test(test_learns),
    };

    return cmocka_run_group_tests_name("busy-poll", tests, NULL, NULL);
}
