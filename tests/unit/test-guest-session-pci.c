/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvgpu's sessions through a device: rings, locks, and processes that die. The device is a file
 * of registers: a ring that is turned on reads as on, one that is turned off as off.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cuda-client.h"
#include "device.h"
#include "session-watch.h"
#include "test-guest-sysfs.h"
#include "test.h"
#include "vgpu-ring.h"

#define WINDOW (UINT64_C(16) << 20)
#define RINGS 4u

typedef struct fixture {
    fake_sysfs *sysfs;
    volatile uint32_t *bar;
    vgpu_session_options options;
} fixture;

static uint32_t reg(const fixture *f, uint32_t offset)
{
    return f->bar[offset / 4];
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    int fd;

    assert_non_null(f);
    fake_sysfs_setup((void **) &f->sysfs);
    fake_sysfs_add(f->sysfs, FAKE_ADDRESS);
    fake_sysfs_write(f->sysfs, FAKE_ADDRESS, "resource2", "");
    assert_return_code(truncate(fake_sysfs_path(f->sysfs, FAKE_ADDRESS, "resource2"), WINDOW),
                       errno);
    fd = open(fake_sysfs_path(f->sysfs, FAKE_ADDRESS, "resource0"), O_RDWR | O_CLOEXEC);
    assert_return_code(fd, errno);
    f->bar = mmap(NULL, VGPU_BAR0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(f->bar != MAP_FAILED);
    close(fd);
    f->bar[VGPU_REG_EXT_MAGIC / 4] = VGPU_EXT_MAGIC;
    f->bar[VGPU_REG_EXT_VERSION / 4] = VGPU_EXT_VERSION;
    f->bar[VGPU_REG_EXT_FEATURES / 4] =
        VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING | VGPU_EXT_FEATURE_SESSIONS;
    f->bar[VGPU_REG_WINDOW_SIZE_LO / 4] = (uint32_t) WINDOW;
    f->bar[VGPU_REG_RINGS / 4] = RINGS;
    f->options = (vgpu_session_options){
        .paths = &f->sysfs->paths,
        .device = FAKE_ADDRESS,
        .timeout_ms = 100,
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    munmap((void *) f->bar, VGPU_BAR0_SIZE);
    fake_sysfs_teardown((void **) &f->sysfs);
    free(f);
    return 0;
}

static uint32_t control(const fixture *f, uint32_t ring)
{
    return reg(f, vgpu_session_register(ring, VGPU_SESSION_REG_CTRL));
}

static void test_rings(void **state)
{
    fixture *f = *state;
    vgpu_session *s[RINGS], *one_more = NULL;
    const VGPUSessionNone none = {0};

    for (uint32_t i = 1; i < RINGS; i++) {
        VGPUSessionBytes bytes;
        void *memory;

        assert_int_equal(vgpu_session_open(&f->options, &s[i], NULL), 0);
        assert_string_equal(vgpu_session_get_name(s[i]), FAKE_ADDRESS);
        assert_int_equal(control(f, i), VGPU_RING_ON);
        assert_int_equal(vgpu_session_window_alloc(s[i], 64, 0, &memory), 0);
        assert_true(vgpu_session_window_bytes(s[i], memory, 64, &bytes));
        assert_int_equal((uintptr_t) memory - bytes.offset,
                         UINT64_C(0x2f0000000000) + i * UINT64_C(0x010000000000));
    }
    assert_int_not_equal(reg(f, vgpu_session_register(1, VGPU_SESSION_REG_OFFSET_LO)),
                         reg(f, vgpu_session_register(2, VGPU_SESSION_REG_OFFSET_LO)));
    assert_int_equal(vgpu_session_open(&f->options, &one_more, NULL), -EBUSY);

    /* the doorbell, as nobody waits: only when asked for */
    assert_int_equal(
        vgpu_session_post(s[2], VGPU_SESSION_OP_NOP, NULL, &none, sizeof(none), NULL, 0), 0);
    assert_int_equal(reg(f, vgpu_ring_doorbell(2)), 0);

    vgpu_session_close(s[2]);
    assert_int_equal(control(f, 2), VGPU_RING_OFF);
    assert_int_equal(control(f, 1), VGPU_RING_ON);
    assert_int_equal(vgpu_session_open(&f->options, &s[2], NULL), 0);
    for (uint32_t i = 1; i < RINGS; i++)
        vgpu_session_close(s[i]);
    for (uint32_t i = 1; i < RINGS; i++)
        assert_int_equal(control(f, i), VGPU_RING_OFF);
}

/* All processes that the device has rings for have room for copies in a small window. */
static void test_room_for_all(void **state)
{
    fixture *f = *state;
    vgpu_session *s[VGPU_RINGS_MAX];
    void *memory;

    f->bar[VGPU_REG_RINGS / 4] = VGPU_RINGS_MAX;
    for (uint32_t i = 1; i < VGPU_RINGS_MAX; i++)
        assert_int_equal(vgpu_session_open(&f->options, &s[i], NULL), 0);
    for (uint32_t i = 1; i < VGPU_RINGS_MAX; i++)
        assert_int_equal(vgpu_session_window_alloc(s[i], 512 << 10, 0, &memory), 0);
    for (uint32_t i = 1; i < VGPU_RINGS_MAX; i++)
        vgpu_session_close(s[i]);
}

/* A ring that fails ends its session with what the device says. */
static void test_failed(void **state)
{
    fixture *f = *state;
    const VGPUSessionNone none = {0};
    vgpu_session *s;

    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), 0);
    f->bar[vgpu_session_register(1, VGPU_SESSION_REG_ERROR) / 4] = VGPU_ERROR_CUDA_ERROR;
    f->bar[vgpu_session_register(1, VGPU_SESSION_REG_CUDA_RESULT) / 4] = 719;
    f->bar[vgpu_session_register(1, VGPU_SESSION_REG_CTRL) / 4] = VGPU_RING_FAILED;
    assert_int_equal(
        vgpu_session_call(s, VGPU_SESSION_OP_NOP, NULL, &none, sizeof(none), NULL, 0, NULL), 719);
    assert_int_equal(vgpu_session_get_failure(s), 719);
    vgpu_session_close(s);
}

