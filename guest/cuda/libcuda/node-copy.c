/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes that copy and set.
 *
 * The device reaches its own memory and the window. Memory of the program's own goes through a
 * buffer in the window, and a function of this library's, before the copy or after it, moves the
 * bytes each time that the graph is launched: so for the executor such a copy is two nodes.
 */
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "copy-stage.h"
#include "graph.h"
#include "memory-map.h"

/* CUmemorytype */
enum { COPY_HOST = 1, COPY_DEVICE = 2, COPY_ARRAY = 3, COPY_UNIFIED = 4 };

/* ---- What a copy is ----------------------------------------------------------------------------
 */

typedef struct CopyEnd {
    VGPUSessionPlace place; /* of pageable memory in the program */
    bool is_pageable;       /* the device does not reach it */
    bool is_host;
} CopyEnd;

typedef struct CopyShape {
    CopyEnd to, from;
    uint64_t width, height, depth;
} CopyShape;

/* Whether the box lies in it, the executor says; and whether it is of the copy's context. */
static CUresult copy_array(CUarray handle, CopyEnd *ret)
{
    const LibArray *array = array_of(handle);

    if (!array)
        return CUDA_ERROR_INVALID_VALUE;
    ret->place.array = array->number;
    ret->place.pitch = ret->place.height = 0;
    return CUDA_SUCCESS;
}

static CUresult copy_end(int type, const void *host, CUdeviceptr device, CUarray array,
                         CopyEnd *ret)
{
    const uint64_t address = type == COPY_HOST ? (uintptr_t) host : device;
    MemoryPiece piece;
    bool is_known;

    if (type == COPY_ARRAY)
        return copy_array(array, ret);
    if (type < COPY_HOST || type > COPY_UNIFIED || address == 0)
        return CUDA_ERROR_INVALID_VALUE;
    is_known = memory_map_find(address, &piece);
    if (type == COPY_DEVICE && !is_known)
        return CUDA_ERROR_INVALID_VALUE;
    ret->is_pageable = !is_known;
    ret->is_host = !is_known || !memory_is_device(&piece);
    ret->place.address =
        is_known && !memory_is_device(&piece) ? piece.device + (address - piece.address) : address;
    return CUDA_SUCCESS;
}

static uint64_t copy_or(uint64_t given, uint64_t otherwise)
{
    return given != 0 ? given : otherwise;
}

static CUresult copy_shape(const Copy3D *c, CopyShape *ret)
{
    CUresult r;

    if (!c || c->src_lod != 0 || c->dst_lod != 0 || c->width_bytes == 0 || c->height == 0 ||
        c->depth == 0 || (c->src_pitch != 0 && c->src_pitch < c->width_bytes) ||
        (c->dst_pitch != 0 && c->dst_pitch < c->width_bytes))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CopyShape){
        .to.place =
            {
                .x_bytes = c->dst_x_bytes,
                .y = c->dst_y,
                .z = c->dst_z,
                .pitch = copy_or(c->dst_pitch, c->width_bytes + c->dst_x_bytes),
                .height = copy_or(c->dst_height, c->height + c->dst_y),
            },
        .from.place =
            {
                .x_bytes = c->src_x_bytes,
                .y = c->src_y,
                .z = c->src_z,
                .pitch = copy_or(c->src_pitch, c->width_bytes + c->src_x_bytes),
                .height = copy_or(c->src_height, c->height + c->src_y),
            },
        .width = c->width_bytes,
        .height = c->height,
        .depth = c->depth,
    };
    r = copy_end(c->dst_type, c->dst_host, c->dst_device, c->dst_array, &ret->to);
    if (r == CUDA_SUCCESS)
        r = copy_end(c->src_type, c->src_host, c->src_device, c->src_array, &ret->from);
    if (r == CUDA_SUCCESS && ret->to.is_pageable && ret->from.is_pageable) {
        libcuda_log("a node cannot copy between two places that the device does not reach");
        r = CUDA_ERROR_NOT_SUPPORTED;
    }
    return r;
}

