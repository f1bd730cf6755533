/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu: the lock between handles, in one process and in several. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-guest-sysfs.h"
#include "test.h"
#include "vgpu.h"

static int setup(void **state)
{
    fake_sysfs_setup(state);
    fake_sysfs_add(*state, FAKE_ADDRESS);
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

/* Wait until the holder has the lock. */
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
    vgpu_unlock(two); /* unlocking a lock that the handle does not hold does nothing */
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

/* Wait until another handle waits for the lock: it holds the second byte then (see lock.c). */
static void expect_in_line(fake_sysfs *f)
{
    int fd = open(fake_sysfs_path(f, FAKE_ADDRESS, "resource0"), O_RDWR | O_CLOEXEC);
    struct flock gate;

    assert_return_code(fd, 0);
    do {
        gate = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
        assert_return_code(fcntl(fd, F_OFD_GETLK, &gate), 0);
    } while (gate.l_type == F_UNLCK && sched_yield() == 0);
    close(fd);
}

static void expect_waits(fake_sysfs *f, int timeout_ms)
{
    vgpu_device *dev = open_device(f);
    struct pollfd fd = {.events = POLLIN};
    holder h;

    assert_int_equal(vgpu_lock(dev, 0), 0);
    h = start_holder(f, timeout_ms);
    fd.fd = h.says;
    expect_in_line(f);
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

/* A handle that unlocks and at once locks again comes behind the handle that was waiting. */
static void test_gets_its_turn(void **state)
{
    vgpu_device *dev = open_device(*state);
    holder h;

    assert_int_equal(vgpu_lock(dev, 0), 0);
    h = start_holder(*state, 60000);
    expect_in_line(*state);
    vgpu_unlock(dev);
    assert_int_equal(vgpu_lock(dev, 0), -EBUSY);
    expect_held(&h);
    end_holder(&h);
    vgpu_close(dev);
}

/* A handle that gives up waiting leaves nothing behind. */
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
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, fake_sysfs_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_two_handles),    CASE(test_devices_are_apart),  CASE(test_holder_dies),
        CASE(test_waits_for_ever), CASE(test_waits_with_a_limit), CASE(test_gets_its_turn),
        CASE(test_gives_up),
    };

    return cmocka_run_group_tests_name("guest-lock", tests, NULL, NULL);
}
