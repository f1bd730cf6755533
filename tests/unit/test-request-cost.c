/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an operation costs, by the rules of request-cost.h and mediator.conf(5) */
#include "request-cost.h"
#include "test.h"

#define MILLION UINT64_C(1000000)

static VGPUSubmission vector(uint32_t opcode, uint32_t type, uint64_t count, uint32_t stride)
{
    return (VGPUSubmission){
        .opcode = opcode,
        .type = type,
        .count = count,
        .a.stride = stride,
        .b.stride = stride,
        .c.stride = stride,
    };
}

static VGPUSubmission product(uint32_t m, uint32_t n, uint32_t k)
{
    VGPUSubmission s = vector(VGPU_OP_RING_MATMUL, VGPU_TYPE_FLOAT32, m, 0);

    s.n = n;
    s.k = k;
    s.a.stride = k;
    s.b.stride = s.c.stride = n;
    return s;
}

TEST(test_vectors)
{
    VGPUSubmission s = vector(VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT32, 1024, 1);

    assert_int_equal(request_cost(&s), 1024 + 2 * REQUEST_COST_PAGE);
    s.opcode = VGPU_OP_RING_DOT;
    assert_int_equal(request_cost(&s), 2 * (1024 + 2 * REQUEST_COST_PAGE));
    s.opcode = VGPU_OP_RING_ADD;
    assert_int_equal(request_cost(&s), 3 * (1024 + 2 * REQUEST_COST_PAGE));
    s.opcode = VGPU_OP_RING_NOP;
    assert_int_equal(request_cost(&s), 0);
}

/* An element a page costs as much as the page, however far apart they are. */
TEST(test_strides)
{
    VGPUSubmission near = vector(VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT64, 1000, 512),
                   far = vector(VGPU_OP_RING_SUM, VGPU_TYPE_FLOAT64, 1000, 1u << 20);

    assert_int_equal(request_cost(&near), 1000 + 1000 * REQUEST_COST_PAGE);
    assert_int_equal(request_cost(&far), request_cost(&near));
}

TEST(test_products)
{
    VGPUSubmission small = product(1, 1, 1), square = product(4096, 4096, 4096),
                   giant = product(16384, 16384, 16384),
                   most = product(UINT32_MAX, UINT32_MAX, UINT32_MAX);

    assert_int_equal(request_cost(&small), 1 + 3 * (1 + REQUEST_COST_PAGE));
    assert_in_range(request_cost(&square) / MILLION, 68719, 70000);
    assert_in_range(request_cost(&giant) / MILLION, 4398046, 4450000);
    most.a.stride = most.b.stride = most.c.stride = 1;
    assert_int_equal(request_cost(&most), UINT64_MAX);
}

/* As large as the largest window, nothing goes round. */
TEST(test_largest)
{
    VGPUSubmission s = vector(VGPU_OP_RING_ADD, VGPU_TYPE_FLOAT32, VGPU_WINDOW_SIZE_MAX / 4, 1);

    assert_in_range(request_cost(&s) / MILLION, 3 * 2 * 274877, 3 * 2 * 274879);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_strides),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_largest),
    };

    return cmocka_run_group_tests_name("request-cost", tests, NULL, NULL);
}
