/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that two sessions of one VM share.
 *
 *   test-session-share fake    over the fake driver
 *   test-session-share gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test-session-mediator.h"

#define BASE UINT64_C(0x300000000000)
#define GIB (UINT64_C(1) << 30)
#define MEMORY_MAX (64 * MIB)

enum { INVALID_CONTEXT = 201, INVALID_HANDLE = 400 };

static World a, b;
static TestMediator mediator;

/* Two sessions that share an account and a mediator */
static char directory[] = "/tmp/vgpu-share.XXXXXX";

static void begin(void)
{
    static char plan[64];
    SessionGuestOptions options = {.window_size = 32 * MIB, .window_base = BASE};
    SessionGuest *const guests[] = {&a.g, &b.g};

    snprintf(plan, sizeof(plan), "share=%s", directory);
    world_open(&a, &options, &(WorldLimits){.memory_max = MEMORY_MAX, .plan = plan});
    options.window_base += GIB;
    options.slot = 1;
    options.account = dup(a.g.fds[SESSION_FD_ACCOUNT]);
    world_open(&b, &options, &(WorldLimits){.plan = plan});
    test_mediator_start(&mediator, guests, 2);
}

/* The mediator's copies of the connections have to be closed before: an executor ends with its
 * connection. */
static void end(void)
{
    test_mediator_stop(&mediator);
    if (b.is_open)
        world_end(&b);
    if (a.is_open)
        world_end(&a);
}

typedef struct Token {
    uint64_t word[2];
} Token;

static Token share(World *w, uint64_t address, uint64_t size)
{
    assert_ok(CALL(w, SHARE_MEMORY, .address = address));
    assert_int_equal(w->value[2], size);
    assert_true(w->value[0] != 0 || w->value[1] != 0);
    return (Token){{w->value[0], w->value[1]}};
}

static uint32_t take(World *w, Token token)
{
    return CALL(w, TAKE_MEMORY, .token = {token.word[0], token.word[1]});
}

static void assert_holds(World *w, uint64_t address, uint64_t value)
{
    uint64_t back;

    world_read(w, address, &back, sizeof(back));
    assert_true(back == value);
}

static void put(World *w, uint64_t address, uint64_t value)
{
    world_write(w, address, &value, sizeof(value));
}

/* ---- Allocated memory -------------------------------------------------------------------------
 */

/* Each sees what the other writes; who takes it pays for it. */
TEST(test_memory)
{
    static const uint64_t sizes[] = {8, 4096, 2 * MIB, 5 * MIB + 8};

    begin();
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const uint64_t size = sizes[i], mine = world_alloc(&a, size), last = size - 8;
        const uint64_t had = b.g.control->memory;
        uint64_t theirs;

        put(&a, mine + last, 77);
        assert_ok(take(&b, share(&a, mine, size)));
        theirs = b.value[0];
        assert_int_equal(b.value[1], size);
        assert_int_equal(b.g.control->memory - had, (size + 511) / 512 * 512);
        assert_holds(&b, theirs + last, 77);
        put(&b, theirs + last, 78);
        assert_holds(&a, mine + last, 78);

        /* Not a byte more */
        assert_fails(CALL(&b, SET, .address = theirs + last, .count = 9, .rows = 1, .width = 1),
                     CUDA_ERROR_INVALID_VALUE);
        assert_fails(CALL(&b, MEMORY_FREE, .address = theirs), CUDA_ERROR_INVALID_VALUE);
        assert_ok(CALL(&b, TAKEN_FREE, .address = theirs));
        assert_int_equal(b.g.control->memory, had);
        assert_fails(CALL(&b, TAKEN_FREE, .address = theirs), CUDA_ERROR_INVALID_VALUE);
        assert_fails(CALL(&b, SET, .address = theirs, .count = 1, .rows = 1, .width = 1),
                     CUDA_ERROR_INVALID_VALUE);
        assert_holds(&a, mine + last, 78);
        assert_ok(CALL(&a, MEMORY_FREE, .address = mine));
    }
    end();
}

