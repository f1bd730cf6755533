/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What copies and sets in streams have in common with those in graphs (op-copy.c) */
#ifndef VGPU_SESSION_SESSION_COPY_H
#define VGPU_SESSION_SESSION_COPY_H

#include "session.h"

/* A copy of a box, as the driver is told */
typedef struct SessionBox {
    CudaCopy3D copy;
    bool is_empty; /* of no bytes: the rest says nothing */
    bool from_window, to_window;
} SessionBox;

/* session_copy_check() - may the guest copy that? Returns CUDA_SUCCESS, _INVALID_VALUE, or
 * _NOT_SUPPORTED */
CUresult session_copy_check(Session *s, const VGPUSessionCopy3D *p, SessionBox *ret);

/* session_set_check() - may it set that? Returns CUDA_SUCCESS or _INVALID_VALUE */
CUresult session_set_check(Session *s, const VGPUSessionSet *p, bool *ret_is_empty);

#endif
