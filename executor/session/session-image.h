/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The images of a session: cubin, PTX and fatbin containers, put together from pieces in private
 * memory, where the guest cannot change them. They stay until the session ends, so that an image
 * travels once. A whole image does not change any more.
 *
 * The ring's thread puts images together; the SLOW thread loads whole ones, and adds such.
 */
#ifndef VGPU_SESSION_SESSION_IMAGE_H
#define VGPU_SESSION_SESSION_IMAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cuda-session.h"
#include "image-facts.h"
#include "session-protocol.h"

#define SESSION_IMAGE_KEY_SIZE 32u

/* Zeros behind each image: where text lacks its end, or a header lies at the very end */
#define SESSION_IMAGE_TAIL 512u

typedef struct SessionImage {
    uint8_t key[SESSION_IMAGE_KEY_SIZE];
    uint64_t size;       /* bytes */
    uint64_t received;   /* bytes, from the beginning on */
    bool sound;          /* whole, and image_check() has nothing against it */
    unsigned char *data; /* size bytes, and the tail */
    bool has_facts;      /* of a whole one; the SLOW thread's */
    ImageFacts facts;
} SessionImage;

typedef struct SessionImages {
    pthread_mutex_t lock;
    SessionControl *control; /* has size, for the mediator */
    uint64_t max, size;      /* bytes */
    uint32_t n, n_max;
    void *tree; /* of SessionImage, by key (tsearch()) */
} SessionImages;

/*
 * session_images_open() - no image yet
 * @max: bytes of all, UINT64_MAX: no limit
 * @n_max: how many
 * @control: where images is kept up to date
 */
void session_images_open(SessionImages *images, uint64_t max, uint32_t n_max,
                         SessionControl *control);

void session_images_close(SessionImages *images);

/*
 * session_images_begin() - an image of @size bytes is to come
 * @ret_whole: is it there already?
 *
 * What has come of an image that is not whole is forgotten. Returns CUDA_SUCCESS,
 * _INVALID_VALUE when @size is 0 or not that of the whole image with this key, or
 * _OUT_OF_MEMORY: above the quota, too many images, or no memory.
 */
CUresult session_images_begin(SessionImages *images, const uint8_t *key, uint64_t size,
                              bool *ret_whole);

/*
 * session_images_put() - the next piece
 * @piece: @piece_size bytes that the guest may change meanwhile
 *
 * Returns CUDA_SUCCESS, _NOT_FOUND when no image of this key and size has begun, _INVALID_VALUE
 * for a piece that is not the next one or goes beyond the end.
 */
CUresult session_images_put(SessionImages *images, const uint8_t *key, uint64_t size, uint64_t at,
                            const unsigned char *piece, uint64_t piece_size);

/*
 * session_images_add() - a whole image of the executor's own making
 * @bytes: @size, one at least; copied
 *
 * Returns CUDA_SUCCESS, _INVALID_VALUE when the key is one of another image, whole or not, or as
 * session_images_begin(). On the SLOW thread.
 */
CUresult session_images_add(SessionImages *images, const uint8_t *key, const void *bytes,
                            uint64_t size);

/* session_images_find() - a whole image, good until the session ends. Returns CUDA_SUCCESS,
 * _NOT_FOUND, or _INVALID_IMAGE when the driver must not see it. On the SLOW thread */
CUresult session_images_find(SessionImages *images, const uint8_t *key, SessionImage **ret);

/* session_image_facts() - what modules of a whole image are like on a device of that capability
 * (image_look()); read when it is asked for the first time. On the SLOW thread */
const ImageFacts *session_image_facts(SessionImage *image, unsigned capability);

#endif
