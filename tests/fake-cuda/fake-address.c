/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges of addresses, physical memory, and the one mapped into the other, with real mappings
 * behind them. What is mapped without access, or only reserved, no kernel and no copy can reach.
 * The model makes no difference between access to read and to write.
 */
#include "fake-memory.h"
#include "fake-queue.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACCESS_NONE = 0, ACCESS_READ = 1, ACCESS_READ_WRITE = 3 };

/* What a handle of cuMemCreate() is: the address of one */
typedef struct Physical {
    FakeObject object;
    int fd;
    size_t size;
    CUdevice device;
    unsigned n_mappings;
    bool released;
    bool is_shareable, is_compressed;
    bool is_imported; /* another process's: that has it of the device */
} Physical;

typedef struct Mapping {
    struct Mapping *next;
    CUdeviceptr address;
    Physical *physical;
    size_t size;
} Mapping;

static Mapping *mappings;

#define PHYSICAL_NAME "fake-cuda-physical"
#define COMPRESSED_NAME PHYSICAL_NAME "-compressed"
#define RESERVED_MAX (UINT64_C(1) << 40)
#define COMPRESSED_MAX (UINT64_C(32) << 20) /* no larger memory is: then it is made without */

static bool is_in_granules(uint64_t n)
{
    return n % FAKE_GRANULE == 0;
}

bool fake_address_reach(const FakeMemory *m, CUdeviceptr address, size_t size)
{
    size_t first = (size_t) ((address - m->address) / FAKE_GRANULE);
    size_t last = (size_t) ((address - m->address + (size ? size - 1 : 0)) / FAKE_GRANULE);

    for (size_t i = first; i <= last; i++)
        if (m->granule[i] < FAKE_GRANULE_READ)
            return false;
    return true;
}

/* The reserved range that has all these bytes, or NULL */
static FakeMemory *reserved(CUdeviceptr address, size_t size)
{
    FakeMemory *m = fake_memory_around(address);

    if (!m || m->kind != FAKE_RESERVED || size == 0 || !is_in_granules(address) ||
        !is_in_granules(size) || size > m->size - (address - m->address))
        return NULL;
    return m;
}

static void mark(FakeMemory *m, CUdeviceptr address, size_t size, unsigned char state)
{
    memset(m->granule + (address - m->address) / FAKE_GRANULE, state, size / FAKE_GRANULE);
}

static bool are_all(const FakeMemory *m, CUdeviceptr address, size_t size, bool mapped)
{
    size_t first = (size_t) ((address - m->address) / FAKE_GRANULE);

    for (size_t i = first; i < first + size / FAKE_GRANULE; i++)
        if ((m->granule[i] != FAKE_GRANULE_EMPTY) != mapped)
            return false;
    return true;
}

static void physical_end(Physical *p)
{
    if (!p->released || p->n_mappings > 0)
        return;
    close(p->fd);
    if (!p->is_imported)
        fake_total_give(p->device, p->size);
    fake_object_end(p);
}

