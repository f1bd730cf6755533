/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: memory of the program's own that the device reaches. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda-client.h"
#include "own-pages.h"
#include "test-guest-session-fake.h"
#include "test.h"

#define MIB ((size_t) 1 << 20)
#define PAGE 4096u

static fake_session fake;
static vgpu_session *s;

static int setup(void **state)
{
    const vgpu_session_options o = {.socket = fake.path, .window_size = 64 * MIB};

    (void) state;
    fake.hook = NULL;
    return vgpu_session_open(&o, &s, NULL);
}

static int teardown(void **state)
{
    (void) state;
    s = vgpu_session_close(s);
    return 0;
}

static uint8_t *map(size_t size, int flags)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    return p;
}

static void fill(uint8_t *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) (i * 13 + i / 4096 + seed);
}

static void assert_filled(const uint8_t *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (uint8_t) (i * 13 + i / 4096 + seed))
            fail_msg("byte %zu of %zu", i, size);
}

/* Could threads be held back? The fake has some. */
static bool has_held_back;

/* ---- One after the other ------------------------------------------------------------------ */

TEST(test_register)
{
    uint8_t *memory = map(4 * MIB, MAP_PRIVATE), *window;
    VGPUSessionBytes bytes;
    uint64_t address;
    void *found;

    if (!has_held_back)
        skip();
    fill(memory, 3 * MIB, 1); /* the last one was never touched */
    assert_int_equal(vgpu_session_host_register(s, memory, 4 * MIB, &found), 0);
    window = found;
    assert_true(vgpu_session_window_bytes(s, window, 4 * MIB, &bytes));
    assert_filled(memory, 3 * MIB, 1);
    assert_filled(window, 3 * MIB, 1);
    for (size_t i = 3 * MIB; i < 4 * MIB; i++)
        assert_int_equal(memory[i], 0);
    /* The same bytes, both ways */
    fill(memory, 4 * MIB, 2);
    assert_filled(window, 4 * MIB, 2);
    window[5] = 77;
    assert_int_equal(memory[5], 77);

    assert_true(vgpu_session_host_find(s, memory + 5, 4 * MIB - 5, &address));
    assert_int_equal(address, (uintptr_t) window + 5);
    assert_false(vgpu_session_host_find(s, memory + 5, 4 * MIB, &address));
    assert_false(vgpu_session_host_find(s, memory - 1, 2, &address));
    assert_false(vgpu_session_host_find(s, &fake, 1, &address));

    fill(memory, 4 * MIB, 3);
    assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
    assert_filled(memory, 4 * MIB, 3);
    assert_false(vgpu_session_host_find(s, memory, 1, &address));
    window[9]++; /* no longer the same */
    assert_filled(memory, 4 * MIB, 3);
    assert_int_equal(vgpu_session_host_unregister(s, memory),
                     VGPU_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    munmap(memory, 4 * MIB);
}

/* The window's memory comes back. */
TEST(test_again_and_again)
{
    uint8_t *memory = map(40 * MIB, MAP_PRIVATE);
    void *window;

    if (!has_held_back)
        skip();
    fill(memory, 40 * MIB, 5);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(vgpu_session_host_register(s, memory, 40 * MIB, &window), 0);
        assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
    }
    assert_filled(memory, 40 * MIB, 5);
    assert_int_equal(vgpu_session_host_register(s, memory, 40 * MIB, &window), 0);
    /* The session closes: it is the program's again. */
    s = vgpu_session_close(s);
    assert_filled(memory, 40 * MIB, 5);
    fill(memory, 40 * MIB, 6);
    assert_filled(memory, 40 * MIB, 6);
    munmap(memory, 40 * MIB);
}

