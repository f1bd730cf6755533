/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that asks for anything: operations whose numbers are taken at random from those that are
 * right and those that lie beside them. The fake driver ends the executor when that hands it memory
 * that is not there or an object that is none, so the executor has to refuse each such operation.
 * The quota holds all the time, and a session that lived through it works.
 */
#include "test-session-fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test-session-mediator.h"

#define STEPS 30000u
#define STEPS_OF_SESSION 3000u
#define POOL 64u
#define MEMORY_MAX (48 * MIB)
#define WINDOW_BASE UINT64_C(0x300000000000)
#define WINDOW_SIZE (16 * MIB)
#define PAGE UINT64_C(4096)
#define WINDOW_PAGES (WINDOW_SIZE / PAGE)
/* The session's area lies below, and operations write upwards from where they are told. */
#define PLAYGROUND MIB

static World w;
static TestMediator mediator;
static VGPUSessionShare shared; /* the last token that was given */
static uint64_t seed;
static uint64_t addresses[POOL]; /* what the driver has told */
static unsigned n_addresses;
static uint64_t objects[POOL]; /* textures and surfaces */
static uint64_t last_condition;
static unsigned n_objects;

/* ---- Numbers -------------------------------------------------------------------------------- */

static uint32_t dice(uint32_t sides)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t) (seed >> 33) % sides;
}

static uint64_t some_size(void)
{
    static const uint64_t sizes[] = {
        0,       1,       3,          4,          64,         512,
        513,     4096,    MIB,        2 * MIB,    2 * MIB,    2 * MIB + 1,
        4 * MIB, 6 * MIB, UINT32_MAX, UINT64_MAX, 1ull << 63, 1ull << 40,
    };

    return dice(8) == 0 ? sizes[dice(sizeof(sizes) / sizeof(sizes[0]))] : sizes[dice(12)];
}

static uint64_t some_address(void)
{
    static const uint64_t window[] = {
        WINDOW_BASE + PLAYGROUND, WINDOW_BASE + PLAYGROUND + 1,   WINDOW_BASE + 2 * PLAYGROUND,
        WINDOW_BASE - 1,          WINDOW_BASE + WINDOW_SIZE - 64,
    };
    uint64_t address;

    switch (dice(12)) {
    case 0:
        return dice(2) ? 0 : UINT64_MAX - dice(100);
    case 1:
    case 2:
    case 3:
        return window[dice(5)];
    default:
        if (n_addresses == 0)
            return 0;
        address = addresses[dice(n_addresses)];
        return dice(4) ? address : address + some_size() - dice(2);
    }
}

static uint32_t some_id(void)
{
    return dice(16) ? 1 + dice(3) : UINT32_MAX - dice(2);
}

static uint32_t some_stream(void)
{
    return dice(8) ? dice(4) : some_id();
}

static VGPUSessionBytes some_bytes(void)
{
    return (VGPUSessionBytes){dice(8) ? PLAYGROUND * (1 + dice(3)) : WINDOW_SIZE - dice(3),
                              some_size()};
}

static void learn(uint64_t address)
{
    const unsigned at = n_addresses < POOL ? n_addresses++ : dice(POOL);

    addresses[at] = address;
}

/* ---- Operations -------------------------------------------------------------------------------
 */

static uint32_t do_memory(void)
{
    const VGPUSessionMemory p = {some_address(), some_size(), some_stream(),
                                 dice(2) ? 0 : some_id(), 0};
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_MEMORY_ALLOC, VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC,
        VGPU_SESSION_OP_MEMORY_FREE,  VGPU_SESSION_OP_MEMORY_FREE_ASYNC,
        VGPU_SESSION_OP_MEMORY_INFO,
    };
    const uint16_t op = ops[dice(5)];
    const uint32_t result = world_call(&w, op, &p, sizeof(p), NULL, 0);

    if (result == CUDA_SUCCESS && (op == ops[0] || op == ops[1]))
        learn(w.value[0]);
    return result;
}

