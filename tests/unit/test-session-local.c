/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What local memory of kernels takes of a session's quota: never less than the device gives.
 *
 *   test-session-local fake    over the fake driver
 *   test-session-local gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

/* Bytes of a thread's frame, which indices that are known only at run time keep in memory */
#define FRAME 4096u
#define IMAGE                                                                          \
    ".version 6.3\n.target sm_75\n.address_size 64\n"                                  \
    ".visible .entry use_local() {\n"                                                  \
    ".local .align 4 .b8 frame[4096];\n"                                               \
    ".reg .pred %p; .reg .b32 %r<4>; .reg .b64 %d<6>;\n"                               \
    "mov.u64 %d1, frame;\n"                                                            \
    "mov.u32 %r1, %clock; and.b32 %r1, %r1, 1023;\n"                                   \
    "mul.wide.u32 %d2, %r1, 4; add.u64 %d3, %d1, %d2;\n"                               \
    "st.local.u32 [%d3], %r1;\n"                                                       \
    "mov.u32 %r2, %clock; and.b32 %r2, %r2, 1023;\n"                                   \
    "mul.wide.u32 %d4, %r2, 4; add.u64 %d5, %d1, %d4;\n"                               \
    "ld.local.u32 %r3, [%d5]; setp.eq.u32 %p, %r3, 123456789; @%p nanosleep.u32 20;\n" \
    "ret; }\n"

enum { MODULE = 20, FUNCTION = 1, KERNEL_NODE = 0 };

static World w;

static uint64_t charged(void)
{
    return __atomic_load_n(&w.g.control->memory, __ATOMIC_RELAXED);
}

static uint64_t free_memory(void)
{
    assert_ok(CALL(&w, MEMORY_INFO, 0));
    return w.value[0];
}

static void begin(const WorldLimits *limits)
{
    const uint8_t key[32] = {1};

    world_begin(&w, limits);
    world_load_image(&w, key, IMAGE, sizeof(IMAGE));
    assert_ok(CALL(&w, MODULE_LOAD, .key = {1}, .id = MODULE));
    assert_in_range(world_function(&w, MODULE, FUNCTION, "use_local")->attribute[3].value, FRAME,
                    2 * FRAME);
}

static uint32_t launch(uint32_t flags)
{
    return CALL(&w, LAUNCH, .function = FUNCTION, .grid = {1, 1, 1}, .block = {1, 1, 1},
                .flags = flags);
}

TEST(test_grows_once)
{
    uint64_t before, after, free_before, taken;

    begin(NULL);
    before = charged();
    free_before = free_memory();
    assert_ok(launch(0));
    world_settle(&w, 0);
    after = charged();
    taken = free_before - free_memory();
    print_message("# %.2f MiB taken, %.2f charged\n", (double) taken / (double) MIB,
                  (double) (after - before) / (double) MIB);
    assert_true(after > before);
    assert_in_range(taken, 0, after - before + 2 * MIB);
    /* The context has it now. */
    assert_ok(launch(0));
    assert_ok(launch(1));
    world_settle(&w, 0);
    assert_int_equal(charged(), after);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_in_range(charged(), 0, before);
    world_end(&w);
}

/* The primary context stays while a second number stands for it. */
TEST(test_second_number)
{
    uint64_t before, grown;

    begin(NULL);
    before = charged();
    assert_ok(launch(0));
    world_settle(&w, 0);
    grown = charged() - before;
    assert_ok(CALL(&w, CONTEXT_CREATE, .id = 2, .primary = 1));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_in_range(charged(), grown, grown + before);
    world_end(&w);
}

TEST(test_above_the_quota)
{
    const WorldLimits limits = {.memory_max = 16 * MIB};
    uint64_t before, free_before;

    begin(&limits);
    before = charged();
    free_before = free_memory();
    assert_fails(launch(0), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(launch(1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(charged(), before);
    assert_int_equal(free_memory(), free_before);
    world_end(&w);
}

TEST(test_node_above_the_quota)
{
    const VGPUSessionLaunch node = {.function = FUNCTION, .grid = {1, 1, 1}, .block = {1, 1, 1}};
    uint64_t before, after;

    begin(&(WorldLimits){.memory_max = 16 * MIB});
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_fails(CALL_WITH(&w, NODE_ADD, &node, sizeof(node), .graph = 1, .type = KERNEL_NODE),
                 CUDA_ERROR_OUT_OF_MEMORY);
    world_end(&w);

    /* With room for it the launch finds it charged. */
    begin(NULL);
    before = charged();
    assert_ok(CALL(&w, GRAPH_CREATE, .graph = 1));
    assert_ok(CALL_WITH(&w, NODE_ADD, &node, sizeof(node), .graph = 1, .type = KERNEL_NODE));
    after = charged();
    assert_true(after > before);
    assert_ok(launch(0));
    assert_int_equal(charged(), after);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_once),
        cmocka_unit_test(test_second_number),
        cmocka_unit_test(test_above_the_quota),
        cmocka_unit_test(test_node_above_the_quota),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
