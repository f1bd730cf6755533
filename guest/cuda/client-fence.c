/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fences: a stream's work ends in numbers that the device writes into the window. */
#include <stdlib.h>

#include "client-internal.h"

static uint64_t offset_of(const vgpu_session *s, const void *memory)
{
    return (uint64_t) ((const uint8_t *) memory - s->transport->window);
}

/* Numbers are given under the ring's lock: they rise in the order of the ring. */
int client_put_fence(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                     vgpu_session_fence *fence, uint32_t reply, uint64_t *ret_number)
{
    const VGPUSessionFence parameters = {
        .stream = stream,
        .offset = offset_of(s, fence->word),
        .value = fence->last + 1,
    };
    int r = client_put(s, VGPU_SESSION_OP_FENCE, from, reply, &parameters, sizeof(parameters));

    if (r == 0)
        *ret_number = ++fence->last;
    return r;
}

int vgpu_session_fence_post(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                            vgpu_session_fence *fence, uint64_t *ret_number)
{
    int r = client_enter(s);

    if (r != 0)
        return r;
    r = client_put_fence(s, from, stream, fence, 0, ret_number);
    client_leave(s);
    return r;
}

int vgpu_session_fence_put(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                           vgpu_session_fence *fence, uint64_t *ret_number)
{
    uint64_t number;
    uint32_t slot;
    int r = client_start_fence(s, from, stream, fence, &slot, &number);

    if (r == 0)
        r = vgpu_session_finish(s, slot, NULL);
    if (r == 0)
        *ret_number = number;
    return r;
}

bool vgpu_session_fence_is_passed(const vgpu_session_fence *fence, uint64_t number)
{
    return (int64_t) (__atomic_load_n(fence->word, __ATOMIC_ACQUIRE) - number) >= 0;
}

bool vgpu_session_fence_is_idle(const vgpu_session_fence *fence, uint64_t number)
{
    const uint64_t asked = __atomic_load_n(&fence->asked, __ATOMIC_RELAXED);

    return vgpu_session_fence_is_passed(fence, asked > number ? asked : number);
}

/* The number may never come: the host refuses a fence that nobody waits for yet, as in a stream
 * that is dead, or during somebody's capture, and the error has been told already. So whoever
 * sleeps puts a later number there, and the wake behind it. Both have replies. */
