/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_CONTAINER_OF_H
#define VGPU_CONTAINER_OF_H

#include <stddef.h>

/* CONTAINER_OF() - the @type whose @member is at @pointer, which is not NULL */
#define CONTAINER_OF(pointer, type, member)                       \
    ({                                                            \
        __typeof__(((type *) NULL)->member) *_member = (pointer); \
        (type *) ((char *) _member - offsetof(type, member));     \
    })

#endif
