/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Physical memory. It lives until its handle is released as often as it was given out, and nothing
 * of it is mapped. */
#ifndef VGPU_LIBCUDA_PHYSICAL_MEMORY_H
#define VGPU_LIBCUDA_PHYSICAL_MEMORY_H

#include "context.h"
#include "memory-map.h"

typedef struct LibPhysical {
    CUmemGenericAllocationHandle handle;
    uint32_t number; /* of the session's */
    AllocationProp prop;
    unsigned n_references, n_mapped; /* under a lock of all */
} LibPhysical;

/* physical_map() - it is mapped once more. Returns NULL for a handle that is none */
LibPhysical *physical_map(CUmemGenericAllocationHandle handle);

/* physical_unmap() - once less */
void physical_unmap(const LibCall *call, LibPhysical *physical);

/* physical_handle_types() - of what is mapped at @address, as it was made with; 0 where nothing is
 */
int physical_handle_types(uint64_t address);

#endif
