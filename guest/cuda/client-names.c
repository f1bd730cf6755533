/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names of kernels, which the host writes into the window. */
#include <stdlib.h>
#include <string.h>

#include "client-internal.h"

#define NAMES_FIRST ((size_t) 16 << 10)
#define NAMES_MAX ((size_t) 64 << 20)

/* What the host wrote, copied once: @n names, and nothing behind them. */
static bool names_are_valid(const char *names, size_t size, uint64_t n)
{
    uint64_t ends = 0;

    for (size_t i = 0; i < size; i++)
        ends += names[i] == '\0';
    return ends == n && n <= UINT32_MAX && (size == 0 || names[size - 1] == '\0');
}

/* @size: room; becomes what the names need. Returns 0 also when that is more: then @ret is NULL. */
static int names_ask(vgpu_session *s, const vgpu_session_from *from, uint32_t module, size_t *size,
                     char **ret, uint64_t *ret_n)
{
    VGPUSessionName parameters = {.module = module};
    const size_t room = *size;
    VGPUSessionReply reply;
    void *into;
    int r = vgpu_session_window_alloc(s, room, 0, &into);

    if (r != 0)
        return r;
    *ret = NULL;
    (void) vgpu_session_window_bytes(s, into, room, &parameters.into);
    r = vgpu_session_call(s, VGPU_SESSION_OP_FUNCTION_NAMES, from, &parameters, sizeof(parameters),
                          NULL, 0, &reply);
    if (r == 0) {
        *size = reply.value[1] <= NAMES_MAX ? (size_t) reply.value[1] : NAMES_MAX + 1;
        *ret_n = reply.value[0];
    }
    if (r == 0 && *size > 0 && *size <= room) {
        *ret = malloc(*size);
        if (*ret)
            memcpy(*ret, into, *size);
        else
            r = VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (client_usable(s) == 0)
        vgpu_session_window_free(s, into);
    return r;
}

int vgpu_session_function_names(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                                char **ret, uint32_t *ret_n)
{
    size_t size = NAMES_FIRST;
    char *names = NULL;
    uint64_t n = 0;
    int r = names_ask(s, from, module, &size, &names, &n);

    if (r == 0 && !names && size > NAMES_FIRST && size <= NAMES_MAX)
        r = names_ask(s, from, module, &size, &names, &n);
    if (r != 0)
        return r;
    if ((!names && size > 0) || !names_are_valid(names, size, n)) {
        free(names);
        return VGPU_CUDA_ERROR_UNKNOWN;
    }
    *ret = names;
    *ret_n = (uint32_t) n;
    return 0;
}
