/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reserved addresses, physical memory, and the one mapped into the other. */
#include "client-internal.h"

static int physical_call(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                         const VGPUSessionPhysical *p, VGPUSessionReply *ret)
{
    return vgpu_session_call(s, opcode, from, p, sizeof(*p), NULL, 0, ret);
}

int vgpu_session_granularity(vgpu_session *s, const vgpu_session_from *from, bool recommended,
                             uint64_t *ret)
{
    const VGPUSessionPhysical p = {.flags = recommended ? 1 : 0};
    VGPUSessionReply reply;
    int r = physical_call(s, VGPU_SESSION_OP_GRANULARITY, from, &p, &reply);

    if (r == 0)
        *ret = reply.value[0];
    return r;
}

/* ---- Addresses ---------------------------------------------------------------------------------
 */

/* A reservation is no context's. */
static int reserve_at(vgpu_session *s, const vgpu_session_from *from, const VGPUSessionPhysical *p,
                      uint64_t *ret)
{
    VGPUSessionPhysical unused = {.size = p->size};
    VGPUSessionReply reply;
    int r = physical_call(s, VGPU_SESSION_OP_ADDRESS_RESERVE, from, p, &reply);

    if (r != 0)
        return r;
    r = client_claim_address(s, reply.value[0], p->size, 0, 0);
    if (r != 0) {
        unused.address = reply.value[0];
        vgpu_session_post(s, VGPU_SESSION_OP_ADDRESS_FREE, from, &unused, sizeof(unused), NULL, 0);
        return r;
    }
    *ret = reply.value[0];
    return 0;
}

/* What the program wants may be free for the host, and not for the program itself: then any other
 * address will do, as it would for the driver. */
int vgpu_session_address_reserve(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                                 uint64_t alignment, uint64_t wanted, uint64_t *ret_address)
{
    VGPUSessionPhysical p = {.address = wanted, .size = size, .alignment = alignment};
    int r = reserve_at(s, from, &p, ret_address);

    if (r != VGPU_CUDA_ERROR_OUT_OF_MEMORY || wanted == 0)
        return r;
    p.address = 0;
    return reserve_at(s, from, &p, ret_address);
}

int vgpu_session_address_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                              uint64_t size)
{
    const VGPUSessionPhysical p = {.address = address, .size = size};

    client_disclaim_address(s, address);
    return physical_call(s, VGPU_SESSION_OP_ADDRESS_FREE, from, &p, NULL);
}

/* ---- Memory ------------------------------------------------------------------------------------
 */

int vgpu_session_physical_create(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                                 uint32_t *flags, uint32_t *ret_id)
{
    VGPUSessionPhysical p = {.size = size, .flags = *flags};
    VGPUSessionReply reply;
    int r = vgpu_session_id_take(s, VGPU_SESSION_PHYSICALS, &p.id);

    if (r != 0)
        return r;
    r = physical_call(s, VGPU_SESSION_OP_PHYSICAL_CREATE, from, &p, &reply);
    if (r != 0) {
        vgpu_session_id_give(s, VGPU_SESSION_PHYSICALS, p.id);
        return r;
    }
    if (!(reply.value[0] & VGPU_PHYSICAL_COMPRESSED))
        *flags &= ~VGPU_PHYSICAL_COMPRESSED;
    *ret_id = p.id;
    return 0;
}

int vgpu_session_physical_release(vgpu_session *s, const vgpu_session_from *from, uint32_t id)
{
    const VGPUSessionPhysical p = {.id = id};
    int r = physical_call(s, VGPU_SESSION_OP_PHYSICAL_RELEASE, from, &p, NULL);

    if (r == 0)
        vgpu_session_id_give(s, VGPU_SESSION_PHYSICALS, id);
    return r;
}

int vgpu_session_physical_map(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                              uint64_t size, uint64_t offset, uint32_t id)
{
    const VGPUSessionPhysical p = {.address = address, .size = size, .offset = offset, .id = id};

    return physical_call(s, VGPU_SESSION_OP_PHYSICAL_MAP, from, &p, NULL);
}

int vgpu_session_physical_unmap(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                                uint64_t size)
{
    const VGPUSessionPhysical p = {.address = address, .size = size};

    return physical_call(s, VGPU_SESSION_OP_PHYSICAL_UNMAP, from, &p, NULL);
}

int vgpu_session_physical_access(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                                 uint64_t size, uint32_t access)
{
    const VGPUSessionPhysical p = {.address = address, .size = size, .flags = access};

    return physical_call(s, VGPU_SESSION_OP_PHYSICAL_ACCESS, from, &p, NULL);
}
