/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scoped clean-up: variables that free what they hold when their scope ends. */
#ifndef VGPU_GUEST_CLEANUP_H
#define VGPU_GUEST_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

static inline void cleanup_free(void *p)
{
    free(*(void **) p);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_closedir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static inline void cleanup_fclose(FILE **file)
{
    if (*file)
        fclose(*file);
}

#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))
#define CLEANUP_CLOSEDIR __attribute__((cleanup(cleanup_closedir)))
#define CLEANUP_FCLOSE __attribute__((cleanup(cleanup_fclose)))

/* Take the value out of a variable, so that its scope no longer frees it. */
#define TAKE_FD(fd)        \
    ({                     \
        int *_fd = &(fd);  \
        int _taken = *_fd; \
        *_fd = -1;         \
        _taken;            \
    })

#define TAKE_PTR(ptr)                   \
    ({                                  \
        __typeof__(ptr) *_ptr = &(ptr); \
        __typeof__(ptr) _taken = *_ptr; \
        *_ptr = NULL;                   \
        _taken;                         \
    })

#endif
