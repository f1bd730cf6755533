/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What driver-memory asks about pointers of every kind, about what is mapped, and about what
 * processes share. */
#include "driver-probe.h"

static const AllocationProp shareable = {
    .type = ALLOCATION_PINNED,
    .handle_types = HANDLE_TYPE_FD,
    .location = HERE,
};
static const AccessDesc read_write = {.location = HERE, .flags = ACCESS_READ_WRITE};
static const MemLocation here = HERE;

/* ---- Pointers ----------------------------------------------------------------------------------
 */

/* Of addresses, how far they are from what was asked about; of others, what they are */
static void tell_attribute(int attribute, CUdeviceptr address, CUmemoryPool pool)
{
    uint64_t word = 0;
    CUresult r = api.cuPointerGetAttribute(&word, attribute, address);

    printf(" %d:%d", attribute, r);
    if (r != CUDA_SUCCESS)
        return;
    switch (attribute) {
    case POINTER_CONTEXT:
        printf("/%s", word == 0 ? "none" : word == (uintptr_t) context ? "context" : "other");
        break;
    case POINTER_BUFFER_ID:
    case POINTER_BLOCK_ID:
        printf("/%s", word == 0 ? "0" : "number");
        break;
    case POINTER_MEMPOOL:
        printf("/%s", word == 0 ? "none" : word == (uintptr_t) pool ? "pool" : "other");
        break;
    case POINTER_DEVICE_POINTER:
    case POINTER_HOST_POINTER:
    case POINTER_RANGE_START:
        printf("/%ld", word == 0 ? -1L : (long) (address - word));
        break;
    case POINTER_MAPPING_BASE: /* a block that others may have a part of: where in it, is luck */
        printf("/%s", word != 0 && word <= address ? "before" : "not");
        break;
    default:
        printf("/%lu", word);
    }
}

/* But for tokens and what only other devices are for */
static void tell_pointer(const char *name, CUdeviceptr address, CUmemoryPool pool)
{
    printf("result pointer-%s", name);
    for (int i = POINTER_CONTEXT; i <= POINTER_BLOCK_ID; i++)
        if (i != POINTER_P2P_TOKENS && i != POINTER_IS_GPU_DIRECT)
            tell_attribute(i, address, pool);
    printf("\n");
}

static void tell_range(const char *name, CUdeviceptr address)
{
    CUdeviceptr base = 0;
    size_t size = 0;

    printf("result range-%s", name);
    TELL(cuMemGetAddressRange_v2(&base, &size, address));
    printf(" %ld %zu\n", base == 0 ? -1L : (long) (address - base), size);
}

static void tell_plain(const char *name, CUdeviceptr address)
{
    int attributes[] = {POINTER_MEMORY_TYPE,    POINTER_DEVICE_ORDINAL, POINTER_IS_MANAGED,
                        POINTER_DEVICE_POINTER, POINTER_HOST_POINTER,   POINTER_CONTEXT};
    int type = 77, ordinal = 77, managed = 0;
    uint64_t device = 77, host = 77, of = 77;
    void *data[] = {&type, &ordinal, &managed, &device, &host, &of};

    printf("result plain-%s", name);
    TELL(cuPointerGetAttributes(6, attributes, data, address));
    printf(" %d %d %d %d %d %d\n", type, ordinal, managed, device == address ? 1 : (int) device,
           host == address ? 1 : (int) host, of == 0);
}

static void pointers(void)
{
    CUmemoryPool pool;
    CUdeviceptr a;
    unsigned on = 1;
    void *pinned;

    NEED(cuDeviceGetDefaultMemPool(&pool, 0));
    NEED(cuMemAlloc_v2(&a, SIZE));
    tell_pointer("device", a + 100, pool);
    tell_range("device", a + 100);
    tell_plain("device", a + 100);
    printf("result synchronous");
    TELL(cuPointerSetAttribute(&on, POINTER_SYNC_MEMOPS, a));
    TELL(cuPointerSetAttribute(&on, POINTER_BUFFER_ID, a));
    TELL(cuPointerSetAttribute(&on, POINTER_SYNC_MEMOPS, 0x1000));
    printf("\n");
    NEED(cuMemFree_v2(a));
    tell_pointer("freed", a, pool);
    tell_plain("program", (uintptr_t) &on);
    NEED(cuMemAllocAsync(&a, SIZE, stream));
    tell_pointer("pooled", a + 100, pool);
    tell_range("pooled", a + 100);
    NEED(cuMemFreeAsync(a, stream));
    NEED(cuMemAllocManaged(&a, SIZE, ATTACH_GLOBAL));
    tell_pointer("managed", a + 100, pool);
    tell_range("managed", a + 100);
    NEED(cuMemFree_v2(a));
    NEED(cuMemHostAlloc(&pinned, SIZE, HOST_PORTABLE));
    tell_pointer("pinned", (uintptr_t) pinned + 100, pool);
    tell_range("pinned", (uintptr_t) pinned + 100);
}

/* ---- Mappings, handles -------------------------------------------------------------------------
 */

