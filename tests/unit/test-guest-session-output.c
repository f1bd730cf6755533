/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: what kernels print. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda-client.h"
#include "test-guest-session-fake.h"
#include "test.h"

#define LINES 20000u
#define THREADS 4u

static const uint8_t image[64] = "an image";

static fake_session fake;
static vgpu_session *s;
static vgpu_session_fence *fence;

/* What was taken */
static struct {
    char *text[2];
    size_t size[2];
    unsigned int inside;
} taken;

static void take(void *userdata, bool is_error, const char *text, size_t size)
{
    assert_ptr_equal(userdata, &taken);
    assert_int_equal(__atomic_fetch_add(&taken.inside, 1, __ATOMIC_RELAXED), 0);
    taken.text[is_error] = realloc(taken.text[is_error], taken.size[is_error] + size + 1);
    assert_non_null(taken.text[is_error]);
    memcpy(taken.text[is_error] + taken.size[is_error], text, size);
    taken.size[is_error] += size;
    taken.text[is_error][taken.size[is_error]] = '\0';
    __atomic_fetch_sub(&taken.inside, 1, __ATOMIC_RELAXED);
}

static int setup(void **state)
{
    const vgpu_session_options o = {.socket = fake.path, .window_size = UINT64_C(8) << 20};

    (void) state;
    fake.hook = NULL;
    fake.prints = true;
    fake.n_outputs = 0;
    fake.lie_output = 0;
    memset(fake.text, 0, sizeof(fake.text));
    memset(fake.text_at, 0, sizeof(fake.text_at));
    if (vgpu_session_open(&o, &s, NULL) != 0)
        return -1;
    vgpu_session_set_text(s, take, &taken);
    return vgpu_session_fence_new(s, &fence);
}

static int teardown(void **state)
{
    (void) state;
    vgpu_session_fence_free(s, fence);
    s = vgpu_session_close(s);
    for (unsigned int i = 0; i < 2; i++)
        free(taken.text[i]);
    memset(&taken, 0, sizeof(taken));
    return 0;
}

static uint32_t load(void)
{
    uint32_t id = 0;

    assert_int_equal(vgpu_session_module_load(s, NULL, image, sizeof(image), NULL, NULL, &id), 0);
    return id;
}

static void wait_for_fence(void)
{
    uint64_t number;

    assert_int_equal(vgpu_session_fence_post(s, NULL, 0, fence, &number), 0);
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 0, fence, number), 0);
}

static void assert_taken(const char *text, const char *error)
{
    assert_string_equal(taken.text[0] ? taken.text[0] : "", text);
    assert_string_equal(taken.text[1] ? taken.text[1] : "", error);
}

/* ---- Who asks, and when ------------------------------------------------------------------ */

TEST(test_silent)
{
    uint8_t byte;
    uint64_t address;

    fake.prints = false;
    fake.text[0] = "nobody asked";
    (void) load();
    wait_for_fence();
    vgpu_session_output(s, NULL);
    assert_int_equal(vgpu_session_memory_alloc(s, NULL, 64, &address), 0);
    assert_int_equal(vgpu_session_download(s, NULL, 0, &byte, address, 1), 0);
    assert_int_equal(fake.n_outputs, 0);
    assert_taken("", "");
}

TEST(test_waits)
{
    const VGPUSessionId context = {.id = 1};
    uint64_t address;
    uint8_t byte;
    uint32_t id = load();

    assert_int_equal(fake.n_outputs, 0);
    fake.text[0] = "one\n";
    wait_for_fence();
    assert_taken("one\n", "");
    fake.text[0] = "one\ntwo\n";
    fake.text[1] = "wrong\n";
    vgpu_session_output(s, NULL);
    assert_taken("one\ntwo\n", "wrong\n");
    fake.text[0] = "one\ntwo\nthree\n";
    assert_int_equal(vgpu_session_memory_alloc(s, NULL, 64, &address), 0);
    assert_int_equal(vgpu_session_download(s, NULL, 0, &byte, address, 1), 0);
    assert_taken("one\ntwo\nthree\n", "wrong\n");
    fake.text[0] = "one\ntwo\nthree\nfour\n";
    assert_int_equal(vgpu_session_call(s, VGPU_SESSION_OP_CONTEXT_DESTROY, NULL, &context,
                                       sizeof(context), NULL, 0, NULL),
                     0);
    assert_taken("one\ntwo\nthree\nfour\n", "wrong\n");
    fake.text[0] = "one\ntwo\nthree\nfour\nfive\n";
    assert_int_equal(vgpu_session_module_unload(s, NULL, id), 0);
    assert_taken("one\ntwo\nthree\nfour\nfive\n", "wrong\n");

    /* No module is left that may print. */
    fake.n_outputs = 0;
    wait_for_fence();
    assert_int_equal(fake.n_outputs, 0);
}

