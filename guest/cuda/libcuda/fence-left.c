/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "libcuda.h"

typedef struct LeftFence {
    SLIST_ENTRY(LeftFence) link;
    const LibContext *context;
    vgpu_session_fence *fence;
    uint64_t number, id;
    unsigned n_waiting;
} LeftFence;

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static SLIST_HEAD(, LeftFence) left_fences = SLIST_HEAD_INITIALIZER(left_fences);

/* Under the lock. */
static void left_sweep(vgpu_session *s)
{
    LeftFence **at = &SLIST_FIRST(&left_fences), *left;

    while ((left = *at)) {
        if (left->n_waiting > 0 || !vgpu_session_fence_is_passed(left->fence, left->number)) {
            at = &SLIST_NEXT(left, link);
            continue;
        }
        *at = SLIST_NEXT(left, link);
        vgpu_session_fence_free(s, left->fence);
        free(left);
    }
}

CUresult libcuda_fences_wait(const LibCall *call)
{
    const uint64_t now = libcuda_next_id();
    CUresult r = CUDA_SUCCESS;
    LeftFence *left;

    pthread_mutex_lock(&left_lock);
    while (r == CUDA_SUCCESS) {
        SLIST_FOREACH(left, &left_fences, link)
        if (left->context == call->context && left->id < now &&
            !vgpu_session_fence_is_passed(left->fence, left->number))
            break;
        if (!left)
            break;
        left->n_waiting++;
        pthread_mutex_unlock(&left_lock);
        r = vgpu_session_fence_wait_left(call->session, &call->from, left->fence, left->number);
        pthread_mutex_lock(&left_lock);
        left->n_waiting--;
    }
    pthread_mutex_unlock(&left_lock);
    return r;
}

void libcuda_fence_leave(vgpu_session *s, const LibContext *context, vgpu_session_fence *fence,
                         uint64_t number)
{
    LeftFence *left;

    if (!fence || vgpu_session_fence_is_passed(fence, number)) {
        vgpu_session_fence_free(s, fence);
        return;
    }
    left = calloc(1, sizeof(*left));
    if (!left) /* its word stays in use until the process ends */
        return;
    left->fence = fence;
    left->number = number;
    left->context = context;
    left->id = libcuda_next_id();
    pthread_mutex_lock(&left_lock);
    left_sweep(s);
    SLIST_INSERT_HEAD(&left_fences, left, link);
    pthread_mutex_unlock(&left_lock);
}
