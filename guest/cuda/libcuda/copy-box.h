/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of boxes, for the functions that take them in several forms. */
#ifndef VGPU_LIBCUDA_COPY_BOX_H
#define VGPU_LIBCUDA_COPY_BOX_H

#include "libcuda.h"

typedef struct CopyBoxEnd {
    int type; /* CUmemorytype */
    void *host;
    CUdeviceptr device;
    CUarray array;
    uint64_t x_bytes, y, z;
    uint64_t pitch, height; /* 0: as wide and high as the box */
} CopyBoxEnd;

typedef struct CopyBox {
    CopyBoxEnd to, from;
    uint64_t width; /* bytes */
    uint64_t height, depth;
} CopyBox;

/* libcuda_copy_box() - @is_async: as the function's name says */
CUresult libcuda_copy_box(const CopyBox *box, CUstream stream, bool is_async);

#endif
