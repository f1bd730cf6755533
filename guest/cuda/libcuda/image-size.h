/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long an image is that a program gives by its address alone. */
#ifndef VGPU_LIBCUDA_IMAGE_SIZE_H
#define VGPU_LIBCUDA_IMAGE_SIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "cuda-api.h"

/*
 * image_find() - the bytes of an image: a cubin, PTX text, a fatbin container, or the wrapper by
 * which a program's own container is registered
 * @ret: where they begin; the wrapper points elsewhere
 *
 * Returns how many there are, with the 0 behind PTX; 0 for what is none of these. The format is
 * public in what fatbinary and cuobjdump print, and in ELF.
 */
size_t image_find(const void *image, const void **ret);

/*
 * image_parts() - what a program's own container was to be linked of
 * @image: as for image_find()
 *
 * Code that is compiled in parts has a container for each. The compiler links the cubins among them
 * into the program's own; what is there only as PTX, the driver links. Returns the parts'
 * containers, with a NULL behind the last, or NULL where there are none.
 */
const void *const *image_parts(const void *image);

/* image_parts_count() - returns how many there are; -1: one of them is no container, or there is no
 * end */
int image_parts_count(const void *const *parts);

/* image_is_empty() - is an image of these bytes a container without anything in it? */
bool image_is_empty(size_t size);

/* image_read() - a file of this machine, with a 0 behind it. The caller frees @ret. Returns
 * CUDA_SUCCESS, _FILE_NOT_FOUND, _INVALID_IMAGE (empty), or _OUT_OF_MEMORY */
CUresult image_read(const char *path, void **ret, size_t *ret_size);

#endif
