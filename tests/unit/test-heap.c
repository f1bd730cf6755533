/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The leftist heap: the order that it gives, and the shape that makes it cheap */
#include <stdlib.h>

#include "leftist-heap.h"
#include "test.h"

#define NODES 300
#define STEPS 20000

static bool is_before(const HeapNode *a, const HeapNode *b)
{
    return a->key == b->key ? a->order < b->order : (int64_t) (a->key - b->key) < 0;
}

/* Checks every node; returns the length of the shortest way down. */
static unsigned check(const HeapNode *n, const HeapNode *parent, unsigned *count)
{
    unsigned left, right;

    if (!n)
        return 0;
    assert_ptr_equal(n->parent, parent);
    assert_true(!parent || is_before(parent, n));
    left = check(n->left, n, count);
    right = check(n->right, n, count);
    assert_true(left >= right);
    assert_int_equal(n->to_leaf, right + 1);
    (*count)++;
    return n->to_leaf;
}

/* The keys wrap around 2^64 in the middle. */
TEST(test_random)
{
    static HeapNode nodes[NODES];
    static bool in[NODES];
    HeapNode *heap = NULL;
    unsigned expected = 0;

    srand(1);
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned k = (unsigned) rand() % NODES, count = 0;

        if (in[k]) {
            heap_remove(&heap, &nodes[k]);
        } else {
            nodes[k].key = (uint64_t) i - STEPS / 2 + (uint64_t) (rand() % 1000);
            nodes[k].order = i;
            heap_insert(&heap, &nodes[k]);
        }
        in[k] = !in[k];
        expected += in[k] ? 1 : -1;
        (void) check(heap, NULL, &count);
        assert_int_equal(count, expected);
    }
}

TEST(test_in_order)
{
    static HeapNode nodes[NODES];
    HeapNode *heap = NULL, last = {0};

    srand(2);
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].key = 1 + (uint64_t) (rand() % 50);
        nodes[i].order = i;
        heap_insert(&heap, &nodes[i]);
    }
    for (unsigned i = 0; i < NODES; i++) {
        assert_non_null(heap);
        assert_true(is_before(&last, heap));
        last = *heap;
        heap_remove(&heap, heap);
    }
    assert_null(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_in_order),
    };

    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
