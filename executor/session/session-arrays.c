/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-arrays.h"

#include <assert.h>
#include <stdlib.h>

#include "session-store.h"

static SessionArrays *arrays_of(Session *s)
{
    return &session_store(s)->arrays;
}

void session_arrays_open(SessionArrays *a)
{
    LIST_INIT(&a->arrays);
    LIST_INIT(&a->mipmaps);
    for (size_t i = 0; i < SESSION_TEXTURE_BUCKETS; i++)
        LIST_INIT(&a->textures[i]);
}

static void array_free(SessionArray *array)
{
    LIST_REMOVE(array, link);
    free(array);
}

/* It is in no list. */
static void mipmap_free(SessionMipmap *mipmap)
{
    SessionArray *level;

    while ((level = LIST_FIRST(&mipmap->levels)))
        array_free(level);
    free(mipmap);
}

void session_arrays_close(SessionArrays *a)
{
    SessionTexture *texture;
    SessionMipmap *mipmap;
    SessionArray *array;

    while ((array = LIST_FIRST(&a->arrays)))
        array_free(array);
    while ((mipmap = LIST_FIRST(&a->mipmaps))) {
        LIST_REMOVE(mipmap, link);
        mipmap_free(mipmap);
    }
    for (size_t i = 0; i < SESSION_TEXTURE_BUCKETS; i++)
        while ((texture = LIST_FIRST(&a->textures[i]))) {
            LIST_REMOVE(texture, link);
            free(texture);
        }
}

CUresult session_arrays_limits(Session *s, const ArrayLimits **ret)
{
    SessionArrays *a = arrays_of(s);

    for (int i = 1; i < ARRAY_N_ATTRIBUTES && !a->has_limits; i++) {
        int value = 0;
        CUresult result =
            session_driver(s)->base.device_get_attribute(&value, i, session_device(s));

        if (result != CUDA_SUCCESS)
            return result;
        a->limits.attribute[i] = value > 0 ? (uint64_t) value : 0;
    }
    a->has_limits = true;
    *ret = &a->limits;
    return CUDA_SUCCESS;
}

/* ---- Arrays and mipmaps --------------------------------------------------------------------- */

CUresult session_array_find(Session *s, uint32_t context, uint32_t id, SessionArray **ret)
{
    SessionArray *array;
    void *object;
    CUresult result = session_find(s, SESSION_ARRAY, id, &object);

    if (result != CUDA_SUCCESS)
        return result;
    array = object;
    if (array->context != context)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = array;
    return CUDA_SUCCESS;
}

CUresult session_mipmap_find(Session *s, uint32_t context, uint32_t id, SessionMipmap **ret)
{
    SessionMipmap *mipmap;
    void *object;
    CUresult result = session_find(s, SESSION_MIPMAP, id, &object);

    if (result != CUDA_SUCCESS)
        return result;
    mipmap = object;
    if (mipmap->context != context)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = mipmap;
    return CUDA_SUCCESS;
}

const void *session_array_name(const SessionArray *array)
{
    return array->mipmap ? (const void *) array->mipmap : array;
}

const SessionArray *session_array_of(Session *s, CUarray handle)
{
    const SessionMipmap *mipmap;
    const SessionArray *array;

    LIST_FOREACH(array, &arrays_of(s)->arrays, link)
    if (array->handle == handle)
        return array;
    LIST_FOREACH(mipmap, &arrays_of(s)->mipmaps, link)
    LIST_FOREACH(array, &mipmap->levels, link)
    if (array->handle == handle)
        return array;
    return NULL;
}

static void arrays_hide(Session *s, SessionKind kind, uint32_t id)
{
    void *removed;

    (void) session_remove(s, kind, id, &removed);
}

/* This thread alone gives numbers to arrays and mipmaps: one that it has just taken away is free.
 */
static void arrays_show(Session *s, SessionKind kind, uint32_t id, void *object)
{
    CUresult result = session_add(s, kind, id, object);

    assert(result == CUDA_SUCCESS);
    (void) result;
}

/* Nobody copies with it from here on. */
static void array_hide(Session *s, SessionArray *array)
{
    SessionStore *store = session_store(s);

    pthread_mutex_lock(&store->handles);
    arrays_hide(s, SESSION_ARRAY, array->id);
    LIST_REMOVE(array, link);
    session_graphs_break(s, array);
    pthread_mutex_unlock(&store->handles);
}

static void array_show(Session *s, SessionArray *array)
{
    SessionStore *store = session_store(s);

    pthread_mutex_lock(&store->handles);
    LIST_INSERT_HEAD(&store->arrays.arrays, array, link);
    arrays_show(s, SESSION_ARRAY, array->id, array);
    pthread_mutex_unlock(&store->handles);
}

