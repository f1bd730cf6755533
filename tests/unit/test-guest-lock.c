/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu: the lock between handles, in one process and in several. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test-guest-sysfs.h"
#include "vgpu.h"

static int setup(void **state)
{
    fake_sysfs *f = calloc(1, sizeof(*f));

    fake_sysfs_create(f);
    fake_sysfs_add(f, FAKE_ADDRESS);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fake_sysfs_remove(*state);
    free(*state);
    return 0;
}

static vgpu_device *open_device(fake_sysfs *f)
{
    vgpu_device *dev = NULL;

    assert_int_equal(vgpu_open(&f->paths, NULL, &dev), 0);
    return dev;
}

/* Another process with a handle of its own. It takes the lock, says so on the pipe, and holds it
 * until it is killed. */
typedef struct holder {
    pid_t pid;
    int says;
} holder;

static holder start_holder(fake_sysfs *f, int timeout_ms)
{
    int fds[2];
    holder h;

    assert_return_code(pipe(fds), 0);
    h = (holder){.pid = fork(), .says = fds[0]};
    assert_return_code(h.pid, 0);
    if (h.pid == 0) {
        vgpu_device *dev = NULL;
        char ok = 1;

        if (vgpu_open(&f->paths, NULL, &dev) != 0 || vgpu_lock(dev, timeout_ms) != 0)
            ok = 0;
        if (write(fds[1], &ok, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }

    close(fds[1]);
    return h;
}

/* Wait until it has the lock. */
static void expect_held(const holder *h)
{
    char ok = 0;

    assert_int_equal(read(h->says, &ok, 1), 1);
    assert_int_equal(ok, 1);
}

static void end_holder(holder *h)
{
    close(h->says);
    assert_return_code(kill(h->pid, SIGKILL), 0);
    assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
}

static void test_two_handles(void **state)
{
    vgpu_device *one = open_device(*state), *two = open_device(*state);

    assert_int_equal(vgpu_lock(one, 0), 0);
    assert_int_equal(vgpu_lock(one, 0), -EALREADY);
    assert_int_equal(vgpu_lock(two, 0), -EBUSY);
    assert_int_equal(vgpu_lock(two, 20), -EBUSY);
    vgpu_unlock(two); /* what it does not hold */
    assert_int_equal(vgpu_lock(two, 0), -EBUSY);

    vgpu_unlock(one);
    assert_int_equal(vgpu_lock(two, 0), 0);
    assert_int_equal(vgpu_lock(one, 0), -EBUSY);
    vgpu_close(two);
    assert_int_equal(vgpu_lock(one, -1), 0);
    vgpu_close(one);
}

static void test_devices_are_apart(void **state)
{
    fake_sysfs *f = *state;
    vgpu_device *one, *two;

    fake_sysfs_add(f, "0000:00:05.0");
    assert_int_equal(vgpu_open(&f->paths, "0", &one), 0);
    assert_int_equal(vgpu_open(&f->paths, "1", &two), 0);
    assert_int_equal(vgpu_lock(one, 0), 0);
    assert_int_equal(vgpu_lock(two, 0), 0);
    vgpu_close(one);
    vgpu_close(two);
}

static void test_holder_dies(void **state)
{
    vgpu_device *dev = open_device(*state);
    holder h = start_holder(*state, 0);

    expect_held(&h);
    assert_int_equal(vgpu_lock(dev, 0), -EBUSY);
    assert_int_equal(vgpu_lock(dev, 20), -EBUSY);
    end_holder(&h);
    assert_int_equal(vgpu_lock(dev, 0), 0);
    vgpu_close(dev);
}

static void expect_waits(fake_sysfs *f, int timeout_ms)
{
    vgpu_device *dev = open_device(f);
    struct pollfd fd = {.events = POLLIN};
    holder h;

    assert_int_equal(vgpu_lock(dev, 0), 0);
    h = start_holder(f, timeout_ms);
    fd.fd = h.says;
    assert_int_equal(poll(&fd, 1, 0), 0);
    vgpu_unlock(dev);
    expect_held(&h);
    assert_int_equal(vgpu_lock(dev, 0), -EBUSY);
    end_holder(&h);
    vgpu_close(dev);
}

static void test_waits_for_ever(void **state)
{
    expect_waits(*state, -1);
}

static void test_waits_with_a_limit(void **state)
{
    expect_waits(*state, 60000);
}

/* One that locks again and again does not keep another out. */
static void test_gets_its_turn(void **state)
{
    vgpu_device *dev = open_device(*state);
    struct pollfd fd = {.events = POLLIN};
    holder h;

    assert_int_equal(vgpu_lock(dev, 0), 0);
    h = start_holder(*state, 60000);
    fd.fd = h.says;
    while (poll(&fd, 1, 0) == 0) {
        int r;

        vgpu_unlock(dev);
        r = vgpu_lock(dev, 0);
        if (r == -EBUSY) /* the other is waiting, or has it: come in line behind it */
            r = vgpu_lock(dev, 1);
        assert_true(r == 0 || r == -EBUSY);
    }
    expect_held(&h);
    end_holder(&h);
    vgpu_close(dev);
}

/* With the lock waited for, a waiter that gives up leaves nothing behind. */
static void test_gives_up(void **state)
{
    vgpu_device *one = open_device(*state), *two = open_device(*state),
                *three = open_device(*state);

    assert_int_equal(vgpu_lock(one, 0), 0);
    assert_int_equal(vgpu_lock(two, 5), -EBUSY);
    vgpu_unlock(one);
    assert_int_equal(vgpu_lock(three, 0), 0);
    vgpu_close(one);
    vgpu_close(two);
    vgpu_close(three);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_two_handles),    TEST(test_devices_are_apart),  TEST(test_holder_dies),
        TEST(test_waits_for_ever), TEST(test_waits_with_a_limit), TEST(test_gets_its_turn),
        TEST(test_gives_up),
    };

    return cmocka_run_group_tests_name("guest-lock", tests, NULL, NULL);
}