static uint32_t do_pool(void)
{
    const VGPUSessionPool p = {
        .id = dice(4) ? some_id() : 0,
        .attribute = dice(2)   ? 4 + dice(5)
                     : dice(4) ? 0
                               : dice(12),
        .value = dice(3) ? 0 : some_size(),
    };
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_POOL_CREATE, VGPU_SESSION_OP_POOL_DESTROY, VGPU_SESSION_OP_POOL_SET,
        VGPU_SESSION_OP_POOL_GET,    VGPU_SESSION_OP_POOL_TRIM,
    };

    return world_call(&w, ops[dice(5)], &p, sizeof(p), NULL, 0);
}

static uint32_t do_physical(void)
{
    VGPUSessionPhysical p = {
        .address = some_address(),
        .size = dice(3) ? 2 * MIB : some_size(),
        .offset = dice(6) ? 0 : some_size(),
        .alignment = dice(6) ? 0 : some_size(),
        .id = some_id(),
        .flags = dice(3) ? 3 : dice(5),
    };
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_ADDRESS_RESERVE, VGPU_SESSION_OP_ADDRESS_FREE,
        VGPU_SESSION_OP_PHYSICAL_CREATE, VGPU_SESSION_OP_PHYSICAL_RELEASE,
        VGPU_SESSION_OP_PHYSICAL_MAP,    VGPU_SESSION_OP_PHYSICAL_MAP,
        VGPU_SESSION_OP_PHYSICAL_UNMAP,  VGPU_SESSION_OP_PHYSICAL_ACCESS,
        VGPU_SESSION_OP_PHYSICAL_ACCESS, VGPU_SESSION_OP_GRANULARITY,
    };
    const uint16_t op = ops[dice(10)];
    uint32_t result;

    if (op == VGPU_SESSION_OP_PHYSICAL_CREATE)
        p.flags = dice(10) ? dice(2) : dice(5);
    result = world_call(&w, op, &p, sizeof(p), NULL, 0);
    if (result == CUDA_SUCCESS && op == VGPU_SESSION_OP_ADDRESS_RESERVE)
        learn(w.value[0]);
    return result;
}

/* Pages of a small part of the window, so that pieces meet each other, and copies them */
static uint32_t do_pin(void)
{
    VGPUSessionBytes bytes = {
        (WINDOW_PAGES / 8 + dice(64)) * PAGE,
        (1 + dice(3)) * PAGE,
    };

    if (dice(16) == 0)
        bytes = (VGPUSessionBytes){some_size(), some_size()};
    if (dice(16) == 0)
        bytes = (VGPUSessionBytes){0, WINDOW_SIZE};
    return CALL(&w, WINDOW_PIN, .bytes = bytes);
}

static uint32_t do_copy(void)
{
    return CALL(&w, COPY, .to = some_address(), .from = some_address(), .size = some_size(),
                .stream = some_stream());
}

static VGPUSessionPlace some_place(void)
{
    return (VGPUSessionPlace){
        .address = some_address(),
        .pitch = dice(2) ? 64 : some_size(),
        .height = dice(2) ? 8 : some_size(),
        .array = dice(3) ? 0 : some_id(),
        .reserved = dice(50) == 0,
        .x_bytes = dice(2) ? dice(64) : some_size(),
        .y = dice(2) ? dice(4) : some_size(),
        .z = dice(2) ? dice(4) : some_size(),
    };
}

static uint32_t do_box(void)
{
    const VGPUSessionCopy3D p = {
        .to = some_place(),
        .from = some_place(),
        .width_bytes = dice(4) ? dice(65) : some_size(),
        .height = dice(4) ? dice(9) : some_size(),
        .depth = dice(4) ? dice(4) : some_size(),
        .stream = some_stream(),
    };

    return world_call(&w, VGPU_SESSION_OP_COPY_3D, &p, sizeof(p), NULL, 0);
}

/* ---- Arrays ------------------------------------------------------------------------------------
 */

static uint64_t some_extent(void)
{
    return dice(12) ? dice(70) : some_size();
}

