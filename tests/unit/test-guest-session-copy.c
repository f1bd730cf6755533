/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: fences, copies of the program's own memory, images, functions, numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copy-out.h"
#include "cuda-client.h"
#include "test-guest-session-fake.h"
#include "test.h"

static fake_session fake;
static vgpu_session *s;

static int setup(void **state)
{
    const vgpu_session_options o = {
        .socket = fake.path,
        .window_size = UINT64_C(8) << 20,
        .copy_threads = (unsigned) (uintptr_t) *state,
    };

    fake.hook = NULL;
    return vgpu_session_open(&o, &s, NULL);
}

static int teardown(void **state)
{
    (void) state;
    s = vgpu_session_close(s);
    return 0;
}

static uint8_t *random_bytes(size_t size, unsigned int seed)
{
    uint8_t *bytes = malloc(size + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) rand_r(&seed);
    return bytes;
}

/* ---- Fences --------------------------------------------------------------------------- */

static void *let_go_later(void *userdata)
{
    (void) userdata;
    usleep(50000);
    __atomic_store_n(&fake.hold, 0, __ATOMIC_RELEASE);
    return NULL;
}

TEST(test_fences)
{
    vgpu_session_fence *a, *b;
    uint64_t first, second, other;
    pthread_t thread;

    assert_int_equal(vgpu_session_fence_new(s, &a), 0);
    assert_int_equal(vgpu_session_fence_new(s, &b), 0);
    __atomic_store_n(&fake.hold, 1, __ATOMIC_RELEASE);
    assert_int_equal(vgpu_session_fence_post(s, NULL, 1, a, &first), 0);
    assert_int_equal(vgpu_session_fence_post(s, NULL, 1, a, &second), 0);
    assert_int_equal(vgpu_session_fence_post(s, NULL, 2, b, &other), 0);
    assert_true(second > first);
    assert_false(vgpu_session_fence_is_passed(a, first));
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, NULL), 0);
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 2, b, other), 0); /* it sleeps */
    assert_true(vgpu_session_fence_is_passed(a, first));
    assert_true(vgpu_session_fence_is_passed(a, second));
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 1, a, second), 0);
    pthread_join(thread, NULL);
    vgpu_session_fence_free(s, a);
    vgpu_session_fence_free(s, b);
}

TEST(test_many_fences)
{
    vgpu_session_fence *fences[300];
    uint64_t number;

    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(vgpu_session_fence_new(s, &fences[i]), 0);
        assert_int_equal(vgpu_session_fence_post(s, NULL, 0, fences[i], &number), 0);
        assert_int_equal(vgpu_session_fence_wait(s, NULL, 0, fences[i], number), 0);
    }
    for (size_t i = 0; i < 300; i++)
        assert_null(vgpu_session_fence_free(s, fences[i]));
}

static uint32_t refuse_fences(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f;
    (void) p;
    return record->opcode == VGPU_SESSION_OP_FENCE || record->opcode == VGPU_SESSION_OP_WAKE ? 400
                                                                                             : 0;
}

/* A fence in a stream that is dead never comes: who waits is told. */
TEST(test_dead_stream)
{
    vgpu_session_fence *fence;
    uint64_t number;

    fake.hook = refuse_fences;
    assert_int_equal(vgpu_session_fence_new(s, &fence), 0);
    assert_int_equal(vgpu_session_fence_post(s, NULL, 77, fence, &number), 0);
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 77, fence, number), 400);
    assert_int_equal(vgpu_session_get_latched(s), 400);
    vgpu_session_fence_free(s, fence);
}

/* Who has to know asks, and may go on with the fence. */
TEST(test_fence_with_an_answer)
{
    vgpu_session_fence *fence;
    uint64_t first = 0, second = 0;

    assert_int_equal(vgpu_session_fence_new(s, &fence), 0);
    fake.hook = refuse_fences;
    assert_int_equal(vgpu_session_fence_put(s, NULL, 1, fence, &first), 400);
    assert_int_equal(first, 0);
    assert_int_equal(vgpu_session_get_latched(s), 0); /* nobody else is told */
    fake.hook = NULL;
    assert_int_equal(vgpu_session_fence_put(s, NULL, 1, fence, &first), 0);
    assert_int_equal(vgpu_session_fence_post(s, NULL, 1, fence, &second), 0);
    assert_true(second > first);
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 1, fence, second), 0);
    assert_true(vgpu_session_fence_is_passed(fence, first));
    vgpu_session_fence_free(s, fence);
}