static VGPUSessionCopy3D copy_payload(const CopyShape *shape)
{
    return (VGPUSessionCopy3D){
        .to = shape->to.place,
        .from = shape->from.place,
        .width_bytes = shape->width,
        .height = shape->height,
        .depth = shape->depth,
    };
}

/* ---- Through the window ------------------------------------------------------------------------
 */

/* Afterwards the end of @shape that was the program's is a buffer. */
static CUresult stage_new(const LibCall *call, CopyShape *shape, bool is_out, CopyStage **ret)
{
    CopyEnd *end = is_out ? &shape->to : &shape->from;
    const CopyStage stage = {
        .session = call->session,
        .place = end->place,
        .width = shape->width,
        .height = shape->height,
        .depth = shape->depth,
        .is_out = is_out,
    };

    return copy_stage_new(&stage, ret, &end->place);
}

/* The function is the graph's when this succeeds, and the buffer with it. */
static CUresult stage_add(NodePlace *place, CopyStage *stage, uint32_t *ret)
{
    const vgpu_session_host host = copy_stage_host(stage);
    CUresult r = vgpu_session_node_add_host_with(place->call.session, &place->call.from,
                                                 place->graph->number, place->after, place->n_after,
                                                 &host, ret);

    if (r != CUDA_SUCCESS)
        copy_stage_free(stage);
    return r;
}

/* What is added next comes after one node. */
static void place_behind(NodePlace *place, uint32_t number)
{
    place->after[0] = number; /* there is room for one */
    place->n_after = 1;
}

static void place_undo(const NodePlace *place, uint32_t number)
{
    const VGPUSessionNode parameters = {.graph = place->graph->number, .node = number};

    (void) libcuda_ask(&place->call, VGPU_SESSION_OP_NODE_DESTROY, &parameters, sizeof(parameters),
                       NULL);
}

static CUresult staged_add(NodePlace *place, CopyShape *shape, LibNode **ret)
{
    const VGPUSessionNode what = {.type = NODE_MEMCPY};
    const bool is_out = shape->to.is_pageable;
    VGPUSessionCopy3D payload;
    CopyStage *stage;
    uint32_t helper = 0;
    CUresult r = stage_new(&place->call, shape, is_out, &stage);

    if (r != CUDA_SUCCESS)
        return r;
    payload = copy_payload(shape);
    if (is_out) {
        r = node_add(place, &what, &payload, sizeof(payload), ret);
        if (r != CUDA_SUCCESS) {
            copy_stage_free(stage);
            return r;
        }
        place_behind(place, (*ret)->number);
        r = stage_add(place, stage, &helper);
        if (r != CUDA_SUCCESS) /* it copies to the buffer, which is gone */
            place_undo(place, (*ret)->number);
    } else {
        r = stage_add(place, stage, &helper);
        if (r == CUDA_SUCCESS) {
            place_behind(place, helper);
            r = node_add(place, &what, &payload, sizeof(payload), ret);
            if (r != CUDA_SUCCESS)
                place_undo(place, helper);
        }
    }
    if (r != CUDA_SUCCESS)
        return r;
    return node_join(*ret, helper, is_out);
}

/* The copy goes through a buffer as before: another one, as the old one may be in use. */
static CUresult staged_set(NodeTarget *target, CopyShape *shape)
{
    const VGPUSessionNode what = {0};
    const LibNode *node = target->node;
    const bool is_out = node->exit != node->number;
    VGPUSessionCopy3D payload;
    vgpu_session_host host;
    CopyStage *stage;
    CUresult r;

    if (!(is_out ? &shape->to : &shape->from)->is_host ||
        (is_out ? &shape->from : &shape->to)->is_pageable)
        return CUDA_ERROR_INVALID_VALUE; /* from where to where cannot change */
    r = stage_new(&target->call, shape, is_out, &stage);
    if (r != CUDA_SUCCESS)
        return r;
    host = copy_stage_host(stage);
    payload = copy_payload(shape);
    r = node_set(target, &what, &payload, sizeof(payload));
    if (r != CUDA_SUCCESS) {
        copy_stage_free(stage);
        return r;
    }
    /* From here on the copy has the buffer: when the function is refused, both are left. */
    return vgpu_session_node_set_host_with(
        target->call.session, &target->call.from, node->graph->number,
        target->exec ? target->exec->number : 0, is_out ? node->exit : node->entry, &host);
}

