/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-array.h"
#include "fake-memory.h"
#include "fake-queue.h"

#include <string.h>

#define PIECE_WIDTH 64u /* bytes */
#define PIECE_ROWS 8u
#define PIECE (PIECE_WIDTH * PIECE_ROWS)
#define NEEDS_UNIT (UINT64_C(64) << 10)

enum {
    FLAGS = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |
            CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_DEFERRED_MAPPING,
};

/* ---- What there is ------------------------------------------------------------ */

static size_t channel_size(int format)
{
    switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
        return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
        return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
        return 4;
    default:
        return 0;
    }
}

size_t fake_format_size(int format, unsigned channels)
{
    static const unsigned of_normalized[3] = {1, 2, 4};
    unsigned n = (unsigned) format - CU_AD_FORMAT_UNORM_INT8X1;

    if (channels != 1 && channels != 2 && channels != 4)
        return 0;
    if (n >= 12) /* X1, X2, X4 of each: 8 and 16 bits, without a sign and with one */
        return channel_size(format) * channels;
    return of_normalized[n % 3] == channels ? channels * (n / 3 % 2 ? 2 : 1) : 0;
}

static bool is_layered(const CudaArrayDescriptor *d)
{
    return d->flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP);
}

static bool fits(const CudaArrayDescriptor *d, const int attributes[3])
{
    const size_t extent[3] = {d->width, d->height, d->depth};

    for (size_t i = 0; i < 3; i++)
        if (attributes[i] && extent[i] > (size_t) fake_attribute(attributes[i]))
            return false;
    return true;
}

/* Which attributes say how large it may be, as a texture and as a surface; NULL: no such kind */
static const int *attributes_of(const CudaArrayDescriptor *d, bool mipmap, bool surface)
{
    static const int one[3][3] = {{21}, {55}, {77}}, two[3][3] = {{22, 23}, {56, 57}, {73, 74}};
    static const int three[2][3] = {{24, 25, 26}, {58, 59, 60}};
    static const int layers[2][3] = {{42, 0, 43}, {61, 0, 62}};
    static const int pages[2][3] = {{27, 28, 29}, {63, 64, 65}};
    static const int cube[2][3] = {{52}, {66}}, cubes[2][3] = {{53, 0, 54}, {67, 0, 68}};
    size_t which = surface ? 1 : mipmap ? 2 : 0;

    if (d->flags & CUDA_ARRAY3D_CUBEMAP) {
        if (d->height != d->width || d->depth == 0 || d->depth % 6 != 0 ||
            (!(d->flags & CUDA_ARRAY3D_LAYERED) && d->depth != 6))
            return NULL;
        return d->flags & CUDA_ARRAY3D_LAYERED ? cubes[surface] : cube[surface];
    }
    if (d->flags & CUDA_ARRAY3D_LAYERED)
        return d->depth == 0 ? NULL : d->height == 0 ? layers[surface] : pages[surface];
    if (d->depth > 0)
        return d->height == 0 ? NULL : three[surface];
    return d->height > 0 ? two[which] : one[which];
}

static bool is_good(const CudaArrayDescriptor *d, bool mipmap)
{
    static const int gather[3] = {45, 46};
    const int *texture = attributes_of(d, mipmap, false);

    return texture && d->width > 0 && (d->flags & ~(unsigned) FLAGS) == 0 &&
           fake_format_size(d->format, d->channels) > 0 && fits(d, texture) &&
           (!(d->flags & CUDA_ARRAY3D_SURFACE_LDST) || fits(d, attributes_of(d, mipmap, true))) &&
           (!(d->flags & CUDA_ARRAY3D_TEXTURE_GATHER) ||
            (d->height > 0 && d->depth == 0 && fits(d, gather)));
}

static size_t at_least_one(size_t n)
{
    return n > 0 ? n : 1;
}

void fake_array_extent(const struct CUarray_st *a, size_t ret[3])
{
    ret[0] = a->descriptor.width;
    ret[1] = at_least_one(a->descriptor.height);
    ret[2] = at_least_one(a->descriptor.depth);
}

static CudaArrayDescriptor level_of(const CudaArrayDescriptor *d, unsigned level)
{
    CudaArrayDescriptor l = *d;

    l.width = at_least_one(d->width >> level);
    l.height = d->height > 0 ? at_least_one(d->height >> level) : 0;
    if (!is_layered(d) && d->depth > 0)
        l.depth = at_least_one(d->depth >> level);
    return l;
}