CUresult session_array_end(Session *s, SessionArray *array, bool always)
{
    CUresult result;

    array_hide(s, array);
    result = session_driver(s)->array_destroy(array->handle);
    if (result != CUDA_SUCCESS && !always) {
        array_show(s, array);
        return result;
    }
    session_memory_give_back(&session_store(s)->memory, array->charge);
    free(array);
    return result;
}

static void mipmap_hide(Session *s, SessionMipmap *mipmap)
{
    SessionStore *store = session_store(s);
    SessionArray *level;

    pthread_mutex_lock(&store->handles);
    arrays_hide(s, SESSION_MIPMAP, mipmap->id);
    LIST_FOREACH(level, &mipmap->levels, link)
    arrays_hide(s, SESSION_ARRAY, level->id);
    LIST_REMOVE(mipmap, link);
    session_graphs_break(s, mipmap);
    pthread_mutex_unlock(&store->handles);
}

static void mipmap_show(Session *s, SessionMipmap *mipmap)
{
    SessionStore *store = session_store(s);
    SessionArray *level;

    pthread_mutex_lock(&store->handles);
    LIST_INSERT_HEAD(&store->arrays.mipmaps, mipmap, link);
    arrays_show(s, SESSION_MIPMAP, mipmap->id, mipmap);
    LIST_FOREACH(level, &mipmap->levels, link)
    arrays_show(s, SESSION_ARRAY, level->id, level);
    pthread_mutex_unlock(&store->handles);
}

CUresult session_mipmap_end(Session *s, SessionMipmap *mipmap, bool always)
{
    CUresult result;

    mipmap_hide(s, mipmap);
    result = session_driver(s)->mipmapped_array_destroy(mipmap->handle);
    if (result != CUDA_SUCCESS && !always) {
        mipmap_show(s, mipmap);
        return result;
    }
    session_memory_give_back(&session_store(s)->memory, mipmap->charge);
    mipmap_free(mipmap);
    return result;
}

/* ---- Textures and surfaces ------------------------------------------------------------------ */

static size_t texture_bucket(uint64_t handle)
{
    return handle * UINT64_C(0x9e3779b97f4a7c15) >> 54;
}

_Static_assert(SESSION_TEXTURE_BUCKETS == 1u << (64 - 54), "bits of a bucket");

CUresult session_texture_may_add(Session *s)
{
    return arrays_of(s)->n_textures < session_limits(s)->objects_max ? CUDA_SUCCESS
                                                                     : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult session_texture_add(Session *s, const SessionTexture *texture)
{
    SessionArrays *a = arrays_of(s);
    SessionTexture *t = malloc(sizeof(*t));

    if (!t)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *t = *texture;
    LIST_INSERT_HEAD(&a->textures[texture_bucket(t->handle)], t, link);
    a->n_textures++;
    return CUDA_SUCCESS;
}

SessionTexture *session_texture_find(Session *s, const SessionTexture *like)
{
    SessionTexture *t;

    LIST_FOREACH(t, &arrays_of(s)->textures[texture_bucket(like->handle)], link)
    if (t->handle == like->handle && t->context == like->context &&
        t->is_surface == like->is_surface)
        return t;
    return NULL;
}

void session_texture_end(Session *s, SessionTexture *texture)
{
    arrays_of(s)->n_textures--;
    LIST_REMOVE(texture, link);
    free(texture);
}

/* ---- With their context --------------------------------------------------------------------- */

static void arrays_leave_textures(Session *s, uint32_t context)
{
    const CudaSessionDriver *driver = session_driver(s);
    SessionTexture *t, *next;

    for (size_t i = 0; i < SESSION_TEXTURE_BUCKETS; i++)
        for (t = LIST_FIRST(&arrays_of(s)->textures[i]); t; t = next) {
            next = LIST_NEXT(t, link);
            if (t->context != context)
                continue;
            (void) (t->is_surface ? driver->surf_object_destroy(t->handle)
                                  : driver->tex_object_destroy(t->handle));
            session_texture_end(s, t);
        }
}

void session_arrays_leave(Session *s, uint32_t context)
{
    SessionArrays *a = arrays_of(s);
    SessionMipmap *mipmap, *next_mipmap;
    SessionArray *array, *next;

    arrays_leave_textures(s, context);
    for (array = LIST_FIRST(&a->arrays); array; array = next) {
        next = LIST_NEXT(array, link);
        if (array->context == context)
            (void) session_array_end(s, array, true);
    }
    for (mipmap = LIST_FIRST(&a->mipmaps); mipmap; mipmap = next_mipmap) {
        next_mipmap = LIST_NEXT(mipmap, link);
        if (mipmap->context == context)
            (void) session_mipmap_end(s, mipmap, true);
    }
}
