/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-memory.h"

#include <assert.h>
#include <stdlib.h>

/* ---- The tree: a treap, the priorities make it a heap ---------------------------------------- */

static uint64_t range_end(const SessionRange *r)
{
    return r->address + r->size;
}

static SessionRange *range_tree_find(SessionRange *tree, uint64_t address)
{
    while (tree && !(address >= tree->address && address < range_end(tree)))
        tree = address < tree->address ? tree->left : tree->right;
    return tree;
}

/* The first that ends above @address */
static SessionRange *range_tree_from(SessionRange *tree, uint64_t address)
{
    SessionRange *found = NULL;

    while (tree) {
        if (range_end(tree) > address) {
            found = tree;
            tree = tree->left;
        } else {
            tree = tree->right;
        }
    }
    return found;
}

static bool range_tree_overlaps(SessionRange *tree, uint64_t address, uint64_t size)
{
    const SessionRange *next = range_tree_from(tree, address);

    return next && next->address < address + size;
}

/* Cuts a tree in two: what lies below @address, and the others */
static void range_tree_split(SessionRange *tree, uint64_t address, SessionRange **ret_below,
                             SessionRange **ret_above)
{
    while (tree) {
        if (tree->address < address) {
            *ret_below = tree;
            ret_below = &tree->right;
            tree = tree->right;
        } else {
            *ret_above = tree;
            ret_above = &tree->left;
            tree = tree->left;
        }
    }
    *ret_below = *ret_above = NULL;
}

static SessionRange *range_tree_join(SessionRange *below, SessionRange *above)
{
    SessionRange *tree = NULL, **at = &tree;

    while (below && above) {
        if (below->priority > above->priority) {
            *at = below;
            at = &below->right;
            below = below->right;
        } else {
            *at = above;
            at = &above->left;
            above = above->left;
        }
    }
    *at = below ? below : above;
    return tree;
}

static void range_tree_insert(SessionRange **tree, SessionRange *r)
{
    while (*tree && (*tree)->priority >= r->priority)
        tree = r->address < (*tree)->address ? &(*tree)->left : &(*tree)->right;
    range_tree_split(*tree, r->address, &r->left, &r->right);
    *tree = r;
}

static void range_tree_remove(SessionRange **tree, SessionRange *r)
{
    while (*tree != r)
        tree = r->address < (*tree)->address ? &(*tree)->left : &(*tree)->right;
    *tree = range_tree_join(r->left, r->right);
    r->left = r->right = NULL;
}

static SessionRange **range_tree_of(SessionMemory *m, SessionRangeKind kind)
{
    return kind == SESSION_RANGE_RESERVED ? &m->reservations : &m->ranges;
}

/* ---- The quota --------------------------------------------------------------------------- */

/* What the driver may still refuse was never used. */
static void memory_publish(SessionMemory *m)
{
    const uint64_t has = m->used > m->pending ? m->used - m->pending : 0;

    if (has > m->peak)
        m->peak = has;
    __atomic_store_n(&m->control->memory, has, __ATOMIC_RELAXED);
    __atomic_store_n(&m->control->memory_peak, m->peak, __ATOMIC_RELAXED);
    if (m->shown)
        __atomic_store_n(m->shown, has, __ATOMIC_RELAXED);
}

void session_memory_show(SessionMemory *m, uint64_t *where)
{
    pthread_mutex_lock(&m->lock);
    m->shown = where;
    memory_publish(m);
    pthread_mutex_unlock(&m->lock);
}

/* What other executors write there may be anything. */
static uint64_t account_sum(const SessionAccount *account)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SESSION_ACCOUNT_SLOTS; i++) {
        uint64_t bytes = __atomic_load_n(&account->slot[i], __ATOMIC_SEQ_CST);

        sum = bytes > UINT64_MAX - sum ? UINT64_MAX : sum + bytes;
    }
    return sum;
}

static void account_write(SessionMemory *m, uint64_t used)
{
    __atomic_store_n(&m->account->slot[m->slot], used, __ATOMIC_SEQ_CST);
}

uint64_t session_memory_max(const SessionMemory *m)
{
    return __atomic_load_n(&m->account->memory_max, __ATOMIC_SEQ_CST);
}

uint64_t session_memory_left(const SessionMemory *m)
{
    const uint64_t max = session_memory_max(m);
    uint64_t sum;

    if (max == UINT64_MAX)
        return UINT64_MAX;
    sum = account_sum(m->account);
    return sum < max ? max - sum : 0;
}

