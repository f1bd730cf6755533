/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A window that its process holds while the mediator opens it: the kernel lets nobody seal a file
 * that somebody writes to, and this writer's bytes are in memory that never comes.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "origin.h"
#include "vgpu-ring.h"
#include "window.h"

#include "test.h"

#define SIZE VGPU_WINDOW_SIZE_MIN
#define PAGE 4096u

static Origins origins;
static Origin *process;
static Windows windows;

static int setup(void **state)
{
    const struct ucred self = {.pid = getpid(), .uid = getuid(), .gid = getgid()};

    (void) state;
    windows_init(&windows);
    origins_init(&origins);
    return origin_get(&origins, &self, &process);
}

static int teardown(void **state)
{
    (void) state;
    origin_unref(process);
    origins_clear(&origins);
    return 0;
}

static int memfd(int seals)
{
    int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t) SIZE), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* Opens a window in the memory of @fd, which stays the caller's. Returns why not, or NULL. */
static const char *try_open(int fd)
{
    const char *reason = NULL;
    Window *w = NULL;
    int r = window_open(&windows, dup(fd), process, SIZE, &w, &reason);

    assert_int_equal(r, w ? 0 : WINDOW_UNUSABLE);
    window_unref(w);
    return w ? NULL : reason;
}

/* Memory that is not there until somebody writes to the descriptor. */
static char *absent_page(int *ret)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING, .range.len = PAGE};
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(page, MAP_FAILED);
    *ret = (int) syscall(SYS_userfaultfd, O_CLOEXEC);
    if (*ret < 0) {
        print_message("no userfaultfd: not allowed to hold a file\n");
        skip();
    }
    range.range.start = (uintptr_t) page;
    assert_int_equal(ioctl(*ret, UFFDIO_API, &api), 0);
    assert_int_equal(ioctl(*ret, UFFDIO_REGISTER, &range), 0);
    return page;
}

typedef struct Writer {
    pthread_t thread;
    int fd, faults;
    char *page;
} Writer;

static void *writer_run(void *userdata)
{
    Writer *w = userdata;

    assert_int_equal(pwrite(w->fd, w->page, 1, 0), 1);
    return NULL;
}

static void writer_start(Writer *w, int fd)
{
    struct uffd_msg m;

    w->fd = fd;
    w->page = absent_page(&w->faults);
    assert_int_equal(pthread_create(&w->thread, NULL, writer_run, w), 0);
    /* It waits for its page now, and holds the file. */
    assert_int_equal(read(w->faults, &m, sizeof(m)), sizeof(m));
}

static void writer_end(Writer *w)
{
    struct uffdio_zeropage zero = {.range = {.start = (uintptr_t) w->page, .len = PAGE}};

    assert_int_equal(ioctl(w->faults, UFFDIO_ZEROPAGE, &zero), 0);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    close(w->faults);
    (void) munmap(w->page, PAGE);
}

TEST(test_sealed_by_its_device)
{
    int fd = memfd(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    Writer w;

    writer_start(&w, fd);
    assert_null(try_open(fd));
    writer_end(&w);
    close(fd);
}

/* On a machine with other work one that nobody holds may take too long at first. */
static void wait_open(int fd)
{
    while (try_open(fd))
        usleep(10000);
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

TEST(test_to_be_sealed)
{
    int held = memfd(F_SEAL_SHRINK), free_one = memfd(F_SEAL_SHRINK);
    Writer w;

    wait_open(free_one);
    writer_start(&w, held);
    for (unsigned i = 0; i < 100; i++)
        assert_string_equal(try_open(held), "the window is in use while it is to be sealed");
    writer_end(&w);

    /* After the pause it is as if nothing had been. */
    wait_open(held);
    close(held);
    close(free_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sealed_by_its_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_to_be_sealed, setup, teardown),
    };

    return cmocka_run_group_tests_name("window held", tests, NULL, NULL);
}