static void test_no_sessions(void **state)
{
    fixture *f = *state;
    vgpu_session *s;

    f->bar[VGPU_REG_EXT_FEATURES / 4] &= ~VGPU_EXT_FEATURE_SESSIONS;
    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), -EOPNOTSUPP);
}

/* A program with an old libvgpu has the whole window with one lock. */
static void test_old_program(void **state)
{
    fixture *f = *state;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 1};
    vgpu_session *s = NULL;
    int fd = open(fake_sysfs_path(f->sysfs, FAKE_ADDRESS, "resource0"), O_RDWR | O_CLOEXEC);

    assert_return_code(fcntl(fd, F_OFD_SETLK, &lock), errno);
    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), -EBUSY);
    lock.l_type = F_UNLCK;
    assert_return_code(fcntl(fd, F_OFD_SETLK, &lock), errno);

    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), 0);
    lock.l_type = F_WRLCK;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), -1); /* and the other way round */
    vgpu_session_close(s);
    assert_return_code(fcntl(fd, F_OFD_SETLK, &lock), errno);
    close(fd);
}

/* A reset would end everybody's session. */
static void test_reset(void **state)
{
    fixture *f = *state;
    vgpu_device *dev = NULL;
    vgpu_session *s;

    fake_sysfs_write(f->sysfs, FAKE_ADDRESS, "reset_method", "flr\n");
    fake_sysfs_write(f->sysfs, FAKE_ADDRESS, "reset", "");
    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), 0);
    assert_int_equal(vgpu_open(&f->sysfs->paths, FAKE_ADDRESS, &dev), 0);
    assert_int_equal(vgpu_lock(dev, 0), 0);
    assert_int_equal(vgpu_reset(dev), -EBUSY);
    vgpu_session_close(s);
    assert_int_equal(vgpu_reset(dev), 0);
    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), 0);
    vgpu_session_close(s);
    vgpu_close(dev);
}

/* ---- Processes that die -------------------------------------------------------------------- */