static char *many_lines(void)
{
    char *text = malloc(LINES * 8 + 1);

    assert_non_null(text);
    for (unsigned int i = 0; i < LINES; i++)
        sprintf(text + i * 8, "%07u\n", i);
    return text;
}

/* More than one answer has room for */
TEST(test_long)
{
    char *text = many_lines();

    (void) load();
    fake.text[0] = fake.text[1] = text;
    wait_for_fence();
    assert_taken(text, text);
    assert_in_range(fake.n_outputs, 4, 8);
    free(text);
}

static void *wait_in_thread(void *userdata)
{
    vgpu_session_fence *own;
    uint64_t number;

    (void) userdata;
    assert_int_equal(vgpu_session_fence_new(s, &own), 0);
    for (unsigned int i = 0; i < 50; i++) {
        assert_int_equal(vgpu_session_fence_post(s, NULL, 0, own, &number), 0);
        assert_int_equal(vgpu_session_fence_wait(s, NULL, 0, own, number), 0);
    }
    vgpu_session_fence_free(s, own);
    return NULL;
}

TEST(test_threads)
{
    pthread_t threads[THREADS];
    char *text = many_lines();

    (void) load();
    fake.text[0] = fake.text[1] = text;
    for (unsigned int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_in_thread, NULL), 0);
    for (unsigned int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_taken(text, text);
    free(text);
}

/* ---- Errors ------------------------------------------------------------------------------ */

static uint32_t break_cuda(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) p;
    if (record->opcode == VGPU_SESSION_OP_OUTPUT)
        return 0;
    __atomic_store_n(&f->header->sticky, 710, __ATOMIC_RELEASE);
    return 710;
}

/* What an assertion says is out before the error is known, in a program without printf(), too. */
TEST(test_assertion)
{
    const VGPUSessionMemory p = {.size = 1};
    uint64_t number;

    fake.text[1] = "Assertion failed\n";
    fake.hook = break_cuda;
    assert_int_equal(vgpu_session_fence_post(s, NULL, 0, fence, &number), 0);
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 0, fence, number), 710);
    assert_taken("", "Assertion failed\n");
    assert_int_equal(fake.n_outputs, 1);
    assert_int_equal(
        vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_ALLOC, NULL, &p, sizeof(p), NULL, 0, NULL),
        710);
    assert_int_equal(fake.n_outputs, 1);
}

TEST(test_assertion_by_reply)
{
    const VGPUSessionMemory p = {.size = 1};

    fake.text[1] = "Assertion failed\n";
    fake.hook = break_cuda;
    assert_int_equal(
        vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_ALLOC, NULL, &p, sizeof(p), NULL, 0, NULL),
        710);
    assert_taken("", "Assertion failed\n");
}

/* A program may be told the error without any call. */
TEST(test_assertion_by_look)
{
    fake.text[1] = "Assertion failed\n";
    vgpu_session_output(s, NULL);
    assert_int_equal(fake.n_outputs, 0);
    __atomic_store_n(&fake.header->sticky, 710, __ATOMIC_RELEASE);
    assert_int_equal(vgpu_session_get_sticky(s), 710);
    for (unsigned int i = 0; i < 3; i++)
        vgpu_session_output(s, NULL);
    assert_taken("", "Assertion failed\n");
    assert_int_equal(fake.n_outputs, 1);
}

static unsigned int n_pins;
static bool is_broken;

static uint32_t break_down(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f;
    (void) p;
    n_pins += record->opcode == VGPU_SESSION_OP_WINDOW_PIN;
    return __atomic_load_n(&is_broken, __ATOMIC_ACQUIRE) && record->opcode != VGPU_SESSION_OP_OUTPUT
               ? 710
               : 0;
}

