/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: numbers of arrays and mipmaps, textures, tensor maps. */
#include "cuda-client-array.h"
#include "test-guest-session-fake.h"
#include "test.h"

/* Numbers are used again when so many rest that these take no new ones. */
#define MANY 2000u
#define NUMBERS 1000u

static fake_session fake;
static vgpu_session *s;
static uint32_t last[3]; /* id, mipmap and levels of the last VGPUSessionArray */
static uint64_t ended;   /* id or value of the last VGPUSessionId */
static uint64_t map_at;  /* window bytes of the last tensor map */
static uint32_t map_kind;
static uint16_t refused; /* operations with this number fail */

static uint32_t listen_to(fake_session *f, const VGPUSessionRecord *record, const void *parameters)
{
    const VGPUSessionArray *array = parameters;
    const VGPUSessionId *id = parameters;
    const VGPUSessionTensorMap *map = parameters;

    (void) f;
    switch (record->opcode) {
    case VGPU_SESSION_OP_ARRAY_CREATE:
    case VGPU_SESSION_OP_MIPMAP_CREATE:
    case VGPU_SESSION_OP_MIPMAP_LEVEL:
        last[0] = array->id;
        last[1] = array->mipmap;
        last[2] = array->levels;
        break;
    case VGPU_SESSION_OP_ARRAY_DESTROY:
    case VGPU_SESSION_OP_MIPMAP_DESTROY:
        ended = id->id;
        break;
    case VGPU_SESSION_OP_TEXTURE_DESTROY:
    case VGPU_SESSION_OP_SURFACE_DESTROY:
        ended = id->value;
        break;
    case VGPU_SESSION_OP_TENSOR_MAP:
        map_at = map->into.offset;
        map_kind = map->kind;
        break;
    }
    return record->opcode == refused ? VGPU_CUDA_ERROR_OUT_OF_MEMORY : 0;
}

static int setup(void **state)
{
    const vgpu_session_options o = {.socket = fake.path, .window_size = UINT64_C(8) << 20};

    (void) state;
    fake.hook = listen_to;
    refused = 0;
    return vgpu_session_open(&o, &s, NULL);
}

static int teardown(void **state)
{
    (void) state;
    s = vgpu_session_close(s);
    return 0;
}

TEST(test_array)
{
    const VGPUSessionArray array = {.id = 77, .mipmap = 77, .width = 8, .levels = 77};
    uint64_t size, alignment;
    uint32_t a, b;

    assert_int_equal(vgpu_session_array_create(s, NULL, &array, &a), 0);
    assert_int_equal(last[0], a);
    assert_int_equal(last[1], 0);
    assert_int_equal(last[2], 0);
    assert_int_equal(vgpu_session_array_create(s, NULL, &array, &b), 0);
    assert_int_not_equal(a, b);
    assert_int_equal(vgpu_session_array_needs(s, NULL, b, &size, &alignment), 0);
    assert_int_equal(size, b * FAKE_NEEDS);
    assert_int_equal(alignment, 1);
    assert_int_equal(vgpu_session_array_destroy(s, NULL, a), 0);
    assert_int_equal(ended, a);

    /* What the host refuses, takes no number; what it keeps, keeps its own. */
    refused = VGPU_SESSION_OP_ARRAY_CREATE;
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(vgpu_session_array_create(s, NULL, &array, &a),
                         VGPU_CUDA_ERROR_OUT_OF_MEMORY);
        assert_in_range(last[0], 1, NUMBERS);
    }
    refused = VGPU_SESSION_OP_ARRAY_DESTROY;
    assert_int_equal(vgpu_session_array_destroy(s, NULL, b), VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    refused = 0;
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(vgpu_session_array_create(s, NULL, &array, &a), 0);
        assert_int_not_equal(a, b);
        assert_in_range(a, 1, NUMBERS);
        assert_int_equal(vgpu_session_array_destroy(s, NULL, a), 0);
    }
}

