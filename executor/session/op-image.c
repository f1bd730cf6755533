/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-store.h"

CUresult session_op_IMAGE_BEGIN(Session *s, SessionCall *call)
{
    const VGPUSessionImage *p = call->parameters;
    bool whole;
    CUresult result = session_images_begin(&session_store(s)->images, p->key, p->size, &whole);

    if (result == CUDA_SUCCESS)
        call->value[0] = whole;
    return result;
}

CUresult session_op_IMAGE_PIECE(Session *s, SessionCall *call)
{
    const VGPUSessionImage *p = call->parameters;
    const unsigned char *piece = session_window(s, p->piece.offset, p->piece.size);

    if (!piece)
        return CUDA_ERROR_INVALID_VALUE;
    return session_images_put(&session_store(s)->images, p->key, p->size, p->at, piece,
                              p->piece.size);
}
