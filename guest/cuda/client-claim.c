/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of the device's, as far as they lie outside the ranges that this process has reserved
 * (address-space.h): each is reserved by itself, in whole pages. Two may share a page, and even
 * overlap, where the host has given an address again before this side has heard of its end. One
 * that crosses the border of such a range, as the driver knows nothing of it, is reserved beyond.
 */
#include <stdlib.h>
#include <unistd.h>

#include "address-space.h"
#include "client-internal.h"

/* What lies from @has_begin to @has_end is not to be taken: returns whether that moves *begin. */
static bool claims_pass(uint64_t has_begin, uint64_t has_end, uint64_t *begin, uint64_t *end)
{
    if (has_begin <= *begin && has_end > *begin) {
        *begin = has_end;
        return true;
    }
    if (has_begin > *begin && has_begin < *end)
        *end = has_begin;
    return false;
}

/* With memory_lock held, all of these. The part of the pages from *begin to @end that no claim has,
 * and none of the process's ranges, beginning with the first such page. Returns false when there is
 * none. */
static bool claims_find_gap(const vgpu_session *s, uint64_t *begin, uint64_t end, uint64_t *ret_end)
{
    uint64_t kept_begin, kept_end;
    bool moved = true;

    while (moved && *begin < end) {
        moved = false;
        *ret_end = end;
        for (unsigned i = 0; address_space_kept(i, &kept_begin, &kept_end); i++)
            moved = claims_pass(kept_begin, kept_end, begin, ret_end) || moved;
        for (size_t i = 0; i < s->n_claims; i++)
            moved = claims_pass(s->claims[i].begin, s->claims[i].end, begin, ret_end) || moved;
    }
    return *begin < end;
}

static void claims_give(const vgpu_session *s, uint64_t begin, uint64_t end)
{
    uint64_t stop;

    for (; claims_find_gap(s, &begin, end, &stop); begin = stop)
        address_space_give(begin, stop - begin);
}

static int claims_take(const vgpu_session *s, uint64_t begin, uint64_t end)
{
    uint64_t at = begin, stop;

    for (; claims_find_gap(s, &at, end, &stop); at = stop)
        if (address_space_take(at, stop - at) < 0) {
            claims_give(s, begin, at);
            return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
        }
    return 0;
}

static int claims_add(vgpu_session *s, const client_claim *claim)
{
    client_claim *more = realloc(s->claims, (s->n_claims + 1) * sizeof(*more));
    int r;

    if (!more)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    s->claims = more;
    /* A variable may be asked for many times. */
    for (size_t i = 0; claim->module != 0 && i < s->n_claims; i++)
        if (more[i].module == claim->module && more[i].address == claim->address)
            return 0;
    r = claims_take(s, claim->begin, claim->end);
    if (r == 0)
        s->claims[s->n_claims++] = *claim;
    return r;
}

static void claims_remove(vgpu_session *s, size_t i)
{
    const client_claim claim = s->claims[i];

    s->claims[i] = s->claims[--s->n_claims];
    claims_give(s, claim.begin, claim.end);
}

/* ---- For the others -------------------------------------------------------------------------- */

int client_claim_address(vgpu_session *s, uint64_t address, uint64_t size, uint32_t context,
                         uint32_t module)
{
    const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
    client_claim claim = {.address = address, .context = context, .module = module};
    int r;

    if (address_space_has(address, size))
        return 0;
    if (size == 0 || address < page || address > UINT64_MAX - page ||
        size > UINT64_MAX - page - address)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    claim.begin = address & ~(page - 1);
    claim.end = (address + size + page - 1) & ~(page - 1);
    pthread_mutex_lock(&s->memory_lock);
    r = claims_add(s, &claim);
    pthread_mutex_unlock(&s->memory_lock);
    return r;
}

void client_disclaim_address(vgpu_session *s, uint64_t address)
{
    pthread_mutex_lock(&s->memory_lock);
    for (size_t i = 0; i < s->n_claims; i++)
        if (s->claims[i].address == address && s->claims[i].module == 0) {
            claims_remove(s, i);
            break;
        }
    pthread_mutex_unlock(&s->memory_lock);
}

void client_disclaim_module(vgpu_session *s, uint32_t module)
{
    pthread_mutex_lock(&s->memory_lock);
    for (size_t i = s->n_claims; i > 0; i--)
        if (s->claims[i - 1].module == module)
            claims_remove(s, i - 1);
    pthread_mutex_unlock(&s->memory_lock);
}

void client_disclaim_context(vgpu_session *s, uint32_t context)
{
    pthread_mutex_lock(&s->memory_lock);
    for (size_t i = s->n_claims; context != 0 && i > 0; i--)
        if (s->claims[i - 1].context == context)
            claims_remove(s, i - 1);
    pthread_mutex_unlock(&s->memory_lock);
}

void client_claims_destroy(vgpu_session *s)
{
    while (s->n_claims > 0)
        claims_remove(s, s->n_claims - 1);
    free(s->claims);
}
