/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module-memory.h"

/* What this process has of the device's memory; or, where nobody tells that, what all have. */
static CUresult module_memory_look(Session *s, uint64_t *ret)
{
    const CudaSessionDriver *driver = session_driver(s);
    size_t free_bytes, total;
    CUuuid uuid;
    CUresult result = driver->device_get_uuid(&uuid, session_device(s));

    if (result != CUDA_SUCCESS)
        return result;
    if (nvml_usage_get(&session_store(s)->usage, &uuid, ret))
        return CUDA_SUCCESS;
    result = driver->base.mem_get_info(&free_bytes, &total);
    if (result == CUDA_SUCCESS)
        *ret = total - free_bytes;
    return result;
}

CUresult module_memory_begin(Session *s, const SessionCall *call, const ImageFacts *facts,
                             ModuleMemory *ret)
{
    ModuleMemory m = {.known = facts->knows_memory};
    CUresult result;

    if (m.known) {
        m.charge = session_memory_rounded(facts->memory);
        result = session_charge(s, call, m.charge);
    } else {
        m.used = session_memory_used(&session_store(s)->memory);
        result = module_memory_look(s, &m.had);
    }
    if (result == CUDA_SUCCESS)
        *ret = m;
    return result;
}

void module_memory_abort(Session *s, const ModuleMemory *m)
{
    session_memory_settle(&session_store(s)->memory, m->charge, CUDA_ERROR_OUT_OF_MEMORY);
}

CUresult module_memory_end(Session *s, ModuleMemory *m, uint64_t *ret_charge)
{
    SessionMemory *memory = &session_store(s)->memory;
    uint64_t has, used, grown;
    CUresult result;

    if (!m->known) {
        result = module_memory_look(s, &has);
        if (result != CUDA_SUCCESS)
            return result;
        /* Less what the other thread has got for the session meanwhile, which is charged. */
        used = session_memory_used(memory);
        grown = has > m->had ? has - m->had : 0;
        if (used > m->used)
            grown = grown > used - m->used ? grown - (used - m->used) : 0;
        result = session_memory_charge(memory, grown);
        if (result != CUDA_SUCCESS)
            return result;
        m->charge = grown;
    }
    session_memory_settle(memory, m->charge, CUDA_SUCCESS);
    *ret_charge = m->charge;
    return CUDA_SUCCESS;
}
