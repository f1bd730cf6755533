/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All pools of a mediator, by letter. */
#ifndef VGPU_POOLS_H
#define VGPU_POOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "pool.h"

typedef struct Pools {
    PoolContext context;
    Pool *pool[CONFIG_N_POOLS]; /* NULL where none is configured */
} Pools;

/*
 * pools_configure() - make the pools of a configuration, or take over a changed one
 *
 * To be called once context is filled in. A pool that is not in a later configuration stays,
 * since VMs may be in it. Returns 0 or a negative errno.
 */
int pools_configure(Pools *pools, const Config *config);

/* pools_clear() - free all of them; nothing is queued */
void pools_clear(Pools *pools);

/* pools_find() - by letter; NULL when none is configured */
Pool *pools_find(const Pools *pools, uint32_t letter);

/* pools_next() - the one after @p by letter, the first one for NULL; NULL after the last */
Pool *pools_next(const Pools *pools, const Pool *p);

#define POOLS_FOREACH(p, pools) \
    for (Pool *p = pools_next((pools), NULL); p; p = pools_next((pools), p))

/* pools_count() - how many there are */
unsigned pools_count(const Pools *pools);

/* pools_dispatch() - run what there is room for in every pool */
void pools_dispatch(const Pools *pools);

/* pools_are_at_rest(), pools_are_idle() - as pool_is_at_rest() and pool_is_idle(), of all */
bool pools_are_at_rest(const Pools *pools);
bool pools_are_idle(const Pools *pools);

/* pools_counter() - the sum over all of the uint64_t at @offset in Statistics */
uint64_t pools_counter(const Pools *pools, size_t offset);

#endif
