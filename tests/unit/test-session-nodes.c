/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Graphs of a session by their nodes: each kind of node, made, changed and read back.
 *
 *   test-session-nodes fake    over the fake driver
 *   test-session-nodes gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdlib.h>

#include "cleanup.h"

#define N 64u
#define ROOM 4096u

enum { KERNEL = 0, MEMCPY = 1, MEMSET = 2, HOST = 3, GRAPH = 4, EMPTY = 5, WAIT = 6, RECORD = 7 };
enum { BATCH_MEM_OP = 12 };

static World w;
static unsigned char *into; /* ROOM bytes of the window */
static uint64_t cells;      /* N numbers of the device's */
static uint32_t *seen;      /* N numbers of the window */

typedef struct FillParameters {
    uint64_t to;
    uint32_t value;
    uint32_t gap;
    uint64_t n;
} FillParameters;

typedef struct FillNode {
    VGPUSessionLaunch launch;
    FillParameters p;
} FillNode;

static void begin(void)
{
    world_begin(&w, NULL);
    world_load_kernels(&w);
    world_function(&w, WORLD_KERNELS, 1, "fill");
    into = world_window(&w, ROOM);
    seen = (uint32_t *) (void *) world_window(&w, N * sizeof(*seen));
    cells = world_alloc(&w, N * sizeof(uint32_t));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
}

static FillNode fill(uint32_t value)
{
    return (FillNode){
        .launch = {.function = 1,
                   .grid = {1, 1, 1},
                   .block = {N, 1, 1},
                   .parameters_size = sizeof(FillParameters)},
        .p = {.to = cells, .value = value, .n = N},
    };
}

static VGPUSessionCopy3D copy_out(void)
{
    return (VGPUSessionCopy3D){
        .to = {.address = world_address(seen)},
        .from = {.address = cells},
        .width_bytes = N * sizeof(uint32_t),
        .height = 1,
        .depth = 1,
    };
}

/* A node of graph 1 behind that of number @after, or behind none; returns its number */
static uint32_t add(uint32_t type, uint32_t after, const void *payload, size_t size,
                    VGPUSessionNode p)
{
    unsigned char more[512] = {0};
    const uint32_t numbers[2] = {after, 0};
    const size_t at = after ? sizeof(numbers) : 0;

    p.graph = 1;
    p.type = type;
    p.n_dependencies = after != 0;
    memcpy(more, numbers, sizeof(numbers));
    if (size > 0)
        memcpy(more + at, payload, size);
    if (world_call(&w, VGPU_SESSION_OP_NODE_ADD, &p, sizeof(p), more, at + size) != CUDA_SUCCESS)
        return 0;
    return (uint32_t) w.value[0];
}

#define ADD(type, after, payload, ...) \
    add((type), (after), (payload), sizeof(*(payload)), (VGPUSessionNode){__VA_ARGS__})
#define ADD_BARE(type, after, ...) add((type), (after), NULL, 0, (VGPUSessionNode){__VA_ARGS__})

/* NODE_SET, NODE_EXEC_SET in graph 1 and exec 1 */
#define SET_NODE(op, number, kind, payload, size, ...)                                        \
    CALL_WITH(&w, op, payload, size, .graph = 1, .exec = 1, .node = (number), .type = (kind), \
              __VA_ARGS__)

static uint32_t get(uint32_t number, uint32_t graph)
{
    memset(into, 0xee, ROOM);
    return CALL(&w, NODE_GET, .graph = graph, .node = number,
                .into = {world_offset(&w, into), ROOM});
}

static void run(void)
{
    memset(seen, 0, N * sizeof(*seen));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
}

static void instantiate(void)
{
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_int_equal(w.value[0], 0);
}

static void assert_seen(uint32_t value)
{
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(seen[i], value);
}

/* ---- Kernels and copies -----------------------------------------------------------------------
 */

