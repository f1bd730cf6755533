/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that sessions of one VM share. The mediator keeps what the driver needs for it, and gives
 * it out for a token: so no guest names a handle of the driver's, which could be anybody's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "session-share.h"
#include "session-store.h"

static CUresult share_result(int r, CUresult unknown_token)
{
    switch (r) {
    case 0:
        return CUDA_SUCCESS;
    case -ENOENT:
        return unknown_token;
    default:
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
}

static void share_tell(SessionCall *call, const uint64_t token[2], uint64_t size)
{
    call->value[0] = token[0];
    call->value[1] = token[1];
    call->value[2] = size;
}

/* ---- Allocated memory -------------------------------------------------------------------------
 */

CUresult session_op_SHARE_MEMORY(Session *s, SessionCall *call)
{
    const VGPUSessionShare *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    SessionShareMessage question = {.type = SESSION_MSG_SHARE, .kind = SESSION_SHARE_MEMORY};
    SessionShareMessage answer;
    CUipcMemHandle handle;
    uint64_t token[2];
    CUresult result;
    CLEANUP_CLOSE int fd = -1;

    if (p->flags != 0 || !session_memory_get_token(memory, p->address, &question.size, token))
        return CUDA_ERROR_INVALID_VALUE;
    if (token[0] != 0 || token[1] != 0) {
        share_tell(call, token, question.size);
        return CUDA_SUCCESS;
    }
    result = session_driver(s)->ipc_get_mem_handle(&handle, p->address);
    if (result != CUDA_SUCCESS)
        return result;
    memcpy(question.handle, handle.bytes, sizeof(question.handle));
    result =
        share_result(session_share_ask(s, &question, -1, &answer, &fd), CUDA_ERROR_INVALID_VALUE);
    if (result != CUDA_SUCCESS)
        return result;
    /* The ring's thread may have freed it in the order of a stream. */
    if (!session_memory_set_token(memory, p->address, answer.token)) {
        session_share_end(s, answer.token);
        return CUDA_ERROR_INVALID_VALUE;
    }
    share_tell(call, answer.token, question.size);
    return CUDA_SUCCESS;
}

/* It is open: as one more of those that were taken before, or as a new range. */
static CUresult taken_add(Session *s, const SessionCall *call, CUdeviceptr address, uint64_t size)
{
    SessionMemory *memory = &session_store(s)->memory;
    SessionRange *range;
    CUresult result;

    if (session_memory_take_again(memory, address))
        return CUDA_SUCCESS;
    result = session_prepare(s, call, SESSION_RANGE_TAKEN, size, &range);
    if (result != CUDA_SUCCESS)
        return result;
    range->n_taken = 1;
    if (session_memory_insert(memory, range, address))
        return CUDA_SUCCESS;
    session_memory_drop(memory, range);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult session_op_TAKE_MEMORY(Session *s, SessionCall *call)
{
    const VGPUSessionShare *p = call->parameters;
    const SessionShareMessage question = {
        .type = SESSION_MSG_TAKE,
        .kind = SESSION_SHARE_MEMORY,
        .token = {p->token[0], p->token[1]},
    };
    SessionShareMessage answer;
    CUipcMemHandle handle;
    CUdeviceptr address;
    CUresult result;
    CLEANUP_CLOSE int fd = -1;

    if (p->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result =
        share_result(session_share_ask(s, &question, -1, &answer, &fd), CUDA_ERROR_INVALID_HANDLE);
    if (result != CUDA_SUCCESS)
        return result;
    memcpy(handle.bytes, answer.handle, sizeof(handle.bytes));
    /* Takes no memory of the device: that is charged below. */
    result = session_driver(s)->ipc_open_mem_handle(&address, handle,
                                                    CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    if (result != CUDA_SUCCESS)
        return result;
    result = taken_add(s, call, address, answer.size);
    if (result != CUDA_SUCCESS) {
        (void) session_driver(s)->ipc_close_mem_handle(address);
        return result;
    }
    call->value[0] = address;
    call->value[1] = answer.size;
    return CUDA_SUCCESS;
}

CUresult session_op_TAKEN_FREE(Session *s, SessionCall *call)
{
    const VGPUSessionShare *p = call->parameters;
    SessionMemory *memory = &session_store(s)->memory;
    SessionRange *range = session_memory_take(memory, SESSION_RANGE_TAKEN, p->address);
    CUresult result;

    if (!range)
        return CUDA_ERROR_INVALID_VALUE;
    result = session_driver(s)->ipc_close_mem_handle(p->address);
    if (result == CUDA_SUCCESS)
        range->n_taken--;
    if (range->n_taken == 0 || !session_memory_insert(memory, range, range->address))
        session_memory_drop(memory, range);
    return result;
}

/* ---- Physical memory --------------------------------------------------------------------------
 */

/* Finds it, and keeps it until share_let_go(). */
static CUresult share_hold(Session *s, uint32_t id, SessionPhysical **ret, int *ret_fd)
{
    SessionStore *store = session_store(s);
    SessionPhysical *physical;
    CUresult result;
    void *object;

    pthread_mutex_lock(&store->physicals_lock);
    result = session_find(s, SESSION_PHYSICAL, id, &object);
    if (result == CUDA_SUCCESS) {
        physical = object;
        result = !physical->is_shareable ? CUDA_ERROR_INVALID_VALUE
                 : physical->token[0] != 0 || physical->token[1] != 0
                     ? CUDA_SUCCESS
                     : session_driver(s)->mem_export(ret_fd, physical->handle,
                                                     CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
    }
    if (result == CUDA_SUCCESS) {
        physical->n_held++;
        *ret = physical;
    }
    pthread_mutex_unlock(&store->physicals_lock);
    return result;
}

static void share_let_go(Session *s, SessionPhysical *physical, const uint64_t token[2])
{
    SessionStore *store = session_store(s);

    pthread_mutex_lock(&store->physicals_lock);
    memcpy(physical->token, token, sizeof(physical->token));
    physical->n_held--;
    session_physical_settle(s, physical);
    pthread_mutex_unlock(&store->physicals_lock);
}

CUresult session_op_SHARE_PHYSICAL(Session *s, SessionCall *call)
{
    const VGPUSessionShare *p = call->parameters;
    SessionShareMessage question = {.type = SESSION_MSG_SHARE, .kind = SESSION_SHARE_PHYSICAL};
    SessionShareMessage answer = {0};
    CLEANUP_CLOSE int fd = -1;
    SessionPhysical *physical;
    CUresult result;
    CLEANUP_CLOSE int none = -1;

    if (p->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result = share_hold(s, p->id, &physical, &fd);
    if (result != CUDA_SUCCESS)
        return result;
    question.size = physical->size;
    if (fd >= 0)
        result = share_result(session_share_ask(s, &question, fd, &answer, &none),
                              CUDA_ERROR_INVALID_VALUE);
    else
        memcpy(answer.token, physical->token, sizeof(answer.token));
    share_let_go(s, physical, answer.token);
    if (result == CUDA_SUCCESS)
        share_tell(call, answer.token, question.size);
    return result;
}

static CUresult taken_import(Session *s, uint32_t id, int fd, uint64_t size, uint64_t *ret_flags)
{
    const CudaSessionDriver *driver = session_driver(s);
    CUmemGenericAllocationHandle handle;
    CUresult result;

    result = driver->mem_import(&handle, (void *) (intptr_t) fd,
                                CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    if (result != CUDA_SUCCESS)
        return result;
    *ret_flags = session_physical_flags(s, handle);
    result = session_physical_add(s, id, handle, size, true);
    if (result != CUDA_SUCCESS)
        (void) driver->mem_release(handle);
    return result;
}

CUresult session_op_TAKE_PHYSICAL(Session *s, SessionCall *call)
{
    const VGPUSessionShare *p = call->parameters;
    const SessionShareMessage question = {
        .type = SESSION_MSG_TAKE,
        .kind = SESSION_SHARE_PHYSICAL,
        .token = {p->token[0], p->token[1]},
    };
    SessionMemory *memory = &session_store(s)->memory;
    SessionShareMessage answer;
    CLEANUP_CLOSE int fd = -1;
    CUresult result;

    if (p->flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    result =
        share_result(session_share_ask(s, &question, -1, &answer, &fd), CUDA_ERROR_INVALID_HANDLE);
    if (result != CUDA_SUCCESS)
        return result;
    if (fd < 0 || answer.size == 0)
        return CUDA_ERROR_INVALID_HANDLE;
    result = session_charge(s, call, answer.size);
    if (result != CUDA_SUCCESS)
        return result;
    result = taken_import(s, p->id, fd, answer.size, &call->value[2]);
    session_memory_settle(memory, answer.size, result);
    if (result == CUDA_SUCCESS)
        call->value[1] = answer.size;
    return result;
}
