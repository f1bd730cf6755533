/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools of the device's memory, from which memory is allocated in the order of streams. They are
 * the session's: no context ends them.
 *
 * Under a quota a session is charged for what each of its pools has of the device, allocated or
 * not, as the driver says it. So an allocation is charged before for what its pool may grow by, and
 * the pool is looked at afterwards. Whoever lacks room has all pools give back what they keep
 * (session_pools_give()). What the driver may take for the default pool at first is not charged, as
 * the pages of small allocations are not.
 *
 * Functions that take a pool hold the frees' lock (session-store.h) or run on the ring's thread,
 * which alone destroys pools.
 */
#ifndef VGPU_SESSION_SESSION_POOL_H
#define VGPU_SESSION_SESSION_POOL_H

#include "session-memory.h"
#include "session.h"

/* What the driver is expected to take of the device at once for a pool. Should it take more, that
 * is seen after the allocation. */
#define SESSION_POOL_UNIT (UINT64_C(32) << 20)
#define SESSION_POOL_FREE (2 * SESSION_POOL_UNIT) /* of the default pool, uncharged */

/* How many a session may have beside the default one: the executor's memory, not the guest's */
#define SESSION_POOLS_MAX 1024u

/* session_pool_find() - that number's; 0: the default pool */
CUresult session_pool_find(Session *s, uint32_t id, SessionPool **ret);

/* session_pool_alloc() - cuMemAllocFromPoolAsync(). @range: charged for, without an address; it is
 * the pool's from now on, whatever the result. Returns CUDA_ERROR_OUT_OF_MEMORY where the pool
 * would grow above the quota */
CUresult session_pool_alloc(Session *s, SessionPool *pool, SessionRange *range, CUstream stream,
                            CUdeviceptr *ret);

/* session_pools_look() - charge for what the pools have now, and no more. Frees those that were
 * destroyed and are empty */
void session_pools_look(Session *s);

/* session_pools_give() - the same, after all have given back what nothing is allocated in */
void session_pools_give(Session *s);

#endif
