/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The window's memory, shared by processes that die at any point: no byte is two processes', and
 * all comes back. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "window-share.h"

#define SIZE (UINT64_C(64) * WINDOW_EXTENT_MIN)
#define PROCESSES 6
#define ROUNDS 40

static char path[] = "/tmp/vgpu-extents-test.XXXXXX";

static int setup(void **state)
{
    int fd = mkstemp(path);

    (void) state;
    assert_return_code(fd, errno);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    return unlink(path);
}

static int open_lock(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_return_code(fd, errno);
    return fd;
}

TEST(test_one)
{
    window_share s;
    uint64_t a, b, largest;
    int fd = open_lock();

    assert_int_equal(share_init(&s, fd, WINDOW_EXTENT_MIN - 1, NULL, NULL), -ENOSPC);
    assert_int_equal(share_init(&s, fd, SIZE, NULL, NULL), 0);
    assert_int_equal(share_largest(&s), SIZE);
    assert_int_equal(share_alloc(&s, 100, 0, &a), 0);
    largest = share_largest(&s);
    assert_int_equal(largest, SIZE - 128);
    assert_int_equal(share_alloc(&s, largest, 0, &b),
                     0); /* the rest of its extent, and all others */
    assert_int_equal(share_alloc(&s, 64, 0, &b), -ENOSPC);
    assert_int_equal(share_free(&s, 128), 0);
    assert_int_equal(share_alloc(&s, 64, WINDOW_EXTENT_MIN * 4, &b), 0);
    assert_int_equal(b % (WINDOW_EXTENT_MIN * 4), 0);
    assert_int_equal(share_alloc(&s, SIZE * 2, 0, &b), -ENOSPC);
    assert_int_equal(share_free(&s, 777), -EINVAL);
    assert_int_equal(share_free(&s, a), 0);
    share_destroy(&s);
    close(fd);
}

TEST(test_two)
{
    window_share s, t;
    uint64_t a, b, c;
    int fd = open_lock(), other = open_lock();

    assert_int_equal(share_init(&s, fd, SIZE, NULL, NULL), 0);
    assert_int_equal(share_init(&t, other, SIZE, NULL, NULL), 0);
    assert_int_equal(share_alloc(&s, WINDOW_EXTENT_MIN * 3, 0, &a), 0);
    assert_int_equal(share_alloc(&t, WINDOW_EXTENT_MIN * 3, 0, &b), 0);
    assert_int_equal(share_alloc(&s, 64, 0, &c), 0);
    assert_int_equal(a, 0);
    assert_int_equal(b, WINDOW_EXTENT_MIN * 3);
    assert_int_equal(c, WINDOW_EXTENT_MIN * 6);
    assert_int_equal(share_largest(&t), SIZE - WINDOW_EXTENT_MIN * 7);
    assert_int_equal(share_free(&t, b), 0);
    assert_int_equal(share_largest(&s), SIZE - WINDOW_EXTENT_MIN * 6 - 64);
    close(fd); /* as if it had died */
    assert_int_equal(share_largest(&t), SIZE);
    s.lock_fd = -1;
    share_destroy(&s);
    share_destroy(&t);
    close(other);
}

static int never_quiet(void *userdata)
{
    ++*(int *) userdata;
    return -ETIMEDOUT;
}

/* Memory of a process whose ring is still on is not handed out. */
TEST(test_not_quiet)
{
    window_share s;
    uint64_t offset;
    int fd = open_lock(), calls = 0;

    assert_int_equal(share_init(&s, fd, SIZE, never_quiet, &calls), 0);
    assert_int_equal(share_alloc(&s, 64, 0, &offset), -ETIMEDOUT);
    assert_int_equal(calls, 1);
    s.taken = NULL;
    assert_int_equal(share_largest(&s), SIZE);
    share_destroy(&s);
    close(fd);
}

/* ---- Processes that die ------------------------------------------------------------------ */

typedef struct held {
    uint64_t offset, size;
} held;

/* Each process writes its number over what it has, and finds it there later. */
static void fill(uint8_t *window, const held *h, uint8_t number)
{
    memset(window + h->offset, number, h->size);
}

static bool is_filled(const uint8_t *window, const held *h, uint8_t number)
{
    for (uint64_t i = 0; i < h->size; i++)
        if (window[h->offset + i] != number)
            return false;
    return true;
}

/* Allocate and free until killed. */
__attribute__((noreturn)) static void be_user(uint8_t *window, uint32_t *bad, uint8_t number)
{
    enum { N = 20 };
    unsigned int seed = number;
    held has[N] = {0};
    window_share s;

    if (share_init(&s, open(path, O_RDWR | O_CLOEXEC), SIZE, NULL, NULL) < 0)
        _exit(1);
    for (;;) {
        held *h = &has[rand_r(&seed) % N];
        int r;

        if (h->size > 0) {
            if (!is_filled(window, h, number) || share_free(&s, h->offset) != 0)
                __atomic_add_fetch(bad, 1, __ATOMIC_RELAXED);
            h->size = 0;
            continue;
        }
        h->size = (uint64_t) rand_r(&seed) % (WINDOW_EXTENT_MIN * 3) + 1;
        r = share_alloc(&s, h->size, 0, &h->offset);
        if (r == 0)
            fill(window, h, number);
        else
            h->size = 0;
        if (r != 0 && r != -ENOSPC)
            __atomic_add_fetch(bad, 1, __ATOMIC_RELAXED);
    }
}

TEST(test_deaths)
{
    uint8_t *window = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t *bad = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[PROCESSES] = {0};
    unsigned int seed = 1;
    window_share s;
    int fd;

    assert_true(window != MAP_FAILED && bad != MAP_FAILED);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t *pid = &pids[round % PROCESSES];

        if (*pid > 0) {
            kill(*pid, SIGKILL);
            waitpid(*pid, NULL, 0);
        }
        *pid = fork();
        assert_return_code(*pid, errno);
        if (*pid == 0)
            be_user(window, bad, (uint8_t) (round + 1));
        usleep((useconds_t) rand_r(&seed) % 10000);
    }
    for (int i = 0; i < PROCESSES; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    assert_int_equal(*bad, 0);

    fd = open_lock();
    assert_int_equal(share_init(&s, fd, SIZE, NULL, NULL), 0);
    assert_int_equal(share_largest(&s), SIZE);
    share_destroy(&s);
    close(fd);
    munmap(window, SIZE);
    munmap(bad, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_not_quiet),
        cmocka_unit_test(test_deaths),
    };

    return cmocka_run_group_tests_name("guest-session-extents", tests, setup, teardown);
}
