/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kernels have printed. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client-internal.h"

#define ROOM 65536u

/* One question. @copy has as much room as the window's piece; the host may change that meanwhile.
 */
static int output_ask(vgpu_session *s, const vgpu_session_from *from,
                      const VGPUSessionOutput *parameters, const void *into, char *copy,
                      VGPUSessionReply *ret)
{
    int r = vgpu_session_call(s, VGPU_SESSION_OP_OUTPUT, from, parameters, sizeof(*parameters),
                              NULL, 0, ret);

    if (r != 0)
        return r;
    if (ret->value[0] > ROOM || ret->value[1] > ROOM - ret->value[0])
        return VGPU_CUDA_ERROR_UNKNOWN;
    memcpy(copy, into, (size_t) (ret->value[0] + ret->value[1]));
    return 0;
}

int vgpu_session_output(vgpu_session *s, const vgpu_session_from *from, vgpu_session_text *take,
                        void *userdata)
{
    CLEANUP_FREE char *copy = malloc(ROOM);
    VGPUSessionOutput parameters;
    VGPUSessionReply reply;
    void *into;
    int r;

    if (!copy)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    r = vgpu_session_window_alloc(s, ROOM, 0, &into);
    if (r != 0)
        return r;
    (void) vgpu_session_window_bytes(s, into, ROOM, &parameters.into);
    do {
        r = output_ask(s, from, &parameters, into, copy, &reply);
        if (r == 0 && reply.value[0] > 0)
            take(userdata, false, copy, (size_t) reply.value[0]);
        if (r == 0 && reply.value[1] > 0)
            take(userdata, true, copy + reply.value[0], (size_t) reply.value[1]);
    } while (r == 0 && reply.value[2] == 1 && reply.value[0] + reply.value[1] > 0);
    if (client_usable(s) == 0)
        vgpu_session_window_free(s, into);
    return r;
}