bool session_memory_is_above(const SessionMemory *m)
{
    const uint64_t max = session_memory_max(m);

    return max != UINT64_MAX && account_sum(m->account) > max;
}

static bool memory_charge_locked(SessionMemory *m, uint64_t size)
{
    uint64_t max;

    if (size == 0)
        return true;
    if (size > UINT64_MAX - 1 - m->used)
        return false;
    account_write(m, m->used + size);
    max = session_memory_max(m);
    if (max != UINT64_MAX && account_sum(m->account) > max) {
        account_write(m, m->used);
        return false;
    }
    m->used += size;
    m->pending += size;
    return true;
}

static void memory_give_back_locked(SessionMemory *m, uint64_t size)
{
    assert(size <= m->used);
    m->used -= size;
    account_write(m, m->used);
    memory_publish(m);
}

CUresult session_memory_charge(SessionMemory *m, uint64_t size)
{
    bool charged;

    pthread_mutex_lock(&m->lock);
    charged = memory_charge_locked(m, size);
    pthread_mutex_unlock(&m->lock);
    return charged ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void session_memory_settle(SessionMemory *m, uint64_t size, CUresult result)
{
    pthread_mutex_lock(&m->lock);
    assert(size <= m->pending);
    m->pending -= size;
    memory_give_back_locked(m, result == CUDA_SUCCESS ? 0 : size);
    pthread_mutex_unlock(&m->lock);
}

void session_memory_give_back(SessionMemory *m, uint64_t size)
{
    pthread_mutex_lock(&m->lock);
    memory_give_back_locked(m, size);
    pthread_mutex_unlock(&m->lock);
}

/* ---- Pools ----------------------------------------------------------------------------------- */

void session_memory_pool_take(SessionMemory *m, SessionPool *pool, SessionRange *range)
{
    assert(range->kind == SESSION_RANGE_ASYNC && range->address == 0);
    pthread_mutex_lock(&m->lock);
    range->pool = pool;
    pool->used += range->charge;
    pool->n_ranges++;
    pthread_mutex_unlock(&m->lock);
}

/* The allocation is no more: what it took is still the pool's. One that has never been there took
 * nothing. */
static void memory_pool_drop_locked(SessionMemory *m, const SessionRange *r)
{
    SessionPool *pool = r->pool;

    assert(pool->n_ranges > 0 && pool->used >= r->charge);
    pool->n_ranges--;
    pool->used -= r->charge;
    if (r->address != 0 && session_memory_max(m) != UINT64_MAX)
        pool->kept += r->charge;
    else
        memory_give_back_locked(m, r->charge);
}

bool session_memory_pool_keep(SessionMemory *m, SessionPool *pool, uint64_t bytes, bool anyway)
{
    bool charged = true;

    pthread_mutex_lock(&m->lock);
    m->pending -= pool->pending;
    pool->pending = 0;
    if (bytes <= pool->kept) {
        memory_give_back_locked(m, pool->kept - bytes);
    } else if (anyway) {
        m->used += bytes - pool->kept;
        account_write(m, m->used);
        memory_publish(m);
    } else {
        charged = memory_charge_locked(m, bytes - pool->kept);
        pool->pending = charged ? bytes - pool->kept : 0;
    }
    if (charged)
        pool->kept = bytes;
    pthread_mutex_unlock(&m->lock);
    return charged;
}

bool session_memory_pool_is_empty(SessionMemory *m, const SessionPool *pool)
{
    bool empty;

    pthread_mutex_lock(&m->lock);
    empty = pool->n_ranges == 0;
    pthread_mutex_unlock(&m->lock);
    return empty;
}

uint64_t session_memory_pool_used(SessionMemory *m, const SessionPool *pool)
{
    uint64_t used;

    pthread_mutex_lock(&m->lock);
    used = pool->used;
    pthread_mutex_unlock(&m->lock);
    return used;
}

uint64_t session_memory_used(SessionMemory *m)
{
    uint64_t used;

    pthread_mutex_lock(&m->lock);
    used = m->used;
    pthread_mutex_unlock(&m->lock);
    return used;
}

uint64_t session_memory_rounded(uint64_t size)
{
    if (size > INT64_MAX)
        return UINT64_MAX;
    return (size + SESSION_MEMORY_UNIT - 1) / SESSION_MEMORY_UNIT * SESSION_MEMORY_UNIT;
}

/* ---- Ranges --------------------------------------------------------------------------------- */

void session_memory_open(SessionMemory *m, SessionAccount *account, uint32_t slot,
                         SessionControl *control)
{
    assert(slot < SESSION_ACCOUNT_SLOTS);
    *m = (SessionMemory){
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .control = control,
        .account = account,
        .slot = slot,
        .random = 0x9e3779b9,
    };
    memory_publish(m);
}

static void range_tree_free(SessionRange **tree)
{
    while (*tree) {
        SessionRange *r = *tree;

        range_tree_remove(tree, r);
        free(r);
    }
}

void session_memory_close(SessionMemory *m)
{
    range_tree_free(&m->ranges);
    range_tree_free(&m->reservations);
    pthread_mutex_destroy(&m->lock);
}

CUresult session_memory_prepare(SessionMemory *m, SessionRangeKind kind, uint32_t context,
                                uint64_t size, uint64_t charge, SessionRange **ret)
{
    SessionRange *r = calloc(1, sizeof(*r));
    bool charged;

    if (!r)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r->kind = kind;
    r->context = context;
    r->size = size;
    r->charge = charge;
    r->accessible = kind != SESSION_RANGE_MAPPED;

    pthread_mutex_lock(&m->lock);
    charged = m->n_ranges < SESSION_RANGES_MAX && memory_charge_locked(m, charge);
    if (charged) {
        m->n_ranges++;
        /* xorshift: no guest can choose addresses that unbalance the tree */
        m->random ^= m->random << 13;
        m->random ^= m->random >> 17;
        m->random ^= m->random << 5;
        r->priority = m->random;
    }
    pthread_mutex_unlock(&m->lock);
    if (!charged) {
        free(r);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = r;
    return CUDA_SUCCESS;
}

static void memory_drop_locked(SessionMemory *m, SessionRange *r)
{
    if (r->address == 0)
        m->pending -= r->charge;
    if (r->kind == SESSION_RANGE_ASYNC && r->pool)
        memory_pool_drop_locked(m, r);
    else
        memory_give_back_locked(m, r->charge);
    m->n_ranges--;
    free(r);
}

void session_memory_drop(SessionMemory *m, SessionRange *range)
{
    if (!range)
        return;
    pthread_mutex_lock(&m->lock);
    memory_drop_locked(m, range);
    pthread_mutex_unlock(&m->lock);
}

bool session_memory_insert(SessionMemory *m, SessionRange *range, uint64_t address)
{
    SessionRange **tree = range_tree_of(m, range->kind);
    bool fits;

    if (address == 0 || range->size == 0 || address > UINT64_MAX - range->size)
        return false;
    pthread_mutex_lock(&m->lock);
    fits = !range_tree_overlaps(*tree, address, range->size);
    if (fits) {
        if (range->address == 0)
            m->pending -= range->charge;
        range->address = address;
        range_tree_insert(tree, range);
        memory_publish(m);
    }
    pthread_mutex_unlock(&m->lock);
    return fits;
}

SessionRange *session_memory_take(SessionMemory *m, SessionRangeKind kind, uint64_t address)
{
    SessionRange **tree = range_tree_of(m, kind), *r;

    pthread_mutex_lock(&m->lock);
    r = range_tree_find(*tree, address);
    if (r && (r->address != address || r->kind != kind))
        r = NULL;
    if (r)
        range_tree_remove(tree, r);
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- Shared ---------------------------------------------------------------------------------- */

static SessionRange *memory_at_locked(SessionMemory *m, SessionRangeKind kind, uint64_t address)
{
    SessionRange *r = range_tree_find(m->ranges, address);

    return r && r->address == address && r->kind == kind ? r : NULL;
}

bool session_memory_get_token(SessionMemory *m, uint64_t address, uint64_t *ret_size,
                              uint64_t ret_token[2])
{
    const SessionRange *r;

    pthread_mutex_lock(&m->lock);
    r = memory_at_locked(m, SESSION_RANGE_ALLOCATED, address);
    if (r) {
        *ret_size = r->size;
        ret_token[0] = r->token[0];
        ret_token[1] = r->token[1];
    }
    pthread_mutex_unlock(&m->lock);
    return r != NULL;
}

bool session_memory_set_token(SessionMemory *m, uint64_t address, const uint64_t token[2])
{
    SessionRange *r;

    pthread_mutex_lock(&m->lock);
    r = memory_at_locked(m, SESSION_RANGE_ALLOCATED, address);
    if (r) {
        r->token[0] = token[0];
        r->token[1] = token[1];
    }
    pthread_mutex_unlock(&m->lock);
    return r != NULL;
}

bool session_memory_take_again(SessionMemory *m, uint64_t address)
{
    SessionRange *r;

    pthread_mutex_lock(&m->lock);
    r = memory_at_locked(m, SESSION_RANGE_TAKEN, address);
    if (r)
        r->n_taken++;
    pthread_mutex_unlock(&m->lock);
    return r != NULL;
}

/* ---- Reserved and mapped ------------------------------------------------------------------ */

static bool memory_is_reserved_locked(SessionMemory *m, uint64_t address, uint64_t end)
{
    const SessionRange *r = range_tree_find(m->reservations, address);

    return r && end <= range_end(r);
}

static bool memory_contains_locked(SessionMemory *m, uint64_t address, uint64_t end)
{
    const SessionRange *r = range_tree_find(m->ranges, address);

    if (r && r->accessible && end <= range_end(r))
        return true;
    if (!r || r->kind != SESSION_RANGE_MAPPED || !memory_is_reserved_locked(m, address, end))
        return false;
    while (r && r->kind == SESSION_RANGE_MAPPED && r->accessible) {
        if (end <= range_end(r))
            return true;
        r = range_tree_find(m->ranges, range_end(r));
    }
    return false;
}

bool session_memory_contains(SessionMemory *m, uint64_t address, uint64_t size)
{
    bool contains;

    if (size == 0 || address > UINT64_MAX - size)
        return false;
    pthread_mutex_lock(&m->lock);
    contains = memory_contains_locked(m, address, address + size);
    pthread_mutex_unlock(&m->lock);
    return contains;
}

bool session_memory_is_vacant(SessionMemory *m, uint64_t address, uint64_t size)
{
    bool vacant;

    if (size == 0 || address > UINT64_MAX - size)
        return false;
    pthread_mutex_lock(&m->lock);
    vacant = memory_is_reserved_locked(m, address, address + size) &&
             !range_tree_overlaps(m->ranges, address, size);
    pthread_mutex_unlock(&m->lock);
    return vacant;
}

static bool memory_has_mapped_locked(SessionMemory *m, uint64_t address, uint64_t end)
{
    const SessionRange *r = NULL;

    if (!memory_is_reserved_locked(m, address, end))
        return false;
    while (address < end) {
        r = range_tree_find(m->ranges, address);
        if (!r || r->kind != SESSION_RANGE_MAPPED || r->address != address)
            return false;
        address = range_end(r);
    }
    return address == end && r;
}

bool session_memory_has_mapped(SessionMemory *m, uint64_t address, uint64_t size)
{
    bool mapped;

    if (size == 0 || address > UINT64_MAX - size)
        return false;
    pthread_mutex_lock(&m->lock);
    mapped = memory_has_mapped_locked(m, address, address + size);
    pthread_mutex_unlock(&m->lock);
    return mapped;
}

void session_memory_allow(SessionMemory *m, uint64_t address, uint64_t size, bool accessible)
{
    const uint64_t end = address + size;

    pthread_mutex_lock(&m->lock);
    while (address < end) {
        SessionRange *r = range_tree_find(m->ranges, address);

        assert(r && r->kind == SESSION_RANGE_MAPPED);
        r->accessible = accessible;
        address = range_end(r);
    }
    pthread_mutex_unlock(&m->lock);
}

SessionRange *session_memory_take_reservation(SessionMemory *m, uint64_t address, uint64_t size)
{
    SessionRange *r;

    pthread_mutex_lock(&m->lock);
    r = range_tree_find(m->reservations, address);
    if (r &&
        (r->address != address || r->size != size || range_tree_overlaps(m->ranges, address, size)))
        r = NULL;
    if (r)
        range_tree_remove(&m->reservations, r);
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

SessionRange *session_memory_take_next(SessionMemory *m, uint64_t *address, uint32_t context)
{
    SessionRange *r;

    pthread_mutex_lock(&m->lock);
    do {
        r = range_tree_from(m->ranges, *address);
        if (r)
            *address = range_end(r);
    } while (r && (r->kind == SESSION_RANGE_MAPPED || r->context != context));
    if (r)
        range_tree_remove(&m->ranges, r);
    pthread_mutex_unlock(&m->lock);
    return r;
}

void session_memory_forget_module(SessionMemory *m, const void *module)
{
    uint64_t address = 0;

    pthread_mutex_lock(&m->lock);
    for (;;) {
        SessionRange *r = range_tree_from(m->ranges, address);

        if (!r)
            break;
        address = range_end(r);
        if (r->kind == SESSION_RANGE_GLOBAL && r->module == module) {
            range_tree_remove(&m->ranges, r);
            memory_drop_locked(m, r);
        }
    }
    pthread_mutex_unlock(&m->lock);
}