TEST(test_build_and_change)
{
    VGPUSessionCopy3D out;
    uint32_t kernel;
    FillNode f;

    begin();
    f = fill(3);
    out = copy_out();
    kernel = ADD(KERNEL, 0, &f);
    assert_int_equal(kernel, 1);
    assert_int_equal(ADD(MEMCPY, kernel, &out), 2);
    instantiate();
    run();
    assert_seen(3);

    /* The executable graph alone; then the graph, which the executable one does not see */
    f.p.value = 4;
    assert_ok(SET_NODE(NODE_EXEC_SET, kernel, KERNEL, &f, sizeof(f), .flags = 0));
    run();
    assert_seen(4);
    f.p.value = 5;
    assert_ok(SET_NODE(NODE_SET, kernel, KERNEL, &f, sizeof(f), .flags = 0));
    run();
    assert_seen(4);
    assert_ok(CALL(&w, GRAPH_UPDATE, .exec = 1, .graph = 1));
    run();
    assert_seen(5);

    /* Without the kernel, the copy gets what was there before. */
    assert_ok(CALL(&w, SET, .address = cells, .count = N, .rows = 1, .width = 4, .value = 8));
    world_settle(&w, 0);
    assert_ok(CALL(&w, NODE_ENABLE, .graph = 1, .exec = 1, .node = kernel, .flags = 0));
    run();
    assert_seen(8);
    assert_ok(CALL(&w, NODE_ENABLE, .graph = 1, .exec = 1, .node = kernel, .flags = 1));
    run();
    assert_seen(5);
    world_end(&w);
}

/* What NODE_GET says, NODE_SET takes. */
TEST(test_get_and_set)
{
    VGPUSessionLaunchAttribute priority = {.id = 4}; /* a cluster, of one block */
    struct {
        VGPUSessionLaunch launch;
        VGPUSessionLaunchAttribute attribute;
        FillParameters p;
    } f;
    const uint32_t one[3] = {1, 1, 1};
    VGPUSessionLaunch back;
    VGPUSessionSet set;
    VGPUSessionCopy3D copy;
    FillParameters p;
    size_t size;

    begin();
    memcpy(priority.value, one, sizeof(one));
    f.launch = fill(6).launch;
    f.launch.n_attributes = 1;
    f.attribute = priority;
    f.p = fill(6).p;
    assert_int_equal(ADD(KERNEL, 0, &f), 1);
    copy = copy_out();
    assert_int_equal(ADD(MEMCPY, 1, &copy), 2);
    set = (VGPUSessionSet){.address = cells, .count = 3, .rows = 1, .value = 0x1234, .width = 2};
    assert_int_equal(ADD(MEMSET, 2, &set), 3);
    assert_int_equal(ADD_BARE(EMPTY, 3), 4);

    assert_ok(get(1, 1));
    size = w.value[1];
    assert_int_equal(w.value[0], KERNEL);
    memcpy(&back, into, sizeof(back));
    assert_int_equal(back.function, 1);
    assert_int_equal(back.block[0], N);
    assert_in_range(back.n_attributes, 1, VGPU_SESSION_LAUNCH_ATTRIBUTES);
    assert_int_equal(size, sizeof(back) + back.n_attributes * sizeof(priority) + sizeof(p));
    memcpy(&p, into + size - sizeof(p), sizeof(p));
    assert_int_equal(p.to, cells);
    assert_int_equal(p.value, 6);
    assert_int_equal(p.n, N);
    assert_ok(SET_NODE(NODE_SET, 1, KERNEL, into, size, .flags = 0));
    /* As much as has room */
    assert_ok(CALL(&w, NODE_GET, .graph = 1, .node = 1, .into = {world_offset(&w, into), 4}));
    assert_int_equal(w.value[1], size);
    assert_ok(CALL(&w, NODE_GET, .graph = 1, .node = 1));
    assert_int_equal(w.value[1], size);

    assert_ok(get(2, 1));
    assert_int_equal(w.value[0], MEMCPY);
    assert_int_equal(w.value[1], sizeof(copy));
    memcpy(&copy, into, sizeof(copy));
    assert_int_equal(copy.from.address, cells);
    assert_int_equal(copy.to.address, world_address(seen));
    assert_int_equal(copy.width_bytes, N * sizeof(uint32_t));
    assert_ok(SET_NODE(NODE_SET, 2, MEMCPY, into, sizeof(copy), .flags = 0));

    assert_ok(get(3, 1));
    assert_int_equal(w.value[0], MEMSET);
    assert_int_equal(w.value[1], sizeof(set));
    assert_memory_equal(into, &set, sizeof(set));
    assert_ok(SET_NODE(NODE_SET, 3, MEMSET, into, sizeof(set), .flags = 0));

    assert_ok(get(4, 1));
    assert_int_equal(w.value[0], EMPTY);
    assert_int_equal(w.value[1], 0);
    instantiate();
    run();
    assert_seen(6);
    world_end(&w);
}

