/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays, mipmaps, textures, surfaces and tensor maps. */
#include "cuda-client-array.h"

#include <string.h>

#include "client-internal.h"

/* ---- Arrays and mipmaps ----------------------------------------------------------- */

/* An operation that makes an object, with a new number of @kind. The number is given back when the
 * host has refused; after the session's end it does not matter. */
static int array_make(vgpu_session *s, const vgpu_session_from *from, uint16_t opcode,
                      vgpu_session_kind kind, VGPUSessionArray *parameters, uint32_t *ret_id)
{
    int r = vgpu_session_id_take(s, kind, &parameters->id);

    if (r != 0)
        return r;
    r = vgpu_session_call(s, opcode, from, parameters, sizeof(*parameters), NULL, 0, NULL);
    if (r != 0)
        vgpu_session_id_give(s, kind, parameters->id);
    else
        *ret_id = parameters->id;
    return r;
}

static int array_end(vgpu_session *s, const vgpu_session_from *from, uint16_t opcode,
                     vgpu_session_kind kind, uint32_t id)
{
    const VGPUSessionId parameters = {.id = id};
    int r = vgpu_session_call(s, opcode, from, &parameters, sizeof(parameters), NULL, 0, NULL);

    if (r == 0)
        vgpu_session_id_give(s, kind, id);
    return r;
}

static int array_ask(vgpu_session *s, const vgpu_session_from *from,
                     const VGPUSessionArray *parameters, uint64_t *ret_size,
                     uint64_t *ret_alignment)
{
    VGPUSessionReply reply;
    int r = vgpu_session_call(s, VGPU_SESSION_OP_ARRAY_NEEDS, from, parameters, sizeof(*parameters),
                              NULL, 0, &reply);

    if (r == 0) {
        *ret_size = reply.value[0];
        *ret_alignment = reply.value[1];
    }
    return r;
}

int vgpu_session_array_create(vgpu_session *s, const vgpu_session_from *from,
                              const VGPUSessionArray *array, uint32_t *ret_id)
{
    VGPUSessionArray parameters = *array;

    parameters.mipmap = parameters.levels = 0;
    return array_make(s, from, VGPU_SESSION_OP_ARRAY_CREATE, VGPU_SESSION_ARRAYS, &parameters,
                      ret_id);
}

int vgpu_session_array_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id)
{
    return array_end(s, from, VGPU_SESSION_OP_ARRAY_DESTROY, VGPU_SESSION_ARRAYS, id);
}

int vgpu_session_array_needs(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                             uint64_t *ret_size, uint64_t *ret_alignment)
{
    return array_ask(s, from, &(const VGPUSessionArray){.id = id}, ret_size, ret_alignment);
}

int vgpu_session_mipmap_create(vgpu_session *s, const vgpu_session_from *from,
                               const VGPUSessionArray *array, uint32_t *ret_id)
{
    VGPUSessionArray parameters = *array;

    parameters.mipmap = 0;
    return array_make(s, from, VGPU_SESSION_OP_MIPMAP_CREATE, VGPU_SESSION_MIPMAPS, &parameters,
                      ret_id);
}

int vgpu_session_mipmap_level(vgpu_session *s, const vgpu_session_from *from, uint32_t mipmap,
                              uint32_t level, uint32_t *ret_id)
{
    VGPUSessionArray parameters = {.mipmap = mipmap, .levels = level};

    return array_make(s, from, VGPU_SESSION_OP_MIPMAP_LEVEL, VGPU_SESSION_ARRAYS, &parameters,
                      ret_id);
}

int vgpu_session_mipmap_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                                const uint32_t *levels, size_t n_levels)
{
    int r = array_end(s, from, VGPU_SESSION_OP_MIPMAP_DESTROY, VGPU_SESSION_MIPMAPS, id);

    for (size_t i = 0; r == 0 && i < n_levels; i++)
        vgpu_session_id_give(s, VGPU_SESSION_ARRAYS, levels[i]);
    return r;
}

