/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "libcuda.h"

typedef struct LeftFence {
    SLIST_ENTRY(LeftFence) link;
    vgpu_session_fence *fence;
    uint64_t number;
} LeftFence;

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static SLIST_HEAD(, LeftFence) left_fences = SLIST_HEAD_INITIALIZER(left_fences);

/* Under the lock. */
static void left_sweep(vgpu_session *s)
{
    LeftFence **at = &SLIST_FIRST(&left_fences), *left;

    while ((left = *at)) {
        if (!vgpu_session_fence_is_passed(left->fence, left->number)) {
            at = &SLIST_NEXT(left, link);
            continue;
        }
        *at = SLIST_NEXT(left, link);
        vgpu_session_fence_free(s, left->fence);
        free(left);
    }
}

void libcuda_fence_leave(vgpu_session *s, vgpu_session_fence *fence, uint64_t number)
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
    pthread_mutex_lock(&left_lock);
    left_sweep(s);
    SLIST_INSERT_HEAD(&left_fences, left, link);
    pthread_mutex_unlock(&left_lock);
}
