/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arrays, mipmaps, textures and surfaces of a session.
 *
 * The SLOW thread makes and ends them. The ring's thread copies into arrays: it holds the handles'
 * lock from session_array_find() until the driver has taken the copy. Graphs that name an array
 * that ends are of no use any more, as with modules. Handles of textures and surfaces are
 * the driver's own, so that kernels can use them; a guest can end only those that it has made.
 *
 * A texture does not keep its array. As with the driver itself, the array may end first; a kernel
 * that samples the texture then touches memory that is not there any more, of its own process.
 */
#ifndef VGPU_SESSION_SESSION_ARRAYS_H
#define VGPU_SESSION_SESSION_ARRAYS_H

#include <sys/queue.h>

#include "array-shape.h"
#include "session-memory.h"
#include "session.h"

typedef struct SessionMipmap SessionMipmap;

typedef struct SessionArray {
    LIST_ENTRY(SessionArray) link; /* in the session's, or in its mipmap's */
    uint32_t id;
    uint32_t context;
    CUarray handle;
    ArrayShape shape;
    uint64_t charge;             /* bytes of the quota */
    const SessionMipmap *mipmap; /* whose level it is, or NULL */
} SessionArray;

struct SessionMipmap {
    LIST_ENTRY(SessionMipmap) link;
    uint32_t id;
    uint32_t context;
    CUmipmappedArray handle;
    ArrayShape shape;
    uint64_t charge;
    LIST_HEAD(, SessionArray) levels; /* those that have a number */
};

/* A texture, or a surface */
typedef struct SessionTexture {
    LIST_ENTRY(SessionTexture) link;
    uint64_t handle;
    uint32_t context; /* two contexts may have the same handle */
    bool is_surface;
} SessionTexture;

#define SESSION_TEXTURE_BUCKETS 1024u

/* The SLOW thread changes these, under the handles' lock where the ring's may look. */
typedef struct SessionArrays {
    LIST_HEAD(, SessionArray) arrays;
    LIST_HEAD(, SessionMipmap) mipmaps;
    LIST_HEAD(, SessionTexture) textures[SESSION_TEXTURE_BUCKETS]; /* by handle */
    uint32_t n_textures;
    bool has_limits;
    ArrayLimits limits;
} SessionArrays;

void session_arrays_open(SessionArrays *a);

/* session_arrays_close() - forgets all; the driver is not called */
void session_arrays_close(SessionArrays *a);

/* session_arrays_limits() - what the device allows; asks it the first time. On the SLOW thread */
CUresult session_arrays_limits(Session *s, const ArrayLimits **ret);

/* session_array_find(), session_mipmap_find() - of @context. Return CUDA_SUCCESS, or
 * _INVALID_HANDLE. The caller holds the handles' lock, or is the SLOW thread */
CUresult session_array_find(Session *s, uint32_t context, uint32_t id, SessionArray **ret);
CUresult session_mipmap_find(Session *s, uint32_t context, uint32_t id, SessionMipmap **ret);

/* session_array_name() - by what graphs know that they name an array: it, or whose level it is */
const void *session_array_name(const SessionArray *array);

/* session_array_of() - the array with that handle, or NULL. The caller holds the handles' lock */
const SessionArray *session_array_of(Session *s, CUarray handle);

/* session_texture_add() - the driver has just made it. Returns CUDA_SUCCESS, or _OUT_OF_MEMORY */
CUresult session_texture_add(Session *s, const SessionTexture *texture);

/* session_texture_may_add() - as many as objects of any other kind: CUDA_SUCCESS, or
 * _OUT_OF_MEMORY */
CUresult session_texture_may_add(Session *s);

/* session_texture_find() - NULL when the guest has made no such one */
SessionTexture *session_texture_find(Session *s, const SessionTexture *like);

/* session_texture_end() - take it out, and free it; the driver has destroyed it */
void session_texture_end(Session *s, SessionTexture *texture);

/* session_array_end(), session_mipmap_end() - destroy it, with its number and those of its levels,
 * and give its charge back. Where the driver does not, it stays as it was, unless @always. Return
 * what the driver says. On the SLOW thread */
CUresult session_array_end(Session *s, SessionArray *array, bool always);
CUresult session_mipmap_end(Session *s, SessionMipmap *mipmap, bool always);

/* session_arrays_leave() - end all that a context has; it is current, and does nothing any more */
void session_arrays_leave(Session *s, uint32_t context);

#endif