TEST(test_overlaps)
{
    uint8_t *memory = map(16 * PAGE, MAP_PRIVATE);
    void *window;

    if (!has_held_back)
        skip();
    assert_int_equal(vgpu_session_host_register(s, memory + 4 * PAGE, 4 * PAGE, &window), 0);
    for (unsigned from = 1; from < 8; from++)
        for (unsigned to = from >= 5 ? from + 1 : 5; to < 10; to++)
            assert_int_equal(
                vgpu_session_host_register(s, memory + from * PAGE, (to - from) * PAGE, &window),
                VGPU_CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    assert_int_equal(vgpu_session_host_register(s, memory + 8 * PAGE, 2 * PAGE, &window), 0);
    assert_int_equal(vgpu_session_host_register(s, memory + 2 * PAGE, 2 * PAGE, &window), 0);
    assert_int_equal(vgpu_session_host_unregister(s, memory + 5 * PAGE),
                     VGPU_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    assert_int_equal(vgpu_session_host_unregister(s, memory + 4 * PAGE), 0);
    assert_int_equal(vgpu_session_host_unregister(s, memory + 8 * PAGE), 0);
    assert_int_equal(vgpu_session_host_unregister(s, memory + 2 * PAGE), 0);
    munmap(memory, 16 * PAGE);
}

TEST(test_bad_input)
{
    uint8_t here __attribute__((aligned(4096)));
    uint8_t *plain = map(8 * PAGE, MAP_PRIVATE), *shared = map(4 * PAGE, MAP_SHARED);
    uint8_t *locked = map(8 * PAGE, MAP_PRIVATE), *hole = map(8 * PAGE, MAP_PRIVATE);
    int fd = memfd_create("test", MFD_CLOEXEC);
    uint8_t *file;
    void *window = NULL;

    assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
    file = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(file != MAP_FAILED);
    assert_int_equal(mprotect(locked + 4 * PAGE, PAGE, PROT_READ), 0);
    assert_int_equal(mprotect(locked + 6 * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    assert_int_equal(munmap(hole + 3 * PAGE, PAGE), 0);
    fill(plain, 8 * PAGE, 1);

    struct {
        void *memory;
        size_t size;
        int result;
    } wrong[] = {
        {NULL, PAGE, VGPU_CUDA_ERROR_INVALID_VALUE},
        {plain, 0, VGPU_CUDA_ERROR_INVALID_VALUE},
        {plain, SIZE_MAX, VGPU_CUDA_ERROR_INVALID_VALUE},
        {plain + 1, PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {plain, PAGE - 1, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {plain, 128 * MIB, VGPU_CUDA_ERROR_OUT_OF_MEMORY},
        {shared, PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {file, PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {locked + 3 * PAGE, 2 * PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {locked + 6 * PAGE, PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {hole, 8 * PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {hole + 3 * PAGE, PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {&here, PAGE, VGPU_CUDA_ERROR_NOT_SUPPORTED},
        {(void *) ((uintptr_t) &test_bad_input & ~(uintptr_t) (PAGE - 1)), PAGE,
         VGPU_CUDA_ERROR_NOT_SUPPORTED},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (vgpu_session_host_register(s, wrong[i].memory, wrong[i].size, &window) !=
            wrong[i].result)
            fail_msg("number %zu", i);
        assert_null(window);
    }
    assert_filled(plain, 8 * PAGE, 1);
    /* Nothing of the window is lost. */
    assert_int_equal(vgpu_session_window_alloc(s, 60 * MIB, 0, &window), 0);
    assert_int_equal(vgpu_session_host_unregister(s, NULL),
                     VGPU_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    munmap(plain, 8 * PAGE);
    munmap(shared, 4 * PAGE);
    munmap(locked, 8 * PAGE);
    munmap(hole, 8 * PAGE);
    munmap(file, 4 * PAGE);
    close(fd);
}

/* A program that unmaps what is registered, and has other things there */
TEST(test_gone)
{
    uint8_t *memory = map(8 * PAGE, MAP_PRIVATE), *other;
    void *window;

    if (!has_held_back)
        skip();
    assert_int_equal(vgpu_session_host_register(s, memory, 8 * PAGE, &window), 0);
    munmap(memory, 8 * PAGE);
    assert_int_equal(vgpu_session_host_unregister(s, memory), 0);

    memory = map(8 * PAGE, MAP_PRIVATE);
    assert_int_equal(vgpu_session_host_register(s, memory, 8 * PAGE, &window), 0);
    other = mmap(memory, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                 -1, 0);
    assert_ptr_equal(other, memory);
    fill(other, 8 * PAGE, 4);
    assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
    assert_filled(other, 8 * PAGE, 4);

    /* A part of it: what is left stays as it is. */
    assert_int_equal(vgpu_session_host_register(s, memory, 8 * PAGE, &window), 0);
    munmap(memory, PAGE);
    assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
    for (size_t i = PAGE; i < 8 * PAGE; i++)
        assert_int_equal(memory[i], (uint8_t) (i * 13 + i / 4096 + 4));
    assert_int_equal(vgpu_session_host_register(s, memory + PAGE, 7 * PAGE, &window),
                     VGPU_CUDA_ERROR_NOT_SUPPORTED);
    munmap(memory + PAGE, 7 * PAGE);
}

/* ---- Other threads -------------------------------------------------------------------------- */

static int stop;

typedef struct writer {
    pthread_t thread;
    uint64_t *words; /* one in each page */
    unsigned n;
    uint64_t count;
} writer;

/* Adds to each word in turn: not one may be lost. */
static void *write_all(void *userdata)
{
    writer *me = userdata;

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < me->n; i++) {
            volatile uint64_t *word = me->words + i * (PAGE / sizeof(uint64_t));

            *word = *word + 1;
        }
        me->count++;
    }
    return NULL;
}

/* Reads a file into it, in the kernel. */
static void *read_into(void *userdata)
{
    writer *me = userdata;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    uint64_t number;

    while (fd >= 0 && !__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (read(fd, me->words, 64) != 64)
            me->n++; /* a failure */
        memcpy(&number, me->words, sizeof(number));
        me->count += number != 0;
    }
    close(fd);
    return NULL;
}

TEST(test_threads)
{
    enum { WRITERS = 3, PAGES = 64 };
    const size_t size = (WRITERS * PAGES + 1) * PAGE;
    uint8_t *memory = map(size, MAP_PRIVATE);
    writer writers[WRITERS], reader = {.words = (uint64_t *) (memory + WRITERS * PAGES * PAGE)};
    unsigned n_moved = 0;
    void *window;
    int r;

    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.words = (uint64_t *) (memory + i * PAGES * PAGE), .n = PAGES};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    }
    assert_int_equal(pthread_create(&reader.thread, NULL, read_into, &reader), 0);
    for (unsigned i = 0; i < 60; i++) {
        r = vgpu_session_host_register(s, memory, size, &window);
        if (r != 0)
            break;
        n_moved++;
        usleep(1000);
        assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
        usleep(500);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_true(writers[i].count > 0);
        for (unsigned j = 0; j < PAGES; j++)
            assert_int_equal(writers[i].words[j * (PAGE / sizeof(uint64_t))], writers[i].count);
    }
    pthread_join(reader.thread, NULL);
    assert_int_equal(reader.n, 0);
    /* Where the kernel does not help it is refused, and nothing else. */
    assert_true(n_moved == 60 || (n_moved == 0 && r == VGPU_CUDA_ERROR_NOT_SUPPORTED));
    has_held_back = n_moved > 0;
    munmap(memory, size);
}

static int place_private(void *userdata)
{
    void *const *ends = userdata;

    return mremap(ends[1], 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ends[0]) == MAP_FAILED
               ? -1
               : 0;
}

static void *wait_for_ever(void *userdata)
{
    pause();
    return userdata;
}

/* Without the kernel's help: with one thread, and with two */
static int move_without_help(bool alone)
{
    uint8_t *memory = map(4 * PAGE, MAP_PRIVATE), *to = map(4 * PAGE, MAP_PRIVATE);
    void *ends[2] = {memory, to};
    pthread_t thread;
    int r;

    fill(memory, 4 * PAGE, 3);
    if (!alone && pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        return 2;
    r = own_pages_replace(memory, 4 * PAGE, to, place_private, ends);
    assert_filled(memory, 4 * PAGE, 3);
    memory[1]++;
    if (alone)
        return r == 0 && own_pages_restore(memory, 4 * PAGE, false) == 0 ? 0 : 3;
    return r == -EBUSY && own_pages_restore(memory, 4 * PAGE, false) == -EBUSY &&
                   own_pages_restore(memory, 4 * PAGE, true) == 0
               ? 0
               : 4;
}

TEST(test_without_help)
{
    int status;

    if (geteuid() != 0)
        skip();
    for (int alone = 0; alone < 2; alone++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(setresuid(65534, 65534, 65534) == 0 ? move_without_help(alone) : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

/* ---- Children ------------------------------------------------------------------------------- */

TEST(test_fork)
{
    uint8_t *memory = map(64 * PAGE, MAP_PRIVATE);
    void *window;
    int status;
    pid_t pid;

    if (!has_held_back)
        skip();
    fill(memory, 64 * PAGE, 7);
    assert_int_equal(vgpu_session_host_register(s, memory, 64 * PAGE, &window), 0);
    pid = fork();
    if (pid == 0) {
        uint64_t address;

        for (size_t i = 0; i < 64 * PAGE; i++)
            if (memory[i] != (uint8_t) (i * 13 + i / 4096 + 7))
                _exit(1);
        memset(memory, 0xee, 64 * PAGE); /* its own */
        if (vgpu_session_host_find(s, memory, 1, &address) ||
            vgpu_session_host_unregister(s, memory) != VGPU_CUDA_ERROR_NOT_INITIALIZED)
            _exit(2);
        vgpu_session_close(s);
        _exit(memory[5] == 0xee ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_filled(memory, 64 * PAGE, 7);
    assert_filled(window, 64 * PAGE, 7);
    assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
    assert_filled(memory, 64 * PAGE, 7);
    munmap(memory, 64 * PAGE);
}

/* ---- Copies -------------------------------------------------------------------------------- */

static uint64_t n_copies, copied_from, copied_to;

static uint32_t note_copies(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    const VGPUSessionCopy *copy = p;

    (void) f;
    if (record->opcode == VGPU_SESSION_OP_COPY) {
        n_copies++;
        copied_from = copy->from;
        copied_to = copy->to;
    }
    return 0;
}

/* Registered memory, and the window's own, goes without a detour. */
TEST(test_copies)
{
    const size_t size = 3 * MIB;
    uint8_t *memory = map(size, MAP_PRIVATE), *back = malloc(size);
    uint64_t address;
    void *window, *own;

    if (!has_held_back)
        skip();
    assert_non_null(back);
    fill(memory, size, 9);
    assert_int_equal(vgpu_session_host_register(s, memory, size, &window), 0);
    assert_int_equal(vgpu_session_memory_alloc(s, NULL, size, &address), 0);
    fake.hook = note_copies;
    n_copies = 0;
    assert_int_equal(vgpu_session_upload(s, NULL, 1, address, memory, size), 0);
    assert_int_equal(n_copies, 1);
    assert_int_equal(copied_from, (uintptr_t) window);
    memset(memory, 0, size);
    assert_int_equal(vgpu_session_download(s, NULL, 1, memory + 7, address + 7, size - 7), 0);
    assert_int_equal(n_copies, 2);
    assert_int_equal(copied_to, (uintptr_t) window + 7);
    memory[0] = 9, memory[1] = 22, memory[2] = 35, memory[3] = 48, memory[4] = 61;
    memory[5] = 74, memory[6] = 87;
    assert_filled(memory, size, 9);

    /* A little goes the quick way, and so does what is only in part registered. */
    assert_int_equal(vgpu_session_upload(s, NULL, 1, address, memory, 100), 0);
    assert_true(copied_from != (uintptr_t) window);
    assert_int_equal(vgpu_session_download(s, NULL, 1, back, address, size), 0);
    assert_filled(back, size, 9);

    assert_int_equal(vgpu_session_window_alloc(s, size, 0, &own), 0);
    n_copies = 0;
    assert_int_equal(vgpu_session_download(s, NULL, 1, own, address, size), 0);
    assert_int_equal(n_copies, 1);
    assert_filled(own, size, 9);
    assert_int_equal(vgpu_session_host_unregister(s, memory), 0);
    free(back);
    munmap(memory, size);
}

static int group_setup(void **state)
{
    (void) state;
    fake_session_start(&fake);
    return 0;
}

static int group_teardown(void **state)
{
    (void) state;
    fake_session_stop(&fake);
    return 0;
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_threads),      CASE(test_register),  CASE(test_again_and_again),
        CASE(test_overlaps),     CASE(test_bad_input), CASE(test_gone),
        CASE(test_without_help), CASE(test_fork),      CASE(test_copies),
    };

    return cmocka_run_group_tests_name("guest-session-register", tests, group_setup,
                                       group_teardown);
}
