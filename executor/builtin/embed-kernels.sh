#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Prints the C source that carries the file $1 as the built-in kernels.
set -eu
echo '#include <stdalign.h>'
echo '#include "kernels-image.h"'
echo 'alignas(16) const unsigned char kernels_image[] = {'
od -An -v -tu1 "$1" | sed 's/  */,/g; s/^,//; s/$/,/'
echo '};'
echo 'const size_t kernels_image_size = sizeof(kernels_image);'
