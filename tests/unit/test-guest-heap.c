/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The allocator of the window: its blocks never overlap, and all memory comes back. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "test.h"
#include "window-heap.h"

#define BEGIN UINT64_C(4096)
#define SIZE UINT64_C(65536)
#define UNITS (SIZE / HEAP_UNIT)

/* The blocks cover the range without a gap, and no two free blocks are neighbours. */
static void check_blocks(const heap *h)
{
    uint64_t at = BEGIN;
    const heap_block *previous = NULL;

    for (const heap_block *b = h->first; b; previous = b, b = b->next) {
        assert_int_equal(b->offset, at);
        assert_ptr_equal(b->previous, previous);
        assert_true(b->size > 0 && b->size % HEAP_UNIT == 0);
        assert_false(previous && !previous->used && !b->used);
        at += b->size;
    }
    assert_int_equal(at, BEGIN + SIZE);
}

typedef struct piece {
    uint64_t offset, size;
} piece;

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Which units are in use. The test judges the heap by this. */
typedef struct shadow {
    bool used[UNITS];
} shadow;

static void mark(shadow *s, piece p, bool used)
{
    for (uint64_t at = p.offset; at < p.offset + p.size; at += HEAP_UNIT) {
        bool *unit = &s->used[(at - BEGIN) / HEAP_UNIT];

        assert_int_equal(*unit, !used);
        *unit = used;
    }
}

static bool could_fit(const shadow *s, uint64_t size, uint64_t alignment)
{
    uint64_t run = 0;

    for (uint64_t start = 0; start < UNITS; start++) {
        if ((BEGIN + start * HEAP_UNIT) % alignment != 0)
            continue;
        for (run = 0; start + run < UNITS && !s->used[start + run]; run++)
            if ((run + 1) * HEAP_UNIT >= size)
                return true;
    }
    return false;
}

static uint64_t largest(const shadow *s)
{
    uint64_t best = 0, run = 0;

    for (uint64_t i = 0; i < UNITS; i++) {
        run = s->used[i] ? 0 : run + 1;
        best = run > best ? run : best;
    }
    return best * HEAP_UNIT;
}

static void try_alloc(heap *h, shadow *s, piece *p, uint32_t *state)
{
    uint64_t size = 1 + next_random(state) % (next_random(state) % 4 == 0 ? SIZE : 2000);
    uint64_t alignment = UINT64_C(1) << (next_random(state) % 13), offset = 1;
    bool fits = could_fit(s, size, alignment < HEAP_UNIT ? HEAP_UNIT : alignment);
    int r;

    r = heap_alloc(h, size, alignment, &offset);
    assert_int_equal(r, fits ? 0 : -ENOSPC);
    if (r < 0) {
        assert_int_equal(offset, 1);
        return;
    }
    assert_int_equal(offset % HEAP_UNIT + offset % alignment, 0);
    assert_true(offset >= BEGIN && size <= SIZE && offset - BEGIN <= SIZE - size);
    *p = (piece){offset, (size + HEAP_UNIT - 1) & ~(uint64_t) (HEAP_UNIT - 1)};
    mark(s, *p, true);
}

TEST(test_random_use)
{
    static shadow s;
    piece pieces[64] = {{0}};
    heap h;

    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t random = seed;

        memset(&s, 0, sizeof(s));
        assert_int_equal(heap_init(&h, BEGIN, SIZE), 0);
        for (int step = 0; step < 2000; step++) {
            piece *p = &pieces[next_random(&random) % ELEMENTSOF(pieces)];

            if (p->size == 0) {
                try_alloc(&h, &s, p, &random);
            } else {
                assert_int_equal(heap_free(&h, p->offset + HEAP_UNIT / 2), -EINVAL);
                assert_int_equal(heap_free(&h, p->offset), 0);
                assert_int_equal(heap_free(&h, p->offset), -EINVAL);
                mark(&s, *p, false);
                p->size = 0;
            }
            check_blocks(&h);
            assert_int_equal(heap_largest(&h), largest(&s));
        }

        for (size_t i = 0; i < ELEMENTSOF(pieces); i++)
            if (pieces[i].size > 0) {
                assert_int_equal(heap_free(&h, pieces[i].offset), 0);
                pieces[i].size = 0;
            }
        assert_int_equal(heap_largest(&h), SIZE);
        assert_null(h.first->next);
        heap_destroy(&h);
    }
}

TEST(test_limits)
{
    uint64_t offset = 1;
    heap h;

    assert_int_equal(heap_init(&h, BEGIN, SIZE), 0);
    assert_int_equal(heap_alloc(&h, UINT64_MAX, 1, &offset), -ENOSPC);
    assert_int_equal(heap_alloc(&h, UINT64_MAX - HEAP_UNIT + 1, 1, &offset), -ENOSPC);
    assert_int_equal(heap_alloc(&h, SIZE + 1, 1, &offset), -ENOSPC);
    assert_int_equal(heap_alloc(&h, 1, UINT64_C(1) << 63, &offset), -ENOSPC);
    assert_int_equal(heap_alloc(&h, SIZE, 4096, &offset), 0);
    assert_int_equal(offset, BEGIN);
    assert_int_equal(heap_largest(&h), 0);
    assert_int_equal(heap_alloc(&h, 1, 1, &offset), -ENOSPC);
    assert_int_equal(heap_free(&h, 0), -EINVAL);
    assert_int_equal(heap_free(&h, BEGIN + SIZE), -EINVAL);
    assert_int_equal(heap_free(&h, BEGIN), 0);
    heap_destroy(&h);
    assert_null(h.first);
    heap_destroy(&h);
}

/* A heap of several ranges: neighbours become one, and what is free can be taken away again. */
TEST(test_ranges)
{
    uint64_t a, b, begin, end;
    heap h;

    heap_init_empty(&h);
    assert_int_equal(heap_alloc(&h, 64, 64, &a), -ENOSPC);
    assert_int_equal(heap_largest(&h), 0);
    assert_int_equal(heap_add(&h, 4096, 4096), 0);
    assert_int_equal(heap_add(&h, 16384, 4096), 0);
    assert_int_equal(heap_largest(&h), 4096);
    assert_int_equal(heap_alloc(&h, 4160, 64, &a), -ENOSPC); /* not across the gap */
    assert_int_equal(heap_add(&h, 8192, 8192), 0);
    assert_int_equal(heap_largest(&h), 16384);
    assert_int_equal(heap_alloc(&h, 4160, 64, &a), 0);
    assert_int_equal(a, 4096);

    assert_int_equal(heap_remove(&h, 4096, 4096), -EINVAL);  /* in use */
    assert_int_equal(heap_remove(&h, 16384, 8192), -EINVAL); /* a part is none of it */
    assert_int_equal(heap_remove(&h, 12288, 4096), 0);
    assert_false(heap_find_free(&h, 12288, &begin, &end));
    assert_true(heap_find_free(&h, 8320, &begin, &end));
    assert_int_equal(begin, 8256);
    assert_int_equal(end, 12288);
    assert_int_equal(heap_alloc(&h, 8192, 64, &b), -ENOSPC);
    assert_int_equal(heap_free(&h, a), 0);
    assert_int_equal(heap_remove(&h, 4096, 8192), 0);
    assert_int_equal(heap_remove(&h, 16384, 4096), 0);
    assert_null(h.first);
    heap_destroy(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_use),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_ranges),
    };

    return cmocka_run_group_tests_name("guest-heap", tests, NULL, NULL);
}
