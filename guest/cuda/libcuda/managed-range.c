/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a range of managed memory has been advised, as far as all of its pages agree. */
#include <string.h>

#include "cuda-api-memory.h"
#include "managed-memory.h"

typedef struct RangeSum {
    ManagedPage page; /* what all have in common */
    bool is_begun;
} RangeSum;

static void range_agree(ManagedPlace *sum, const ManagedPlace *place)
{
    if (sum->type != place->type || sum->id != place->id)
        *sum = (ManagedPlace){0};
}

static void range_add(const ManagedPage *page, void *userdata)
{
    RangeSum *sum = userdata;

    if (!sum->is_begun)
        sum->page = *page;
    sum->is_begun = true;
    range_agree(&sum->page.preferred, &page->preferred);
    range_agree(&sum->page.prefetched, &page->prefetched);
    sum->page.is_read_mostly = sum->page.is_read_mostly && page->is_read_mostly;
    sum->page.accessed_by &= page->accessed_by;
}

/* As the device's number; a node of the host is the host. */
static int range_device(const ManagedPlace *place)
{
    switch (place->type) {
    case LOCATION_NONE:
        return CU_DEVICE_INVALID;
    case LOCATION_DEVICE:
        return place->id;
    default:
        return CU_DEVICE_CPU;
    }
}

static void range_tell_accessed(const ManagedPage *page, int *to, size_t n)
{
    size_t i = 0;

    if ((page->accessed_by & MANAGED_BY_DEVICE) && i < n)
        to[i++] = 0;
    if ((page->accessed_by & MANAGED_BY_HOST) && i < n)
        to[i++] = CU_DEVICE_CPU;
    while (i < n)
        to[i++] = CU_DEVICE_INVALID;
}

static int range_value(const ManagedPage *page, int attribute)
{
    switch (attribute) {
    case RANGE_READ_MOSTLY:
        return page->is_read_mostly;
    case RANGE_PREFERRED_LOCATION:
        return range_device(&page->preferred);
    case RANGE_PREFERRED_LOCATION_TYPE:
        return page->preferred.type;
    case RANGE_PREFERRED_LOCATION_ID:
        return page->preferred.id;
    case RANGE_LAST_PREFETCH_LOCATION:
        return range_device(&page->prefetched);
    case RANGE_LAST_PREFETCH_LOCATION_TYPE:
        return page->prefetched.type;
    default:
        return page->prefetched.id;
    }
}

static bool range_is_good(const void *data, size_t size, int attribute)
{
    if (!data || attribute < RANGE_READ_MOSTLY || attribute > RANGE_LAST_PREFETCH_LOCATION_ID)
        return false;
    return attribute == RANGE_ACCESSED_BY ? size > 0 && size % sizeof(int) == 0
                                          : size == sizeof(int);
}

CUresult cuMemRangeGetAttributes(void **data, size_t *sizes, int *attributes, size_t n_attributes,
                                 CUdeviceptr address, size_t n)
{
    RangeSum sum = {0};
    LibCall call;
    CUresult r = libcuda_enter(&call);

    if (r != CUDA_SUCCESS)
        return r;
    if (!data || !sizes || !attributes || n_attributes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n_attributes; i++)
        if (!range_is_good(data[i], sizes[i], attributes[i]))
            return CUDA_ERROR_INVALID_VALUE;
    r = managed_look(address, n, range_add, &sum);
    for (size_t i = 0; r == CUDA_SUCCESS && i < n_attributes; i++) {
        const int value = range_value(&sum.page, attributes[i]);

        if (attributes[i] == RANGE_ACCESSED_BY)
            range_tell_accessed(&sum.page, data[i], sizes[i] / sizeof(int));
        else
            memcpy(data[i], &value, sizeof(value));
    }
    return r;
}

CUresult cuMemRangeGetAttribute(void *data, size_t size, int attribute, CUdeviceptr address,
                                size_t n)
{
    return cuMemRangeGetAttributes(&data, &size, &attribute, 1, address, n);
}
