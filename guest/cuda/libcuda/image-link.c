/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs whose code was compiled in parts. The driver links what the compiler could not, when the
 * program is loaded; here the executor's linker does, once for all contexts.
 */
#include <stdlib.h>
#include <string.h>

#include "image-size.h"
#include "module.h"

/* CUjitInputType */
enum { LINK_CONTAINER = 2 };

/* ---- Copies ------------------------------------------------------------------------------------
 */

void image_parts_free(const void *const *parts)
{
    for (size_t i = 0; parts && parts[i]; i++)
        free((void *) parts[i]);
    free((void *) parts);
}

const void *const *image_parts_copy(const void *const *parts)
{
    const int n = image_parts_count(parts);
    const void *part;
    void **copies = n < 0 ? NULL : calloc((size_t) n + 1, sizeof(*copies));

    for (int i = 0; copies && i < n; i++) {
        const size_t size = image_find(parts[i], &part);

        copies[i] = malloc(size);
        if (!copies[i]) {
            image_parts_free((const void *const *) copies);
            return NULL;
        }
        memcpy(copies[i], part, size);
    }
    return (const void *const *) copies;
}

/* ---- Linking -----------------------------------------------------------------------------------
 */

/* The key of what is linked is the executor's own: these bytes are not sent. */
static CUresult parts_complete(const LibCall *call, uint32_t link, ModuleOptions *options,
                               LibImage *image)
{
    void *cubin;
    size_t size;
    CUresult r =
        vgpu_session_link_complete(call->session, &call->from, link, &options->logs, &cubin, &size);

    if (r != CUDA_SUCCESS)
        return r;
    r = vgpu_session_image_offer(call->session, cubin, size, image->key);
    free(cubin);
    if (r != CUDA_SUCCESS)
        return r;
    image->size = size;
    image->bytes = NULL;
    image->parts = NULL;
    return CUDA_SUCCESS;
}

/* A part with nothing in it is one that only the host has code of. */
static CUresult parts_add(const LibCall *call, uint32_t link, ModuleOptions *options,
                          const void *const *parts)
{
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; r == CUDA_SUCCESS && parts[i]; i++) {
        const void *part;
        const size_t size = image_find(parts[i], &part);

        if (!image_is_empty(size))
            r = vgpu_session_link_add(call->session, &call->from, link, LINK_CONTAINER, part, size,
                                      NULL, NULL, &options->logs);
    }
    return r;
}

CUresult image_link(const LibCall *call, LibImage *image, ModuleOptions *options)
{
    const VGPUSessionLink numbers = module_options_link(options);
    const int n = image_parts_count(image->parts);
    uint32_t link;
    CUresult r;

    if (n <= 0)
        return n < 0 ? CUDA_ERROR_INVALID_IMAGE : CUDA_ERROR_NO_BINARY_FOR_GPU;
    r = vgpu_session_link_create(call->session, &call->from, &numbers, &options->logs, &link);
    if (r != CUDA_SUCCESS)
        return r;
    r = parts_add(call, link, options, image->parts);
    if (r == CUDA_SUCCESS)
        r = parts_complete(call, link, options, image);
    (void) vgpu_session_link_destroy(call->session, &call->from, link);
    if (r != CUDA_SUCCESS)
        libcuda_log("a program of %d parts is not linked: %d", n, r);
    return r;
}
