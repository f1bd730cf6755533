/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is linked when no nvcc was there: no kernels. */
#include "kernels-image.h"

const unsigned char kernels_image[1] = {0};
const size_t kernels_image_size = 0;