static void mappings(void)
{
    CUmemGenericAllocationHandle handle[2], found = 0;
    AllocationProp prop = shareable;
    unsigned long long flags = 77;
    CUdeviceptr base;
    int fd = -1;

    printf("result mappings-wrong");
    TELL(cuMemCreate(&found, 4096, &shareable, 0));
    TELL(cuMemCreate(&found, GRANULE, &shareable, 1));
    prop.location.id = 1000;
    TELL(cuMemCreate(&found, GRANULE, &prop, 0));
    prop.location = (MemLocation){0};
    TELL(cuMemCreate(&found, GRANULE, &prop, 0));
    NEED(cuMemAddressReserve(&base, 4 * GRANULE, 0, 0, 0));
    for (int i = 0; i < 2; i++)
        NEED(cuMemCreate(&handle[i], GRANULE, &shareable, 0));
    TELL(cuMemGetAccess(&flags, &here, base));
    TELL(cuMemRetainAllocationHandle(&found, (void *) base));
    TELL(cuMemSetAccess(base, GRANULE, &read_write, 1));
    for (unsigned i = 0; i < 2; i++)
        NEED(cuMemMap(base + i * GRANULE, GRANULE, 0, handle[i], 0));
    TELL(cuMemMap(base, GRANULE, 0, handle[0], 0));
    TELL(cuMemGetAccess(&flags, &here, base));
    printf(" %llu", flags);
    TELL(cuMemSetAccess(base, 2 * GRANULE, &read_write, 0));
    NEED(cuMemSetAccess(base, 2 * GRANULE, &read_write, 1));
    TELL(cuMemGetAccess(&flags, &here, base + 5));
    printf(" %llu", flags);
    TELL(cuMemAddressFree(base, 4 * GRANULE));
    TELL(cuMemAddressFree(base, GRANULE));
    printf("\n");

    tell_pointer("mapped", base + GRANULE + 100, NULL);
    tell_range("mapped", base + GRANULE + 100);
    tell_pointer("reserved", base + 2 * GRANULE, NULL);
    tell_range("reserved", base + 2 * GRANULE);

    printf("result mappings-handles");
    TELL(cuMemExportToShareableHandle(&fd, handle[0], HANDLE_TYPE_FD, 1));
    TELL(cuMemExportToShareableHandle(&fd, handle[0], HANDLE_TYPE_FABRIC, 0));
    TELL(cuMemExportToShareableHandle(&fd, handle[0], HANDLE_TYPE_FD, 0));
    /* UNKNOWN natively: nobody relies on that, and INVALID_VALUE says what is wrong */
    printf(" %d",
           api.cuMemImportFromShareableHandle(&found, (void *) -1, HANDLE_TYPE_FD) != CUDA_SUCCESS);
    TELL(cuMemImportFromShareableHandle(&found, (void *) (intptr_t) fd, HANDLE_TYPE_FD));
    TELL(cuMemRelease(found));
    TELL(cuMemRelease(handle[0]));
    TELL(cuMemRetainAllocationHandle(&found, (void *) (base + 5)));
    printf(" %d", found == handle[0]);
    TELL(cuMemGetAllocationPropertiesFromHandle(&prop, found));
    printf(" %d %d %d", prop.type, prop.handle_types, prop.location.type);
    TELL(cuMemUnmap(base, 2 * GRANULE));
    TELL(cuMemUnmap(base, 2 * GRANULE));
    TELL(cuMemRelease(found));
    TELL(cuMemRelease(handle[1]));
    TELL(cuMemAddressFree(base, 4 * GRANULE));
    printf("\n");
}

static void handles(void)
{
    IpcMemHandle handle = {0}, own;
    CUdeviceptr a, b;
    void *pinned;

    NEED(cuMemAlloc_v2(&a, SIZE));
    printf("result handles");
    TELL(cuIpcOpenMemHandle_v2(&b, handle, 1));
    TELL(cuIpcGetMemHandle(&own, a));
    TELL(cuIpcGetMemHandle(&own, a + 4096));
    TELL(cuIpcOpenMemHandle_v2(&b, own, 0));
    TELL(cuIpcOpenMemHandle_v2(&b, own, 1));
    TELL(cuIpcCloseMemHandle(a));
    NEED(cuMemFree_v2(a));
    TELL(cuIpcGetMemHandle(&own, a));
    NEED(cuMemAllocAsync(&a, SIZE, stream));
    TELL(cuIpcGetMemHandle(&own, a));
    NEED(cuMemFreeAsync(a, stream));
    NEED(cuMemHostAlloc(&pinned, SIZE, 0));
    TELL(cuIpcGetMemHandle(&own, (uintptr_t) pinned));
    NEED(cuMemAllocManaged(&a, SIZE, ATTACH_GLOBAL));
    TELL(cuIpcGetMemHandle(&own, a));
    NEED(cuMemFree_v2(a));
    printf("\n");
}

void probe_pointers(void)
{
    pointers();
    mappings();
    handles();
}