/* As with the driver: the second time is the same memory, which stays until both are done. */
TEST(test_twice)
{
    uint64_t mine, theirs, memory;
    Token token, again;

    begin();
    mine = world_alloc(&a, MIB);
    token = share(&a, mine, MIB);
    again = share(&a, mine, MIB);
    assert_memory_equal(&again, &token, sizeof(token));
    assert_ok(take(&b, token));
    theirs = b.value[0];
    memory = b.g.control->memory;
    assert_ok(take(&b, token));
    assert_true(b.value[0] == theirs);
    assert_int_equal(b.g.control->memory, memory);
    assert_ok(CALL(&b, TAKEN_FREE, .address = theirs));
    put(&b, theirs, 5);
    assert_holds(&a, mine, 5);
    assert_ok(CALL(&b, TAKEN_FREE, .address = theirs));
    assert_fails(CALL(&b, TAKEN_FREE, .address = theirs), CUDA_ERROR_INVALID_VALUE);
    end();
}

TEST(test_refused)
{
    uint64_t mine, async;
    Token token, wrong;

    begin();
    mine = world_alloc(&a, MIB);
    token = wrong = share(&a, mine, MIB);
    wrong.word[1] ^= 1;
    assert_fails(take(&b, wrong), INVALID_HANDLE);
    assert_fails(take(&b, (Token){{0}}), INVALID_HANDLE);
    assert_fails(CALL(&b, TAKE_PHYSICAL, .token = {token.word[0], token.word[1]}, .id = 1),
                 INVALID_HANDLE);
    assert_fails(CALL(&b, TAKE_MEMORY, .token = {token.word[0], token.word[1]}, .flags = 1),
                 CUDA_ERROR_INVALID_VALUE);
    /* A process does not open its own. */
    assert_fails(take(&a, token), INVALID_CONTEXT);

    assert_fails(CALL(&a, SHARE_MEMORY, .address = mine + 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&a, SHARE_MEMORY, .address = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&a, SHARE_MEMORY, .address = mine, .flags = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&a, SHARE_MEMORY, .address = BASE), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&a, MEMORY_ALLOC_ASYNC, .size = MIB));
    async = a.value[0];
    assert_fails(CALL(&a, SHARE_MEMORY, .address = async), CUDA_ERROR_INVALID_VALUE);

    /* Above the quota of both */
    mine = world_alloc(&a, 40 * MIB);
    assert_fails(take(&b, share(&a, mine, 40 * MIB)), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(b.g.control->memory, 0);
    end();
}

/* A token ends with its memory, however that is freed, and with its session. */
TEST(test_ends)
{
    uint64_t mine, kept;
    Token token;

    begin();
    mine = world_alloc(&a, MIB);
    token = share(&a, mine, MIB);
    assert_ok(CALL(&a, MEMORY_FREE, .address = mine));
    assert_fails(take(&b, token), INVALID_HANDLE);

    mine = world_alloc(&a, MIB);
    token = share(&a, mine, MIB);
    assert_ok(CALL(&a, STREAM_CREATE, .id = 1));
    assert_ok(CALL(&a, MEMORY_FREE_ASYNC, .address = mine, .stream = 1));
    assert_fails(take(&b, token), INVALID_HANDLE);

    mine = world_alloc(&a, MIB);
    token = share(&a, mine, MIB);
    assert_ok(CALL(&a, CONTEXT_DESTROY, .id = 1));
    assert_fails(take(&b, token), INVALID_HANDLE);
    session_guest_context(&a.g, 1, true);

    mine = world_alloc(&a, MIB);
    token = share(&a, mine, MIB);
    assert_ok(take(&b, token));
    kept = b.g.control->memory;
    assert_true(kept >= MIB);
    test_mediator_forget(&mediator, 0);
    world_end(&a);
    assert_fails(take(&b, token), INVALID_HANDLE);
    /* What was taken ends with the taker's context. */
    assert_ok(CALL(&b, CONTEXT_DESTROY, .id = 1));
    assert_int_equal(b.g.control->memory, 0);
    end();
}

