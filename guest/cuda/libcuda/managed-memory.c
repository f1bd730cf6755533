/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Managed memory lies in the window, where the program and the device both have it, and does not
 * move: advice has nothing to change. Programs may ask for it again, page by page.
 */
#include "managed-memory.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "context.h"
#include "cuda-api-memory.h"

struct LibManaged {
    ManagedPage *pages; /* NULL: nothing was said yet */
};

static pthread_mutex_t managed_lock = PTHREAD_MUTEX_INITIALIZER;

LibManaged *managed_new(void)
{
    return calloc(1, sizeof(LibManaged));
}

/* Who has found the piece in the map holds the lock until it is done with this. */
void managed_free(LibManaged *managed)
{
    if (!managed)
        return;
    pthread_mutex_lock(&managed_lock);
    free(managed->pages);
    free(managed);
    pthread_mutex_unlock(&managed_lock);
}

/* ---- Pages -------------------------------------------------------------------------------------
 */

typedef struct ManagedRange {
    LibManaged *managed;
    uint64_t n_all; /* pages of the piece */
    uint64_t first, n;
} ManagedRange;

/* With the lock held. */
static bool managed_range(uint64_t address, uint64_t size, ManagedRange *ret)
{
    const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
    MemoryPiece piece;
    uint64_t at;

    if (size == 0 || !memory_map_find(address, &piece) || piece.kind != MEMORY_MANAGED ||
        !memory_has(&piece, address, size))
        return false;
    at = address - piece.address;
    *ret = (ManagedRange){
        .managed = piece.object,
        .n_all = (piece.size + page - 1) / page,
        .first = at / page,
        .n = (at + size + page - 1) / page - at / page,
    };
    return true;
}

CUresult managed_note(uint64_t address, uint64_t size,
                      void (*change)(ManagedPage *page, void *userdata), void *userdata)
{
    CUresult r = CUDA_ERROR_INVALID_VALUE;
    ManagedRange range;

    pthread_mutex_lock(&managed_lock);
    if (managed_range(address, size, &range)) {
        if (!range.managed->pages)
            range.managed->pages = calloc(range.n_all, sizeof(ManagedPage));
        r = range.managed->pages ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (uint64_t i = 0; r == CUDA_SUCCESS && i < range.n; i++)
        change(&range.managed->pages[range.first + i], userdata);
    pthread_mutex_unlock(&managed_lock);
    return r;
}

CUresult managed_look(uint64_t address, uint64_t size,
                      void (*look)(const ManagedPage *page, void *userdata), void *userdata)
{
    const ManagedPage nothing = {0};
    ManagedRange range;
    bool is_managed;

    pthread_mutex_lock(&managed_lock);
    is_managed = managed_range(address, size, &range);
    if (is_managed && !range.managed->pages)
        look(&nothing, userdata);
    for (uint64_t i = 0; is_managed && range.managed->pages && i < range.n; i++)
        look(&range.managed->pages[range.first + i], userdata);
    pthread_mutex_unlock(&managed_lock);
    return is_managed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- Places ------------------------------------------------------------------------------------
 */

MemLocation managed_location(CUdevice device)
{
    return (MemLocation){.type = device == CU_DEVICE_CPU ? LOCATION_HOST : LOCATION_DEVICE,
                         .id = device == CU_DEVICE_CPU ? 0 : device};
}

CUresult managed_place(const MemLocation *location, ManagedPlace *ret)
{
    unsigned node = 0;

    *ret = (ManagedPlace){.type = (int8_t) location->type};
    switch (location->type) {
    case LOCATION_DEVICE:
        return device_is(location->id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    case LOCATION_HOST:
        return CUDA_SUCCESS;
    case LOCATION_HOST_NUMA:
        ret->id = (int16_t) location->id;
        return location->id >= 0 && location->id <= INT16_MAX ? CUDA_SUCCESS
                                                              : CUDA_ERROR_INVALID_VALUE;
    case LOCATION_HOST_NUMA_CURRENT:
        (void) getcpu(NULL, &node);
        *ret = (ManagedPlace){.type = LOCATION_HOST_NUMA, .id = (int16_t) node};
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* ---- Advice ------------------------------------------------------------------------------------
 */

typedef struct ManagedAdvice {
    int advice;
    ManagedPlace place;
} ManagedAdvice;

static void managed_advise(ManagedPage *page, void *userdata)
{
    const ManagedAdvice *a = userdata;
    const uint8_t by = a->place.type == LOCATION_DEVICE ? MANAGED_BY_DEVICE : MANAGED_BY_HOST;

    switch (a->advice) {
    case ADVISE_SET_READ_MOSTLY:
    case ADVISE_UNSET_READ_MOSTLY:
        page->is_read_mostly = a->advice == ADVISE_SET_READ_MOSTLY;
        break;
    case ADVISE_SET_PREFERRED_LOCATION:
        page->preferred = a->place;
        break;
    case ADVISE_UNSET_PREFERRED_LOCATION:
        page->preferred = (ManagedPlace){0};
        break;
    case ADVISE_SET_ACCESSED_BY:
        page->accessed_by |= by;
        break;
    case ADVISE_UNSET_ACCESSED_BY:
        page->accessed_by &= (uint8_t) ~by;
        break;
    }
}

/* Where advice is not about a place, none is looked at. */
static CUresult managed_check_advice(int advice, const MemLocation *location, ManagedPlace *ret)
{
    switch (advice) {
    case ADVISE_SET_READ_MOSTLY:
    case ADVISE_UNSET_READ_MOSTLY:
    case ADVISE_UNSET_PREFERRED_LOCATION:
        return CUDA_SUCCESS;
    case ADVISE_SET_ACCESSED_BY:
    case ADVISE_UNSET_ACCESSED_BY:
        if (location->type != LOCATION_DEVICE && location->type != LOCATION_HOST)
            return CUDA_ERROR_INVALID_VALUE;
        return managed_place(location, ret);
    case ADVISE_SET_PREFERRED_LOCATION:
        return managed_place(location, ret);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemAdvise_v2(CUdeviceptr address, size_t size, int advice, MemLocation location)
{
    ManagedAdvice a = {.advice = advice};
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r == CUDA_SUCCESS)
        r = managed_check_advice(advice, &location, &a.place);
    return r == CUDA_SUCCESS ? managed_note(address, size, managed_advise, &a) : r;
}

CUresult cuMemAdvise(CUdeviceptr address, size_t size, int advice, CUdevice device)
{
    return cuMemAdvise_v2(address, size, advice, managed_location(device));
}
