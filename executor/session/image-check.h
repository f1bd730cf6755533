/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A look at an image before the driver sees it. The driver is given an address without a size,
 * and believes the headers that it finds there; so they have to be within the image.
 */
#ifndef VGPU_SESSION_IMAGE_CHECK_H
#define VGPU_SESSION_IMAGE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * image_check() - does all that headers in an image speak of lie in it?
 * @image: @size bytes, one at least
 *
 * Follows containers one behind the other, the entries in each, and the tables of cubins, whether
 * in a container or alone. What is compressed, and what is of an unknown kind, is left to the
 * driver. An image that has an address of the program in it, as the compiler's fatbin wrapper, is
 * none: the driver would follow that.
 */
bool image_check(const unsigned char *image, size_t size);

#endif