/* ---- Copies ------------------------------------------------------------------------------------
 */

CUresult copy_node_add(NodePlace *place, const Copy3D *copy, CUcontext context, LibNode **ret)
{
    const VGPUSessionNode what = {.type = NODE_MEMCPY};
    VGPUSessionCopy3D payload;
    CopyShape shape;
    CUresult r = graph_in_context(&place->call, context);

    if (r == CUDA_SUCCESS)
        r = copy_shape(copy, &shape);
    if (r != CUDA_SUCCESS)
        return r;
    if (shape.to.is_pageable || shape.from.is_pageable) {
        r = staged_add(place, &shape, ret);
    } else {
        payload = copy_payload(&shape);
        r = node_add(place, &what, &payload, sizeof(payload), ret);
    }
    return r == CUDA_SUCCESS ? node_remember(*ret, copy, sizeof(*copy)) : r;
}

CUresult copy_node_set(NodeTarget *target, const Copy3D *copy, CUcontext context)
{
    const VGPUSessionNode what = {0};
    VGPUSessionCopy3D payload;
    CopyShape shape;
    CUresult r = graph_in_context(&target->call, context);

    if (r == CUDA_SUCCESS)
        r = copy_shape(copy, &shape);
    if (r != CUDA_SUCCESS)
        return r;
    if (target->node->entry != target->node->exit) {
        r = staged_set(target, &shape);
    } else if (shape.to.is_pageable || shape.from.is_pageable) {
        libcuda_log("a copy of memory that the device reaches cannot become one of other memory");
        return CUDA_ERROR_NOT_SUPPORTED;
    } else {
        payload = copy_payload(&shape);
        r = node_set(target, &what, &payload, sizeof(payload));
    }
    return r == CUDA_SUCCESS && !target->exec ? node_remember(target->node, copy, sizeof(*copy))
                                              : r;
}

static bool array_has_number(const void *object, uint32_t number)
{
    const LibArray *array = object;

    return array->number == number;
}

static int copy_type(const VGPUSessionPlace *place)
{
    MemoryPiece piece;

    if (place->array != 0)
        return COPY_ARRAY;
    return memory_map_find(place->address, &piece) && memory_is_device(&piece) ? COPY_DEVICE
                                                                               : COPY_HOST;
}

/* Of a node that a capture made */
static CUresult copy_get(const VGPUSessionCopy3D *p, Copy3D *ret)
{
    const VGPUSessionPlace *to = &p->to, *from = &p->from;

    *ret = (Copy3D){
        .src_x_bytes = from->x_bytes,
        .src_y = from->y,
        .src_z = from->z,
        .src_type = copy_type(from),
        .src_pitch = from->pitch,
        .src_height = from->height,
        .dst_x_bytes = to->x_bytes,
        .dst_y = to->y,
        .dst_z = to->z,
        .dst_type = copy_type(to),
        .dst_pitch = to->pitch,
        .dst_height = to->height,
        .width_bytes = p->width_bytes,
        .height = p->height,
        .depth = p->depth,
    };
    if (ret->src_type == COPY_ARRAY)
        ret->src_array = handle_find(HANDLE_ARRAY, array_has_number, from->array);
    else if (ret->src_type == COPY_HOST)
        ret->src_host = (const void *) (uintptr_t) from->address;
    else
        ret->src_device = from->address;
    if (ret->dst_type == COPY_ARRAY)
        ret->dst_array = handle_find(HANDLE_ARRAY, array_has_number, to->array);
    else if (ret->dst_type == COPY_HOST)
        ret->dst_host = (void *) (uintptr_t) to->address;
    else
        ret->dst_device = to->address;
    return CUDA_SUCCESS;
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode handle, Copy3D *copy)
{
    VGPUSessionCopy3D p;
    LibNode *node;
    LibCall call;
    void *payload;
    CUresult r = node_enter(handle, NODE_MEMCPY, &call, &node);

    if (r == CUDA_SUCCESS && !copy)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        return r;
    if (node->shown) {
        memcpy(copy, node->shown, sizeof(*copy));
        return CUDA_SUCCESS;
    }
    r = node_get(&call, node, sizeof(p), &payload, NULL, NULL);
    if (r != CUDA_SUCCESS)
        return r;
    memcpy(&p, payload, sizeof(p));
    free(payload);
    return copy_get(&p, copy);
}

