/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What two snapshots say together: rates, and shares of the time. */
#include <math.h>
#include <stdlib.h>

#include "snapshot.h"

/* The same VM in an earlier snapshot, or NULL. One that has another number now is another VM of
 * the same name. */
static const VMInfo *earlier_vm(const Snapshot *earlier, const VMInfo *vm)
{
    const VMInfo *then = earlier->n_vms > 0 ? bsearch(vm, earlier->vms, earlier->n_vms,
                                                      sizeof(*then), snapshot_compare)
                                            : NULL;

    return then && then->id == vm->id ? then : NULL;
}

static const PoolInfo *earlier_pool(const Snapshot *earlier, const PoolInfo *pool)
{
    return earlier->n_pools > 0
               ? bsearch(pool, earlier->pools, earlier->n_pools, sizeof(*pool), snapshot_compare)
               : NULL;
}

static void set_rate(Counters *now, const Counters *then, uint64_t usec)
{
    if (usec > 0 && now->completed >= then->completed)
        now->rate = (double) (now->completed - then->completed) * 1e6 / (double) usec;
}

void snapshot_set_rates(Snapshot *s, const Snapshot *earlier)
{
    uint64_t usec = s->usec - earlier->usec;

    for (size_t i = 0; i < s->n_vms; i++) {
        const VMInfo *then = earlier_vm(earlier, &s->vms[i]);

        if (then)
            set_rate(&s->vms[i].object.counters, &then->object.counters, usec);
    }
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *then = earlier_pool(earlier, &s->pools[i]);

        if (then)
            set_rate(&s->pools[i].object.counters, &then->object.counters, usec);
    }
}

/* Requests that run side by side have more time together than has passed. */
static void set_share(Counters *c, uint64_t now, uint64_t then, uint64_t usec)
{
    if (usec > 0 && now != UINT64_MAX && then != UINT64_MAX && now >= then)
        c->share = fmin((double) (now - then) / (double) usec, 1);
}

void snapshot_set_shares(Snapshot *s, const Snapshot *earlier)
{
    uint64_t usec = s->usec - earlier->usec;

    for (size_t i = 0; i < s->n_vms; i++) {
        const VMInfo *then = earlier_vm(earlier, &s->vms[i]);
        Counters *c = &s->vms[i].object.counters;

        if (then)
            set_share(c, c->execution, then->object.counters.execution, usec);
    }
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *then = earlier_pool(earlier, &s->pools[i]);

        if (then)
            set_share(&s->pools[i].object.counters, s->pools[i].busy, then->busy, usec);
    }
}