/* Often whole: a place in an array is right only by its elements. */
static uint32_t do_array_box(void)
{
    const uint32_t element = 1u << dice(5);
    VGPUSessionPlace array = {.array = some_id(), .x_bytes = element * dice(3), .y = dice(3)};
    VGPUSessionPlace memory = {
        .address = WINDOW_BASE + PLAYGROUND, .pitch = 256, .height = 64, .z = dice(2)};
    VGPUSessionCopy3D p = {
        .width_bytes = element * (1 + dice(8)),
        .height = 1 + dice(3),
        .depth = 1 + (dice(4) == 0),
        .stream = some_stream(),
    };

    p.to = dice(2) ? array : memory;
    p.from = dice(2) ? array : some_place();
    return world_call(&w, VGPU_SESSION_OP_COPY_3D, &p, sizeof(p), NULL, 0);
}

static uint32_t do_array(void)
{
    static const uint32_t formats[] = {1, 2, 3, 8, 9, 10, 0x10, 0x20, 0x20, 0xc0, 0xb0, 0, 77};
    static const uint32_t flags[] = {0, 0, 0, 1, 2, 2, 4, 5, 8, 0x80, 0x40, 0xffffffff};
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_ARRAY_CREATE,  VGPU_SESSION_OP_ARRAY_CREATE, VGPU_SESSION_OP_ARRAY_CREATE,
        VGPU_SESSION_OP_MIPMAP_CREATE, VGPU_SESSION_OP_MIPMAP_LEVEL, VGPU_SESSION_OP_MIPMAP_LEVEL,
        VGPU_SESSION_OP_ARRAY_NEEDS,
    };
    VGPUSessionArray p = {
        .id = some_id(),
        .mipmap = some_id(),
        .width = some_extent(),
        .height = dice(3) ? some_extent() : 0,
        .depth = dice(3) ? 0 : some_extent(),
        .format = formats[dice(13)],
        .channels = dice(8) ? 1u << dice(3) : dice(10),
        .flags = flags[dice(12)],
        .levels = dice(8) ? dice(4) : UINT32_MAX - dice(2),
    };

    if (p.flags & 4) {
        p.height = p.width;
        p.depth = 6 * dice(4);
    }
    return world_call(&w, ops[dice(7)], &p, sizeof(p), NULL, 0);
}

static uint32_t do_array_end(void)
{
    return dice(2) ? CALL(&w, ARRAY_DESTROY, .id = some_id())
                   : CALL(&w, MIPMAP_DESTROY, .id = some_id());
}

static uint32_t do_texture(void)
{
    const bool is_surface = dice(3) == 0;
    VGPUSessionTexture p = {
        .resource_type = dice(8) ? dice(is_surface ? 2 : 4) : dice(6),
        .resource = some_id(),
        .address = some_address(),
        .size = some_size(),
        .width = some_extent(),
        .height = some_extent(),
        .pitch = 32 * some_extent(),
        .format = dice(4) ? 0x20 : dice(0x30),
        .channels = dice(8) ? 1u << dice(3) : dice(10),
        .address_mode = {dice(5), dice(4), dice(4)},
        .filter_mode = dice(8) ? dice(2) : dice(4),
        .flags = dice(2) ? 2 : dice(0x100),
        .mipmap_max = 10,
        .has_view = dice(4) == 0,
        .view_width = some_extent(),
        .view_format = dice(2) ? 0 : dice(50),
        .first_level = dice(3),
        .last_level = dice(4),
    };
    const uint32_t result =
        world_call(&w, is_surface ? VGPU_SESSION_OP_SURFACE_CREATE : VGPU_SESSION_OP_TEXTURE_CREATE,
                   &p, sizeof(p), NULL, 0);

    if (result == CUDA_SUCCESS)
        objects[n_objects < POOL ? n_objects++ : dice(POOL)] = w.value[0];
    return result;
}

static uint32_t do_texture_end(void)
{
    const uint64_t object = dice(8) && n_objects > 0 ? objects[dice(n_objects)] : dice(100);

    return dice(2) ? CALL(&w, TEXTURE_DESTROY, .value = object)
                   : CALL(&w, SURFACE_DESTROY, .value = object);
}