/* ---- Sets --------------------------------------------------------------------------------------
 */

static CUresult set_payload(const SetNode *set, VGPUSessionSet *ret)
{
    uint64_t size, before;
    MemoryPiece piece;

    if (!set || (set->element != 1 && set->element != 2 && set->element != 4) || set->width == 0 ||
        set->height == 0 || set->address % set->element != 0 ||
        __builtin_mul_overflow(set->width, set->element, &size) ||
        (set->height > 1 && (set->pitch < size || set->pitch % set->element != 0 ||
                             __builtin_mul_overflow(set->pitch, set->height - 1, &before) ||
                             __builtin_add_overflow(size, before, &size))) ||
        !memory_map_find(set->address, &piece) || !memory_has(&piece, set->address, size))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (VGPUSessionSet){
        .address =
            memory_is_device(&piece) ? set->address : piece.device + (set->address - piece.address),
        .count = set->width,
        .rows = set->height,
        .pitch = set->height > 1 ? set->pitch : 0,
        .value = set->value,
        .width = set->element,
    };
    return CUDA_SUCCESS;
}

CUresult set_node_add(NodePlace *place, const SetNode *set, CUcontext context, LibNode **ret)
{
    const VGPUSessionNode what = {.type = NODE_MEMSET};
    VGPUSessionSet payload;
    CUresult r = graph_in_context(&place->call, context);

    if (r == CUDA_SUCCESS)
        r = set_payload(set, &payload);
    if (r == CUDA_SUCCESS)
        r = node_add(place, &what, &payload, sizeof(payload), ret);
    return r == CUDA_SUCCESS ? node_remember(*ret, set, sizeof(*set)) : r;
}

CUresult set_node_set(NodeTarget *target, const SetNode *set, CUcontext context)
{
    const VGPUSessionNode what = {0};
    VGPUSessionSet payload;
    CUresult r = graph_in_context(&target->call, context);

    if (r == CUDA_SUCCESS)
        r = set_payload(set, &payload);
    if (r == CUDA_SUCCESS)
        r = node_set(target, &what, &payload, sizeof(payload));
    return r == CUDA_SUCCESS && !target->exec ? node_remember(target->node, set, sizeof(*set)) : r;
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode handle, SetNode *set)
{
    VGPUSessionSet p;
    LibNode *node;
    LibCall call;
    void *payload;
    CUresult r = node_enter(handle, NODE_MEMSET, &call, &node);

    if (r == CUDA_SUCCESS && !set)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r != CUDA_SUCCESS)
        return r;
    if (node->shown) {
        memcpy(set, node->shown, sizeof(*set));
        return CUDA_SUCCESS;
    }
    r = node_get(&call, node, sizeof(p), &payload, NULL, NULL);
    if (r != CUDA_SUCCESS)
        return r;
    memcpy(&p, payload, sizeof(p));
    free(payload);
    *set = (SetNode){p.address, p.pitch, p.value, p.width, p.count, p.rows};
    return CUDA_SUCCESS;
}