/* Allocates until the host pins more, and returns how many that took. */
static unsigned int fill_until_pinned(void)
{
    const unsigned int before = n_pins;
    unsigned int n = 0;
    void *memory;

    do {
        assert_int_equal(vgpu_session_window_alloc(s, 64 << 10, 0, &memory), 0);
        n++;
    } while (n_pins == before);
    return n;
}

/* After an error nothing more is pinned; to look for its text needs room for it all the same. */
TEST(test_assertion_without_room)
{
    const vgpu_session_options o = {.socket = fake.path, .window_size = UINT64_C(64) << 20};
    const VGPUSessionContext context = {.id = 1, .primary = 1};
    unsigned int n;
    void *memory;

    vgpu_session_fence_free(s, fence);
    s = vgpu_session_close(s);
    n_pins = 0;
    is_broken = false;
    fake.hook = break_down;
    assert_int_equal(vgpu_session_open(&o, &s, NULL), 0);
    assert_int_equal(vgpu_session_fence_new(s, &fence), 0);
    vgpu_session_set_text(s, take, &taken);
    assert_int_equal(vgpu_session_call(s, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &context,
                                       sizeof(context), NULL, 0, NULL),
                     0);
    (void) fill_until_pinned();
    n = fill_until_pinned();
    for (unsigned int i = 1; i < n; i++)
        assert_int_equal(vgpu_session_window_alloc(s, 64 << 10, 0, &memory), 0);

    __atomic_store_n(&is_broken, true, __ATOMIC_RELEASE);
    __atomic_store_n(&fake.header->sticky, 710, __ATOMIC_RELEASE);
    n = n_pins;
    (void) alarm(60);
    vgpu_session_output(s, NULL);
    (void) alarm(0);
    assert_true(n_pins > n);
}

/* A host that says more than there can be is not believed. */
TEST(test_lies)
{
    static const uint64_t lies[] = {65537, UINT64_MAX, UINT64_C(1) << 32};

    (void) load();
    fake.text[0] = "text";
    for (unsigned int i = 0; i < 3; i++) {
        fake.lie_output = lies[i];
        wait_for_fence();
        assert_taken("", "");
    }
    assert_int_equal(vgpu_session_get_failure(s), 0);
}

static uint32_t refuse(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f;
    (void) p;
    return record->opcode == VGPU_SESSION_OP_OUTPUT ? 801 : 0;
}

/* An old host cannot tell; the wait is as it was. */
TEST(test_refused)
{
    (void) load();
    fake.hook = refuse;
    wait_for_fence();
    assert_taken("", "");
}

/* ---- The program's own streams ------------------------------------------------------------ */

/* The program's own text and that of kernels are in the order in which they came. */
TEST(test_streams)
{
    int file = memfd_create("text", MFD_CLOEXEC), out = dup(STDOUT_FILENO);
    char text[100] = "";

    (void) load();
    vgpu_session_set_text(s, NULL, NULL);
    assert_true(file >= 0 && out >= 0);
    fflush(stdout);
    assert_true(dup2(file, STDOUT_FILENO) >= 0);
    printf("before, ");
    fake.text[0] = "kernel, ";
    wait_for_fence();
    /* It is out: kept back nowhere. */
    assert_int_equal(lseek(file, 0, SEEK_END), 16);
    printf("after");
    fflush(stdout);
    assert_true(dup2(out, STDOUT_FILENO) >= 0);
    close(out);
    assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
    close(file);
    assert_string_equal(text, "before, kernel, after");
}

static int open_fake(void **state)
{
    (void) state;
    fake_session_start(&fake);
    return 0;
}

static int close_fake(void **state)
{
    (void) state;
    fake_session_stop(&fake);
    return 0;
}

int main(void)
{
#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SESSION(test_silent),
        WITH_SESSION(test_waits),
        WITH_SESSION(test_long),
        WITH_SESSION(test_threads),
        WITH_SESSION(test_assertion),
        WITH_SESSION(test_assertion_by_reply),
        WITH_SESSION(test_assertion_by_look),
        WITH_SESSION(test_assertion_without_room),
        WITH_SESSION(test_lies),
        WITH_SESSION(test_refused),
        WITH_SESSION(test_streams),
    };

    return cmocka_run_group_tests(tests, open_fake, close_fake);
}
