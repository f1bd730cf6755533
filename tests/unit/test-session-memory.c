/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session's operations may touch, and what its quota is charged. */
#include "test.h"

#include <stdlib.h>

#include "session-memory.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define BASE UINT64_C(0x2ac100000000)

typedef struct World {
    SessionControl control;
    SessionAccount account;
    SessionMemory memory;
} World;

static void world_begin(World *w, uint64_t max)
{
    memset(w, 0, sizeof(*w));
    w->account.memory_max = max;
    session_memory_open(&w->memory, &w->account, 7, &w->control);
}

static void world_end(World *w)
{
    session_memory_close(&w->memory);
}

static SessionRange *add(World *w, SessionRangeKind kind, uint32_t context, uint64_t address,
                         uint64_t size)
{
    const uint64_t charge = kind == SESSION_RANGE_ALLOCATED ? session_memory_rounded(size) : 0;
    SessionRange *range;

    assert_int_equal(session_memory_prepare(&w->memory, kind, context, size, charge, &range),
                     CUDA_SUCCESS);
    assert_true(session_memory_insert(&w->memory, range, address));
    return range;
}

static bool has(World *w, uint64_t address, uint64_t size)
{
    return session_memory_contains(&w->memory, address, size);
}

/* ---- Ranges --------------------------------------------------------------------------------- */

TEST(test_edges)
{
    World w;

    world_begin(&w, UINT64_MAX);
    assert_false(has(&w, BASE, 1));
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE, 1000);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE + 1024, 24);

    assert_true(has(&w, BASE, 1000));
    assert_true(has(&w, BASE + 999, 1));
    assert_false(has(&w, BASE - 1, 1));
    assert_false(has(&w, BASE - 1, 1001));
    assert_false(has(&w, BASE, 1001));
    assert_false(has(&w, BASE + 1000, 1));
    assert_true(has(&w, BASE + 1024, 24));
    assert_false(has(&w, BASE + 1023, 24));
    assert_false(has(&w, BASE + 1047, 2));
    /* Nothing is nowhere, and no end wraps around. */
    assert_false(has(&w, BASE, 0));
    assert_false(has(&w, BASE, UINT64_MAX));
    assert_false(has(&w, UINT64_MAX, 1));
    assert_false(has(&w, UINT64_MAX - 5, 100));
    world_end(&w);
}

TEST(test_neighbours_are_not_one)
{
    World w;

    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE, MIB);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE + MIB, MIB);
    assert_true(has(&w, BASE, MIB));
    assert_true(has(&w, BASE + MIB, MIB));
    assert_false(has(&w, BASE + MIB - 1, 2));
    world_end(&w);
}

TEST(test_no_overlap)
{
    World w;
    SessionRange *range;

    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE + 100, 100);
    assert_int_equal(session_memory_prepare(&w.memory, SESSION_RANGE_ALLOCATED, 1, 50, 512, &range),
                     CUDA_SUCCESS);
    assert_false(session_memory_insert(&w.memory, range, BASE + 51));
    assert_false(session_memory_insert(&w.memory, range, BASE + 100));
    assert_false(session_memory_insert(&w.memory, range, BASE + 199));
    assert_false(session_memory_insert(&w.memory, range, 0));
    assert_false(session_memory_insert(&w.memory, range, UINT64_MAX - 49));
    assert_true(session_memory_insert(&w.memory, range, BASE + 50));
    world_end(&w);
}

TEST(test_take)
{
    World w;
    SessionRange *range;

    world_begin(&w, UINT64_MAX);
    range = add(&w, SESSION_RANGE_ALLOCATED, 1, BASE, MIB);
    assert_null(session_memory_take(&w.memory, SESSION_RANGE_ALLOCATED, BASE + 1));
    assert_null(session_memory_take(&w.memory, SESSION_RANGE_ASYNC, BASE));
    assert_ptr_equal(session_memory_take(&w.memory, SESSION_RANGE_ALLOCATED, BASE), range);
    assert_null(session_memory_take(&w.memory, SESSION_RANGE_ALLOCATED, BASE));
    assert_false(has(&w, BASE, 1));
    /* A free that failed */
    assert_true(session_memory_insert(&w.memory, range, BASE));
    assert_true(has(&w, BASE, MIB));
    assert_int_equal(w.control.memory, MIB);
    world_end(&w);
}