/* A graph of a capture has nodes like any other. */
TEST(test_nodes_of_a_capture)
{
    FillNode f;
    VGPUSessionCopy3D out;

    begin();
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    f = fill(1);
    out = copy_out();
    assert_ok(CALL(&w, CAPTURE_BEGIN, .stream = 5, .flags = 1));
    f.launch.stream = 5;
    assert_ok(CALL_WITH(&w, LAUNCH, &f.p, sizeof(f.p), .function = 1, .stream = 5,
                        .grid = {1, 1, 1}, .block = {N, 1, 1}, .parameters_size = sizeof(f.p)));
    assert_ok(CALL(&w, COPY, .to = out.to.address, .from = out.from.address,
                   .size = out.width_bytes, .stream = 5));
    assert_ok(CALL(&w, CAPTURE_END, .stream = 5, .graph = 1));
    assert_ok(CALL(&w, GRAPH_NODES, .graph = 1));
    assert_int_equal(w.value[0], 2);
    assert_ok(get(1, 1));
    assert_int_equal(w.value[0], KERNEL);
    memcpy(&f.p, into + w.value[1] - sizeof(f.p), sizeof(f.p));
    assert_int_equal(f.p.value, 1);
    f.launch.stream = 0;
    f.p.value = 2;
    assert_ok(SET_NODE(NODE_SET, 1, KERNEL, &f, sizeof(f), .flags = 0));
    assert_ok(get(2, 1));
    assert_int_equal(w.value[0], MEMCPY);
    assert_ok(SET_NODE(NODE_SET, 2, MEMCPY, into, sizeof(out), .flags = 0));
    instantiate();
    run();
    assert_seen(2);
    f.p.value = 3;
    assert_ok(SET_NODE(NODE_EXEC_SET, 1, KERNEL, &f, sizeof(f), .flags = 0));
    run();
    assert_seen(3);
    world_end(&w);
}

/* ---- Numbers and edges ------------------------------------------------------------------------
 */