static int fence_ask(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                     vgpu_session_fence *fence)
{
    const VGPUSessionFence wake = {.stream = stream};
    uint64_t number, asked;
    uint32_t slot;
    int r = client_start_fence(s, from, stream, fence, &slot, &number), r2;

    if (r != 0)
        return r;
    r2 = client_call_silently(s, VGPU_SESSION_OP_WAKE, from, &wake, sizeof(wake), NULL, 0, NULL);
    r = client_finish_silently(s, slot, NULL);
    asked = __atomic_load_n(&fence->asked, __ATOMIC_RELAXED);
    while (r == 0 && asked < number &&
           !__atomic_compare_exchange_n(&fence->asked, &asked, number, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        continue;
    return r != 0 ? r : r2;
}

int client_fence_wait(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                      vgpu_session_fence *fence, uint64_t number)
{
    client_waiter w = {.word = fence->word, .number = number};
    int r;

    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return VGPU_CUDA_ERROR_NOT_INITIALIZED;
    if (client_wait_spin(s, &w))
        return 0;
    r = fence_ask(s, from, stream, fence);
    return r == 0 || vgpu_session_fence_is_passed(fence, number) ? client_wait_sleep(s, &w) : r;
}

int vgpu_session_fence_wait(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                            vgpu_session_fence *fence, uint64_t number)
{
    int r = client_fence_wait(s, from, stream, fence, number);

    if (r == 0)
        client_output(s, from);
    else
        client_output_end(s);
    return r;
}

/* No WAKE can be put into its stream: whoever leads looks from time to time. */
int vgpu_session_fence_wait_left(vgpu_session *s, const vgpu_session_from *from,
                                 vgpu_session_fence *fence, uint64_t number)
{
    client_waiter w = {.word = fence->word, .number = number};
    int r;

    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return VGPU_CUDA_ERROR_NOT_INITIALIZED;
    r = client_wait_spin(s, &w) ? 0 : client_wait_sleep(s, &w);
    if (r == 0)
        client_output(s, from);
    else
        client_output_end(s);
    return r;
}

/* ---- Words ------------------------------------------------------------------------ */

/* Words of fences lie together, in pieces of the window, each in a cache line of its own: the
 * device writes one while the program looks at another. */
#define LINE 64u
#define WORDS 64u

/* With memory_lock held */
static int note_words(vgpu_session *s, uint64_t offset)
{
    uint32_t *more = realloc(s->fence_free, (s->n_fence_words + WORDS) * sizeof(*more));

    if (!more)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    s->fence_free = more;
    for (uint32_t i = 0; i < WORDS; i++)
        s->fence_free[s->n_fence_free++] = (uint32_t) ((offset + i * LINE) / LINE);
    s->n_fence_words += WORDS;
    return 0;
}

/* The pieces stay until the session ends. */
static int add_words(vgpu_session *s)
{
    void *piece;
    int r = vgpu_session_window_alloc(s, WORDS * LINE, LINE, &piece);

    if (r != 0)
        return r;
    pthread_mutex_lock(&s->memory_lock);
    r = note_words(s, offset_of(s, piece));
    pthread_mutex_unlock(&s->memory_lock);
    if (r != 0)
        (void) vgpu_session_window_free(s, piece);
    return r;
}

/* With memory_lock held: the lines of fences that the device has written last */
static void sweep_owed(vgpu_session *s)
{
    vgpu_session_fence **at = &SLIST_FIRST(&s->fence_owed), *fence;

    while ((fence = *at)) {
        if (!vgpu_session_fence_is_idle(fence, 0)) {
            at = &SLIST_NEXT(fence, link);
            continue;
        }
        *at = SLIST_NEXT(fence, link);
        s->fence_free[s->n_fence_free++] = (uint32_t) (offset_of(s, fence->word) / LINE);
        free(fence);
    }
}

/* Another thread may take the words that this one has added. */
int client_line_take(vgpu_session *s, uint64_t **ret)
{
    bool taken;
    int r = 0;

    do {
        pthread_mutex_lock(&s->memory_lock);
        sweep_owed(s);
        taken = s->n_fence_free > 0;
        if (taken)
            *ret = (uint64_t *) (s->transport->window +
                                 (uint64_t) s->fence_free[--s->n_fence_free] * LINE);
        pthread_mutex_unlock(&s->memory_lock);
        if (!taken)
            r = add_words(s);
    } while (!taken && r == 0);
    return r;
}

void client_line_give(vgpu_session *s, const uint64_t *line)
{
    pthread_mutex_lock(&s->memory_lock);
    s->fence_free[s->n_fence_free++] =
        (uint32_t) ((uint64_t) ((const uint8_t *) line - s->transport->window) / LINE);
    pthread_mutex_unlock(&s->memory_lock);
}

int vgpu_session_fence_new(vgpu_session *s, vgpu_session_fence **ret)
{
    vgpu_session_fence *fence;
    int r = client_usable(s);

    if (r != 0)
        return r;
    fence = calloc(1, sizeof(*fence));
    if (!fence)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    r = client_line_take(s, &fence->word);
    if (r != 0) {
        free(fence);
        return r;
    }
    __atomic_store_n(fence->word, 0, __ATOMIC_RELAXED);
    *ret = fence;
    return 0;
}

void client_fence_abandon(vgpu_session_fence *fence)
{
    free(fence);
}

vgpu_session_fence *vgpu_session_fence_free(vgpu_session *s, vgpu_session_fence *fence)
{
    if (!fence)
        return NULL;

    /* What fence_ask() has put there may stand behind other work. */
    if (!vgpu_session_fence_is_idle(fence, 0)) {
        pthread_mutex_lock(&s->memory_lock);
        SLIST_INSERT_HEAD(&s->fence_owed, fence, link);
        pthread_mutex_unlock(&s->memory_lock);
        return NULL;
    }
    client_line_give(s, fence->word);
    free(fence);
    return NULL;
}
