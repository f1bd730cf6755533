/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an image names. The fake runs none of its code: a kernel of the image is the one in C that
 * has its name.
 *
 *   PTX        .entry names, and .global variables with their sizes
 *   cubin      an ELF file for CUDA: a section .text.NAME for each kernel
 *   fatbin     a container of such PTX and cubins. What is compressed is opaque: it has any
 *              kernel that is asked for.
 */
#ifndef FAKE_IMAGE_H
#define FAKE_IMAGE_H

#include "cuda-session.h"

typedef struct FakeGlobal {
    char *name;
    size_t size;
    bool is_managed;
    CUdeviceptr address; /* the module's */
} FakeGlobal;

typedef struct FakeImage {
    char **kernels;
    size_t n_kernels;
    FakeGlobal *globals;
    size_t n_globals;
    bool opaque;
} FakeImage;

/*
 * fake_image_read() - CUDA_SUCCESS, _INVALID_IMAGE for what is none, _INVALID_PTX for text that
 * does not compile, _NO_BINARY_FOR_GPU for a container with nothing for this device
 * @error_log: what the compiler says of bad text, at most @log_size bytes with the 0
 */
CUresult fake_image_read(const void *image, FakeImage *ret, char *error_log, size_t log_size);
void fake_image_clear(FakeImage *image);
bool fake_image_has_kernel(const FakeImage *image, const char *name);

/* fake_image_next_text() - @at: 0, and then as it was left; of a container, the PTX that is not
 * compressed, one after another. Returns NULL behind the last */
const char *fake_image_next_text(const void *container, uint64_t *at);

/* fake_ptx_read() - from text (fake-ptx.c) */
CUresult fake_ptx_read(const char *text, size_t size, FakeImage *image, char *error_log,
                       size_t log_size);
void fake_image_add_kernel(FakeImage *image, const char *name, size_t length);
FakeGlobal *fake_image_add_global(FakeImage *image, const char *name, size_t length, size_t size);

#endif
