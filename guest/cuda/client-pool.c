/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools of the device's memory. */
#include "client-internal.h"

static int pool_call(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                     const VGPUSessionPool *pool, VGPUSessionReply *ret)
{
    return vgpu_session_call(s, opcode, from, pool, sizeof(*pool), NULL, 0, ret);
}

int vgpu_session_pool_create(vgpu_session *s, const vgpu_session_from *from, uint64_t max,
                             uint32_t *ret_id)
{
    VGPUSessionPool pool = {.value = max};
    int r = vgpu_session_id_take(s, VGPU_SESSION_POOLS, &pool.id);

    if (r != 0)
        return r;
    r = pool_call(s, VGPU_SESSION_OP_POOL_CREATE, from, &pool, NULL);
    if (r != 0) {
        vgpu_session_id_give(s, VGPU_SESSION_POOLS, pool.id);
        return r;
    }
    *ret_id = pool.id;
    return 0;
}

int vgpu_session_pool_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id)
{
    const VGPUSessionPool pool = {.id = id};
    int r = pool_call(s, VGPU_SESSION_OP_POOL_DESTROY, from, &pool, NULL);

    if (r == 0)
        vgpu_session_id_give(s, VGPU_SESSION_POOLS, id);
    return r;
}

int vgpu_session_pool_set(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                          uint32_t attribute, uint64_t value)
{
    const VGPUSessionPool pool = {.id = id, .attribute = attribute, .value = value};

    return pool_call(s, VGPU_SESSION_OP_POOL_SET, from, &pool, NULL);
}

int vgpu_session_pool_get(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                          uint32_t attribute, uint64_t *ret)
{
    const VGPUSessionPool pool = {.id = id, .attribute = attribute};
    VGPUSessionReply reply;
    int r = pool_call(s, VGPU_SESSION_OP_POOL_GET, from, &pool, &reply);

    if (r == 0)
        *ret = reply.value[0];
    return r;
}

int vgpu_session_pool_trim(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                           uint64_t keep)
{
    const VGPUSessionPool pool = {.id = id, .value = keep};

    return pool_call(s, VGPU_SESSION_OP_POOL_TRIM, from, &pool, NULL);
}