/* ---- The quota ------------------------------------------------------------------------------ */

static CUresult charge(SessionMemory *m, uint64_t size)
{
    const CUresult r = session_memory_charge(m, size);

    if (r == CUDA_SUCCESS)
        session_memory_settle(m, size, r);
    return r;
}

TEST(test_quota)
{
    World w;
    SessionRange *range;
    uint64_t shown = 7;

    world_begin(&w, 2 * MIB);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE, MIB);
    assert_int_equal(w.control.memory, MIB);
    session_memory_show(&w.memory, &shown);
    assert_int_equal(shown, MIB);
    assert_int_equal(session_memory_prepare(&w.memory, SESSION_RANGE_ALLOCATED, 1, MIB + 1,
                                            session_memory_rounded(MIB + 1), &range),
                     CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(w.control.memory, MIB);
    assert_int_equal(session_memory_prepare(&w.memory, SESSION_RANGE_ALLOCATED, 1, MIB,
                                            session_memory_rounded(MIB), &range),
                     CUDA_SUCCESS);
    assert_int_equal(w.account.slot[7], 2 * MIB);
    assert_int_equal(session_memory_charge(&w.memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
    session_memory_drop(&w.memory, range);
    assert_int_equal(w.account.slot[7], MIB);
    assert_int_equal(charge(&w.memory, MIB), CUDA_SUCCESS);
    assert_int_equal(w.control.memory, 2 * MIB);
    assert_int_equal(shown, 2 * MIB);
    session_memory_give_back(&w.memory, MIB);
    session_memory_drop(&w.memory, session_memory_take(&w.memory, SESSION_RANGE_ALLOCATED, BASE));
    assert_int_equal(w.control.memory, 0);
    assert_int_equal(w.control.memory_peak, 2 * MIB);
    assert_int_equal(shown, 0);
    world_end(&w);
}

/* What the driver refuses was charged, and never used. */
TEST(test_refused)
{
    World w;
    SessionRange *range;

    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE, MIB);
    assert_int_equal(
        session_memory_prepare(&w.memory, SESSION_RANGE_ALLOCATED, 1, GIB, GIB, &range),
        CUDA_SUCCESS);
    assert_int_equal(session_memory_charge(&w.memory, GIB), CUDA_SUCCESS);
    assert_int_equal(w.account.slot[7], 2 * GIB + MIB);
    assert_int_equal(charge(&w.memory, MIB), CUDA_SUCCESS);
    assert_int_equal(w.control.memory, 2 * MIB);
    session_memory_give_back(&w.memory, MIB);
    session_memory_drop(&w.memory, range);
    session_memory_settle(&w.memory, GIB, CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(w.account.slot[7], MIB);
    assert_int_equal(w.control.memory, MIB);
    assert_int_equal(w.control.memory_peak, 2 * MIB);
    world_end(&w);
}

TEST(test_sizes)
{
    World w;
    SessionRange *range;

    assert_int_equal(session_memory_rounded(1), 512);
    assert_int_equal(session_memory_rounded(512), 512);
    assert_int_equal(session_memory_rounded(513), 1024);
    assert_true(session_memory_rounded((uint64_t) INT64_MAX + 1) == UINT64_MAX);
    assert_true(session_memory_rounded(UINT64_MAX) == UINT64_MAX);

    /* Without a limit, too, charges do not wrap around. */
    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE, 1);
    assert_int_equal(session_memory_prepare(&w.memory, SESSION_RANGE_ALLOCATED, 1, UINT64_MAX,
                                            session_memory_rounded(UINT64_MAX), &range),
                     CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(w.control.memory, 512);
    world_end(&w);
}

TEST(test_too_many)
{
    World w;
    SessionRange *range;

    world_begin(&w, UINT64_MAX);
    w.memory.n_ranges = SESSION_RANGES_MAX;
    assert_int_equal(session_memory_prepare(&w.memory, SESSION_RANGE_RESERVED, 0, 1, 0, &range),
                     CUDA_ERROR_OUT_OF_MEMORY);
    w.memory.n_ranges = SESSION_RANGES_MAX - 1;
    assert_int_equal(session_memory_prepare(&w.memory, SESSION_RANGE_RESERVED, 0, 1, 0, &range),
                     CUDA_SUCCESS);
    session_memory_drop(&w.memory, range);
    assert_int_equal(w.memory.n_ranges, SESSION_RANGES_MAX - 1);
    world_end(&w);
}

/* ---- Pools ------------------------------------------------------------------------------------
 */

static SessionRange *add_pooled(World *w, SessionPool *pool, uint64_t address, uint64_t size)
{
    SessionRange *range;

    assert_int_equal(session_memory_prepare(&w->memory, SESSION_RANGE_ASYNC, 1, size, size, &range),
                     CUDA_SUCCESS);
    session_memory_pool_take(&w->memory, pool, range);
    if (address != 0)
        assert_true(session_memory_insert(&w->memory, range, address));
    return range;
}

static void drop_pooled(World *w, uint64_t address)
{
    session_memory_drop(&w->memory, session_memory_take(&w->memory, SESSION_RANGE_ASYNC, address));
}

/* Under a quota, what an allocation took is the pool's until the driver says that it is not. */
TEST(test_pool)
{
    SessionPool pool = {.id = 1};
    World w;

    world_begin(&w, 8 * MIB);
    assert_true(session_memory_pool_is_empty(&w.memory, &pool));
    add_pooled(&w, &pool, BASE, 2 * MIB);
    add_pooled(&w, &pool, BASE + 2 * MIB, 3 * MIB);
    assert_int_equal(session_memory_pool_used(&w.memory, &pool), 5 * MIB);
    drop_pooled(&w, BASE);
    assert_int_equal(w.control.memory, 5 * MIB);
    assert_int_equal(session_memory_pool_used(&w.memory, &pool), 3 * MIB);
    assert_true(session_memory_pool_keep(&w.memory, &pool, MIB, false));
    assert_int_equal(w.control.memory, 4 * MIB);
    assert_true(session_memory_pool_keep(&w.memory, &pool, 5 * MIB, false));
    assert_int_equal(w.account.slot[7], 8 * MIB);
    assert_int_equal(w.control.memory, 4 * MIB);
    assert_int_equal(w.control.memory_peak, 5 * MIB);
    assert_true(session_memory_pool_keep(&w.memory, &pool, 5 * MIB, true));
    assert_int_equal(w.control.memory, 8 * MIB);
    assert_false(session_memory_pool_keep(&w.memory, &pool, 5 * MIB + 1, false));
    assert_int_equal(w.control.memory, 8 * MIB);
    assert_false(session_memory_pool_is_empty(&w.memory, &pool));
    drop_pooled(&w, BASE + 2 * MIB);
    assert_true(session_memory_pool_is_empty(&w.memory, &pool));
    assert_int_equal(w.control.memory, 8 * MIB);
    assert_true(session_memory_pool_keep(&w.memory, &pool, 0, false));
    assert_int_equal(w.control.memory, 0);
    world_end(&w);
}

/* The driver may have taken more than was expected: then nothing more is had. */
TEST(test_pool_above_the_quota)
{
    SessionPool pool = {.id = 1};
    World w;

    world_begin(&w, 8 * MIB);
    assert_true(session_memory_pool_keep(&w.memory, &pool, 9 * MIB, true));
    assert_int_equal(w.control.memory, 9 * MIB);
    assert_int_equal(w.control.memory_peak, 9 * MIB);
    assert_int_equal(session_memory_charge(&w.memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(session_memory_charge(&w.memory, UINT64_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    assert_true(session_memory_pool_keep(&w.memory, &pool, 7 * MIB, false));
    assert_int_equal(charge(&w.memory, MIB), CUDA_SUCCESS);
    session_memory_give_back(&w.memory, MIB);
    world_end(&w);
}

/* One that has never been there took nothing; and without a quota nobody asks. */
TEST(test_pool_that_keeps_nothing)
{
    SessionPool pool = {.id = 1};
    World w;

    world_begin(&w, 8 * MIB);
    session_memory_drop(&w.memory, add_pooled(&w, &pool, 0, 2 * MIB));
    assert_int_equal(w.control.memory, 0);
    assert_true(session_memory_pool_is_empty(&w.memory, &pool));
    world_end(&w);

    world_begin(&w, UINT64_MAX);
    add_pooled(&w, &pool, BASE, 2 * MIB);
    drop_pooled(&w, BASE);
    assert_int_equal(w.control.memory, 0);
    world_end(&w);
}

/* ---- Reserved and mapped ----------------------------------------------------------------------
 */

TEST(test_mapped)
{
    World w;
    SessionPhysical physical = {.size = 4 * MIB};

    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_RESERVED, 0, BASE, 8 * MIB);
    /* Reserved is not there yet. */
    assert_false(has(&w, BASE, 1));
    assert_true(session_memory_is_vacant(&w.memory, BASE, 8 * MIB));
    assert_false(session_memory_is_vacant(&w.memory, BASE, 8 * MIB + 1));
    assert_false(session_memory_is_vacant(&w.memory, BASE - 1, 2));
    assert_false(session_memory_is_vacant(&w.memory, BASE, 0));

    for (unsigned i = 0; i < 3; i++)
        add(&w, SESSION_RANGE_MAPPED, 0, BASE + i * 2 * MIB, 2 * MIB)->physical = &physical;
    assert_false(session_memory_is_vacant(&w.memory, BASE, 2 * MIB));
    assert_true(session_memory_is_vacant(&w.memory, BASE + 6 * MIB, 2 * MIB));
    /* Mapped is not accessible yet. */
    assert_false(has(&w, BASE, 1));
    assert_true(session_memory_has_mapped(&w.memory, BASE, 6 * MIB));
    assert_false(session_memory_has_mapped(&w.memory, BASE, 6 * MIB + 1));
    assert_false(session_memory_has_mapped(&w.memory, BASE, 3 * MIB));
    assert_false(session_memory_has_mapped(&w.memory, BASE + 1, 2 * MIB));
    assert_false(session_memory_has_mapped(&w.memory, BASE, 0));

    /* Side by side they are one, but for what is not accessible. */
    session_memory_allow(&w.memory, BASE, 4 * MIB, true);
    assert_true(has(&w, BASE, 4 * MIB));
    assert_true(has(&w, BASE + MIB, 2 * MIB));
    assert_false(has(&w, BASE, 4 * MIB + 1));
    session_memory_allow(&w.memory, BASE + 4 * MIB, 2 * MIB, true);
    assert_true(has(&w, BASE, 6 * MIB));
    assert_false(has(&w, BASE, 6 * MIB + 1));
    session_memory_allow(&w.memory, BASE + 2 * MIB, 2 * MIB, false);
    assert_true(has(&w, BASE, 2 * MIB));
    assert_false(has(&w, BASE, 2 * MIB + 1));
    assert_true(has(&w, BASE + 4 * MIB, 2 * MIB));
    world_end(&w);
}

/* Reservations may lie side by side, and are not one. */
TEST(test_mapped_in_two_reservations)
{
    World w;
    SessionPhysical physical = {.size = 4 * MIB};

    world_begin(&w, UINT64_MAX);
    for (unsigned i = 0; i < 2; i++) {
        add(&w, SESSION_RANGE_RESERVED, 0, BASE + i * 2 * MIB, 2 * MIB);
        add(&w, SESSION_RANGE_MAPPED, 0, BASE + i * 2 * MIB, 2 * MIB)->physical = &physical;
        session_memory_allow(&w.memory, BASE + i * 2 * MIB, 2 * MIB, true);
    }
    assert_true(has(&w, BASE, 2 * MIB));
    assert_true(has(&w, BASE + 2 * MIB, 2 * MIB));
    assert_false(has(&w, BASE, 2 * MIB + 1));
    assert_false(session_memory_has_mapped(&w.memory, BASE, 4 * MIB));
    world_end(&w);
}

TEST(test_reservations)
{
    World w;
    SessionPhysical physical = {.size = 2 * MIB};
    SessionRange *range;

    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_RESERVED, 0, BASE, 4 * MIB);
    add(&w, SESSION_RANGE_MAPPED, 0, BASE + 2 * MIB, 2 * MIB)->physical = &physical;
    assert_null(session_memory_take_reservation(&w.memory, BASE, 4 * MIB));
    session_memory_drop(&w.memory,
                        session_memory_take(&w.memory, SESSION_RANGE_MAPPED, BASE + 2 * MIB));
    assert_null(session_memory_take_reservation(&w.memory, BASE, 2 * MIB));
    assert_null(session_memory_take_reservation(&w.memory, BASE + MIB, 3 * MIB));
    range = session_memory_take_reservation(&w.memory, BASE, 4 * MIB);
    assert_non_null(range);
    session_memory_drop(&w.memory, range);
    assert_false(session_memory_is_vacant(&w.memory, BASE, MIB));
    world_end(&w);
}

/* ---- Ends -------------------------------------------------------------------------------------
 */

TEST(test_context_ends)
{
    World w;
    SessionPhysical physical = {.size = MIB};
    SessionRange *range;
    uint64_t address = 0;
    unsigned n = 0;

    world_begin(&w, UINT64_MAX);
    for (unsigned i = 0; i < 10; i++)
        add(&w, SESSION_RANGE_ALLOCATED, i % 2, BASE + i * MIB, MIB);
    add(&w, SESSION_RANGE_RESERVED, 0, BASE + 20 * MIB, MIB);
    add(&w, SESSION_RANGE_MAPPED, 0, BASE + 20 * MIB, MIB)->physical = &physical;
    while ((range = session_memory_take_next(&w.memory, &address, 0))) {
        assert_int_equal(range->address, BASE + 2 * n * MIB);
        session_memory_drop(&w.memory, range);
        n++;
    }
    assert_int_equal(n, 5);
    assert_int_equal(w.control.memory, 5 * MIB);
    assert_false(has(&w, BASE, 1));
    assert_true(has(&w, BASE + MIB, MIB));
    assert_true(session_memory_has_mapped(&w.memory, BASE + 20 * MIB, MIB));
    world_end(&w);
}

TEST(test_module_ends)
{
    World w;
    int one, other;

    world_begin(&w, UINT64_MAX);
    add(&w, SESSION_RANGE_GLOBAL, 1, BASE, 16)->module = &one;
    add(&w, SESSION_RANGE_GLOBAL, 1, BASE + 16, 16)->module = &other;
    add(&w, SESSION_RANGE_GLOBAL, 1, BASE + 32, 16)->module = &one;
    add(&w, SESSION_RANGE_ALLOCATED, 1, BASE + 48, 16);
    session_memory_forget_module(&w.memory, &one);
    assert_false(has(&w, BASE, 1));
    assert_true(has(&w, BASE + 16, 16));
    assert_false(has(&w, BASE + 32, 1));
    assert_true(has(&w, BASE + 48, 16));
    world_end(&w);
}

/* ---- One account for several sessions ---------------------------------------------------------
 */

TEST(test_account_is_shared)
{
    SessionControl control = {0};
    SessionMemory other;
    World w;

    world_begin(&w, 10 * MIB);
    session_memory_open(&other, &w.account, 255, &control);
    assert_int_equal(charge(&w.memory, 6 * MIB), CUDA_SUCCESS);
    assert_int_equal(charge(&other, 4 * MIB + 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(session_memory_left(&other), 4 * MIB);
    assert_int_equal(control.memory, 0);
    assert_int_equal(charge(&other, 4 * MIB), CUDA_SUCCESS);
    assert_int_equal(charge(&w.memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(charge(&w.memory, 0), CUDA_SUCCESS);
    assert_int_equal(w.account.slot[7], 6 * MIB);
    assert_int_equal(w.account.slot[255], 4 * MIB);

    /* Less than they have: what is there stays. */
    w.account.memory_max = MIB;
    assert_int_equal(session_memory_left(&other), 0);
    session_memory_give_back(&w.memory, 6 * MIB);
    assert_int_equal(charge(&w.memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
    session_memory_give_back(&other, 4 * MIB);
    assert_int_equal(charge(&w.memory, MIB), CUDA_SUCCESS);
    w.account.memory_max = UINT64_MAX;
    assert_int_equal(charge(&w.memory, MIB), CUDA_SUCCESS);
    assert_int_equal(session_memory_left(&w.memory), UINT64_MAX);
    session_memory_close(&other);
    world_end(&w);
}

/* What others write there is added up, and never wraps around. */
TEST(test_account_with_lies)
{
    World w;

    world_begin(&w, 10 * MIB);
    w.account.slot[0] = UINT64_MAX;
    w.account.slot[1] = MIB;
    assert_int_equal(session_memory_left(&w.memory), 0);
    assert_int_equal(charge(&w.memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
    w.account.slot[0] = 0;
    assert_int_equal(charge(&w.memory, 9 * MIB), CUDA_SUCCESS);
    assert_int_equal(charge(&w.memory, UINT64_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(charge(&w.memory, UINT64_MAX - 9 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(w.account.slot[7], 9 * MIB);
    world_end(&w);
}

#define CHARGES 20000

static unsigned n_holders; /* atomic */

/* Returns how often it found somebody else with what one alone can have. */
static void *charge_and_give_back(void *data)
{
    uintptr_t n_wrong = 0;

    for (unsigned i = 0; i < CHARGES; i++) {
        if (charge(data, 3) != CUDA_SUCCESS)
            continue;
        n_wrong += __atomic_fetch_add(&n_holders, 1, __ATOMIC_SEQ_CST) != 0;
        __atomic_fetch_sub(&n_holders, 1, __ATOMIC_SEQ_CST);
        session_memory_give_back(data, 3);
    }
    return (void *) n_wrong;
}

/* Two at once never have more than there is. */
TEST(test_account_at_once)
{
    SessionControl control = {0};
    SessionMemory other;
    pthread_t thread;
    void *n_wrong;
    World w;

    world_begin(&w, 5);
    session_memory_open(&other, &w.account, 8, &control);
    assert_int_equal(pthread_create(&thread, NULL, charge_and_give_back, &other), 0);
    assert_null(charge_and_give_back(&w.memory));
    pthread_join(thread, &n_wrong);
    assert_null(n_wrong);
    assert_int_equal(w.account.slot[7] + w.account.slot[8], 0);
    assert_int_equal(charge(&w.memory, 5), CUDA_SUCCESS);
    session_memory_close(&other);
    world_end(&w);
}

/* ---- Many, beside a map that cannot be wrong ----------------------------------------------------
 */

#define SLOTS 512u
#define STEPS 60000u

static unsigned tree_depth(const SessionRange *tree)
{
    unsigned left, right;

    if (!tree)
        return 0;
    left = tree_depth(tree->left);
    right = tree_depth(tree->right);
    return 1 + (left > right ? left : right);
}

TEST(test_random)
{
    static uint64_t sizes[SLOTS];
    uint64_t used = 0;
    World w;

    world_begin(&w, UINT64_MAX);
    srand(1);
    for (unsigned i = 0; i < STEPS; i++) {
        const unsigned slot = (unsigned) rand() % SLOTS;
        const uint64_t address = BASE + slot * MIB;
        const uint64_t size = 1 + (unsigned) rand() % MIB;

        if (sizes[slot] == 0) {
            add(&w, SESSION_RANGE_ALLOCATED, 1, address, size);
            sizes[slot] = size;
            used += session_memory_rounded(size);
        } else {
            assert_true(has(&w, address, sizes[slot]));
            assert_false(has(&w, address, sizes[slot] + 1));
            assert_false(has(&w, address - 1, 2));
            used -= session_memory_rounded(sizes[slot]);
            sizes[slot] = 0;
            session_memory_drop(&w.memory,
                                session_memory_take(&w.memory, SESSION_RANGE_ALLOCATED, address));
        }
        assert_int_equal(w.control.memory, used);
    }
    world_end(&w);
}

/* Addresses in order, as a driver gives them, make no list of the tree. */
TEST(test_depth)
{
    World w;

    world_begin(&w, UINT64_MAX);
    for (unsigned i = 0; i < 100000; i++)
        add(&w, SESSION_RANGE_ALLOCATED, 1, BASE + i * 512, 512);
    assert_in_range(tree_depth(w.memory.ranges), 17, 80);
    assert_true(has(&w, BASE + 99999 * 512, 512));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_neighbours_are_not_one),
        cmocka_unit_test(test_no_overlap),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_above_the_quota),
        cmocka_unit_test(test_pool_that_keeps_nothing),
        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_mapped_in_two_reservations),
        cmocka_unit_test(test_reservations),
        cmocka_unit_test(test_context_ends),
        cmocka_unit_test(test_module_ends),
        cmocka_unit_test(test_account_is_shared),
        cmocka_unit_test(test_account_with_lies),
        cmocka_unit_test(test_account_at_once),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