static uint32_t do_tensor_map(void)
{
    VGPUSessionTensorMap p = {
        .into = some_bytes(),
        .kind = dice(8) ? dice(2) : dice(5),
        .data_type = dice(8) ? dice(13) : dice(20),
        .interleave = dice(4) ? 0 : dice(4),
        .swizzle = dice(4) ? 0 : dice(9),
        .l2_promotion = dice(5),
        .oob_fill = dice(4) ? 0 : dice(3),
        .wide_mode = dice(16) == 0,
        .rank = dice(8) ? 3 + dice(3) : some_id(),
        .address = some_address() & ~UINT64_C(15),
        .channels = dice(300),
        .pixels = dice(1100),
    };

    for (unsigned i = 0; i < 5; i++) {
        p.size[i] = dice(8) ? 1 + dice(100) : some_size();
        p.stride[i] = 16 * (1 + (uint64_t) dice(100));
        p.box[i] = 16 * dice(17);
        p.element_stride[i] = dice(8) ? 1 : dice(10);
    }
    return world_call(&w, VGPU_SESSION_OP_TENSOR_MAP, &p, sizeof(p), NULL, 0);
}

static uint32_t do_set(void)
{
    return CALL(&w, SET, .address = some_address(), .count = some_size(),
                .rows = dice(2) ? 1 : some_size(), .pitch = dice(2) ? 64 : some_size(),
                .value = dice(1000), .width = dice(4) ? 1u << dice(3) : dice(10),
                .stream = some_stream());
}

static uint32_t do_image(void)
{
    VGPUSessionImage p = {
        .key = {(uint8_t) dice(4)},
        .size = dice(2) ? 64 : some_size(),
        .at = dice(2) ? 0 : some_size(),
        .piece = some_bytes(),
    };

    for (unsigned i = 0; i < 64; i++)
        w.g.window[PLAYGROUND + i] = (char) dice(256);
    memcpy(w.g.window + PLAYGROUND, dice(2) ? "\x50\xed\x55\xba" : "\177ELF", 4);
    return world_call(&w, dice(2) ? VGPU_SESSION_OP_IMAGE_BEGIN : VGPU_SESSION_OP_IMAGE_PIECE, &p,
                      sizeof(p), NULL, 0);
}

static uint32_t do_module(void)
{
    VGPUSessionModule p = {
        .key = {dice(2) ? WORLD_KERNELS : (uint8_t) dice(4)},
        .id = some_id(),
        .n_options = dice(8) ? 0 : dice(20),
        .info_log = some_bytes(),
        .error_log = some_bytes(),
    };

    for (unsigned i = 0; i < VGPU_SESSION_JIT_OPTIONS; i++)
        p.option[i].option = dice(40);
    return dice(2) ? world_call(&w, VGPU_SESSION_OP_MODULE_LOAD, &p, sizeof(p), NULL, 0)
                   : CALL(&w, MODULE_UNLOAD, .id = dice(4) ? 3 + dice(2) : some_id());
}

static uint32_t do_name(void)
{
    static const char *const names[] = {"nothing", "fill", "counter", "none", ""};
    static const uint16_t ops[] = {VGPU_SESSION_OP_FUNCTION_GET, VGPU_SESSION_OP_GLOBAL_GET,
                                   VGPU_SESSION_OP_FUNCTION_NAMES};
    const uint16_t op = ops[dice(3)];
    /* Under number 1 there is nothing but "nothing": its launches touch no memory. */
    const char *name = op == VGPU_SESSION_OP_FUNCTION_GET ? names[0] : names[dice(5)];
    const VGPUSessionName p = {
        .module = dice(2) ? WORLD_KERNELS : some_id(),
        .id = some_id(),
        .into = some_bytes(),
        .name_size = dice(8) ? (uint32_t) strlen(name) + 1 : dice(5000),
    };
    const uint32_t result = world_call(&w, op, &p, sizeof(p), name, strlen(name) + 1);

    if (result == CUDA_SUCCESS && op == VGPU_SESSION_OP_GLOBAL_GET)
        learn(w.value[0]);
    return result;
}

