/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-array.h"
#include "fake-memory.h"
#include "fake-queue.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORYTYPE_UNIFIED = 4 };

/* ---- Running ------------------------------------------------------------------ */

/* From the first byte to the last */
static size_t extent(const FakePlace *p, const FakeCopy *c)
{
    return (c->depth - 1) * p->slice + (c->height - 1) * p->pitch + c->width;
}

/* Under the lock. Host memory has to be pinned, and stays the caller's care. NULL: the device would
 * fault. */
static unsigned char *find(const FakePlace *p, const FakeCopy *c, const char *what)
{
    unsigned char *host = (unsigned char *) (uintptr_t) p->address;

    if (!p->host)
        return fake_memory_find(p->address, extent(p, c));
    if (!fake_memory_is_pinned(host, extent(p, c)))
        fake_misuse("%s: %zu bytes at %p are not pinned", what, extent(p, c), (void *) host);
    return host;
}

static void check_array(const FakePlace *p, const FakeCopy *c, const char *what)
{
    fake_object_check(p->array, FAKE_KIND_ARRAY, what);
    if (p->array->object.context != fake_context())
        fake_misuse("%s: an array of another context", what);
    if (!fake_array_has(p->array, p->x_bytes, p->y, p->z, c->width, c->height, c->depth))
        fake_misuse("%s: %zu by %zu by %zu bytes reach outside an array", what, c->width, c->height,
                    c->depth);
}

void fake_copy_check(const FakeCopy *c, const char *what)
{
    const FakePlace *places[] = {&c->to, &c->from};

    for (size_t i = 0; i < 2; i++)
        if (places[i]->array)
            check_array(places[i], c, what);
        else if (places[i]->host)
            find(places[i], c, what);
        else
            fake_memory_check(places[i]->address, extent(places[i], c), 1, what);
}

/* A row from or to where the process has it: of an array, by way of @buffer */
static void move_row(const FakeCopy *c, unsigned char *to, unsigned char *from,
                     unsigned char *buffer, size_t y, size_t z)
{
    const FakePlace *t = &c->to, *f = &c->from;
    unsigned char *bytes = from ? from + z * f->slice + y * f->pitch : buffer;

    if (f->array)
        fake_array_row(f->array, f->x_bytes, f->y + y, f->z + z, bytes, c->width, false);
    if (t->array)
        fake_array_row(t->array, t->x_bytes, t->y + y, t->z + z, bytes, c->width, true);
    else
        memmove(to + z * t->slice + y * t->pitch, bytes, c->width);
}

/* Where an end of @c has its bytes; an array has them elsewhere. Returns false when the device
 * would fault. */
static bool reach(const FakePlace *p, const FakeCopy *c, unsigned char **ret)
{
    if (p->array) {
        *ret = NULL;
        return fake_object_lives(p->array, FAKE_KIND_ARRAY) &&
               fake_array_has(p->array, p->x_bytes, p->y, p->z, c->width, c->height, c->depth);
    }
    *ret = find(p, c, "copy");
    return *ret;
}

/* Neither end is freed while this runs: that waits. */
CUresult fake_copy_run(const FakeCopy *c)
{
    unsigned char *to, *from, *buffer = NULL;

    if (!reach(&c->to, c, &to) || !reach(&c->from, c, &from))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    fake_unlock();
    if (c->from.array)
        buffer = malloc(c->width);
    if (c->from.array && !buffer)
        abort();
    for (size_t z = 0; z < c->depth; z++)
        for (size_t y = 0; y < c->height; y++)
            move_row(c, to, from, buffer, y, z);
    free(buffer);
    fake_lock();
    return CUDA_SUCCESS;
}

static size_t set_extent(const FakeSet *s)
{
    return (s->rows - 1) * s->pitch + s->count * s->width;
}

CUresult fake_set_run(const FakeSet *s)
{
    unsigned char *bytes = fake_memory_find(s->address, set_extent(s));

    if (!bytes)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    fake_unlock();
    for (size_t y = 0; y < s->rows; y++)
        for (size_t i = 0; i < s->count; i++)
            memcpy(bytes + y * s->pitch + i * s->width, &s->value, s->width);
    fake_lock();
    return CUDA_SUCCESS;
}

