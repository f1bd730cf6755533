/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The validators: what they must accept, and every way to be wrong */
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "vgpu-protocol.h"

/* Checks a copy that ends where its heap block ends, so that a sanitizer sees a byte that is
 * read too far. */
static uint32_t check_request(const void *request, size_t size)
{
    void *copy = malloc(size ? size : 1);
    VGPURequest ret;
    uint32_t error;

    assert_non_null(copy);
    memcpy(copy, request, size);
    error = vgpu_request_check(copy, size, &ret);
    if (error == VGPU_ERROR_NONE) {
        assert_true(sizeof(ret) + ret.param_count * 4 <= size);
        assert_true(ret.data_length == 0 || ret.data_offset + ret.data_length <= size);
    }
    free(copy);
    return error;
}

static bool check_response(const void *response, size_t size)
{
    void *copy = malloc(size ? size : 1);
    VGPUResponse ret;
    bool ok;

    assert_non_null(copy);
    memcpy(copy, response, size);
    ok = vgpu_response_check(copy, size, &ret);
    if (ok) {
        assert_true(sizeof(ret) + ret.result_count * 4 <= size);
        assert_true(ret.data_length == 0 || ret.data_offset + ret.data_length <= size);
    }
    free(copy);
    return ok;
}

typedef struct RequestCase {
    const char *name;
    VGPURequest request;
    size_t size;
    uint32_t error;
} RequestCase;

#define V VGPU_PROTOCOL_VERSION

static const RequestCase request_cases[] = {
    {"NOP", {.version = V}, 32, VGPU_ERROR_NONE},
    {"NOP with a tail nobody asked for", {.version = V}, 1024, VGPU_ERROR_NONE},
    {"scalar add", {.version = V, .opcode = 1, .param_count = 2}, 40, VGPU_ERROR_NONE},
    {"scalar add, data_offset without data",
     {.version = V, .opcode = 1, .param_count = 2, .data_offset = 0xffffffff},
     40,
     VGPU_ERROR_NONE},
    {"device info", {.version = V, .opcode = 5}, 32, VGPU_ERROR_NONE},
    {"one int32", {V, 0x100, 0, 0, 32, 8, {0}}, 40, VGPU_ERROR_NONE},
    {"124 float32", {V, 0x102, 0, 0, 32, 992, {0}}, 1024, VGPU_ERROR_NONE},
    {"62 float64", {V, 0x103, 0, 0, 32, 992, {0}}, 1024, VGPU_ERROR_NONE},
    {"data behind a gap", {V, 0x101, 0, 0, 48, 16, {0}}, 64, VGPU_ERROR_NONE},

    {"empty", {.version = V}, 0, VGPU_ERROR_INVALID_LENGTH},
    {"one byte", {.version = V}, 1, VGPU_ERROR_INVALID_REQUEST},
    {"header cut short", {.version = V}, 31, VGPU_ERROR_INVALID_REQUEST},
    {"too large", {.version = V}, 1025, VGPU_ERROR_REQUEST_TOO_LARGE},
    {"version 0", {.version = 0}, 32, VGPU_ERROR_INVALID_REQUEST},
    {"another version", {.version = V + 1}, 32, VGPU_ERROR_INVALID_REQUEST},
    {"flags", {.version = V, .flags = 1}, 32, VGPU_ERROR_INVALID_REQUEST},
    {"reserved", {.version = V, .reserved = {0, 1}}, 32, VGPU_ERROR_INVALID_REQUEST},
    {"NOP with params", {.version = V, .param_count = 1}, 36, VGPU_ERROR_INVALID_REQUEST},
    {"scalar add of one",
     {.version = V, .opcode = 1, .param_count = 1},
     40,
     VGPU_ERROR_INVALID_REQUEST},
    {"scalar add, params missing",
     {.version = V, .opcode = 1, .param_count = 2},
     39,
     VGPU_ERROR_INVALID_REQUEST},
    {"params past the end",
     {.version = V, .opcode = 1, .param_count = 0xffffffff},
     1024,
     VGPU_ERROR_INVALID_REQUEST},
    {"params that wrap to the right size",
     {.version = V, .opcode = 1, .param_count = 0x40000002},
     40,
     VGPU_ERROR_INVALID_REQUEST},
    {"scalar add with data", {V, 1, 0, 2, 40, 4, {0}}, 44, VGPU_ERROR_INVALID_REQUEST},
    {"data in the header", {V, 0x100, 0, 0, 31, 8, {0}}, 40, VGPU_ERROR_INVALID_REQUEST},
    {"data one past the end", {V, 0x100, 0, 0, 33, 8, {0}}, 40, VGPU_ERROR_INVALID_REQUEST},
    {"data offset outside", {V, 0x100, 0, 0, 4096, 8, {0}}, 40, VGPU_ERROR_INVALID_REQUEST},
    {"offset and length wrap",
     {V, 0x100, 0, 0, 0xfffffff8, 0x10, {0}},
     1024,
     VGPU_ERROR_INVALID_REQUEST},
    {"length alone wraps", {V, 0x100, 0, 0, 32, 0xffffffe8, {0}}, 1024, VGPU_ERROR_INVALID_REQUEST},
    {"no elements", {V, 0x100, 0, 0, 32, 0, {0}}, 32, VGPU_ERROR_INVALID_REQUEST},
    {"half an element", {V, 0x100, 0, 0, 32, 12, {0}}, 44, VGPU_ERROR_INVALID_REQUEST},
    {"float64 with the length of one float32",
     {V, 0x103, 0, 0, 32, 8, {0}},
     40,
     VGPU_ERROR_INVALID_REQUEST},
    {"vector with params", {V, 0x100, 0, 1, 36, 8, {0}}, 44, VGPU_ERROR_INVALID_REQUEST},
    {"memory alloc", {.version = V, .opcode = 2}, 32, VGPU_ERROR_UNSUPPORTED_OP},
    {"synchronize", {.version = V, .opcode = 6}, 32, VGPU_ERROR_UNSUPPORTED_OP},
    {"unknown", {.version = V, .opcode = 0xffffffff}, 32, VGPU_ERROR_UNSUPPORTED_OP},
};