static void unmap(FakeMemory *m, Mapping **link)
{
    Mapping *map = *link;

    if (mmap(m->bytes + (map->address - m->address), map->size, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        abort();
    mark(m, map->address, map->size, FAKE_GRANULE_EMPTY);
    *link = map->next;
    map->physical->n_mappings--;
    physical_end(map->physical);
    free(map);
}

void fake_address_end(FakeMemory *m)
{
    for (Mapping **link = &mappings; *link;) {
        if ((*link)->address >= m->address && (*link)->address - m->address < m->size)
            unmap(m, link);
        else
            link = &(*link)->next;
    }
    munmap(m->bytes, m->size);
    munmap((void *) (uintptr_t) m->address, m->size);
    free(m->granule);
    fake_memory_remove(m);
}

void fake_physicals_end(CUcontext context)
{
    for (Physical *p; (p = fake_object_any(FAKE_KIND_PHYSICAL, context));) {
        /* A range of another context keeps it. */
        p->object.context = NULL;
        p->released = true;
        physical_end(p);
    }
}

/* ---- Addresses ------------------------------------------------------------------ */

static bool place_at(CUdeviceptr address, size_t size)
{
    return is_in_granules(address) && !fake_arena_has(address) &&
           mmap((void *) (uintptr_t) address, size, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                0) != MAP_FAILED;
}

/* The lowest that are free from @begin on */
static CUdeviceptr lowest(CUdeviceptr begin, size_t size, size_t alignment)
{
    const CUdeviceptr step = alignment > FAKE_GRANULE ? alignment : FAKE_GRANULE;
    CUdeviceptr at = (begin + step - 1) / step * step;

    for (const FakeMemory *m = NULL; (m = fake_memory_next(m)) && m->address < at + size;)
        if (m->address + m->size > at)
            at = (m->address + m->size + step - 1) / step * step;
    return at;
}

/* Where it is wanted, when nothing is there; else, as a driver does, above what pools have; where a
 * sanitizer has its own memory there, above the device's */
static bool place(CUdeviceptr wanted, size_t size, size_t alignment, CUdeviceptr *ret)
{
    *ret = wanted;
    if (wanted != 0 && place_at(*ret, size))
        return true;
    *ret = lowest(FAKE_RESERVED_BEGIN, size, alignment);
    if (place_at(*ret, size))
        return true;
    *ret = lowest(FAKE_RESERVED_ELSE, size, alignment);
    return place_at(*ret, size);
}

CUresult cuMemAddressReserve(CUdeviceptr *address, size_t size, size_t alignment,
                             CUdeviceptr wanted, unsigned long long flags)
{
    FakeMemory m = {.size = size, .kind = FAKE_RESERVED};

    ENTER_SESSION(FAKE_INIT);
    if (size == 0 || !is_in_granules(size) || (alignment & (alignment - 1)) != 0 || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    if (size > RESERVED_MAX || !place(wanted, size, alignment, &m.address))
        return CUDA_ERROR_OUT_OF_MEMORY;
    m.bytes = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m.granule = calloc(size / FAKE_GRANULE, 1);
    if (m.bytes == MAP_FAILED || !m.granule)
        fake_misuse("%s: no room for the bytes of the range", __func__);
    m.context = fake_context();
    fake_memory_add(&m);
    *address = m.address;
    return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t size)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    FakeMemory *m = reserved(address, size);

    if (!m || m->address != address || m->size != size || !are_all(m, address, size, false))
        return CUDA_ERROR_INVALID_VALUE;
    fake_address_end(m);
    return CUDA_SUCCESS;
}

/* ---- Physical memory -------------------------------------------------------------- */

static bool is_good(const CUmemAllocationProp *prop)
{
    return prop->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
           (prop->requested_handle_types == 0 ||
            prop->requested_handle_types == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) &&
           prop->flags.compression_type <= CU_MEM_ALLOCATION_COMP_GENERIC &&
           prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE && fake_has_device(prop->location.id);
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
                                       int option)
{
    ENTER_SESSION(FAKE_INIT);
    if (!is_good(prop) || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
                           option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED))
        return CUDA_ERROR_INVALID_VALUE;
    *granularity = FAKE_GRANULE;
    return CUDA_SUCCESS;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                     const CUmemAllocationProp *prop, unsigned long long flags)
{
    Physical *p;

    ENTER_SESSION(FAKE_INIT);
    if (size == 0 || !is_in_granules(size) || !is_good(prop) || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    if (size > fake_total() || !fake_total_take(prop->location.id, size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    p = fake_object_new(FAKE_KIND_PHYSICAL, fake_context(), sizeof(*p));
    p->size = size;
    p->device = prop->location.id;
    p->is_shareable = prop->requested_handle_types != 0;
    p->is_compressed =
        prop->flags.compression_type == CU_MEM_ALLOCATION_COMP_GENERIC && size <= COMPRESSED_MAX;
    p->fd = memfd_create(p->is_compressed ? COMPRESSED_NAME : PHYSICAL_NAME, MFD_CLOEXEC);
    if (p->fd < 0 || ftruncate(p->fd, (off_t) size) != 0)
        fake_misuse("%s: no memory of the host", __func__);
    *handle = (CUmemGenericAllocationHandle) (uintptr_t) p;
    return CUDA_SUCCESS;
}

static Physical *physical(CUmemGenericAllocationHandle handle, const char *function)
{
    Physical *p = (Physical *) (uintptr_t) handle;

    fake_object_check(p, FAKE_KIND_PHYSICAL, function);
    if (p->released)
        fake_misuse("%s: the handle was released", function);
    return p;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
                                                CUmemGenericAllocationHandle handle)
{
    const Physical *p;

    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();
    p = physical(handle, __func__);
    *prop = (CUmemAllocationProp){
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .requested_handle_types = p->is_shareable ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : 0,
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, p->device},
        .flags = {.compression_type = p->is_compressed ? CU_MEM_ALLOCATION_COMP_GENERIC : 0},
    };
    return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    Physical *p = physical(handle, __func__);

    p->released = true;
    physical_end(p);
    return CUDA_SUCCESS;
}

/* ---- Between processes ---------------------------------------------------------------- */

CUresult cuMemExportToShareableHandle(void *shareable, CUmemGenericAllocationHandle handle,
                                      int type, unsigned long long flags)
{
    const Physical *p;
    int fd;

    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    p = physical(handle, __func__);
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags != 0 || !p->is_shareable)
        return CUDA_ERROR_INVALID_VALUE;
    fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(shareable, &fd, sizeof(fd));
    return CUDA_SUCCESS;
}

/* Is it one that this driver has made, so named? */
static bool is_named(int fd, const char *name)
{
    char path[64], target[128] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, name);
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *shareable,
                                        int type)
{
    const int fd = (int) (intptr_t) shareable;
    struct stat st;
    Physical *p;

    ENTER_SESSION(FAKE_INIT);
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || !is_named(fd, PHYSICAL_NAME) ||
        fstat(fd, &st) != 0)
        return CUDA_ERROR_UNKNOWN;

    FAKE_LOCKED();
    p = fake_object_new(FAKE_KIND_PHYSICAL, fake_context(), sizeof(*p));
    p->size = (size_t) st.st_size;
    p->device = fake_context()->device;
    p->is_shareable = p->is_imported = true;
    p->is_compressed = is_named(fd, COMPRESSED_NAME);
    p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (p->fd < 0)
        fake_misuse("%s: no descriptor", __func__);
    *handle = (CUmemGenericAllocationHandle) (uintptr_t) p;
    return CUDA_SUCCESS;
}