static pid_t start_process(const fixture *f)
{
    int says[2];
    char ok = 0;
    pid_t pid;

    assert_return_code(pipe(says), errno);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        vgpu_session *s;

        ok = vgpu_session_open(&f->options, &s, NULL) == 0;
        if (write(says[1], &ok, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(says[0], &ok, 1), 1);
    assert_int_equal(ok, 1);
    close(says[0]);
    close(says[1]);
    return pid;
}

static void kill_process(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A child has no part in its parent's session, and may have one of its own. */
static void test_child(void **state)
{
    fixture *f = *state;
    const VGPUSessionNone none = {0};
    vgpu_device *dev = NULL;
    vgpu_session *s, *own;
    int status;
    pid_t pid;

    assert_int_equal(vgpu_session_open(&f->options, &s, NULL), 0);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        if (vgpu_session_post(s, VGPU_SESSION_OP_NOP, NULL, &none, sizeof(none), NULL, 0) !=
            VGPU_CUDA_ERROR_NOT_INITIALIZED)
            _exit(1);
        if (vgpu_session_open(&f->options, &own, NULL) != 0)
            _exit(2);
        if (control(f, 1) != VGPU_RING_ON || control(f, 2) != VGPU_RING_ON)
            _exit(3);
        vgpu_session_close(s);
        vgpu_session_close(own);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    assert_int_equal(control(f, 1), VGPU_RING_ON);
    assert_int_equal(control(f, 2), VGPU_RING_OFF);
    assert_int_equal(vgpu_open(&f->sysfs->paths, FAKE_ADDRESS, &dev), 0);
    assert_int_equal(device_session_ring_is_locked(dev, 1), 1);
    assert_int_equal(device_session_ring_is_locked(dev, 2), 0);
    vgpu_close(dev);
    assert_int_equal(vgpu_session_get_failure(s), 0);
    vgpu_session_close(s);
}

/* With no other process that has a session, the keeper turns the ring off. */
static void test_keeper(void **state)
{
    fixture *f = *state;
    vgpu_device *dev = NULL;
    pid_t first = start_process(f), second = start_process(f);
    uint64_t until;

    assert_int_equal(control(f, 1), VGPU_RING_ON);
    assert_int_equal(control(f, 2), VGPU_RING_ON);
    assert_int_equal(vgpu_open(&f->sysfs->paths, FAKE_ADDRESS, &dev), 0);
    for (int i = 0; i < 2000 && device_keeper_is_locked(dev) != 1; i++)
        usleep(5000);
    assert_int_equal(device_keeper_is_locked(dev), 1);

    kill_process(first);
    kill_process(second);
    until = now_nsec() + 20 * NSEC_PER_SEC;
    while ((control(f, 1) != VGPU_RING_OFF || control(f, 2) != VGPU_RING_OFF) && now_nsec() < until)
        usleep(5000);
    assert_int_equal(control(f, 1), VGPU_RING_OFF);
    assert_int_equal(control(f, 2), VGPU_RING_OFF);
    assert_int_equal(device_keeper_is_locked(dev), 1); /* it has waited for more */
    vgpu_close(dev);
}

/* ---- Who only looks ----------------------------------------------------------------------- */

static volatile VGPUSessionHeader *map_header(const fixture *f, uint32_t ring)
{
    uint32_t offset = reg(f, vgpu_session_register(ring, VGPU_SESSION_REG_OFFSET_LO));
    int fd = open(fake_sysfs_path(f->sysfs, FAKE_ADDRESS, "resource2"), O_RDWR | O_CLOEXEC);
    void *header = mmap(NULL, sizeof(VGPUSessionHeader), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        (off_t) offset);

    assert_true(header != MAP_FAILED);
    close(fd);
    return header;
}

/* Its window is anywhere, and no address is kept: two libraries of one process can do so. */
static void test_only_asks(void **state)
{
    fixture *f = *state;
    vgpu_session_options options = f->options;
    void *memory;
    vgpu_session *s;
    volatile VGPUSessionHeader *header;

    options.only_asks = true;
    assert_int_equal(vgpu_session_open(&options, &s, NULL), 0);
    header = map_header(f, 1);
    assert_int_equal(header->window_base, 0);
    munmap((void *) header, sizeof(*header));
    assert_int_equal(vgpu_session_window_alloc(s, 64, 0, &memory), 0);
    assert_true((uintptr_t) memory < UINT64_C(0x300000000000) ||
                (uintptr_t) memory >= UINT64_C(0x400000000000));
    vgpu_session_close(s);
}

/* What the host writes into the areas of sessions that are on; the process needs none itself. */
static void test_watch(void **state)
{
    fixture *f = *state;
    session_watch *w = session_watch_new(&f->sysfs->paths, FAKE_ADDRESS);
    volatile VGPUSessionHeader *header;
    session_use use[SESSION_WATCH_MAX];
    vgpu_session *s[2];

    assert_non_null(w);
    assert_int_equal(session_watch_look(w, use), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(vgpu_session_open(&f->options, &s[i], NULL), 0);
    header = map_header(f, 2);
    header->memory = 4096;
    header->device_usec = 17;
    header->n_contexts = 1;
    assert_int_equal(session_watch_look(w, use), 2);
    assert_int_equal(use[0].n_contexts, 0);
    assert_int_equal(use[0].memory, 0);
    assert_int_equal(use[1].id, 2);
    assert_int_equal(use[1].pid, getpid());
    assert_int_equal(use[1].memory, 4096);
    assert_int_equal(use[1].device_usec, 17);
    assert_int_equal(use[1].n_contexts, 1);

    f->bar[vgpu_session_register(1, VGPU_SESSION_REG_CTRL) / 4] = VGPU_RING_FAILED;
    assert_int_equal(session_watch_look(w, use), 1);
    assert_int_equal(use[0].id, 2);
    f->bar[VGPU_REG_EXT_FEATURES / 4] &= ~VGPU_EXT_FEATURE_SESSIONS;
    assert_int_equal(session_watch_look(w, use), -EOPNOTSUPP);
    munmap((void *) header, sizeof(*header));
    f->bar[VGPU_REG_EXT_FEATURES / 4] |= VGPU_EXT_FEATURE_SESSIONS;
    for (int i = 0; i < 2; i++)
        vgpu_session_close(s[i]);
    assert_int_equal(session_watch_look(w, use), 0);
    session_watch_free(w);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_rings),       CASE(test_room_for_all), CASE(test_failed), CASE(test_no_sessions),
        CASE(test_old_program), CASE(test_reset),        CASE(test_child),  CASE(test_keeper),
        CASE(test_only_asks),   CASE(test_watch),
    };

    return cmocka_run_group_tests_name("guest-session-pci", tests, NULL, NULL);
}
