/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handle.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Places are taken from one piece of the heap, so large that it is a mapping, of which a page costs
 * memory when it is first used; who looks for leaks finds all objects there. 4 million handles
 * alive at once; the driver itself has run out of memory long before. */
#define HANDLE_PLACES (UINT32_C(1) << 22)

typedef struct HandlePlace {
    uint32_t kind; /* atomic; HANDLE_NONE: dead */
    uint32_t next; /* dead: the place that is to be used after this one */
    void *object;
} HandlePlace;

static pthread_mutex_t handle_lock = PTHREAD_MUTEX_INITIALIZER;
static HandlePlace *handle_places;            /* atomic; place 0 is nobody's */
static uint32_t handle_n = 1;                 /* places that have been used */
static uint32_t handle_oldest, handle_newest; /* of the dead ones; 0: none */

static bool handle_open(void)
{
    void *places;

    if (handle_places)
        return true;
    places = calloc(HANDLE_PLACES, sizeof(HandlePlace));
    if (!places)
        return false;
    __atomic_store_n(&handle_places, places, __ATOMIC_RELEASE);
    return true;
}

/* A place that has never been used, as long as there is one: so a dead handle stays dead for long.
 */
static uint32_t handle_take(void)
{
    uint32_t place;

    if (handle_n < HANDLE_PLACES / 16 || (handle_oldest == 0 && handle_n < HANDLE_PLACES))
        return handle_n++;
    place = handle_oldest;
    if (place != 0) {
        handle_oldest = handle_places[place].next;
        if (handle_oldest == 0)
            handle_newest = 0;
    }
    return place;
}

void *handle_new(HandleKind kind, void *object)
{
    HandlePlace *handle = NULL;
    uint32_t place = 0;

    pthread_mutex_lock(&handle_lock);
    if (handle_open())
        place = handle_take();
    if (place != 0) {
        handle = &handle_places[place];
        handle->object = object;
        __atomic_store_n(&handle->kind, (uint32_t) kind, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&handle_lock);
    return handle;
}

static HandlePlace *handle_place(const void *handle)
{
    HandlePlace *places = __atomic_load_n(&handle_places, __ATOMIC_ACQUIRE);
    uintptr_t at = (uintptr_t) handle - (uintptr_t) places;

    if (!places || at >= HANDLE_PLACES * sizeof(HandlePlace) || at % sizeof(HandlePlace) != 0)
        return NULL;
    return (HandlePlace *) ((uintptr_t) places + at);
}

void *handle_object(HandleKind kind, const void *handle)
{
    HandlePlace *place = handle_place(handle);

    if (!place || __atomic_load_n(&place->kind, __ATOMIC_ACQUIRE) != (uint32_t) kind)
        return NULL;
    return place->object;
}

/* Under the lock: no object ends meanwhile, as its handle ends before it does. */
void *handle_find(HandleKind kind, bool (*is)(const void *object, uint32_t number), uint32_t number)
{
    HandlePlace *found = NULL;

    pthread_mutex_lock(&handle_lock);
    for (uint32_t i = 1; handle_places && !found && i < handle_n; i++)
        if (handle_places[i].kind == (uint32_t) kind && is(handle_places[i].object, number))
            found = &handle_places[i];
    pthread_mutex_unlock(&handle_lock);
    return found;
}

void handle_end(void *handle)
{
    HandlePlace *place = handle_place(handle);
    uint32_t number;

    if (!place)
        return;
    number = (uint32_t) (place - handle_places);
    pthread_mutex_lock(&handle_lock);
    __atomic_store_n(&place->kind, HANDLE_NONE, __ATOMIC_RELEASE);
    place->next = 0;
    if (handle_newest != 0)
        handle_places[handle_newest].next = number;
    else
        handle_oldest = number;
    handle_newest = number;
    pthread_mutex_unlock(&handle_lock);
}