/* ---- Physical memory --------------------------------------------------------------------------
 */

static uint64_t map(World *w, uint32_t id, uint64_t size)
{
    uint64_t address;

    assert_ok(CALL(w, ADDRESS_RESERVE, .size = size));
    address = w->value[0];
    assert_ok(CALL(w, PHYSICAL_MAP, .address = address, .size = size, .id = id));
    assert_ok(CALL(w, PHYSICAL_ACCESS, .address = address, .size = size, .flags = 3));
    return address;
}

static void unmap(World *w, uint64_t address, uint64_t size)
{
    assert_ok(CALL(w, PHYSICAL_UNMAP, .address = address, .size = size));
    assert_ok(CALL(w, ADDRESS_FREE, .address = address, .size = size));
}

TEST(test_physical)
{
    const uint64_t size = 4 * MIB;
    uint64_t mine, theirs;
    Token token;

    begin();
    assert_ok(CALL(&a, PHYSICAL_CREATE, .size = size, .id = 3, .flags = VGPU_PHYSICAL_SHAREABLE));
    mine = map(&a, 3, size);
    put(&a, mine + size - 8, 1234);
    assert_ok(CALL(&a, SHARE_PHYSICAL, .id = 3));
    assert_int_equal(a.value[2], size);
    token = (Token){{a.value[0], a.value[1]}};
    assert_ok(CALL(&a, SHARE_PHYSICAL, .id = 3));
    assert_true(a.value[0] == token.word[0] && a.value[1] == token.word[1]);

    assert_fails(take(&b, token), INVALID_HANDLE);
    assert_ok(CALL(&b, TAKE_PHYSICAL, .id = 9, .token = {token.word[0], token.word[1]}));
    assert_int_equal(b.value[1], size);
    assert_int_equal(b.g.control->memory, size);
    assert_fails(CALL(&b, TAKE_PHYSICAL, .id = 9, .token = {token.word[0], token.word[1]}),
                 CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(b.g.control->memory, size);
    theirs = map(&b, 9, size);
    assert_holds(&b, theirs + size - 8, 1234);
    put(&b, theirs, 4321);
    assert_holds(&a, mine, 4321);

    /* It is there until nobody has it. */
    assert_ok(CALL(&a, PHYSICAL_RELEASE, .id = 3));
    assert_fails(CALL(&a, SHARE_PHYSICAL, .id = 3), INVALID_HANDLE);
    assert_ok(CALL(&b, TAKE_PHYSICAL, .id = 8, .token = {token.word[0], token.word[1]}));
    unmap(&a, mine, size);
    assert_int_equal(a.g.control->memory, 0);
    assert_fails(CALL(&b, TAKE_PHYSICAL, .id = 7, .token = {token.word[0], token.word[1]}),
                 INVALID_HANDLE);
    assert_holds(&b, theirs, 4321);
    assert_ok(CALL(&b, PHYSICAL_RELEASE, .id = 8));
    assert_ok(CALL(&b, PHYSICAL_RELEASE, .id = 9));
    unmap(&b, theirs, size);
    assert_int_equal(b.g.control->memory, 0);
    end();
}

/* What the driver gave is told, not what was asked for: the fake has no more than 32 MiB each. */
TEST(test_physical_compressed)
{
    const uint32_t flags = VGPU_PHYSICAL_SHAREABLE | VGPU_PHYSICAL_COMPRESSED;

    if (world_is_gpu())
        skip();
    begin();
    assert_ok(CALL(&a, PHYSICAL_CREATE, .size = 4 * MIB, .id = 1));
    assert_int_equal(a.value[0], 0);
    assert_ok(CALL(&a, PHYSICAL_CREATE, .size = 4 * MIB, .id = 2, .flags = flags));
    assert_int_equal(a.value[0], VGPU_PHYSICAL_COMPRESSED);
    assert_ok(CALL(&a, PHYSICAL_CREATE, .size = 40 * MIB, .id = 3, .flags = flags));
    assert_int_equal(a.value[0], 0);
    assert_ok(CALL(&a, SHARE_PHYSICAL, .id = 2));
    assert_ok(CALL(&b, TAKE_PHYSICAL, .id = 9, .token = {a.value[0], a.value[1]}));
    assert_true(b.value[1] == 4 * MIB && b.value[2] == VGPU_PHYSICAL_COMPRESSED);
    end();
}

TEST(test_physical_refused)
{
    Token token;

    begin();
    assert_fails(CALL(&a, PHYSICAL_CREATE, .size = 2 * MIB, .id = 1, .flags = 4),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&a, PHYSICAL_CREATE, .size = 2 * MIB, .id = 1));
    assert_fails(CALL(&a, SHARE_PHYSICAL, .id = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&a, SHARE_PHYSICAL, .id = 2), INVALID_HANDLE);
    assert_ok(
        CALL(&a, PHYSICAL_CREATE, .size = 40 * MIB, .id = 2, .flags = VGPU_PHYSICAL_SHAREABLE));
    assert_fails(CALL(&a, SHARE_PHYSICAL, .id = 2, .flags = 1), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&a, SHARE_PHYSICAL, .id = 2));
    token = (Token){{a.value[0], a.value[1]}};
    assert_fails(CALL(&b, TAKE_PHYSICAL, .id = 1, .token = {token.word[0], token.word[1]}),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&b, TAKE_PHYSICAL, .id = 0, .token = {token.word[0], token.word[1]}),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(b.g.control->memory, 0);
    end();
}