/* ---- Copies --------------------------------------------------------------------- */

static bool is_good(const FakePlace *p, const FakeCopy *c)
{
    if (p->array)
        return true;
    return (c->height == 1 || p->pitch >= c->width) && p->pitch <= CUDA_PITCH_MAX &&
           (c->depth == 1 || p->slice >= c->height * p->pitch);
}

static CUresult copy_make(const FakeCopy *c, const char *what, FakeWork *ret)
{
    if (!is_good(&c->to, c) || !is_good(&c->from, c))
        return fake_refuse("%s: %zu by %zu bytes, %zu and %zu apart", what, c->width, c->height,
                           c->to.pitch, c->from.pitch);
    fake_copy_check(c, what);
    *ret = (FakeWork){.kind = FAKE_WORK_COPY, .copy = *c};
    return CUDA_SUCCESS;
}

static CUresult submit(FakeCopy c, CUstream stream, const char *what)
{
    FakeWork w;
    CUresult r;

    if (c.width == 0 || c.height == 0 || c.depth == 0)
        return fake_is_session() ? CUDA_SUCCESS : fake_refuse("%s: no bytes", what);

    FAKE_LOCKED();
    r = copy_make(&c, what, &w);
    return r == CUDA_SUCCESS ? fake_submit(fake_stream_get(stream, what), &w) : r;
}

static FakeCopy line(CUdeviceptr device, const void *host, size_t size, bool to_device)
{
    FakePlace d = {.address = device}, h = {.address = (uintptr_t) host, .host = true};

    return (FakeCopy){
        .to = to_device ? d : h,
        .from = to_device ? h : d,
        .width = size,
        .height = 1,
        .depth = 1,
    };
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr device, const void *host, size_t size, CUstream stream)
{
    ENTER_NUMBER(FAKE_CONTEXT, size);
    return submit(line(device, host, size, true), stream, __func__);
}

CUresult cuMemcpyDtoHAsync_v2(void *host, CUdeviceptr device, size_t size, CUstream stream)
{
    ENTER_NUMBER(FAKE_CONTEXT, size);
    return submit(line(device, host, size, false), stream, __func__);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream)
{
    FakeCopy c = {.to = {.address = to}, .from = {.address = from}, .width = size};

    ENTER_SESSION(FAKE_CONTEXT);
    c.height = c.depth = 1;
    return submit(c, stream, __func__);
}

/* Returns whether the model has such memory. */
static bool linear_place(FakePlace *ret, int type, const void *host, CUdeviceptr device,
                         size_t pitch, size_t height, size_t offset)
{
    if (type != CU_MEMORYTYPE_HOST && type != CU_MEMORYTYPE_DEVICE && type != MEMORYTYPE_UNIFIED)
        return false;
    *ret = (FakePlace){
        .host = type == CU_MEMORYTYPE_HOST,
        .address = (type == CU_MEMORYTYPE_HOST ? (uintptr_t) host : device) + offset,
        .pitch = pitch,
        .slice = pitch * height,
    };
    return true;
}

CUresult cuMemcpy2DAsync_v2(const CudaCopy2D *c, CUstream stream)
{
    FakeCopy copy = {.width = c->width_bytes, .height = c->height, .depth = 1};

    ENTER_NUMBER(FAKE_CONTEXT, c->height);
    if (c->src_array || c->dst_array ||
        !linear_place(&copy.from, c->src_type, c->src_host, c->src_device, c->src_pitch, c->height,
                      c->src_y * c->src_pitch + c->src_x_bytes) ||
        !linear_place(&copy.to, c->dst_type, c->dst_host, c->dst_device, c->dst_pitch, c->height,
                      c->dst_y * c->dst_pitch + c->dst_x_bytes))
        fake_misuse("cuMemcpy2DAsync_v2: types %d and %d", c->src_type, c->dst_type);
    return submit(copy, stream, __func__);
}

