/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pools.h"

#include "log.h"

Pool *pools_find(const Pools *pools, uint32_t letter)
{
    return vgpu_pool_is_valid(letter) ? pools->pool[letter - VGPU_POOL_FIRST] : NULL;
}

Pool *pools_next(const Pools *pools, const Pool *p)
{
    unsigned i = p ? (unsigned) (p->name - VGPU_POOL_FIRST) + 1 : 0;

    for (; i < CONFIG_N_POOLS; i++)
        if (pools->pool[i])
            return pools->pool[i];
    return NULL;
}

unsigned pools_count(const Pools *pools)
{
    unsigned n = 0;

    POOLS_FOREACH(p, pools)
    {
        n++;
    }
    return n;
}

void pools_dispatch(const Pools *pools)
{
    POOLS_FOREACH(p, pools)
    {
        pool_dispatch(p);
    }
}

bool pools_are_at_rest(const Pools *pools)
{
    POOLS_FOREACH(p, pools)
    {
        if (!pool_is_at_rest(p))
            return false;
    }
    return true;
}

bool pools_are_idle(const Pools *pools)
{
    POOLS_FOREACH(p, pools)
    {
        if (!pool_is_idle(p))
            return false;
    }
    return true;
}

uint64_t pools_counter(const Pools *pools, size_t offset)
{
    uint64_t sum = 0;

    POOLS_FOREACH(p, pools)
    {
        sum += *(const uint64_t *) ((const char *) &p->queue.statistics + offset);
    }
    return sum;
}

int pools_configure(Pools *pools, const Config *config)
{
    pools->context.queue_timeout_usec = config->queue_timeout_usec;
    pools->context.request_timeout_usec = config->request_timeout_usec;

    for (unsigned i = 0; i < CONFIG_N_POOLS; i++) {
        const PoolConfig *wanted = &config->pools[i];
        char name = (char) (VGPU_POOL_FIRST + i);
        int r;

        if (pools->pool[i] && wanted->configured) {
            pool_reconfigure(pools->pool[i], wanted);
        } else if (pools->pool[i]) {
            log_warning("pool %c is not configured any more; it stays until the service restarts",
                        name);
        } else if (wanted->configured) {
            r = pool_new(&pools->context, name, wanted, &pools->pool[i]);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

void pools_clear(Pools *pools)
{
    for (unsigned i = 0; i < CONFIG_N_POOLS; i++)
        pools->pool[i] = pool_free(pools->pool[i]);
}