static uint32_t do_launch(void)
{
    VGPUSessionLaunchAttribute attributes[4] = {{.id = dice(20)}, {.id = dice(20)}};
    VGPUSessionLaunch p = {
        .function = some_id(),
        .stream = some_stream(),
        .grid = {dice(8), 1, 1},
        .block = {dice(8) ? 32 : UINT32_MAX, 1, 1},
        .shared_bytes = dice(8) ? 0 : UINT32_MAX,
        .n_attributes = dice(3) ? 0 : dice(12),
        .parameters_size = dice(8) ? 0 : dice(400),
        .what = dice(6),
        .flags = dice(8) ? dice(2) : 2,
    };

    attributes[0].value[0] = (uint8_t) dice(4);
    return world_call(&w, dice(4) ? VGPU_SESSION_OP_LAUNCH : VGPU_SESSION_OP_OCCUPANCY, &p,
                      sizeof(p), attributes,
                      dice(4) ? sizeof(attributes) : dice(sizeof(attributes)));
}

static uint32_t do_function(void)
{
    const VGPUSessionFunctionSet p = {some_id(), dice(20), (int32_t) dice(100000) - 10, 0};

    return world_call(&w,
                      dice(2) ? VGPU_SESSION_OP_FUNCTION_ATTRIBUTE : VGPU_SESSION_OP_FUNCTION_CACHE,
                      &p, sizeof(p), NULL, 0);
}

static uint32_t do_graph(void)
{
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_CAPTURE_BEGIN, VGPU_SESSION_OP_CAPTURE_END,
        VGPU_SESSION_OP_CAPTURE_END,   VGPU_SESSION_OP_GRAPH_DESTROY,
        VGPU_SESSION_OP_GRAPH_LAUNCH,  VGPU_SESSION_OP_GRAPH_INSTANTIATE,
        VGPU_SESSION_OP_GRAPH_UPDATE,  VGPU_SESSION_OP_GRAPH_EXEC_DESTROY,
        VGPU_SESSION_OP_GRAPH_NODES,
    };
    const VGPUSessionGraph p = {some_id(), some_id(), some_stream(), dice(3) ? dice(3) : dice(20)};

    return world_call(&w, ops[dice(9)], &p, sizeof(p), NULL, 0);
}

/* ---- Nodes, and functions of the guest --------------------------------------------------------
 */

#define HOSTS 8u
#define HOSTS_AT (PLAYGROUND / 2)

static uint64_t *host_words(uint32_t i)
{
    return (uint64_t *) (void *) (w.g.window + HOSTS_AT + 64 * (uint64_t) i);
}

/* Says of each function that is called that it has run: streams must not wait for ever. */
static void *answer_hosts(void *stop)
{
    while (!__atomic_load_n((const bool *) stop, __ATOMIC_ACQUIRE)) {
        for (uint32_t i = 0; i < HOSTS; i++)
            if (__atomic_exchange_n(&host_words(i)[0], 0, __ATOMIC_ACQUIRE) != 0)
                __atomic_store_n(&host_words(i)[1], 1, __ATOMIC_RELEASE);
        usleep(100);
    }
    return NULL;
}

static VGPUSessionFence some_host(uint32_t stream)
{
    return (VGPUSessionFence){
        .stream = stream,
        .offset = dice(8) ? HOSTS_AT + UINT64_C(64) * dice(HOSTS)
                          : (dice(2) ? WINDOW_SIZE - dice(16) : UINT64_MAX - dice(20)),
        .value = 1 + dice(100),
        .reserved2 = dice(50) == 0,
    };
}

static uint32_t do_host(void)
{
    const VGPUSessionFence p = some_host(some_stream());

    return world_call(&w, VGPU_SESSION_OP_HOST_CALL, &p, sizeof(p), NULL, 0);
}