static uint32_t drop_fences(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) p;
    if (record->opcode != VGPU_SESSION_OP_FENCE)
        return 0;
    __atomic_store_n(&f->header->sticky, 700, __ATOMIC_RELEASE);
    return 700;
}

/* After an error that the context does not survive, its streams stand still. */
TEST(test_sticky)
{
    vgpu_session_fence *fence;
    uint64_t number;

    fake.hook = drop_fences;
    assert_int_equal(vgpu_session_fence_new(s, &fence), 0);
    assert_int_equal(vgpu_session_fence_post(s, NULL, 0, fence, &number), 0);
    assert_int_equal(vgpu_session_fence_wait(s, NULL, 0, fence, number), 700);
    assert_int_equal(vgpu_session_get_failure(s), 0);
    vgpu_session_fence_free(s, fence);
}

/* ---- Copies --------------------------------------------------------------------------- */

static void check_copy(size_t size, unsigned int seed)
{
    uint8_t *bytes = random_bytes(size, seed), *back = calloc(1, size + 1);
    uint64_t address;

    assert_non_null(back);
    assert_int_equal(vgpu_session_memory_alloc(s, NULL, size + 16, &address), 0);
    assert_int_equal(vgpu_session_upload(s, NULL, 3, address + 8, bytes, size), 0);
    assert_int_equal(vgpu_session_download(s, NULL, 3, back, address + 8, size), 0);
    assert_memory_equal(back, bytes, size);
    assert_memory_equal(fake_session_memory(&fake, address + 8, size), bytes, size);
    assert_int_equal(vgpu_session_memory_free(s, NULL, address), 0);
    free(bytes);
    free(back);
}

TEST(test_copies)
{
    static const size_t sizes[] = {1, 7, 4096, 16384, 16385, 65536, 131073, 1 << 20, 5000001};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        check_copy(sizes[i], (unsigned int) i);
    assert_int_equal(vgpu_session_upload(s, NULL, 0, 1, NULL, 0), 0);
    assert_int_equal(vgpu_session_get_latched(s), 0);
}

typedef struct copying {
    pthread_t thread;
    unsigned int seed;
    int failures;
} copying;

/* Large ones, which others help with, again and again */
TEST(test_large_copies)
{
    for (unsigned int i = 0; i < 4; i++)
        check_copy(((size_t) 5 << 20) + i * 100001, i);
}

static void *copy_large(void *userdata)
{
    const size_t size = (size_t) 5 << 20;
    copying *me = userdata;
    uint8_t *bytes = random_bytes(size, me->seed), *back = malloc(size);
    uint64_t address;

    if (vgpu_session_memory_alloc(s, NULL, size, &address) != 0)
        me->failures++;
    for (int i = 0; i < 4; i++)
        if (!back || vgpu_session_upload(s, NULL, me->seed, address, bytes, size) != 0 ||
            vgpu_session_download(s, NULL, me->seed, back, address, size) != 0 ||
            memcmp(bytes, back, size) != 0)
            me->failures++;
    free(bytes);
    free(back);
    return NULL;
}

/* One has the helpers, and the others do without. */
TEST(test_large_copies_of_threads)
{
    copying c[3];

    for (unsigned int i = 0; i < 3; i++) {
        c[i] = (copying){.seed = i + 1};
        assert_int_equal(pthread_create(&c[i].thread, NULL, copy_large, &c[i]), 0);
    }
    for (unsigned int i = 0; i < 3; i++) {
        pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].failures, 0);
    }
}

