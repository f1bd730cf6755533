/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handles that programs have: addresses in one range of this process, so that any value can be
 * asked about, also one that is dead or was never a handle.
 */
#ifndef VGPU_LIBCUDA_HANDLE_H
#define VGPU_LIBCUDA_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum HandleKind {
    HANDLE_NONE,
    HANDLE_CONTEXT,
    HANDLE_STREAM,
    HANDLE_EVENT,
    HANDLE_MODULE,
    HANDLE_FUNCTION,
    HANDLE_LIBRARY,
    HANDLE_KERNEL,
    HANDLE_GRAPH,
    HANDLE_EXEC,
    HANDLE_NODE,
    HANDLE_USER_OBJECT,
    HANDLE_ARRAY,
    HANDLE_MIPMAP,
    HANDLE_POOL,
    HANDLE_PHYSICAL,
    HANDLE_LINK,
    HANDLE_N_KINDS,
} HandleKind;

/* handle_new() - a handle for @object, which is not NULL. Returns NULL when there is no memory. */
void *handle_new(HandleKind kind, void *object);

/* handle_object() - what handle_new() was given; NULL when @handle is none of that kind, or dead.
 * Takes a few nanoseconds, and no lock. */
void *handle_object(HandleKind kind, const void *handle);

/* handle_find() - the handle of an object that has this number, which @is knows of a kind; NULL:
 * there is none. Looks at all handles: for what is rarely asked. @is may not call these functions
 */
void *handle_find(HandleKind kind, bool (*is)(const void *object, uint32_t number),
                  uint32_t number);

/* handle_end() - @handle is dead from now on. Values are used again late. Also takes NULL. */
void handle_end(void *handle);

#endif
