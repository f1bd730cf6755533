/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device memory of a session: which addresses its operations may touch, and how many bytes of
 * its quota they take.
 *
 * Ranges never overlap. They lie in a tree ordered by address, so that each look-up takes
 * O(log n). Reserved addresses lie in a second tree, as memory is mapped into them.
 *
 * The quota is the VM's, which all its sessions share (SessionAccount in session-protocol.h). It is
 * charged before the driver is asked for memory (session_memory_prepare()), and given back when
 * that fails (session_memory_drop()) or when the memory is freed.
 *
 * A pool may keep memory of the device above what is allocated from it. That is charged, too, under
 * a quota: what an allocation took is the pool's when it is dropped, until the driver says that the
 * pool has less (session-pool.h).
 *
 * Each function takes the memory's own lock, and calls nothing meanwhile. A range that is in no
 * tree belongs to the caller alone.
 */
#ifndef VGPU_SESSION_MEMORY_H
#define VGPU_SESSION_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "cuda-session.h"
#include "session-protocol.h"

/* Ranges and reservations together; an entry takes about 100 bytes of the executor's memory. */
#define SESSION_RANGES_MAX (UINT32_C(1) << 20)

/* What the driver takes at least for an allocation, and its unit */
#define SESSION_MEMORY_UNIT UINT64_C(512)

typedef enum SessionRangeKind {
    SESSION_RANGE_ALLOCATED, /* cuMemAlloc */
    SESSION_RANGE_ASYNC,     /* cuMemAllocAsync */
    SESSION_RANGE_GLOBAL,    /* a module's variable; not charged */
    SESSION_RANGE_MAPPED,    /* cuMemMap; its physical memory is charged */
    SESSION_RANGE_TAKEN,     /* cuIpcOpenMemHandle */
    SESSION_RANGE_RESERVED,  /* cuMemAddressReserve; not charged */
} SessionRangeKind;

/* Physical memory. It lasts until it is released and nothing of it is mapped. */
typedef struct SessionPhysical {
    LIST_ENTRY(SessionPhysical) link;
    CUmemGenericAllocationHandle handle;
    uint64_t size;
    uint32_t n_mapped;
    uint32_t n_held; /* by an operation that waits for the mediator */
    bool released;
    bool is_shareable;
    uint64_t token[2]; /* by which it is shared; 0 and 0: it is not */
} SessionPhysical;

/* A pool, the device's default one or one that the guest has made. The memory's lock guards used,
 * kept and n_ranges; the rest is session-pool.c's. */
typedef struct SessionPool {
    LIST_ENTRY(SessionPool) link;
    CUmemoryPool handle; /* NULL: not there yet, or no longer the guest's */
    uint32_t id;         /* 0: the default pool */
    uint64_t free;       /* bytes that it may have beside its allocations without being charged */
    uint64_t used;       /* bytes charged for allocations */
    uint64_t kept;       /* bytes charged beside them */
    uint64_t pending;    /* of these, what the driver has not taken yet */
    uint32_t n_ranges;   /* allocations */
    bool destroyed;
} SessionPool;

typedef struct SessionRange {
    SessionRangeKind kind;
    uint32_t context; /* which one's it is: ALLOCATED, ASYNC, GLOBAL, TAKEN */
    uint64_t address;
    uint64_t size;   /* bytes */
    uint64_t charge; /* bytes */
    union {
        uint64_t token[2];         /* ALLOCATED: by which it is shared; 0 and 0: it is not */
        uint32_t n_taken;          /* TAKEN: how often it was */
        const void *module;        /* GLOBAL */
        SessionPhysical *physical; /* MAPPED */
        SessionPool *pool;         /* ASYNC */
    };
    bool accessible; /* MAPPED: cuMemSetAccess has allowed it. The others: always */
    uint32_t priority;
    struct SessionRange *left, *right;
} SessionRange;

typedef struct SessionMemory {
    pthread_mutex_t lock;
    SessionControl *control; /* has used, less what is pending, and peak, for the mediator */
    uint64_t *shown;         /* has the same, for the guest; or NULL */
    SessionAccount *account; /* has used, for the VM's other sessions */
    uint32_t slot;           /* where */
    uint64_t used, peak;
    uint64_t pending; /* of used: the driver has not said yet whether it is to be had */
    SessionRange *ranges, *reservations;
    uint32_t n_ranges;
    uint32_t random;
} SessionMemory;

/*
 * session_memory_open() - no range yet
 * @m: the caller's; close it with session_memory_close()
 * @account: the VM's; says how many bytes may be charged
 * @slot: in it, below SESSION_ACCOUNT_SLOTS
 * @control: where memory and memory_peak are kept up to date
 */
void session_memory_open(SessionMemory *m, SessionAccount *account, uint32_t slot,
                         SessionControl *control);

/* session_memory_show() - keep the bytes that are used up to date in @where as well, which is
 * written, and not read */
void session_memory_show(SessionMemory *m, uint64_t *where);

/* session_memory_close() - forgets all ranges; the driver is not called */
void session_memory_close(SessionMemory *m);

/* session_memory_charge() - returns CUDA_SUCCESS, or _OUT_OF_MEMORY when @size more bytes would
 * exceed the quota */