/* What goes with a node of that type; returns its bytes. */
static size_t some_payload(uint32_t type, unsigned char *payload)
{
    const VGPUSessionLaunch launch = {
        .function = some_id(),
        .grid = {dice(8), 1, 1},
        .block = {dice(8) ? 32 : UINT32_MAX, 1, 1},
        .n_attributes = dice(8) ? 0 : dice(12),
        .parameters_size = dice(8) ? 0 : dice(400),
        .flags = dice(8) ? 0 : dice(3),
    };
    const VGPUSessionCopy3D copy = {
        .to = some_place(),
        .from = some_place(),
        .width_bytes = dice(4) ? 1 + dice(64) : some_size(),
        .height = dice(4) ? 1 : some_size(),
        .depth = dice(4) ? 1 : some_size(),
    };
    const VGPUSessionSet set = {some_address(), some_size(), 1, 0, 7, 1u << dice(3), 0, 0};
    const VGPUSessionFence host = some_host(0);
    const VGPUSessionWord word = {.address = some_address() & ~UINT64_C(7), .bits = 64};
    const struct {
        VGPUSessionConditional p;
        uint32_t bodies[4];
    } decide = {
        .p = {dice(8) ? last_condition : dice(4), dice(4), dice(12) ? 1 + dice(2) : dice(9)},
        .bodies = {some_id(), some_id(), some_id(), some_id()},
    };

    switch (type) {
    case 0:
        memcpy(payload, &launch, sizeof(launch));
        return sizeof(launch);
    case 1:
        memcpy(payload, &copy, sizeof(copy));
        return sizeof(copy);
    case 2:
        memcpy(payload, &set, sizeof(set));
        return sizeof(set);
    case 13:
        memcpy(payload, &decide, sizeof(decide));
        return sizeof(decide);
    case 3:
        memcpy(payload, &host, sizeof(host));
        return sizeof(host);
    default:
        memcpy(payload, &word, sizeof(word));
        return sizeof(word);
    }
}

static uint32_t do_node(void)
{
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_NODE_ADD,     VGPU_SESSION_OP_NODE_ADD,      VGPU_SESSION_OP_NODE_ADD,
        VGPU_SESSION_OP_NODE_SET,     VGPU_SESSION_OP_NODE_EXEC_SET, VGPU_SESSION_OP_NODE_GET,
        VGPU_SESSION_OP_NODE_DESTROY, VGPU_SESSION_OP_NODE_DEPENDS,  VGPU_SESSION_OP_NODE_ENABLE,
        VGPU_SESSION_OP_GRAPH_LIST,
    };
    static const uint32_t types[] = {0, 1, 2, 3, 5, 6, 7, 12, 13, 13};
    unsigned char more[512] __attribute__((aligned(8))) = {0};
    VGPUSessionNode p = {
        .graph = some_id(),
        .exec = some_id(),
        .node = dice(8) ? 1 + dice(6) : UINT32_MAX,
        .type = dice(30) ? types[dice(10)] : dice(15),
        .n_dependencies = dice(3) ? 0 : 1 + dice(3),
        .child = some_id(),
        .event = some_id(),
        .flags = dice(10) ? 0 : dice(3),
        .what = dice(4),
        .reserved = dice(50) == 0,
        .into = some_bytes(),
    };
    const uint16_t op = ops[dice(10)];
    VGPUSessionEdge edges[3];
    uint32_t numbers[6];
    size_t at = (p.n_dependencies + 1) / 2 * 8, size;

    for (unsigned i = 0; i < 6; i++)
        numbers[i] = dice(8) ? 1 + dice(6) : dice(2) - 1;
    if (op == VGPU_SESSION_OP_NODE_DEPENDS) {
        p.flags = dice(8) ? dice(2) : 2;
        at = p.n_dependencies * 8;
        if (dice(3) == 0) {
            p.flags |= VGPU_SESSION_EDGE_DATA;
            at *= 2;
            for (unsigned i = 0; i < 3; i++) {
                edges[i] = (VGPUSessionEdge){numbers[2 * i], numbers[2 * i + 1], {0}};
                edges[i].data[dice(8) ? 0 : dice(8)] = (uint8_t) dice(4);
                edges[i].data[2] = (uint8_t) dice(2);
            }
        }
    } else if (op != VGPU_SESSION_OP_NODE_ADD && dice(8)) {
        p.n_dependencies = 0;
        at = 0;
    }
    if (p.flags & VGPU_SESSION_EDGE_DATA)
        memcpy(more, edges, at);
    else
        memcpy(more, numbers, at);
    size = at + some_payload(p.type, more + at);
    if (op == VGPU_SESSION_OP_NODE_GET || op == VGPU_SESSION_OP_NODE_DESTROY ||
        op == VGPU_SESSION_OP_NODE_ENABLE || op == VGPU_SESSION_OP_GRAPH_LIST)
        return world_call(&w, op, &p, sizeof(p), NULL, 0);
    return world_call(&w, op, &p, sizeof(p), more, dice(8) ? size : dice(sizeof(more)));
}