/* ---- Its bytes ----------------------------------------------------------------- */

static size_t row_pieces(const CudaArrayDescriptor *d)
{
    size_t row = d->width * fake_format_size(d->format, d->channels);

    return (row + PIECE_WIDTH - 1) / PIECE_WIDTH;
}

/* Of a slice, or of a layer */
static size_t slice_size(const CudaArrayDescriptor *d)
{
    return row_pieces(d) * ((at_least_one(d->height) + PIECE_ROWS - 1) / PIECE_ROWS) * PIECE;
}

static size_t total_size(const CudaArrayDescriptor *d, unsigned n_levels)
{
    size_t size = 0;

    for (unsigned i = 0; i < n_levels; i++) {
        CudaArrayDescriptor l = level_of(d, i);

        size += slice_size(&l) * at_least_one(l.depth);
    }
    return size;
}

/* Level after level; in a level, layer after layer */
static CUarray array_new(const CudaArrayDescriptor *d, CUdeviceptr address, size_t offset)
{
    CUarray a = fake_object_new(FAKE_KIND_ARRAY, fake_context(), sizeof(*a));

    a->descriptor = *d;
    a->element = fake_format_size(d->format, d->channels);
    a->row_pieces = row_pieces(d);
    a->z_stride = slice_size(d);
    a->address = address;
    a->bytes = address ? fake_arena_bytes(address) + offset : NULL;
    return a;
}

unsigned char *fake_array_at(const struct CUarray_st *a, size_t x_bytes, size_t y, size_t z)
{
    size_t piece = y / PIECE_ROWS * a->row_pieces + x_bytes / PIECE_WIDTH;

    return a->bytes + z * a->z_stride + piece * PIECE + y % PIECE_ROWS * PIECE_WIDTH +
           x_bytes % PIECE_WIDTH;
}

void fake_array_row(const struct CUarray_st *a, size_t x_bytes, size_t y, size_t z,
                    unsigned char *bytes, size_t size, bool into_array)
{
    while (size > 0) {
        size_t n = PIECE_WIDTH - x_bytes % PIECE_WIDTH;
        unsigned char *at = fake_array_at(a, x_bytes, y, z);

        n = n < size ? n : size;
        memcpy(into_array ? at : bytes, into_array ? bytes : at, n);
        x_bytes += n;
        bytes += n;
        size -= n;
    }
}

bool fake_array_has(const struct CUarray_st *a, size_t x_bytes, size_t y, size_t z,
                    size_t width_bytes, size_t height, size_t depth)
{
    const size_t from[3] = {x_bytes / a->element, y, z};
    const size_t n[3] = {width_bytes / a->element, height, depth};
    size_t extent[3];

    fake_array_extent(a, extent);
    for (size_t i = 0; i < 3; i++)
        if (from[i] > extent[i] || n[i] > extent[i] - from[i])
            return false;
    return a->bytes && x_bytes % a->element == 0 && width_bytes % a->element == 0;
}

/* ---- Their life ------------------------------------------------------------------ */

/* As cuMemAlloc(): not while a capture forbids it */
static CUresult memory_for(const CudaArrayDescriptor *d, unsigned n_levels, CUdeviceptr *ret)
{
    CUresult r = fake_capture_forbids();

    *ret = 0;
    if (r != CUDA_SUCCESS || (d->flags & CUDA_ARRAY3D_DEFERRED_MAPPING))
        return r;
    return fake_memory_alloc(fake_context(), total_size(d, n_levels), ret);
}

CUresult cuArray3DCreate_v2(CUarray *array, const CudaArrayDescriptor *d)
{
    CUdeviceptr address;
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    if (!is_good(d, false))
        return CUDA_ERROR_INVALID_VALUE;

    FAKE_LOCKED();
    r = memory_for(d, 1, &address);
    if (r == CUDA_SUCCESS)
        *array = array_new(d, address, 0);
    return r;
}

CUresult cuArray3DGetDescriptor_v2(CudaArrayDescriptor *d, CUarray array)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(array, FAKE_KIND_ARRAY, __func__);
    *d = array->descriptor;
    return CUDA_SUCCESS;
}

static void memory_end(CUdeviceptr address)
{
    if (address)
        fake_memory_free(fake_memory_at(address));
}

static void mipmap_end(CUmipmappedArray m)
{
    for (unsigned i = 0; i < m->n_levels; i++)
        fake_object_end(m->levels[i]);
    memory_end(m->address);
    fake_object_end(m);
}