static bool from(const CudaCopy3D *c, FakePlace *ret)
{
    if (c->src_type != CU_MEMORYTYPE_ARRAY)
        return linear_place(ret, c->src_type, c->src_host, c->src_device, c->src_pitch,
                            c->src_height,
                            (c->src_z * c->src_height + c->src_y) * c->src_pitch + c->src_x_bytes);
    *ret = (FakePlace){c->src_array, c->src_x_bytes, c->src_y, c->src_z, 0, false, 0, 0};
    return c->src_array;
}

static bool to(const CudaCopy3D *c, FakePlace *ret)
{
    if (c->dst_type != CU_MEMORYTYPE_ARRAY)
        return linear_place(ret, c->dst_type, c->dst_host, c->dst_device, c->dst_pitch,
                            c->dst_height,
                            (c->dst_z * c->dst_height + c->dst_y) * c->dst_pitch + c->dst_x_bytes);
    *ret = (FakePlace){c->dst_array, c->dst_x_bytes, c->dst_y, c->dst_z, 0, false, 0, 0};
    return c->dst_array;
}

static CUresult box(const CudaCopy3D *c, const char *what, FakeCopy *ret)
{
    FakeCopy copy = {.width = c->width_bytes, .height = c->height, .depth = c->depth};

    if (c->src_lod || c->dst_lod || c->reserved0 || c->reserved1 || !from(c, &copy.from) ||
        !to(c, &copy.to))
        fake_misuse("%s: types %d and %d", what, c->src_type, c->dst_type);
    if (copy.from.array && copy.to.array && copy.from.array->element != copy.to.array->element)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = copy;
    return CUDA_SUCCESS;
}

CUresult fake_box_make(const CudaCopy3D *c, const char *what, FakeWork *ret)
{
    FakeCopy copy;
    CUresult r = box(c, what, &copy);

    if (r != CUDA_SUCCESS)
        return r;
    if (copy.width == 0 || copy.height == 0 || copy.depth == 0)
        return CUDA_ERROR_INVALID_VALUE;
    return copy_make(&copy, what, ret);
}

CUresult cuMemcpy3DAsync_v2(const CudaCopy3D *c, CUstream stream)
{
    FakeCopy copy;
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    r = box(c, __func__, &copy);
    return r == CUDA_SUCCESS ? submit(copy, stream, __func__) : r;
}

/* ---- Sets ------------------------------------------------------------------------- */

CUresult fake_set_make(FakeSet s, const char *what, FakeWork *ret)
{
    if (s.width == 0 || s.address % s.width != 0 ||
        (s.rows > 1 && (s.pitch % s.width != 0 || s.pitch < s.count * s.width)))
        return CUDA_ERROR_INVALID_VALUE;
    if (s.count > 0 && s.rows > 0)
        fake_memory_check(s.address, set_extent(&s), 1, what);
    *ret = (FakeWork){.kind = FAKE_WORK_SET, .set = s};
    return CUDA_SUCCESS;
}

static CUresult set(FakeSet s, CUstream stream, const char *what)
{
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = fake_set_make(s, what, &w);

    if (r != CUDA_SUCCESS || s.count == 0 || s.rows == 0)
        return r;
    return fake_submit(fake_stream_get(stream, what), &w);
}

#define SET(bits, type)                                                                            \
    CUresult cuMemsetD##bits##Async(CUdeviceptr address, type value, size_t count,                 \
                                    CUstream stream)                                               \
    {                                                                                              \
        ENTER_SESSION(FAKE_CONTEXT);                                                               \
        return set((FakeSet){address, 0, count, 1, value, (bits) / 8}, stream, __func__);          \
    }                                                                                              \
    CUresult cuMemsetD2D##bits##Async(CUdeviceptr address, size_t pitch, type value, size_t width, \
                                      size_t height, CUstream stream)                              \
    {                                                                                              \
        ENTER_SESSION(FAKE_CONTEXT);                                                               \
        return set((FakeSet){address, pitch, width, height, value, (bits) / 8}, stream, __func__); \
    }

SET(8, unsigned char)
SET(16, unsigned short)
SET(32, unsigned)
