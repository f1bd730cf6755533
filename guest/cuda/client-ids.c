/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers of objects, which this side chooses. One that was given back is used again last, so that
 * a program that uses a dead object is told so for as long as possible. */
#include <assert.h>
#include <stdlib.h>

#include "client-internal.h"

/* How many numbers rest before one is used again, while there are new ones */
#define RESTING 256u

/* The one that rests longest is the first. */
static uint32_t ids_take_oldest(client_ids *ids)
{
    uint32_t id = ids->free[ids->first];

    ids->first = (ids->first + 1) % CLIENT_IDS;
    ids->n_free--;
    return id;
}

int vgpu_session_id_take(vgpu_session *s, vgpu_session_kind kind, uint32_t *ret)
{
    client_ids *ids = &s->ids[kind];
    int r = 0;

    pthread_mutex_lock(&s->memory_lock);
    if (ids->last < VGPU_SESSION_ID_MAX && ids->n_free < RESTING)
        *ret = ++ids->last;
    else if (ids->n_free > 0)
        *ret = ids_take_oldest(ids);
    else
        r = VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_unlock(&s->memory_lock);
    return r;
}

void vgpu_session_id_give(vgpu_session *s, vgpu_session_kind kind, uint32_t id)
{
    client_ids *ids = &s->ids[kind];

    pthread_mutex_lock(&s->memory_lock);
    assert(id >= 1 && id <= ids->last);
    if (!ids->free)
        ids->free = malloc(CLIENT_IDS * sizeof(*ids->free));
    if (ids->free) /* else this number is lost */
        ids->free[(ids->first + ids->n_free++) % CLIENT_IDS] = (uint16_t) id;
    pthread_mutex_unlock(&s->memory_lock);
}

void client_ids_destroy(vgpu_session *s)
{
    for (int kind = 0; kind < VGPU_SESSION_N_KINDS; kind++)
        free(s->ids[kind].free);
}