/* As cuMemFree(), it waits until nothing that is queued can need it. */
static CUresult drain(CUcontext context)
{
    CUresult r = fake_capture_forbids();

    return r == CUDA_SUCCESS ? fake_context_drain(context) : r;
}

CUresult cuArrayDestroy(CUarray array)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();
    CUresult r;

    fake_object_check(array, FAKE_KIND_ARRAY, __func__);
    if (array->mipmap)
        fake_misuse("%s: a level of a mipmap", __func__);
    r = drain(array->object.context);
    if (r != CUDA_SUCCESS)
        return r;
    memory_end(array->address);
    fake_object_end(array);
    return CUDA_SUCCESS;
}

/* The longest side, halved until it is 1 */
static unsigned levels_max(const CudaArrayDescriptor *d)
{
    size_t side = d->width > d->height ? d->width : d->height;
    unsigned n = 1;

    if (!is_layered(d) && d->depth > side)
        side = d->depth;
    for (; side > 1; side /= 2)
        n++;
    return n;
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *mipmap, const CudaArrayDescriptor *d,
                                unsigned n_levels)
{
    CUmipmappedArray m;
    CUdeviceptr address;
    size_t offset = 0;
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    if (!is_good(d, true))
        return CUDA_ERROR_INVALID_VALUE;
    if (n_levels > levels_max(d))
        n_levels = levels_max(d);
    if (n_levels == 0)
        n_levels = 1;

    FAKE_LOCKED();
    r = memory_for(d, n_levels, &address);
    if (r != CUDA_SUCCESS)
        return r;
    m = fake_object_new(FAKE_KIND_MIPMAP, fake_context(), sizeof(*m));
    m->descriptor = *d;
    m->address = address;
    m->n_levels = n_levels;
    for (unsigned i = 0; i < n_levels; i++) {
        CudaArrayDescriptor l = level_of(d, i);

        m->levels[i] = array_new(&l, address, offset);
        m->levels[i]->mipmap = m;
        offset += slice_size(&l) * at_least_one(l.depth);
    }
    *mipmap = m;
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetLevel(CUarray *array, CUmipmappedArray mipmap, unsigned level)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(mipmap, FAKE_KIND_MIPMAP, __func__);
    if (level >= mipmap->n_levels)
        return CUDA_ERROR_INVALID_VALUE;
    *array = mipmap->levels[level];
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray mipmap)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();
    CUresult r;

    fake_object_check(mipmap, FAKE_KIND_MIPMAP, __func__);
    r = drain(mipmap->object.context);
    if (r == CUDA_SUCCESS)
        mipmap_end(mipmap);
    return r;
}

void fake_arrays_end(CUcontext context)
{
    CUmipmappedArray m;
    CUarray a;

    while ((m = fake_object_any(FAKE_KIND_MIPMAP, context)))
        mipmap_end(m);
    while ((a = fake_object_any(FAKE_KIND_ARRAY, context))) {
        memory_end(a->address);
        fake_object_end(a);
    }
}

/* ---- What they need ---------------------------------------------------------------- */

static CUresult needs_of(const CudaArrayDescriptor *d, unsigned n_levels, CudaArrayNeeds *ret)
{
    if (!(d->flags & CUDA_ARRAY3D_DEFERRED_MAPPING))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CudaArrayNeeds){
        .size = (total_size(d, n_levels) + NEEDS_UNIT - 1) / NEEDS_UNIT * NEEDS_UNIT,
        .alignment = NEEDS_UNIT,
    };
    return CUDA_SUCCESS;
}

CUresult cuArrayGetMemoryRequirements(CudaArrayNeeds *needs, CUarray array, CUdevice device)
{
    ENTER_SESSION(FAKE_CONTEXT);
    fake_check_device(device, __func__);

    FAKE_LOCKED();
    fake_object_check(array, FAKE_KIND_ARRAY, __func__);
    return needs_of(&array->descriptor, 1, needs);
}

CUresult cuMipmappedArrayGetMemoryRequirements(CudaArrayNeeds *needs, CUmipmappedArray mipmap,
                                               CUdevice device)
{
    ENTER_SESSION(FAKE_CONTEXT);
    fake_check_device(device, __func__);

    FAKE_LOCKED();
    fake_object_check(mipmap, FAKE_KIND_MIPMAP, __func__);
    return needs_of(&mipmap->descriptor, mipmap->n_levels, needs);
}
