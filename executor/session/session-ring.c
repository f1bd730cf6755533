/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-ring.h"

#include <assert.h>
#include <string.h>

/* Bytes of what comes next that are fetched ahead: most records are shorter */
#define RING_PREFETCH 256u

typedef struct RingOperation {
    uint16_t properties;
    uint16_t size; /* bytes of the parameters; 0: there is no such operation */
} RingOperation;

static const RingOperation ring_operations[VGPU_SESSION_N_OPS] = {
#define RING_OPERATION_(name, number, parameters, properties) \
    [number] = {(properties), sizeof(parameters)},
    VGPU_SESSION_OPERATIONS(RING_OPERATION_)
#undef RING_OPERATION_
};

#define RING_OPERATION_FITS_(name, number, parameters, properties)                           \
    static_assert(sizeof(VGPUSessionRecord) + sizeof(parameters) <= VGPU_SESSION_RECORD_MAX, \
                  #name " fits into a record");
VGPU_SESSION_OPERATIONS(RING_OPERATION_FITS_)
#undef RING_OPERATION_FITS_

void session_ring_init(SessionRing *r, const void *memory, const uint64_t *tail, uint32_t size)
{
    assert(size >= VGPU_SESSION_RING_MIN && (size & (size - 1)) == 0);

    r->memory = memory;
    r->tail = tail;
    r->size = size;
    r->broken = false;
    r->head = r->seen = 0;
    r->reason = NULL;
}

static int ring_break(SessionRing *r, const char *reason)
{
    r->broken = true;
    r->reason = reason;
    return SESSION_RING_BROKEN;
}

static uint32_t rounded(uint32_t size)
{
    return (size + VGPU_SESSION_RECORD_ALIGNMENT - 1) & ~(VGPU_SESSION_RECORD_ALIGNMENT - 1);
}

bool session_ring_has_news(const SessionRing *r)
{
    return __atomic_load_n(r->tail, __ATOMIC_ACQUIRE) != r->seen;
}

static int ring_look(SessionRing *r)
{
    uint64_t tail = __atomic_load_n(r->tail, __ATOMIC_ACQUIRE);

    if (tail == r->seen)
        return SESSION_RING_EMPTY;
    /* A tail that goes back is, in free-running numbers, one that is too far ahead. */
    if (tail - r->head > r->size)
        return ring_break(r, "its tail is not in the ring");
    if (tail % VGPU_SESSION_RECORD_ALIGNMENT != 0)
        return ring_break(r, "its tail is not aligned");
    r->seen = tail;
    return 0;
}

/* A PAD may have no room for parameters, and no contents count. */
static bool ring_is_pad(const SessionRing *r)
{
    return r->copy.record.opcode == VGPU_SESSION_OP_PAD;
}

/* Of a record of @size bytes at head: does it lie there whole? */
static int ring_check_size(SessionRing *r, uint32_t size)
{
    if (size < sizeof(VGPUSessionRecord) || size % VGPU_SESSION_RECORD_ALIGNMENT != 0)
        return ring_break(r, "a record has a size that none can have");
    if (size > VGPU_SESSION_RECORD_MAX && !ring_is_pad(r))
        return ring_break(r, "a record is too large");
    if (size > r->seen - r->head)
        return ring_break(r, "a record ends behind the tail");
    if (size > r->size - r->head % r->size)
        return ring_break(r, "a record goes over the end of the ring");
    return 0;
}

static int ring_check_record(SessionRing *r, const RingOperation *o)
{
    const VGPUSessionRecord *record = &r->copy.record;

    if (record->reply > VGPU_SESSION_REPLIES)
        return ring_break(r, "a record has a reply slot that does not exist");
    if (record->capture_mode > 2 || record->reserved != 0)
        return ring_break(r, "a record's header has bits that mean nothing");
    if (o->size == 0)
        return 0;
    if (record->size < sizeof(*record) + o->size)
        return ring_break(r, "an operation lacks parameters");
    if (!(o->properties & VGPU_SESSION_MORE) &&
        record->size != rounded((uint32_t) sizeof(*record) + o->size))
        return ring_break(r, "an operation has more parameters than it takes");
    return 0;
}

static void ring_describe(const SessionRing *r, const RingOperation *o, uint64_t position,
                          SessionRingRecord *ret)
{
    uint32_t behind = (uint32_t) sizeof(VGPUSessionRecord) + o->size;

    *ret = (SessionRingRecord){
        .position = position,
        .record = &r->copy.record,
        .parameters = r->copy.bytes + sizeof(VGPUSessionRecord),
        .properties = o->properties,
        .known = o->size > 0,
    };
    if ((o->properties & VGPU_SESSION_MORE) && !ring_is_pad(r)) {
        ret->more = r->copy.bytes + behind;
        ret->more_size = r->copy.record.size - behind;
    }
}

/* The next record comes from the guest's core while this one is carried out. What the guest may
 * still be writing is left to it. */
static void ring_prefetch(const SessionRing *r)
{
    const unsigned char *next = r->memory + r->head % r->size;

    for (uint64_t at = r->head; at < r->seen && at < r->head + RING_PREFETCH; at += 64)
        __builtin_prefetch(next + (at - r->head));
}

/* Both are aligned, and the size is a multiple of that. Most records are too short for a call. */
static inline void ring_copy(unsigned char *to, const unsigned char *from, uint32_t size)
{
    if (size > RING_PREFETCH) {
        memcpy(to, from, size);
        return;
    }
    for (uint32_t i = 0; i < size; i += VGPU_SESSION_RECORD_ALIGNMENT)
        memcpy(to + i, from + i, VGPU_SESSION_RECORD_ALIGNMENT);
}

int session_ring_take(SessionRing *r, SessionRingRecord *ret)
{
    static const RingOperation unknown;
    const RingOperation *o = &unknown;
    uint64_t position = r->head;
    const unsigned char *from = r->memory + position % r->size;
    int result;

    if (r->broken)
        return SESSION_RING_BROKEN;
    if (position == r->seen) {
        result = ring_look(r);
        if (result != 0)
            return result;
    }

    /* Positions and sizes are multiples of a header's size, so one lies here whole. */
    memcpy(&r->copy.record, from, sizeof(r->copy.record));
    if (r->copy.record.opcode < VGPU_SESSION_N_OPS)
        o = &ring_operations[r->copy.record.opcode];
    result = ring_check_size(r, r->copy.record.size);
    if (result == 0 && !ring_is_pad(r))
        result = ring_check_record(r, o);
    if (result != 0)
        return result;

    if (!ring_is_pad(r))
        ring_copy(r->copy.bytes + sizeof(r->copy.record), from + sizeof(r->copy.record),
                  r->copy.record.size - (uint32_t) sizeof(r->copy.record));
    r->head += r->copy.record.size;
    ring_prefetch(r);
    ring_describe(r, o, position, ret);
    return 0;
}
