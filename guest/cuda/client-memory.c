/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's memory: allocated at once, in the order of a stream, and of modules. */
#include <string.h>

#include "client-internal.h"

static uint32_t context_of(const vgpu_session_from *from)
{
    return from ? from->context : 0;
}

int vgpu_session_memory_alloc(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                              uint64_t *ret_address)
{
    const VGPUSessionMemory parameters = {.size = size};
    VGPUSessionReply reply;
    int r;

    r = vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_ALLOC, from, &parameters, sizeof(parameters),
                          NULL, 0, &reply);
    if (r != 0)
        return r;
    r = client_claim_address(s, reply.value[0], size, context_of(from), 0);
    if (r != 0) {
        const VGPUSessionMemory unused = {.address = reply.value[0]};

        vgpu_session_post(s, VGPU_SESSION_OP_MEMORY_FREE, from, &unused, sizeof(unused), NULL, 0);
        return r;
    }
    *ret_address = reply.value[0];
    return 0;
}

/* The address may be reused as soon as the host has freed the memory: it is given up before. */
int vgpu_session_memory_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address)
{
    const VGPUSessionMemory parameters = {.address = address};

    client_disclaim_address(s, address);
    return vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_FREE, from, &parameters, sizeof(parameters),
                             NULL, 0, NULL);
}

int vgpu_session_memory_info(vgpu_session *s, const vgpu_session_from *from, uint64_t *ret_free,
                             uint64_t *ret_total)
{
    const VGPUSessionMemory parameters = {0};
    VGPUSessionReply reply;
    int r = vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_INFO, from, &parameters, sizeof(parameters),
                              NULL, 0, &reply);

    if (r != 0)
        return r;
    *ret_free = reply.value[0];
    *ret_total = reply.value[1];
    return 0;
}

/* ---- In the order of a stream -----------------------------------------------------------------
 */

static int post_free_async(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                           uint64_t address)
{
    const VGPUSessionMemory parameters = {.address = address, .stream = stream};

    return vgpu_session_post(s, VGPU_SESSION_OP_MEMORY_FREE_ASYNC, from, &parameters,
                             sizeof(parameters), NULL, 0);
}

int vgpu_session_memory_alloc_async(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                                    uint32_t pool, uint64_t size, uint64_t *ret_address)
{
    const VGPUSessionMemory parameters = {.size = size, .stream = stream, .pool = pool};
    VGPUSessionReply reply;
    int r;

    r = vgpu_session_call(s, VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC, from, &parameters,
                          sizeof(parameters), NULL, 0, &reply);
    if (r != 0)
        return r;
    r = client_claim_address(s, reply.value[0], size, context_of(from), 0);
    if (r != 0) {
        post_free_async(s, from, stream, reply.value[0]);
        return r;
    }
    *ret_address = reply.value[0];
    return 0;
}

int vgpu_session_memory_free_async(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                                   uint64_t address)
{
    client_disclaim_address(s, address);
    return post_free_async(s, from, stream, address);
}

/* ---- Of modules --------------------------------------------------------------------------------
 */

int vgpu_session_global_get(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                            const char *name, uint64_t *ret_address, uint64_t *ret_size)
{
    const size_t name_size = strlen(name) + 1;
    VGPUSessionName parameters = {.module = module};
    VGPUSessionReply reply;
    int r;

    if (name_size > VGPU_SESSION_NAME_MAX)
        return VGPU_CUDA_ERROR_NOT_FOUND;
    parameters.name_size = (uint32_t) name_size;
    r = vgpu_session_call(s, VGPU_SESSION_OP_GLOBAL_GET, from, &parameters, sizeof(parameters),
                          name, name_size, &reply);
    if (r != 0)
        return r;
    r = client_claim_address(s, reply.value[0], reply.value[1], context_of(from), module);
    if (r != 0)
        return r;
    *ret_address = reply.value[0];
    *ret_size = reply.value[1];
    return 0;
}