TEST(test_requests)
{
    for (size_t i = 0; i < sizeof(request_cases) / sizeof(request_cases[0]); i++) {
        const RequestCase *c = &request_cases[i];
        char request[2048] = {0};
        uint32_t error;

        memcpy(request, &c->request, sizeof(c->request));
        error = check_request(request, c->size);
        if (error != c->error)
            fail_msg("%s: %s, not %s", c->name, vgpu_error_to_string(error),
                     vgpu_error_to_string(c->error));
    }
}

typedef struct ResponseCase {
    const char *name;
    VGPUResponse response;
    size_t size;
    bool ok;
} ResponseCase;

static const ResponseCase response_cases[] = {
    {"empty answer", {.version = V}, 32, true},
    {"one result", {.version = V, .result_count = 1}, 36, true},
    {"an error", {.version = V, .status = 5, .result_count = 1}, 36, true},
    {"data", {V, 0, 0, 32, 992, 7, {0}}, 1024, true},
    {"nothing", {.version = V}, 0, false},
    {"short", {.version = V}, 31, false},
    {"long", {.version = V}, 1025, false},
    {"version", {.version = 0}, 32, false},
    {"status", {.version = V, .status = VGPU_N_ERRORS}, 32, false},
    {"results past the end", {.version = V, .result_count = 2}, 36, false},
    {"results wrap", {.version = V, .result_count = 0x40000001}, 36, false},
    {"data past the end", {V, 0, 0, 32, 993, 0, {0}}, 1024, false},
    {"data in the results", {V, 0, 1, 32, 4, 0, {0}}, 40, false},
    {"data wraps", {V, 0, 0, 0xfffffff0, 0x20, 0, {0}}, 1024, false},
};

TEST(test_responses)
{
    for (size_t i = 0; i < sizeof(response_cases) / sizeof(response_cases[0]); i++) {
        const ResponseCase *c = &response_cases[i];
        char response[2048] = {0};

        memcpy(response, &c->response, sizeof(c->response));
        if (check_response(response, c->size) != c->ok)
            fail_msg("%s", c->name);
    }
}

TEST(test_socket_headers)
{
    static const struct {
        VGPUSocketHeader header;
        bool ok;
    } cases[] = {
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_REQUEST, .payload_len = 1024}, true},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_REQUEST}, true},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_PING}, true},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_HELLO, .payload_len = 24}, true},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_HELLO, .payload_len = 25}, true},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_RESPONSE, .payload_len = 32}, true},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_REQUEST, .payload_len = 1025}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_REQUEST, .payload_len = ~0u}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_REQUEST, .pad = 1}, false},
        {{.magic = 0x55504756, .msg_type = VGPU_MSG_REQUEST}, false},
        {{.magic = 0, .msg_type = VGPU_MSG_REQUEST}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = 0}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = 7}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = ~0u}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_PING, .payload_len = 1}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_HELLO, .payload_len = 23}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_WELCOME, .payload_len = 7}, false},
        {{.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_RESPONSE, .payload_len = 31}, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if ((vgpu_socket_header_check(&cases[i].header) == NULL) != cases[i].ok)
            fail_msg("header %zu", i);
}

/* Checks every header of small numbers and of numbers near the edges, at every size of the
 * buffer. The answer may be anything; the bounds must hold. */
TEST(test_every_edge)
{
    static const uint32_t edges[] = {0,  1,   2,   31,   32,   33,         36,         40,
                                     41, 992, 993, 1024, 1025, 0x40000000, 0x7fffffff, 0xffffffff};
    static const uint32_t opcodes[] = {0, 1, 5, 0x100, 0x101, 0x102, 0x103};
    const size_t n = sizeof(edges) / sizeof(edges[0]);
    unsigned accepted = 0;

    for (size_t o = 0; o < sizeof(opcodes) / sizeof(opcodes[0]); o++)
        for (size_t i = 0; i < n * n * n; i++) {
            VGPURequest r = {V,  opcodes[o], 0, edges[i % n], edges[i / n % n], edges[i / n / n],
                             {0}};
            char request[1025] = {0};

            memcpy(request, &r, sizeof(r));
            for (size_t s = 3; s < 13; s++)
                accepted += check_request(request, edges[s]) == VGPU_ERROR_NONE;
        }
    assert_true(accepted > 0);
}

TEST(test_names)
{
    for (uint32_t p = 0; p < VGPU_N_PRIORITIES; p++)
        assert_int_equal(vgpu_priority_from_string(vgpu_priority_to_string(p)), p);
    assert_int_equal(vgpu_priority_from_string("urgent"), -1);
    assert_int_equal(vgpu_priority_from_string(""), -1);
    assert_null(vgpu_priority_to_string(VGPU_N_PRIORITIES));
    for (uint32_t e = 0; e < VGPU_N_ERRORS; e++)
        assert_string_not_equal(vgpu_error_to_string(e), "UNKNOWN");
    assert_string_equal(vgpu_error_to_string(VGPU_N_ERRORS), "UNKNOWN");
    assert_true(vgpu_pool_is_valid('A') && vgpu_pool_is_valid('Z'));
    assert_false(vgpu_pool_is_valid('a') || vgpu_pool_is_valid('@') || vgpu_pool_is_valid('['));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),       cmocka_unit_test(test_responses),
        cmocka_unit_test(test_socket_headers), cmocka_unit_test(test_every_edge),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
