/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scoped clean-up: variables that free what they hold when their scope ends, and how to
 * take the value out of one when somebody else owns it from then on.
 */
#ifndef VGPU_CLEANUP_H
#define VGPU_CLEANUP_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

static inline void cleanup_free(void *p)
{
    free(*(void **) p);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_closedir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* CLEANUP() - @function gets a pointer to the variable when the scope ends */
#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)
#define CLEANUP_CLOSEDIR CLEANUP(cleanup_closedir)

/* TAKE_FD() - the descriptor; the variable is -1 afterwards, and its scope closes nothing */
#define TAKE_FD(fd)        \
    ({                     \
        int *_fd = &(fd);  \
        int _taken = *_fd; \
        *_fd = -1;         \
        _taken;            \
    })

/* TAKE_PTR() - the pointer; the variable is NULL afterwards, and its scope frees nothing */
#define TAKE_PTR(ptr)                   \
    ({                                  \
        __typeof__(ptr) *_ptr = &(ptr); \
        __typeof__(ptr) _taken = *_ptr; \
        *_ptr = NULL;                   \
        _taken;                         \
    })

#endif