int vgpu_session_mipmap_needs(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                              uint64_t *ret_size, uint64_t *ret_alignment)
{
    return array_ask(s, from, &(const VGPUSessionArray){.mipmap = id}, ret_size, ret_alignment);
}

/* ---- Textures and surfaces --------------------------------------------------------- */

static int object_make(vgpu_session *s, const vgpu_session_from *from, uint16_t opcode,
                       const VGPUSessionTexture *parameters, uint64_t *ret_object)
{
    VGPUSessionReply reply;
    int r = vgpu_session_call(s, opcode, from, parameters, sizeof(*parameters), NULL, 0, &reply);

    if (r == 0)
        *ret_object = reply.value[0];
    return r;
}

static int object_end(vgpu_session *s, const vgpu_session_from *from, uint16_t opcode,
                      uint64_t object)
{
    const VGPUSessionId parameters = {.value = object};

    return vgpu_session_call(s, opcode, from, &parameters, sizeof(parameters), NULL, 0, NULL);
}

int vgpu_session_texture_create(vgpu_session *s, const vgpu_session_from *from,
                                const VGPUSessionTexture *texture, uint64_t *ret_object)
{
    return object_make(s, from, VGPU_SESSION_OP_TEXTURE_CREATE, texture, ret_object);
}

int vgpu_session_texture_destroy(vgpu_session *s, const vgpu_session_from *from, uint64_t object)
{
    return object_end(s, from, VGPU_SESSION_OP_TEXTURE_DESTROY, object);
}

int vgpu_session_surface_create(vgpu_session *s, const vgpu_session_from *from,
                                const VGPUSessionTexture *surface, uint64_t *ret_object)
{
    return object_make(s, from, VGPU_SESSION_OP_SURFACE_CREATE, surface, ret_object);
}

int vgpu_session_surface_destroy(vgpu_session *s, const vgpu_session_from *from, uint64_t object)
{
    return object_end(s, from, VGPU_SESSION_OP_SURFACE_DESTROY, object);
}

/* ---- Tensor maps --------------------------------------------------------------------- */

/* @before: what the operation finds in @into, or NULL */
static int tensor_call(vgpu_session *s, const vgpu_session_from *from,
                       const VGPUSessionTensorMap *map, const uint8_t *before,
                       uint8_t ret[static VGPU_SESSION_TENSOR_MAP_SIZE])
{
    VGPUSessionTensorMap parameters = *map;
    void *into;
    int r;

    r = vgpu_session_window_alloc(s, VGPU_SESSION_TENSOR_MAP_SIZE, 0, &into);
    if (r != 0)
        return r;
    if (before)
        memcpy(into, before, VGPU_SESSION_TENSOR_MAP_SIZE);
    (void) vgpu_session_window_bytes(s, into, VGPU_SESSION_TENSOR_MAP_SIZE, &parameters.into);
    r = vgpu_session_call(s, VGPU_SESSION_OP_TENSOR_MAP, from, &parameters, sizeof(parameters),
                          NULL, 0, NULL);
    if (r == 0)
        memcpy(ret, into, VGPU_SESSION_TENSOR_MAP_SIZE);
    /* The host of a session that has ended may still write there. */
    if (client_usable(s) == 0)
        vgpu_session_window_free(s, into);
    return r;
}

int vgpu_session_tensor_map(vgpu_session *s, const vgpu_session_from *from,
                            const VGPUSessionTensorMap *map,
                            uint8_t ret[static VGPU_SESSION_TENSOR_MAP_SIZE])
{
    return tensor_call(s, from, map, NULL, ret);
}

int vgpu_session_tensor_replace(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                                uint8_t map[static VGPU_SESSION_TENSOR_MAP_SIZE])
{
    const VGPUSessionTensorMap request = {.kind = VGPU_TENSOR_MAP_REPLACE, .address = address};

    return tensor_call(s, from, &request, map, map);
}