/* ---- The one in the other ----------------------------------------------------------- */

CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    Physical *p = physical(handle, __func__);
    FakeMemory *m = reserved(address, size);
    Mapping *map;

    if (!m || offset != 0 || flags != 0 || size > p->size || !are_all(m, address, size, false))
        return CUDA_ERROR_INVALID_VALUE;
    if (mmap(m->bytes + (address - m->address), size, PROT_NONE, MAP_SHARED | MAP_FIXED, p->fd,
             0) == MAP_FAILED)
        fake_misuse("%s: the host maps no more", __func__);
    map = malloc(sizeof(*map));
    if (!map)
        abort();
    *map = (Mapping){.next = mappings, .address = address, .physical = p, .size = size};
    mappings = map;
    p->n_mappings++;
    mark(m, address, size, FAKE_GRANULE_MAPPED);
    return CUDA_SUCCESS;
}

/* The mappings that begin in the range end in it, and fill it. */
static bool are_whole(CUdeviceptr address, size_t size)
{
    size_t sum = 0;

    for (const Mapping *map = mappings; map; map = map->next)
        if (map->address >= address && map->address - address < size)
            sum += map->size;
    return sum == size;
}

CUresult cuMemUnmap(CUdeviceptr address, size_t size)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    FakeMemory *m;

    fake_device_settle();
    m = reserved(address, size);
    if (m && are_all(m, address, size, false))
        return CUDA_SUCCESS;
    if (!m || !are_all(m, address, size, true) || !are_whole(address, size))
        return CUDA_ERROR_INVALID_VALUE;
    for (Mapping **link = &mappings; *link;) {
        if ((*link)->address >= address && (*link)->address - address < size)
            unmap(m, link);
        else
            link = &(*link)->next;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc *access, size_t n)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    FakeMemory *m = reserved(address, size);
    bool reach = n > 0 && access[0].flags != ACCESS_NONE;

    if (!m || n != 1 || !are_all(m, address, size, true) ||
        access[0].location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
        !fake_has_device(access[0].location.id) ||
        (access[0].flags != ACCESS_NONE && access[0].flags != ACCESS_READ &&
         access[0].flags != ACCESS_READ_WRITE))
        return CUDA_ERROR_INVALID_VALUE;
    if (mprotect(m->bytes + (address - m->address), size,
                 reach ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        abort();
    mark(m, address, size, reach ? FAKE_GRANULE_READ : FAKE_GRANULE_MAPPED);
    return CUDA_SUCCESS;
}
