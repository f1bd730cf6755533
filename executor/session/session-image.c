/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-image.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "image-check.h"

static int image_compare(const void *a, const void *b)
{
    return memcmp(((const SessionImage *) a)->key, ((const SessionImage *) b)->key,
                  SESSION_IMAGE_KEY_SIZE);
}

static void image_free(void *p)
{
    SessionImage *image = p;

    free(image->data);
    free(image);
}

/* The caller holds the lock. */
static SessionImage *images_look_up(const SessionImages *images, const uint8_t *key)
{
    SessionImage wanted, **found;

    memcpy(wanted.key, key, SESSION_IMAGE_KEY_SIZE);
    found = tfind(&wanted, &images->tree, image_compare);
    return found ? *found : NULL;
}

static void images_count(SessionImages *images, int by, uint64_t size)
{
    images->n += (uint32_t) by;
    images->size = by > 0 ? images->size + size : images->size - size;
    __atomic_store_n(&images->control->images, images->size, __ATOMIC_RELAXED);
}

static void images_remove(SessionImages *images, SessionImage *image)
{
    tdelete(image, &images->tree, image_compare);
    images_count(images, -1, image->size);
    image_free(image);
}

static bool images_have_room(const SessionImages *images, uint64_t size)
{
    return images->n < images->n_max && size <= images->max - images->size;
}

static SessionImage *image_new(const uint8_t *key, uint64_t size)
{
    SessionImage *image =
        size > PTRDIFF_MAX - SESSION_IMAGE_TAIL ? NULL : calloc(1, sizeof(*image));

    if (!image)
        return NULL;
    memcpy(image->key, key, SESSION_IMAGE_KEY_SIZE);
    image->size = size;
    image->data = calloc(1, size + SESSION_IMAGE_TAIL);
    if (!image->data) {
        image_free(image);
        return NULL;
    }
    return image;
}

/* Takes @image over, which may be NULL: there was no memory. */
static CUresult images_insert(SessionImages *images, SessionImage *image)
{
    if (image && images_have_room(images, image->size) &&
        tsearch(image, &images->tree, image_compare)) {
        images_count(images, 1, image->size);
        return CUDA_SUCCESS;
    }
    if (image)
        image_free(image);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

void session_images_open(SessionImages *images, uint64_t max, uint32_t n_max,
                         SessionControl *control)
{
    *images = (SessionImages){
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .control = control,
        .max = max,
        .n_max = n_max,
    };
}

void session_images_close(SessionImages *images)
{
    tdestroy(images->tree, image_free);
    pthread_mutex_destroy(&images->lock);
}

CUresult session_images_begin(SessionImages *images, const uint8_t *key, uint64_t size,
                              bool *ret_whole)
{
    CUresult result = CUDA_SUCCESS;
    SessionImage *image;
    bool whole = false;

    if (size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&images->lock);
    image = images_look_up(images, key);
    if (image && image->received == image->size) {
        whole = true;
        result = size == image->size ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    } else if (image && image->size == size) {
        image->received = 0;
    } else {
        if (image)
            images_remove(images, image);
        result = images_have_room(images, size) ? images_insert(images, image_new(key, size))
                                                : CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_unlock(&images->lock);
    if (result == CUDA_SUCCESS)
        *ret_whole = whole;
    return result;
}

/* Others see it when it is whole, and do not wait until then. */
CUresult session_images_add(SessionImages *images, const uint8_t *key, const void *bytes,
                            uint64_t size)
{
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    SessionImage *image;

    if (size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    image = image_new(key, size);
    if (image) {
        memcpy(image->data, bytes, size);
        image->sound = image_check(image->data, size);
        image->received = size;
    }
    pthread_mutex_lock(&images->lock);
    if (!images_look_up(images, key))
        result = images_insert(images, image);
    else if (image)
        image_free(image);
    pthread_mutex_unlock(&images->lock);
    return result;
}

CUresult session_images_put(SessionImages *images, const uint8_t *key, uint64_t size, uint64_t at,
                            const unsigned char *piece, uint64_t piece_size)
{
    SessionImage *image;
    bool last;

    pthread_mutex_lock(&images->lock);
    image = images_look_up(images, key);
    pthread_mutex_unlock(&images->lock);

    /* From here on without the lock: this thread alone changes images that are not whole. */
    if (!image || image->size != size || image->received == image->size)
        return CUDA_ERROR_NOT_FOUND;
    if (piece_size == 0 || at != image->received || piece_size > image->size - at)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(image->data + at, piece, piece_size);
    last = piece_size == image->size - at;
    if (last)
        image->sound = image_check(image->data, image->size);

    pthread_mutex_lock(&images->lock);
    image->received = at + piece_size;
    pthread_mutex_unlock(&images->lock);
    return last && !image->sound ? CUDA_ERROR_INVALID_IMAGE : CUDA_SUCCESS;
}

CUresult session_images_find(SessionImages *images, const uint8_t *key, SessionImage **ret)
{
    SessionImage *image;
    bool whole;

    pthread_mutex_lock(&images->lock);
    image = images_look_up(images, key);
    whole = image && image->received == image->size;
    pthread_mutex_unlock(&images->lock);
    if (!whole)
        return CUDA_ERROR_NOT_FOUND;
    if (!image->sound)
        return CUDA_ERROR_INVALID_IMAGE;
    *ret = image;
    return CUDA_SUCCESS;
}

const ImageFacts *session_image_facts(SessionImage *image, unsigned capability)
{
    if (!image->has_facts)
        image_look(image->data, image->size, capability, &image->facts);
    image->has_facts = true;
    return &image->facts;
}
