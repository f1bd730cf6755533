/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of boxes, for the functions that take them in several forms. */
#ifndef VGPU_LIBCUDA_COPY_BOX_H
#define VGPU_LIBCUDA_COPY_BOX_H

#include "libcuda.h"

/* CUmemorytype */
enum {
    COPY_BOX_HOST = 1,
    COPY_BOX_DEVICE = 2,
    COPY_BOX_ARRAY = 3,
    COPY_BOX_UNIFIED = 4,
};

typedef struct CopyBoxEnd {
    int type;
    void *host;
    CUdeviceptr device;
    CUarray array;
    uint64_t x_bytes, y, z;
    uint64_t pitch, height; /* 0: as wide and high as the box; an array has its own */
} CopyBoxEnd;

typedef struct CopyBox {
    CopyBoxEnd to, from;
    uint64_t width; /* bytes */
    uint64_t height, depth;
} CopyBox;

/* libcuda_copy_box() - @is_async: as the function's name says */
CUresult libcuda_copy_box(const CopyBox *box, CUstream stream, bool is_async);

/* libcuda_copy_box_check() - would that copy be refused now? */
CUresult libcuda_copy_box_check(const CopyBox *box, CUstream stream);

#endif
