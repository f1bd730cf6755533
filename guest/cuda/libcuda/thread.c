/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each thread has of its own: a stack of contexts, a mode for captures, and its default
 * streams. */
#include <stdlib.h>

#include "libcuda.h"

__thread LibThread libcuda_thread;

static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

/* The thread ends. Work in its default streams goes on. In a child of the process, their locks may
 * be taken for ever: they are left alone. */
static void thread_end(void *data)
{
    LibThread *t = data;
    vgpu_session *s = __atomic_load_n(&libcuda_process.session, __ATOMIC_ACQUIRE);
    LibStream *stream;

    while (s && (stream = LIST_FIRST(&t->streams))) {
        LIST_REMOVE(stream, of_thread);
        libcuda_stream_let_go(s, stream);
    }
    free(t->stack);
    *t = (LibThread){0};
}

static void thread_make_key(void)
{
    (void) pthread_key_create(&thread_key, thread_end);
}

static void thread_know(LibThread *t)
{
    if (t->is_known)
        return;
    pthread_once(&thread_once, thread_make_key);
    t->is_known = pthread_setspecific(thread_key, t) == 0;
}

CUresult libcuda_thread_push(LibContext *context)
{
    LibThread *t = &libcuda_thread;

    if (t->depth == t->room) {
        unsigned room = t->room == 0 ? 8 : 2 * t->room;
        LibContext **stack = realloc(t->stack, room * sizeof(*stack)); /* NOLINT: of pointers */

        if (!stack)
            return CUDA_ERROR_OUT_OF_MEMORY;
        t->stack = stack;
        t->room = room;
        thread_know(t);
    }
    t->stack[t->depth++] = context;
    return CUDA_SUCCESS;
}

LibContext *libcuda_thread_pop(void)
{
    LibThread *t = &libcuda_thread;

    return t->depth > 0 ? t->stack[--t->depth] : NULL;
}

CUresult libcuda_thread_set(LibContext *context)
{
    LibThread *t = &libcuda_thread;

    if (!context) {
        (void) libcuda_thread_pop();
        return CUDA_SUCCESS;
    }
    if (t->depth == 0)
        return libcuda_thread_push(context);
    t->stack[t->depth - 1] = context;
    return CUDA_SUCCESS;
}

CUresult cuThreadExchangeStreamCaptureMode(int *mode)
{
    LibThread *t = &libcuda_thread;
    const int wanted = mode ? *mode : -1;

    if (wanted < 0 || wanted > 2)
        return CUDA_ERROR_INVALID_VALUE;
    *mode = t->capture_mode;
    t->capture_mode = (uint8_t) wanted;
    return CUDA_SUCCESS;
}
