/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an image says of the modules that are made of it, before the driver sees it: whether their
 * kernels may print, and how much of the device's memory they take.
 *
 * A container has code for several devices, of which the driver takes one: what is said holds for
 * whichever that is. A guest that hides something here deceives itself about what kernels print.
 * About memory it can't: what is not understood is not known.
 */
#ifndef VGPU_SESSION_IMAGE_FACTS_H
#define VGPU_SESSION_IMAGE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ImageFacts {
    bool may_print;    /* it calls the device's vprintf(), or cannot be read */
    bool knows_memory; /* memory is right, but for what the driver itself needs */
    uint64_t memory;   /* bytes: of variables, constants and code; at most, over all devices */
} ImageFacts;

/* Of compressed entries, no more bytes than this are looked at; an image with more is one that
 * cannot be read. */
#define IMAGE_UNPACKED_MAX (UINT64_C(512) << 20)

/*
 * image_look() - read an image: a cubin, PTX, or a container of these, compressed or not
 * @image: @size bytes, one at least; they need not be sound
 * @capability: the device's, as 90 for 9.0: compressed code that is for others, which the driver
 *     does not take, is left out. 0: all is read
 *
 * Unpacks one entry after another into memory of its own.
 */
void image_look(const unsigned char *image, size_t size, unsigned capability, ImageFacts *ret);

/* image_look_at_text() - the same for PTX (image-text.c), which ends with a 0 or with @size. Adds
 * to @facts */
void image_look_at_text(const char *text, size_t size, ImageFacts *facts);

#endif
