/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may write into a ring at any time. The mediator's end of the ring runs on
 * plain memory, and a guest writes anything between its steps. The target checks that the
 * mediator touches nothing outside the ring, ends each entry once, never overwrites a
 * completion that was not taken, and hands on only operations that lie in the window.
 *
 * The first bytes choose the ring. Then each step is a byte that names it, and the bytes
 * that it needs.
 */
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "ring-host.h"

#define GUARD 64
#define WINDOW_SIZE UINT64_C(65536)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

typedef struct World {
    char *memory; /* guard, ring, guard */
    size_t size;  /* of the ring */
    uint32_t entries;
    RingHost ring;
    bool broken;
    uint32_t n_in_hand;
    RingEntry in_hand[VGPU_RING_ENTRIES_MAX];
} World;

static uint32_t number(Input *in, unsigned bytes)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < bytes && in->size > 0; i++, in->size--)
        n = n << 8 | *in->data++;
    return n;
}

static VGPURingHeader *header_of(World *w)
{
    return (VGPURingHeader *) (w->memory + GUARD);
}

static void open_ring(World *w)
{
    int outcome = ring_host_open(&w->ring, header_of(w), w->entries, WINDOW_SIZE);

    require(outcome == RING_NOTHING || outcome == RING_BROKEN);
    w->broken = outcome == RING_BROKEN;
    w->n_in_hand = 0;
}

/* ---- The guest's steps ------------------------------------------------------------- */

static void move_index(World *w, Input *in)
{
    uint32_t which = number(in, 1), by = number(in, 1);
    uint32_t *index = (uint32_t *) header_of(w) + which % (sizeof(VGPURingHeader) / 4);

    *index += by < 128 ? by : by - 256;
}

static void scribble(World *w, Input *in)
{
    uint32_t at = number(in, 2) % (uint32_t) w->size, n = number(in, 1);

    for (; n-- > 0 && at < w->size && in->size > 0; at++)
        w->memory[GUARD + at] = (char) number(in, 1);
}

static void submit(World *w, Input *in)
{
    VGPURingHeader *h = header_of(w);
    VGPUSubmission *s = (VGPUSubmission *) (h + 1) + (h->sq_tail & (w->entries - 1));

    *s = (VGPUSubmission){
        .tag = number(in, 1),
        .opcode = VGPU_OP_RING_NOP + number(in, 1) % 10,
        .type = number(in, 1) % 5,
        .count = number(in, 2),
        .a = {.offset = number(in, 2), .stride = 1},
        .b = {.offset = number(in, 2), .stride = 1},
        .c = {.offset = number(in, 2), .stride = 1},
    };
    h->sq_tail++;
}

static void take_completions(World *w)
{
    header_of(w)->cq_head = header_of(w)->cq_tail;
}

/* ---- The mediator's steps ------------------------------------------------------------- */

static void check_entry(const World *w, const RingEntry *e)
{
    bool repeatable;

    for (uint32_t i = 0; i < w->n_in_hand; i++)
        require(w->in_hand[i].index != e->index);
    require(w->n_in_hand < w->entries);
    if (e->error == VGPU_ERROR_NONE)
        require(vgpu_submission_check(&e->submission, WINDOW_SIZE, &repeatable) == VGPU_ERROR_NONE);
    require((e->error == VGPU_ERROR_CUDA_ERROR) == (e->cuda_result != 0));
}

static void take(World *w)
{
    RingEntry e;
    int outcome = w->broken ? RING_BROKEN : ring_host_take(&w->ring, &e);

    if (outcome == RING_BROKEN)
        w->broken = true;
    if (outcome != RING_ENTRY)
        return;
    check_entry(w, &e);
    if (e.error == VGPU_ERROR_NONE)
        ring_host_start(&w->ring, e.index);
    w->in_hand[w->n_in_hand++] = e;
}

static void complete(World *w, Input *in)
{
    const RingResult result = {.value = number(in, 1)};
    uint32_t tail = w->ring.cq_tail, i = number(in, 2);

    if (w->broken || w->n_in_hand == 0)
        return;
    i %= w->n_in_hand;
    ring_host_complete(&w->ring, w->in_hand[i].index, w->in_hand[i].submission.tag, &result);
    w->in_hand[i] = w->in_hand[--w->n_in_hand];
    require(w->ring.cq_tail == tail + 1 && header_of(w)->cq_tail == tail + 1);
    require(w->ring.cq_tail - w->ring.cq_head <= w->entries);
    require(header_of(w)->sq_head == w->ring.sq_head);
}

static void sleep_or_signal(World *w)
{
    if (w->broken)
        return;
    (void) ring_host_must_signal(&w->ring);
    w->broken = ring_host_sleep(&w->ring) == RING_BROKEN;
}

static void step(World *w, Input *in)
{
    switch (number(in, 1) % 8) {
    case 0:
        move_index(w, in);
        break;
    case 1:
        scribble(w, in);
        break;
    case 2:
        submit(w, in);
        break;
    case 3:
        take_completions(w);
        break;
    case 4:
        take(w);
        break;
    case 5:
        complete(w, in);
        break;
    case 6:
        sleep_or_signal(w);
        break;
    case 7:
        open_ring(w); /* by a new mediator */
        break;
    }
}

/* ---- The whole --------------------------------------------------------------------------- */

static void world_open(World *w, Input *in)
{
    uint32_t begin = number(in, 1);

    w->entries = VGPU_RING_ENTRIES_MIN << number(in, 1) % 9;
    w->size = (size_t) vgpu_ring_size(w->entries);
    w->memory = calloc(1, w->size + 2 * GUARD);
    require(w->memory);
    memset(w->memory, 0x5a, GUARD);
    memset(w->memory + GUARD + w->size, 0x5a, GUARD);
    begin = begin < 128 ? begin : begin - 256;
    *header_of(w) =
        (VGPURingHeader){.sq_tail = begin, .cq_head = begin, .sq_head = begin, .cq_tail = begin};
    open_ring(w);
}

static void world_close(World *w)
{
    for (size_t i = 0; i < GUARD; i++)
        require(w->memory[i] == 0x5a && w->memory[GUARD + w->size + i] == 0x5a);
    free(w->memory);
    free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = {data, size};
    World *w = calloc(1, sizeof(*w));

    require(w);
    world_open(w, &in);
    while (in.size > 0)
        step(w, &in);
    world_close(w);
    return 0;
}
