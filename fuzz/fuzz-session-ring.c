/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may write into a session's ring at any time. The executor's end runs on plain
 * memory, and a guest writes anything between its steps. The target checks that the executor
 * touches nothing outside the ring, that each record it hands on is whole, lies where the guest has
 * published something, and is what the table of operations says, and that a broken ring
 * stays broken.
 *
 * Each step is a byte that names it, and the bytes that it needs.
 */
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "session-ring.h"

#define RING_SIZE VGPU_SESSION_RING_MIN

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

typedef struct World {
    unsigned char *memory; /* exactly the ring */
    uint64_t tail;
    SessionRing ring;
    bool broken;
} World;

static void input_read(Input *in, void *to, size_t size)
{
    size_t n = size < in->size ? size : in->size;

    memset(to, 0, size);
    memcpy(to, in->data, n);
    in->data += n;
    in->size -= n;
}

static uint32_t parameters_size(uint16_t opcode)
{
    switch (opcode) {
#define SIZE_OF_(name, number, parameters, properties) \
    case VGPU_SESSION_OP_##name:                       \
        return sizeof(parameters);
        VGPU_SESSION_OPERATIONS(SIZE_OF_)
#undef SIZE_OF_
    default:
        return 0;
    }
}

static void check_record(const World *w, const SessionRingRecord *r)
{
    unsigned char copy[VGPU_SESSION_RECORD_MAX];
    const VGPUSessionRecord *record = r->record;
    const unsigned char *parameters = r->parameters;
    uint32_t size = record->size - (uint32_t) sizeof(*record);

    require(r->position + record->size == w->ring.head);
    require(r->position / RING_SIZE == (w->ring.head - 1) / RING_SIZE);
    require(w->ring.seen - w->ring.head <= RING_SIZE);
    if (record->opcode == VGPU_SESSION_OP_PAD)
        return;

    require(record->reply <= VGPU_SESSION_REPLIES && record->size <= VGPU_SESSION_RECORD_MAX);
    require(r->known == (parameters_size(record->opcode) > 0));
    require(size >= parameters_size(record->opcode));
    if (r->more)
        require(r->more + r->more_size == parameters + size);
    memcpy(copy, parameters, size); /* the sanitizer looks */
    require(memcmp(copy, parameters, size) == 0);
}

static void take(World *w, unsigned n)
{
    SessionRingRecord record;
    int r = 0;

    while (n-- > 0 && r == 0) {
        r = session_ring_take(&w->ring, &record);
        require(!w->broken || r == SESSION_RING_BROKEN);
        if (r == 0)
            check_record(w, &record);
    }
    w->broken = r == SESSION_RING_BROKEN;
    require(w->broken == (w->ring.reason != NULL));
}

/* A record's header at tail, of a size that may fit */
static void put(World *w, Input *in)
{
    VGPUSessionRecord record;

    input_read(in, &record, sizeof(record));
    record.size = 16 * (record.size % (VGPU_SESSION_RECORD_MAX / 16 + 2));
    if (RING_SIZE - w->tail % RING_SIZE >= sizeof(record))
        memcpy(w->memory + w->tail % RING_SIZE, &record, sizeof(record));
    w->tail += record.size;
}

static void scribble(World *w, Input *in)
{
    uint16_t at;
    uint8_t n;

    input_read(in, &at, sizeof(at));
    input_read(in, &n, sizeof(n));
    if (n <= RING_SIZE - at)
        input_read(in, w->memory + at, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    World w = {.memory = aligned_alloc(VGPU_SESSION_RECORD_ALIGNMENT, RING_SIZE)};
    Input in = {data, size};
    uint8_t step;

    require(w.memory);
    memset(w.memory, 0, RING_SIZE);
    session_ring_init(&w.ring, w.memory, &w.tail, RING_SIZE);
    input_read(&in, &w.ring.head, sizeof(w.ring.head));
    w.ring.head &= ~UINT64_C(15);
    w.tail = w.ring.seen = w.ring.head;

    while (in.size > 0) {
        input_read(&in, &step, sizeof(step));
        switch (step % 5) {
        case 0:
            take(&w, 1 + step / 5);
            break;
        case 1:
            put(&w, &in);
            break;
        case 2:
            scribble(&w, &in);
            break;
        case 3:
            input_read(&in, &w.tail, sizeof(w.tail));
            break;
        default:
            w.tail += step / 5 * 8;
        }
    }
    take(&w, 10000);
    free(w.memory);
    return 0;
}
