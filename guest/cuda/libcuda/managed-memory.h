/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the program has said of managed memory. */
#ifndef VGPU_LIBCUDA_MANAGED_MEMORY_H
#define VGPU_LIBCUDA_MANAGED_MEMORY_H

#include "memory-map.h"

/* The object of a MANAGED piece */
typedef struct LibManaged LibManaged;

/* managed_new() - nothing is said of any page. Returns NULL when there is no memory. */
LibManaged *managed_new(void);

/* managed_free() - of a piece that is in the map no more; also takes NULL */
void managed_free(LibManaged *managed);

/*
 * managed_note() - what cuMemAdvise() or a prefetch says of a range of managed memory
 * @change: of each page
 *
 * managed_look() - calls @look for each page; where nothing was said, that page is all zero
 *
 * Both return CUDA_SUCCESS; _INVALID_VALUE when the range is not all in one piece of managed
 * memory; or _OUT_OF_MEMORY.
 */
typedef struct ManagedPlace {
    int8_t type; /* LOCATION_* */
    int16_t id;
} ManagedPlace;

typedef struct ManagedPage {
    ManagedPlace preferred, prefetched;
    bool is_read_mostly;
    uint8_t accessed_by; /* MANAGED_BY_* */
} ManagedPage;

enum { MANAGED_BY_DEVICE = 0x1, MANAGED_BY_HOST = 0x2 };

CUresult managed_note(uint64_t address, uint64_t size,
                      void (*change)(ManagedPage *page, void *userdata), void *userdata);
CUresult managed_look(uint64_t address, uint64_t size,
                      void (*look)(const ManagedPage *page, void *userdata), void *userdata);

/* managed_place() - of a location, as advice and prefetches take it. Returns CUDA_SUCCESS,
 * _INVALID_DEVICE or _INVALID_VALUE */
CUresult managed_place(const MemLocation *location, ManagedPlace *ret);

/* managed_location() - of a device, as it was called before there were locations */
MemLocation managed_location(CUdevice device);

#endif
