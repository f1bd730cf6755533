/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose lines and whose windows: a process and its user are held to limits of their own. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "origin.h"
#include "test.h"

#define MIB (UINT64_C(1) << 20)

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

static struct stat window(ino_t inode, uint64_t size)
{
    return (struct stat){.st_ino = inode, .st_size = (off_t) size};
}

static OriginWindow *take_window(Origin *o, ino_t inode)
{
    struct stat st = window(inode, MIB);
    OriginWindow *w = NULL;

    return origin_take_window(o, &st, MIB, &w) == 0 ? w : NULL;
}

static bool use_window(Origin *o, ino_t inode, uint64_t allocated)
{
    OriginWindow *w = take_window(o, inode);

    if (w)
        origin_return_window(o, w, allocated);
    return w;
}

/* It is not enough to have few windows at one time. */
TEST(test_windows_add_up)
{
    Origin *o = get(1, getpid());

    for (unsigned i = 0; i < 7; i++)
        assert_true(use_window(o, i, MIB));
    for (unsigned i = 0; i < 100; i++)
        assert_true(use_window(o, 6, MIB));
    assert_true(use_window(o, 7, MIB));
    assert_false(use_window(o, 8, MIB));
    assert_true(use_window(o, 0, MIB));

    /* As long as it lives, whether connected or not. */
    origin_unref(o);
    o = get(1, getpid());
    assert_false(use_window(o, 8, MIB));
    origin_unref(o);
}

TEST(test_windows_at_once)
{
    OriginWindow *w[ORIGIN_WINDOWS_FACTOR];
    Origin *o = get(1, getpid());

    for (unsigned i = 0; i < ORIGIN_WINDOWS_FACTOR; i++) {
        w[i] = take_window(o, i);
        assert_non_null(w[i]);
    }
    assert_null(take_window(o, 99));
    for (unsigned i = 0; i < ORIGIN_WINDOWS_FACTOR; i++)
        origin_return_window(o, w[i], 0);

    /* Nothing was allocated in them, so they leave nothing behind. */
    for (unsigned i = 0; i < 1000; i++)
        assert_true(use_window(o, i, 0));
    origin_unref(o);
}

/* A ring that is set up anew while requests of the last ones still run is a window for each of
 * them, and the memory is there once. */
TEST(test_one_window_at_once)
{
    Origin *o = get(1, getpid());
    OriginWindow *w[1000];

    for (unsigned i = 0; i < 1000; i++) {
        w[i] = take_window(o, 7);
        assert_non_null(w[i]);
    }
    for (unsigned i = 0; i < ORIGIN_WINDOWS_FACTOR - 1; i++)
        assert_true(use_window(o, 100 + i, MIB));
    assert_null(take_window(o, 99));
    for (unsigned i = 0; i < 1000; i++)
        origin_return_window(o, w[i], MIB);
    assert_null(take_window(o, 99));
    assert_true(use_window(o, 7, MIB));
    origin_unref(o);
}

/* One device of many turns its ring on and off, in turn with the others. */
TEST(test_windows_in_turn)
{
    Origin *o = get(1, getpid());

    for (unsigned i = 0; i < 10000; i++)
        assert_true(use_window(o, i % ORIGIN_WINDOWS_MAX, MIB / 4));
    origin_unref(o);
}

/* More windows than it remembers one by one. */
TEST(test_small_windows_add_up)
{
    Origin *o = get(1, getpid());
    unsigned n = 0;

    while (n < 10000 && use_window(o, n, 4096))
        n++;
    assert_int_equal(n, 7 * MIB / 4096 + 1);
    origin_unref(o);
}

TEST(test_windows_of_an_ended_process)
{
    pid_t child = fork();
    Origin *o;

    assert_true(child >= 0);
    if (child == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    o = get(1, child);
    for (unsigned i = 0; i < 8; i++)
        assert_true(use_window(o, i, MIB));
    assert_false(use_window(o, 8, MIB));
    origin_unref(o);

    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    o = get(1, child);
    assert_true(use_window(o, 8, MIB));
    origin_unref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_of_a_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_a_user, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_window_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_windows_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows_of_an_ended_process, setup, teardown),
    };

    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
