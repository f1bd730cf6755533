/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose lines: a process and its user are held to limits of their own. */
#include <stdlib.h>

#include "log.h"
#include "origin.h"
#include "test.h"

/* Replaces the library's. */
static unsigned n_lines;

void log_context(int priority, const LogContext *context, const char *format, ...)
{
    (void) priority, (void) context, (void) format;
    n_lines++;
}

static Origins all;

static int setup(void **state)
{
    (void) state;
    n_lines = 0;
    origins_init(&all);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    origins_clear(&all);
    return 0;
}

static Origin *get(uid_t uid, pid_t pid)
{
    const struct ucred process = {.uid = uid, .pid = pid};
    Origin *o;

    assert_int_equal(origin_get(&all, &process, &o), 0);
    return o;
}

static unsigned log_lines(Origin *o, unsigned n)
{
    unsigned n_logged = 0;

    while (n-- > 0)
        n_logged += origin_may_log(o);
    return n_logged;
}

TEST(test_lines_of_a_process)
{
    Origin *loud = get(1, 100), *other = get(1, 101);

    assert_ptr_equal(loud->user, other->user);
    assert_int_equal(log_lines(loud, 1000), ORIGIN_PROCESS_LINES);
    assert_int_equal(n_lines, 1); /* that more are left out */
    assert_int_equal(log_lines(other, 3), 3);

    /* It does not help to come again. */
    origin_unref(loud);
    loud = get(1, 100);
    assert_int_equal(log_lines(loud, 1000), 0);
    origin_unref(loud);
    origin_unref(other);
}

TEST(test_lines_of_a_user)
{
    unsigned n = 0;

    for (pid_t pid = 1000; pid < 3000; pid++) {
        Origin *o = get(1, pid);

        n += log_lines(o, 100);
        origin_unref(o);
    }
    assert_int_equal(n, ORIGIN_USER_LINES);
    assert_true(all.n_idle <= ORIGINS_IDLE_MAX);

    Origin *other = get(2, 999);
    assert_int_equal(log_lines(other, 3), 3);
    origin_unref(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_of_a_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_a_user, setup, teardown),
    };

    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
