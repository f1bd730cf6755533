/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scoped clean-up: variables that free what they hold when their scope ends. */
#ifndef VGPU_HOOKS_CLEANUP_H
#define VGPU_HOOKS_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **) p);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)

#endif