/* Often a node has the handle at once, in the same graph: by chance few would. */
static uint32_t do_condition(void)
{
    const uint32_t graph = some_id();
    unsigned char more[64] = {0};
    uint32_t result = CALL(&w, GRAPH_CONDITION, .graph = graph, .value = dice(3),
                           .flags = dice(8) ? 1 : dice(3), .reserved = dice(20) == 0);

    if (result != CUDA_SUCCESS)
        return result;
    last_condition = w.value[0];
    return dice(4)
               ? CALL_WITH(&w, NODE_ADD, more, some_payload(13, more), .graph = graph, .type = 13)
               : result;
}

static uint32_t do_new_graph(void)
{
    static const uint16_t ops[] = {VGPU_SESSION_OP_GRAPH_CREATE, VGPU_SESSION_OP_GRAPH_CLONE,
                                   VGPU_SESSION_OP_GRAPH_INSTANTIATE, VGPU_SESSION_OP_GRAPH_LAUNCH};
    const VGPUSessionGraph p = {some_id(), some_id(), some_stream(), dice(8) ? 0 : dice(20)};

    if (dice(10) == 0)
        return CALL(&w, CAPTURE_INFO, .id = some_stream());
    return dice(3) ? world_call(&w, ops[dice(4)], &p, sizeof(p), NULL, 0) : do_condition();
}

static uint32_t do_object(void)
{
    switch (dice(4)) {
    case 0:
        return CALL(&w, STREAM_CREATE, .id = some_stream(), .flags = 1);
    case 1:
        return CALL(&w, STREAM_DESTROY, .id = some_stream());
    case 2:
        return CALL(&w, EVENT_CREATE, .id = some_id(), .flags = 2);
    default:
        return CALL(&w, EVENT_DESTROY, .id = some_id());
    }
}

static uint32_t do_link(void)
{
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_LINK_CREATE,   VGPU_SESSION_OP_LINK_ADD,  VGPU_SESSION_OP_LINK_ADD,
        VGPU_SESSION_OP_LINK_COMPLETE, VGPU_SESSION_OP_LINK_READ, VGPU_SESSION_OP_LINK_DESTROY,
    };
    VGPUSessionLink p = {
        .key = {(uint8_t) (1 + dice(5))},
        .id = some_id(),
        .type = dice(4) ? CU_JIT_INPUT_PTX : dice(7),
        .name_size = dice(4) ? 0 : dice(8),
        .n_options = dice(8) ? 0 : dice(20),
        .at = dice(4) ? 0 : dice(2000),
        .into = some_bytes(),
        .option = {{dice(40), dice(9)}},
    };

    if (dice(2))
        p.info_log = some_bytes();
    if (dice(2))
        p.error_log = some_bytes();
    return world_call(&w, ops[dice(6)], &p, sizeof(p), "a name", 7);
}

static uint32_t do_output(void)
{
    const VGPUSessionOutput p = {some_bytes()};

    return session_guest_call_with(&w.g, VGPU_SESSION_OP_OUTPUT, dice(3), &p, sizeof(p), NULL, 0,
                                   w.value);
}

static uint32_t do_share(void)
{
    static const uint16_t ops[] = {
        VGPU_SESSION_OP_SHARE_MEMORY,  VGPU_SESSION_OP_SHARE_MEMORY, VGPU_SESSION_OP_SHARE_PHYSICAL,
        VGPU_SESSION_OP_TAKE_PHYSICAL, VGPU_SESSION_OP_TAKE_MEMORY,  VGPU_SESSION_OP_TAKEN_FREE,
    };
    const uint16_t op = ops[dice(6)];
    const VGPUSessionShare p = {
        .address = some_address(),
        .token = {shared.token[0], shared.token[1] + (dice(4) == 0)},
        .id = some_id(),
        .flags = dice(20) == 0,
    };
    const uint32_t result = world_call(&w, op, &p, sizeof(p), NULL, 0);

    if (result == CUDA_SUCCESS && (op == ops[0] || op == ops[2]))
        memcpy(shared.token, w.value, sizeof(shared.token));
    return result;
}