/* Every way, at every alignment and of every size around a line's */
TEST(test_ways_to_copy_out)
{
    static const size_t sizes[] = {0, 1, 15, 16, 63, 64, 65, 127, 128, 4095, 4096, 5000};
    uint8_t *bytes = random_bytes(8192, 1), to[8192];

    for (int way = COPY_OUT_PLAIN; way <= COPY_OUT_STREAM; way++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            for (size_t at = 0; at < 3 * 64 * 17; at += 17) {
                memset(to, 0xee, sizeof(to));
                copy_out((copy_out_way) way, to + 1 + at % 64, bytes + at / 64, sizes[i]);
                assert_memory_equal(to + 1 + at % 64, bytes + at / 64, sizes[i]);
                assert_int_equal(to[at % 64], 0xee);
                assert_int_equal(to[1 + at % 64 + sizes[i]], 0xee);
            }
    assert_int_equal(copy_out_best(100, true), COPY_OUT_STREAM);
    assert_int_equal(copy_out_best(100, false), COPY_OUT_PLAIN);
    assert_int_equal(copy_out_best(1 << 20, false), COPY_OUT_PAST);
    free(bytes);
}

TEST(test_pages_to_copy_to)
{
    const size_t size = 64 * 4096;
    uint8_t *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char there[64];
    bool made;

    assert_true(to != MAP_FAILED);
    (void) madvise(to, size, MADV_NOHUGEPAGE);
    to[0] = 1;
    assert_false(copy_out_make_pages(to, 4096));
    made = copy_out_make_pages(to + 4096 + 5, 20 * 4096);
    assert_int_equal(mincore(to, size, there), 0);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(there[i] & 1, i == 0 || (made && i <= 21));
    assert_int_equal(to[0], 1);
    munmap(to, size);
    assert_false(copy_out_make_pages(to, size)); /* nothing is there */
}

/* The bytes are the caller's again at once, while the host has done nothing yet. */
TEST(test_upload_takes_copy)
{
    uint8_t bytes[100], back[100];
    uint64_t address;

    assert_int_equal(vgpu_session_memory_alloc(s, NULL, 100, &address), 0);
    __atomic_store_n(&fake.hold, 1, __ATOMIC_RELEASE);
    memset(bytes, 5, sizeof(bytes));
    assert_int_equal(vgpu_session_upload(s, NULL, 0, address, bytes, sizeof(bytes)), 0);
    memset(bytes, 9, sizeof(bytes));
    __atomic_store_n(&fake.hold, 0, __ATOMIC_RELEASE);
    assert_int_equal(vgpu_session_download(s, NULL, 0, back, address, sizeof(back)), 0);
    memset(bytes, 5, sizeof(bytes));
    assert_memory_equal(back, bytes, sizeof(back));
}

static void *copy_many(void *userdata)
{
    copying *me = userdata;
    uint64_t address;

    if (vgpu_session_memory_alloc(s, NULL, 300000, &address) != 0)
        me->failures++;
    for (int i = 0; i < 60; i++) {
        size_t size = (size_t) rand_r(&me->seed) % (i % 2 ? 300000 : 5000);
        uint8_t *bytes = random_bytes(size, me->seed), *back = malloc(size + 1);

        if (!back || vgpu_session_upload(s, NULL, me->seed % 100, address, bytes, size) != 0 ||
            vgpu_session_download(s, NULL, me->seed % 100, back, address, size) != 0 ||
            memcmp(bytes, back, size) != 0)
            me->failures++;
        free(bytes);
        free(back);
    }
    return NULL;
}

TEST(test_copies_of_threads)
{
    copying c[8];

    for (unsigned int i = 0; i < 8; i++) {
        c[i] = (copying){.seed = i + 1};
        assert_int_equal(pthread_create(&c[i].thread, NULL, copy_many, &c[i]), 0);
    }
    for (unsigned int i = 0; i < 8; i++) {
        pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].failures, 0);
    }
}

/* ---- Window ---------------------------------------------------------------------------- */