CUresult session_memory_charge(SessionMemory *m, uint64_t size);

/* session_memory_settle() - @size bytes that were charged: the driver has given them, or else they
 * are given back, and have never been used */
void session_memory_settle(SessionMemory *m, uint64_t size, CUresult result);

/* session_memory_give_back() - @size bytes that were charged, and settled */
void session_memory_give_back(SessionMemory *m, uint64_t size);

/*
 * session_memory_pool_take() - a range of the kind ASYNC, which has no address yet, is the pool's
 * session_memory_pool_keep() - what a pool has of the device beside its allocations, with @anyway;
 *     else what it may come to have, until the next call says: returns false, and changes nothing,
 *     when charging for @bytes would exceed the quota
 * session_memory_pool_is_empty() - has it no allocation?
 */
void session_memory_pool_take(SessionMemory *m, SessionPool *pool, SessionRange *range);
bool session_memory_pool_keep(SessionMemory *m, SessionPool *pool, uint64_t bytes, bool anyway);
bool session_memory_pool_is_empty(SessionMemory *m, const SessionPool *pool);

/* session_memory_pool_used() - bytes charged for its allocations */
uint64_t session_memory_pool_used(SessionMemory *m, const SessionPool *pool);

/* session_memory_used() - bytes that are charged now */
uint64_t session_memory_used(SessionMemory *m);

/* session_memory_max() - bytes that the VM's sessions may have together, by now; UINT64_MAX: no
 * limit */
uint64_t session_memory_max(const SessionMemory *m);

/* session_memory_left() - bytes of these that none of them has; UINT64_MAX: no limit */
uint64_t session_memory_left(const SessionMemory *m);

/* session_memory_is_above() - have they more than that? Pools may keep what was not asked for. */
bool session_memory_is_above(const SessionMemory *m);

/* session_memory_rounded() - what an allocation of @size bytes takes; UINT64_MAX if nothing can
 * have that size */
uint64_t session_memory_rounded(uint64_t size);

/*
 * session_memory_prepare() - charge the quota, and make a range that has no address yet
 * @charge: bytes, 0 for none
 * @ret: the caller's, until session_memory_insert() or session_memory_drop()
 *
 * Returns CUDA_SUCCESS, or _OUT_OF_MEMORY: above the quota, too many ranges, or no memory.
 */
CUresult session_memory_prepare(SessionMemory *m, SessionRangeKind kind, uint32_t context,
                                uint64_t size, uint64_t charge, SessionRange **ret);

/* session_memory_drop() - give the charge of a range back, and free it; also takes NULL */
void session_memory_drop(SessionMemory *m, SessionRange *range);

/* session_memory_insert() - operations may touch @range at @address from now on. Returns false,
 * and the range stays the caller's, when the address is 0, when its end would wrap around, or
 * when another one lies there. */
bool session_memory_insert(SessionMemory *m, SessionRange *range, uint64_t address);

/* session_memory_take() - the range of @kind that begins at @address, out of the tree; NULL if
 * there is none. Insert it again or drop it. */
SessionRange *session_memory_take(SessionMemory *m, SessionRangeKind kind, uint64_t address);

/*
 * session_memory_get_token() - of ALLOCATED memory that begins at @address
 * @ret_token: 0 and 0: it is not shared
 *
 * Returns false if there is none.
 */
bool session_memory_get_token(SessionMemory *m, uint64_t address, uint64_t *ret_size,
                              uint64_t ret_token[2]);

/* session_memory_set_token() - returns likewise */
bool session_memory_set_token(SessionMemory *m, uint64_t address, const uint64_t token[2]);

/* session_memory_take_again() - TAKEN memory that begins at @address was opened once more; returns
 * false if there is none */
bool session_memory_take_again(SessionMemory *m, uint64_t address);

/* session_memory_contains() - do these bytes, one at least, lie in one range, or in mapped ranges
 * side by side in one reservation that are all accessible? */
bool session_memory_contains(SessionMemory *m, uint64_t address, uint64_t size);

/* session_memory_is_vacant() - does that lie in one reservation, with nothing mapped there? */
bool session_memory_is_vacant(SessionMemory *m, uint64_t address, uint64_t size);

/* session_memory_has_mapped() - are these bytes, one at least, whole mapped ranges side by side
 * in one reservation? */
bool session_memory_has_mapped(SessionMemory *m, uint64_t address, uint64_t size);

/* session_memory_allow() - session_memory_has_mapped() is true of these; may they be touched? */
void session_memory_allow(SessionMemory *m, uint64_t address, uint64_t size, bool accessible);

/* session_memory_take_reservation() - as session_memory_take(); only one of this very size in
 * which nothing is mapped */
SessionRange *session_memory_take_reservation(SessionMemory *m, uint64_t address, uint64_t size);

/*
 * session_memory_take_next() - as session_memory_take(), one of a context's ranges after another
 * @address: where to look from; 0 at first, moved on by each call
 */
SessionRange *session_memory_take_next(SessionMemory *m, uint64_t *address, uint32_t context);

/* session_memory_forget_module() - drop the variables of a module, which is about to end */
void session_memory_forget_module(SessionMemory *m, const void *module);

#endif