/* The numbers of levels end with the mipmap. */
TEST(test_mipmap)
{
    enum { LEVELS = 10 };
    const VGPUSessionArray array = {.width = 1024, .levels = LEVELS};
    uint64_t size, alignment;
    uint32_t mipmap, levels[LEVELS];

    for (unsigned round = 0; round < MANY / LEVELS; round++) {
        assert_int_equal(vgpu_session_mipmap_create(s, NULL, &array, &mipmap), 0);
        assert_int_equal(last[0], mipmap);
        assert_int_equal(last[2], LEVELS);
        for (uint32_t i = 0; i < LEVELS; i++) {
            assert_int_equal(vgpu_session_mipmap_level(s, NULL, mipmap, i, &levels[i]), 0);
            assert_int_equal(last[0], levels[i]);
            assert_in_range(levels[i], 1, NUMBERS);
            assert_int_equal(last[1], mipmap);
            assert_int_equal(last[2], i);
        }
        assert_int_equal(vgpu_session_mipmap_destroy(s, NULL, mipmap, levels, LEVELS), 0);
        assert_int_equal(ended, mipmap);
    }
    assert_int_equal(vgpu_session_mipmap_create(s, NULL, &array, &mipmap), 0);
    assert_int_equal(vgpu_session_mipmap_needs(s, NULL, mipmap, &size, &alignment), 0);
    assert_int_equal(size, mipmap * FAKE_NEEDS);
    assert_int_equal(alignment, 2);
}

TEST(test_texture)
{
    const VGPUSessionTexture texture = {.resource = 5};
    uint64_t object = 1;

    assert_int_equal(vgpu_session_texture_create(s, NULL, &texture, &object), 0);
    assert_int_equal(object, FAKE_OBJECT + 5);
    assert_int_equal(vgpu_session_texture_destroy(s, NULL, object), 0);
    assert_int_equal(ended, object);
    ended = 0;
    assert_int_equal(vgpu_session_surface_create(s, NULL, &texture, &object), 0);
    assert_int_equal(object, FAKE_OBJECT + 5);
    assert_int_equal(vgpu_session_surface_destroy(s, NULL, object), 0);
    assert_int_equal(ended, object);
    refused = VGPU_SESSION_OP_TEXTURE_CREATE;
    object = 1;
    assert_int_equal(vgpu_session_texture_create(s, NULL, &texture, &object),
                     VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(object, 1);
}

/* The window's bytes for it are given back, and used again. */
TEST(test_tensor_map)
{
    const VGPUSessionTensorMap map = {.rank = 3, .into = {UINT64_MAX, UINT64_MAX}};
    uint8_t bytes[VGPU_SESSION_TENSOR_MAP_SIZE], expected[sizeof(bytes)];

    uint64_t first = 0;

    memset(expected, 3, sizeof(expected));
    for (unsigned i = 0; i < 100; i++) {
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(vgpu_session_tensor_map(s, NULL, &map, bytes), 0);
        assert_memory_equal(bytes, expected, sizeof(bytes));
        first = i == 0 ? map_at : first;
        assert_int_equal(map_at, first);
    }
    assert_int_equal(map_kind, VGPU_TENSOR_MAP_TILED);
    assert_int_equal(vgpu_session_tensor_replace(s, NULL, 4096, bytes), 0);
    assert_int_equal(map_kind, VGPU_TENSOR_MAP_REPLACE);
    assert_int_equal(map_at, first);
    assert_memory_not_equal(bytes, expected, sizeof(bytes));
    refused = VGPU_SESSION_OP_TENSOR_MAP;
    memset(expected, 7, sizeof(expected));
    memset(bytes, 7, sizeof(bytes));
    assert_int_equal(vgpu_session_tensor_map(s, NULL, &map, bytes), VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    assert_memory_equal(bytes, expected, sizeof(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_array, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mipmap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tensor_map, setup, teardown),
    };
    int r;

    fake_session_start(&fake);
    r = cmocka_run_group_tests(tests, NULL, NULL);
    fake_session_stop(&fake);
    return r;
}