static int compare_pairs(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return x[0] != y[0] ? (x[0] < y[0] ? -1 : 1) : x[1] < y[1] ? -1 : x[1] > y[1];
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* In any order */
static void assert_list(uint32_t graph, uint32_t what, const uint32_t *numbers, uint32_t n)
{
    const uint32_t each = what == VGPU_GRAPH_LIST_EDGES ? 2 : 1;

    memset(into, 0, ROOM);
    assert_ok(
        CALL(&w, GRAPH_LIST, .graph = graph, .what = what, .into = {world_offset(&w, into), ROOM}));
    assert_int_equal(w.value[0], n / each);
    qsort(into, n / each, each * sizeof(*numbers), each == 2 ? compare_pairs : compare_numbers);
    assert_memory_equal(into, numbers, n * sizeof(*numbers));
    if (n > 0) { /* no room for the last byte */
        memset(into, 0, ROOM);
        assert_ok(CALL(&w, GRAPH_LIST, .graph = graph, .what = what,
                       .into = {world_offset(&w, into), n * sizeof(*numbers) - 1}));
        assert_int_equal(w.value[0], n / each);
        assert_int_equal(((uint32_t *) (void *) into)[n - 1], 0);
    }
}

#define ASSERT_LIST(graph, what, ...)                                           \
    assert_list(graph, VGPU_GRAPH_LIST_##what, (const uint32_t[]){__VA_ARGS__}, \
                sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static uint32_t depend(uint32_t from, uint32_t to, uint32_t adds)
{
    const uint32_t pair[2] = {from, to};

    return CALL_WITH(&w, NODE_DEPENDS, pair, sizeof(pair), .graph = 1, .n_dependencies = 1,
                     .flags = adds);
}

TEST(test_numbers_and_edges)
{
    begin();
    assert_ok(CALL(&w, GRAPH_LIST, .graph = 1));
    assert_int_equal(w.value[0], 0);
    for (uint32_t i = 1; i <= 4; i++)
        assert_int_equal(ADD_BARE(EMPTY, i > 2 ? i - 1 : 0), i);
    ASSERT_LIST(1, NODES, 1, 2, 3, 4);
    ASSERT_LIST(1, ROOTS, 1, 2);
    ASSERT_LIST(1, EDGES, 2, 3, 3, 4);
    assert_ok(depend(1, 2, 1));
    ASSERT_LIST(1, ROOTS, 1);
    assert_fails(depend(1, 2, 1), CUDA_ERROR_INVALID_VALUE); /* it is there */
    assert_fails(depend(2, 1, 0), CUDA_ERROR_INVALID_VALUE); /* it is not */
    assert_fails(depend(2, 2, 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(depend(2, 9, 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(depend(0, 2, 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(depend(1, 3, 2), CUDA_ERROR_INVALID_VALUE);

    /* A number of one that has ended is nobody's; a clone has those of its original. */
    assert_ok(CALL(&w, NODE_DESTROY, .graph = 1, .node = 3));
    assert_fails(CALL(&w, NODE_DESTROY, .graph = 1, .node = 3), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(ADD_BARE(EMPTY, 3), 0);
    assert_int_equal(ADD_BARE(EMPTY, 4), 5);
    assert_ok(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 2));
    assert_fails(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 2), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    ASSERT_LIST(2, NODES, 1, 2, 4, 5);
    ASSERT_LIST(2, ROOTS, 1, 4);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 2, .exec = 1));
    run();
    world_end(&w);
}

/* ---- Ports of kernels -------------------------------------------------------------------------
 */

enum { PROGRAMMATIC = 1, LAUNCH_ORDER = 2 };

static uint32_t depend_by(const VGPUSessionEdge *edge, uint32_t adds)
{
    return CALL_WITH(&w, NODE_DEPENDS, edge, sizeof(*edge), .graph = 1, .n_dependencies = 1,
                     .flags = VGPU_SESSION_EDGE_DATA | adds);
}

/* The edge to @edge->to, of those that a graph has, is that. */
static void assert_edge(uint32_t graph, const VGPUSessionEdge *edge, uint32_t n)
{
    const VGPUSessionEdge *got = (const VGPUSessionEdge *) (void *) into;
    uint32_t i = 0;

    assert_ok(CALL(&w, GRAPH_LIST, .graph = graph, .what = VGPU_GRAPH_LIST_EDGE_DATA,
                   .into = {world_offset(&w, into), ROOM}));
    assert_int_equal(w.value[0], n);
    while (i < n && (got[i].from != edge->from || got[i].to != edge->to))
        i++;
    assert_in_range(i, 0, n - 1);
    assert_memory_equal(&got[i], edge, sizeof(*edge));
}

/* Bytes of an edge from kernel 1 to node @to that are wrong */
static const struct {
    uint8_t data[8];
    uint32_t to;
} wrong_edges[] = {
    {{3, 0, 1}, 2},   {{255, 0, 1}, 2},  {{1, 1, 1}, 2},          {{1, 0, 2}, 2},
    {{1, 0, 255}, 2}, {{1, 0, 1, 1}, 2}, {{1, 0, 1, [7] = 1}, 2}, {{0, 1}, 2},
    {{[5] = 1}, 2},   {{1, 0, 1}, 3}, /* no kernel */
    {{1, 0, 1}, 9},   {{1, 0, 1}, 1},    {{1, 0, 1}, 0},
};

TEST(test_ports)
{
    VGPUSessionEdge edge = {.from = 1, .to = 2, .data = {PROGRAMMATIC, 0, 1}};
    VGPUSessionCopy3D out;
    FillNode f;

    begin();
    f = fill(3);
    out = copy_out();
    assert_int_equal(ADD(KERNEL, 0, &f), 1);
    f.p.value = 4;
    assert_int_equal(ADD(KERNEL, 0, &f), 2);
    assert_int_equal(ADD(MEMCPY, 2, &out), 3);
    for (unsigned i = 0; i < ELEMENTSOF(wrong_edges); i++) {
        VGPUSessionEdge wrong = {.from = 1, .to = wrong_edges[i].to};

        memcpy(wrong.data, wrong_edges[i].data, sizeof(wrong.data));
        assert_fails(depend_by(&wrong, 1), CUDA_ERROR_INVALID_VALUE);
    }
    assert_fails(CALL_WITH(&w, NODE_DEPENDS, &edge, 8, .graph = 1, .n_dependencies = 1,
                           .flags = VGPU_SESSION_EDGE_DATA | 1),
                 CUDA_ERROR_INVALID_VALUE); /* no room for it */
    assert_fails(CALL_WITH(&w, NODE_DEPENDS, &edge, sizeof(edge), .graph = 1,
                           .n_dependencies = UINT32_MAX, .flags = VGPU_SESSION_EDGE_DATA | 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL_WITH(&w, NODE_DEPENDS, &edge, sizeof(edge), .graph = 1, .n_dependencies = 1,
                           .flags = 0x200),
                 CUDA_ERROR_INVALID_VALUE);

    assert_ok(depend_by(&edge, 1));
    assert_edge(1, &edge, 2);
    assert_edge(1, &(const VGPUSessionEdge){.from = 2, .to = 3}, 2);
    ASSERT_LIST(1, EDGES, 1, 2, 2, 3);
    assert_ok(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 2));
    assert_edge(2, &edge, 2);
    instantiate();
    run();
    assert_seen(4);

    /* It is removed by its nodes. */
    assert_fails(depend(2, 1, 0), CUDA_ERROR_INVALID_VALUE);
    assert_ok(depend_by(&edge, 0));
    edge.data[0] = LAUNCH_ORDER;
    assert_ok(depend_by(&edge, 1));
    assert_edge(1, &edge, 2);
    assert_ok(depend(1, 2, 0));
    world_end(&w);
}

/* The driver notices a circle at the latest when it has to run it. */
TEST(test_circles)
{
    uint32_t r;

    begin();
    assert_int_equal(ADD_BARE(EMPTY, 0), 1);
    assert_int_equal(ADD_BARE(EMPTY, 1), 2);
    r = depend(2, 1, 1);
    if (r == CUDA_SUCCESS)
        assert_fails(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1), CUDA_ERROR_INVALID_VALUE);
    else
        assert_fails(r, CUDA_ERROR_INVALID_VALUE);
    if (r == CUDA_SUCCESS)
        assert_ok(depend(2, 1, 0));
    instantiate();
    run();
    world_end(&w);
}

/* ---- Events, words, graphs in graphs ----------------------------------------------------------
 */

TEST(test_events)
{
    begin();
    assert_ok(CALL(&w, EVENT_CREATE, .id = 1, .flags = 2));
    assert_ok(CALL(&w, EVENT_CREATE, .id = 2, .flags = 2));
    assert_int_equal(ADD_BARE(RECORD, 0, .event = 3), 0);
    assert_int_equal(ADD_BARE(RECORD, 0, .event = 1), 1);
    assert_int_equal(ADD_BARE(WAIT, 1, .event = 1), 2);
    assert_ok(get(1, 1));
    assert_int_equal(w.value[0], RECORD);
    assert_int_equal(w.value[2], 1);
    assert_ok(get(2, 1));
    assert_int_equal(w.value[0], WAIT);
    assert_ok(SET_NODE(NODE_SET, 1, RECORD, NULL, 0, .event = 2));
    assert_ok(get(1, 1));
    assert_int_equal(w.value[2], 2);
    instantiate();
    run();
    assert_ok(SET_NODE(NODE_EXEC_SET, 2, WAIT, NULL, 0, .event = 2));
    run();
    /* They live on in the graphs, without a number. */
    assert_ok(CALL(&w, EVENT_DESTROY, .id = 1));
    assert_ok(CALL(&w, EVENT_DESTROY, .id = 2));
    assert_ok(CALL(&w, EVENT_CREATE, .id = 2, .flags = 2));
    assert_ok(get(1, 1));
    assert_int_equal(w.value[2], 0);
    run();
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    run();
    assert_ok(CALL(&w, GRAPH_EXEC_DESTROY, .exec = 1));
    world_settle(&w, 5);
    world_end(&w);
}

TEST(test_words)
{
    VGPUSessionWord p = {.value = 7, .bits = 64};
    uint64_t *word;

    begin();
    word = (uint64_t *) (void *) world_window(&w, 16);
    p.address = world_address(word);
    assert_int_equal(ADD(BATCH_MEM_OP, 0, &p, .flags = 1), 1);
    p.address += 8;
    assert_int_equal(ADD(BATCH_MEM_OP, 1, &p, .flags = 0), 2);
    assert_ok(get(1, 1));
    assert_int_equal(w.value[0], BATCH_MEM_OP);
    assert_int_equal(w.value[2], 1);
    assert_int_equal(((VGPUSessionWord *) (void *) into)->address, world_address(word));
    assert_ok(get(2, 1));
    assert_int_equal(w.value[2], 0);
    assert_memory_equal(into, &p, sizeof(p));
    instantiate();
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    assert_false(session_guest_wait_word(&w.g, world_offset(&w, word) + 8, 7, 30));
    __atomic_store_n(word, 7, __ATOMIC_RELEASE);
    assert_true(
        session_guest_wait_word(&w.g, world_offset(&w, word) + 8, 7, SESSION_GUEST_TIMEOUT_MSEC));
    p.address = 64;
    assert_int_equal(ADD(BATCH_MEM_OP, 0, &p, .flags = 0), 0);
    world_end(&w);
}

TEST(test_graphs_in_graphs)
{
    VGPUSessionCopy3D out;
    FillNode f;

    begin();
    f = fill(9);
    out = copy_out();
    assert_int_equal(ADD(KERNEL, 0, &f), 1);
    assert_int_equal(ADD(MEMCPY, 1, &out), 2);
    assert_ok(CALL(&w, GRAPH_CLONE, .graph = 1, .exec = 2));
    assert_ok(CALL(&w, GRAPH_DESTROY, .graph = 1));
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_int_equal(ADD_BARE(GRAPH, 0, .child = 1), 0); /* itself */
    assert_int_equal(ADD_BARE(GRAPH, 0, .child = 3), 0);
    assert_int_equal(ADD_BARE(GRAPH, 0, .child = 2), 1);
    instantiate();
    run();
    assert_seen(9);
    /* The node has a copy, of which the guest gets another. */
    f.p.value = 10;
    assert_ok(CALL_WITH(&w, NODE_SET, &f, sizeof(f), .graph = 2, .node = 1, .type = KERNEL));
    assert_ok(CALL(&w, NODE_GET, .graph = 1, .node = 1, .child = 3));
    assert_int_equal(w.value[0], GRAPH);
    assert_ok(get(1, 3));
    assert_int_equal(((FillParameters *) (void *) (into + w.value[1]))[-1].value, 9);
    assert_ok(SET_NODE(NODE_EXEC_SET, 1, GRAPH, NULL, 0, .child = 2));
    run();
    assert_seen(10);
    /* Not deeper than it may be */
    for (uint32_t i = 4; i < 30; i++) {
        assert_ok(CALL(&w, GRAPH_CREATE, .graph = i));
        if (CALL(&w, NODE_ADD, .graph = i, .type = GRAPH, .child = i - 1) != CUDA_SUCCESS) {
            assert_in_range(i, 18, 20);
            world_end(&w);
            return;
        }
    }
    fail_msg("graphs in graphs without end");
}

/* A copy with an array names it by its number, and ends with it. */
TEST(test_array)
{
    VGPUSessionCopy3D up = {.to = {.array = 7}, .width_bytes = N * 4, .height = 1, .depth = 1};
    VGPUSessionCopy3D down = up, got;

    begin();
    assert_ok(
        CALL(&w, ARRAY_CREATE, .id = 7, .width = N, .format = CU_AD_FORMAT_FLOAT, .channels = 1));
    up.from.address = cells;
    down.from.array = 7;
    down.to = (VGPUSessionPlace){.address = world_address(seen)};
    assert_int_equal(ADD(MEMCPY, 0, &up), 1);
    assert_int_equal(ADD(MEMCPY, 1, &down), 2);
    assert_ok(CALL(&w, NODE_GET, .graph = 1, .node = 2, .into = {world_offset(&w, into), ROOM}));
    memcpy(&got, into, sizeof(got));
    assert_int_equal(got.from.array, 7);
    assert_int_equal(got.to.array, 0);
    assert_int_equal(got.to.address, down.to.address);
    up.width_bytes += 4;
    assert_fails(SET_NODE(NODE_SET, 1, MEMCPY, &up, sizeof(up), .flags = 0),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, GRAPH_INSTANTIATE, .graph = 1, .exec = 1));
    assert_ok(CALL(&w, SET, .address = cells, .count = N, .rows = 1, .width = 4, .value = 9,
                   .stream = 5));
    assert_ok(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5));
    world_settle(&w, 5);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(seen[i], 9);
    assert_ok(CALL(&w, ARRAY_DESTROY, .id = 7));
    assert_fails(CALL(&w, GRAPH_LAUNCH, .exec = 1, .stream = 5), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, NODE_GET, .graph = 1, .node = 2, .into = {world_offset(&w, into), ROOM}),
                 CUDA_ERROR_INVALID_HANDLE);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_build_and_change),
        cmocka_unit_test(test_get_and_set),
        cmocka_unit_test(test_nodes_of_a_capture),
        cmocka_unit_test(test_numbers_and_edges),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_circles),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_graphs_in_graphs),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