TEST(test_window)
{
    VGPUSessionBytes bytes;
    void *a, *b;

    assert_int_equal(vgpu_session_window_alloc(s, 0, 0, &a), VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_session_window_alloc(s, 8, 3, &a), VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_session_window_alloc(s, SIZE_MAX, 0, &a), VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(vgpu_session_window_alloc(s, 3 << 20, 1 << 20, &a), 0);
    assert_int_equal((uintptr_t) a % (1 << 20), 0);
    assert_int_equal((uintptr_t) a >> 40, 0x30);
    assert_true(vgpu_session_window_bytes(s, a, 3 << 20, &bytes));
    assert_int_equal(bytes.offset % (1 << 20), 0);
    assert_false(vgpu_session_window_bytes(s, a, vgpu_session_get_window_size(s) + 1, &bytes));
    assert_false(vgpu_session_window_bytes(s, &b, 1, &bytes));
    assert_int_equal(vgpu_session_window_free(s, (char *) a + 64), VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_session_window_free(s, &b), VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_session_window_free(s, a), 0);
    assert_int_equal(vgpu_session_window_free(s, NULL), 0);
}

/* ---- Images ------------------------------------------------------------------------------ */

TEST(test_keys)
{
    uint8_t *bytes = random_bytes(1000, 1), key[32], other[32];

    vgpu_session_image_key(bytes, 1000, key);
    for (size_t bit = 0; bit < 8000; bit++) {
        bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
        vgpu_session_image_key(bytes, 1000, other);
        for (size_t part = 0; part < 24; part += 8)
            assert_memory_not_equal(key + part, other + part, 8);
        bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
    vgpu_session_image_key(bytes, 1000, other);
    assert_memory_equal(key, other, 32);
    for (size_t size = 0; size < 1000; size++) {
        vgpu_session_image_key(bytes, size, other);
        assert_memory_not_equal(key, other, 16);
    }
    free(bytes);
}

TEST(test_modules)
{
    uint8_t *image = random_bytes(700001, 4);
    char info[64], error[6];
    vgpu_session_logs logs = {info, sizeof(info), error, sizeof(error)};
    uint32_t before = fake.n_images, id, second;

    image[0] = 'x';
    assert_int_equal(vgpu_session_module_load(s, NULL, image, 700001, NULL, NULL, &id), 0);
    assert_int_equal(fake.image_size, 700001);
    assert_memory_equal(fake.image, image, 700001);
    assert_int_equal(vgpu_session_module_load(s, NULL, image, 700001, NULL, &logs, &second), 0);
    assert_int_equal(fake.n_images, before + 1); /* the second time it was known */
    assert_int_not_equal(id, second);
    assert_string_equal(info, "info");
    assert_string_equal(error, "a lon");

    image[0] = '!';
    memset(info, 'x', sizeof(info));
    assert_int_equal(vgpu_session_module_load(s, NULL, image, 700001, NULL, &logs, &second), 218);
    assert_string_equal(info, "info");
    assert_int_equal(vgpu_session_module_load(s, NULL, image, 0, NULL, NULL, &second),
                     VGPU_CUDA_ERROR_INVALID_IMAGE);
    assert_int_equal(vgpu_session_module_unload(s, NULL, id), 0);
    free(image);
}

/* ---- The linker ----------------------------------------------------------------------- */

/* The program has the bytes, and the host has them already when a module is made of them. */
TEST(test_link)
{
    static const uint8_t input[100] = "an input";
    char info[50] = "", error[50] = "x";
    vgpu_session_logs logs = {info, sizeof(info), error, sizeof(error)};
    const VGPUSessionLink options = {.n_options = 1, .option = {{7, 3}}};
    uint8_t *cubin;
    uint32_t id, module, n_images;
    void *result;
    size_t size;

    fake.linked_size = 3000000;
    assert_int_equal(vgpu_session_link_create(s, NULL, &options, &logs, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(
        vgpu_session_link_add(s, NULL, id, 1, input, sizeof(input), "name", &options, &logs), 0);
    assert_string_equal(info, "linked so far");
    assert_string_equal(error, "");
    assert_int_equal(fake.image_at, sizeof(input));
    assert_memory_equal(fake.image_key, fake.module_key, 32);
    assert_int_equal(vgpu_session_link_complete(s, NULL, id, NULL, &result, &size), 0);
    assert_int_equal(size, fake.linked_size);
    cubin = result;
    for (size_t i = 0; i < size; i++)
        if (cubin[i] != (uint8_t) i)
            fail_msg("byte %zu is %u", i, cubin[i]);

    n_images = fake.n_images;
    assert_int_equal(vgpu_session_module_load(s, NULL, cubin, size, NULL, NULL, &module), 0);
    assert_int_equal(fake.n_images, n_images);
    assert_memory_equal(fake.module_key, fake.linked_key, 32);
    cubin[17]++;
    assert_int_equal(vgpu_session_module_load(s, NULL, cubin, size, NULL, NULL, &module), 0);
    assert_int_equal(fake.n_images, n_images + 1);
    free(result);
    assert_int_equal(vgpu_session_link_destroy(s, NULL, id), 0);

    /* Results that cannot be */
    assert_int_equal(vgpu_session_link_create(s, NULL, NULL, NULL, &id), 0);
    fake.linked_size = 0;
    assert_int_equal(vgpu_session_link_complete(s, NULL, id, NULL, &result, &size),
                     VGPU_CUDA_ERROR_UNKNOWN);
    fake.linked_size = VGPU_SESSION_LINKED_MAX + 1;
    assert_int_equal(vgpu_session_link_complete(s, NULL, id, NULL, &result, &size),
                     VGPU_CUDA_ERROR_UNKNOWN);
    assert_int_equal(vgpu_session_link_destroy(s, NULL, id), 0);
}

TEST(test_functions)
{
    static const uint32_t n[] = {0, 1, 64, 65, 8191};
    VGPUSessionFunction *f;
    uint32_t id;

    for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
        char name[16];

        snprintf(name, sizeof(name), "p%u", n[i]);
        assert_int_equal(vgpu_session_function_get(s, NULL, 1, name, &id, &f), 0);
        assert_int_equal(f->n_parameters, n[i]);
        if (n[i] > 0)
            assert_int_equal(f->parameter[n[i] - 1].offset, 4 * (n[i] - 1));
        free(f);
    }
    assert_int_equal(vgpu_session_function_get(s, NULL, 1, "none", &id, &f), 500);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

TEST(test_ids)
{
    static bool used[VGPU_SESSION_ID_MAX + 1];
    uint32_t id;

    for (uint32_t i = 0; i < VGPU_SESSION_ID_MAX; i++) {
        assert_int_equal(vgpu_session_id_take(s, VGPU_SESSION_STREAMS, &id), 0);
        assert_true(id >= 1 && id <= VGPU_SESSION_ID_MAX && !used[id]);
        used[id] = true;
    }
    assert_int_equal(vgpu_session_id_take(s, VGPU_SESSION_STREAMS, &id),
                     VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(vgpu_session_id_take(s, VGPU_SESSION_EVENTS, &id), 0); /* another kind */
    for (uint32_t i = 1; i <= VGPU_SESSION_ID_MAX; i++)
        vgpu_session_id_give(s, VGPU_SESSION_STREAMS, i);
    assert_int_equal(vgpu_session_id_take(s, VGPU_SESSION_STREAMS, &id), 0);
    assert_int_equal(id, 1); /* the one that rested longest */
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
#define HELPED(function) \
    cmocka_unit_test_prestate_setup_teardown(function, setup, teardown, (void *) (uintptr_t) 3)
    const struct CMUnitTest tests[] = {
        CASE(test_fences),
        CASE(test_many_fences),
        CASE(test_fence_with_an_answer),
        CASE(test_dead_stream),
        CASE(test_sticky),
        CASE(test_copies),
        CASE(test_upload_takes_copy),
        HELPED(test_copies),
        HELPED(test_copies_of_threads),
        HELPED(test_large_copies),
        HELPED(test_large_copies_of_threads),
        CASE(test_ways_to_copy_out),
        CASE(test_pages_to_copy_to),
        CASE(test_copies_of_threads),
        CASE(test_window),
        CASE(test_keys),
        CASE(test_modules),
        CASE(test_link),
        CASE(test_functions),
        CASE(test_ids),
    };

    return cmocka_run_group_tests_name("guest-session-copy", tests, group_setup, group_teardown);
}