/* ---- The storm --------------------------------------------------------------------------------
 */

static uint32_t (*const steps[])(void) = {
    do_memory,    do_memory,    do_physical,  do_physical,  do_copy,        do_copy,
    do_box,       do_box,       do_set,       do_image,     do_module,      do_name,
    do_launch,    do_graph,     do_object,    do_function,  do_array,       do_array,
    do_array_box, do_array_box, do_array_end, do_texture,   do_texture_end, do_tensor_map,
    do_link,      do_link,      do_output,    do_pin,       do_pool,        do_share,
    do_node,      do_node,      do_host,      do_new_graph,
};

static bool hosts_stop;
static pthread_t hosts;

/* @pins: of the window, one page is pinned */
static void storm_begin(bool pins)
{
    SessionGuest *const guests[] = {&w.g};
    const SessionGuestOptions options = {
        .window_size = WINDOW_SIZE,
        .window_base = WINDOW_BASE,
        .flags = pins ? VGPU_SESSION_PINS : 0,
    };

    world_open(&w, &options, &(WorldLimits){.memory_max = MEMORY_MAX, .images_max = MIB});
    if (pins)
        assert_ok(CALL(&w, WINDOW_PIN, .bytes = {PLAYGROUND, PAGE}));
    test_mediator_start(&mediator, guests, 1);
    world_load_kernels(&w);
    n_addresses = n_objects = 0;
    hosts_stop = false;
    assert_int_equal(pthread_create(&hosts, NULL, answer_hosts, &hosts_stop), 0);
}

static void storm_stop_hosts(void)
{
    __atomic_store_n(&hosts_stop, true, __ATOMIC_RELEASE);
    pthread_join(hosts, NULL);
}

/* It is still a session, unless a graph or another stream had a use for memory that was freed: then
 * the device has faulted, as it does for any program. */
static void storm_end(void)
{
    uint32_t back;

    if (w.g.header->sticky != 0) {
        assert_int_equal(w.g.header->sticky, CUDA_ERROR_ILLEGAL_ADDRESS);
        storm_stop_hosts();
        test_mediator_stop(&mediator);
        world_end_after_error(&w);
        return;
    }
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    session_guest_context(&w.g, 1, true);
    assert_ok(CALL(&w, SET, .address = WINDOW_BASE + PLAYGROUND, .count = 1, .rows = 1, .width = 4,
                   .value = 77));
    world_settle(&w, 0);
    memcpy(&back, w.g.window + PLAYGROUND, sizeof(back));
    assert_int_equal(back, 77);
    storm_stop_hosts();
    test_mediator_stop(&mediator);
    world_end(&w);
}

TEST(test_storm)
{
    unsigned n_done[sizeof(steps) / sizeof(steps[0])] = {0};
    unsigned n = 0;

    for (unsigned round = 0; n < STEPS; round++) {
        seed = round + 1;
        storm_begin(round % 2 == 1);
        for (unsigned i = 0; i < STEPS_OF_SESSION && w.g.header->sticky == 0; i++, n++) {
            const uint32_t which = dice(sizeof(steps) / sizeof(steps[0]));

            /* What may be given ahead changes now and then; half of the sessions have no bound. */
            if (round % 4 > 1 && i % 100 == 0)
                __atomic_store_n(&w.g.control->ahead_usec, 50 * dice(4), __ATOMIC_RELAXED);

            n_done[which] += steps[which]() == CUDA_SUCCESS;
            assert_true(w.g.control->memory <= MEMORY_MAX);
        }
        storm_end();
    }
    /* It does not only refuse. */
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        assert_in_range(n_done[i], 5, STEPS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