/* ---- Limits, and the end ----------------------------------------------------------------------
 */

TEST(test_too_many)
{
    uint64_t address[SESSION_SHARES_MAX + 1];

    begin();
    for (unsigned i = 0; i <= SESSION_SHARES_MAX; i++)
        address[i] = world_alloc(&a, 512);
    for (unsigned i = 0; i < SESSION_SHARES_MAX; i++)
        (void) share(&a, address[i], 512);
    assert_fails(CALL(&a, SHARE_MEMORY, .address = address[SESSION_SHARES_MAX]),
                 CUDA_ERROR_OUT_OF_MEMORY);
    (void) share(&a, address[0], 512); /* it has a token */
    assert_ok(CALL(&a, MEMORY_FREE, .address = address[0]));
    (void) share(&a, address[SESSION_SHARES_MAX], 512);
    end();
}

/* A mediator that does not answer holds what waits for it, and not the end. */
TEST(test_no_answer)
{
    const VGPUSessionShare p = {.token = {1, 2}};

    begin();
    __atomic_store_n(&mediator.is_slow, true, __ATOMIC_SEQ_CST);
    session_guest_begin(&b.g, 7, VGPU_SESSION_OP_TAKE_MEMORY, 1, &p, sizeof(p));
    while (__atomic_load_n(&mediator.n_questions, __ATOMIC_SEQ_CST) == 0)
        usleep(1000);
    assert_false(session_guest_is_done(&b.g, 7));
    world_settle(&b, 0); /* the ring goes on */
    test_mediator_stop(&mediator);
    world_end(&b);
    world_end(&a);
}

/* What the fake driver has left there */
static void remove_files(const char *path)
{
    const struct dirent *entry;
    DIR *d = opendir(path);

    while (d && (entry = readdir(d)))
        (void) unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
    (void) rmdir(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_physical),
        cmocka_unit_test(test_physical_refused),
        cmocka_unit_test(test_physical_compressed),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_no_answer),
    };

    int failed;

    (void) world_main(argc, argv);
    if (!mkdtemp(directory))
        abort();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files(directory);
    return failed;
}
