/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A COPY_3D, checked: for the operation itself, and for nodes of graphs. */
#ifndef VGPU_SESSION_SESSION_COPY_H
#define VGPU_SESSION_SESSION_COPY_H

#include "session.h"

typedef struct SessionBox {
    CudaCopy3D copy;
    bool is_empty; /* no bytes; @copy says nothing */
    bool from_window, to_window;
} SessionBox;

/*
 * session_box_prepare() - check what a guest wants to have copied, and make it the driver's
 * @context: whose arrays may be named
 *
 * Where an end is an array, the caller holds the lock of session-arrays.h from before until the
 * driver has taken the copy. Returns CUDA_SUCCESS, _INVALID_VALUE, or _INVALID_HANDLE for an array
 * that is none.
 */
CUresult session_box_prepare(Session *s, uint32_t context, const VGPUSessionCopy3D *p,
                             SessionBox *ret);

#endif
