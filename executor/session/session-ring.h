/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The executor's end of a session's ring: takes one record after the other out of memory that a
 * guest may change at any time. No byte of it is read twice: what is checked is the copy that is
 * carried out.
 *
 * Nothing here knows CUDA, files or threads.
 */
#ifndef VGPU_SESSION_RING_H
#define VGPU_SESSION_RING_H

#include "vgpu-session.h"

/* What session_ring_take() found, beside 0 for a record */
enum {
    SESSION_RING_EMPTY = 1,
    SESSION_RING_BROKEN = 2, /* the guest wrote what is no ring; nothing can be taken any more */
};

typedef struct SessionRing {
    const unsigned char *memory; /* @size bytes, the guest's too */
    const uint64_t *tail;        /* likewise */
    uint32_t size;
    bool broken;
    uint64_t head;      /* taken up to here */
    uint64_t seen;      /* tail as it was at the last look: there are records up to here */
    const char *reason; /* why it is broken */
    union {
        VGPUSessionRecord record;
        unsigned char bytes[VGPU_SESSION_RECORD_MAX];
    } copy __attribute__((aligned(VGPU_SESSION_RECORD_ALIGNMENT)));
} SessionRing;

/* A record that was taken: private, valid until the next call of session_ring_take() */
typedef struct SessionRingRecord {
    uint64_t position;
    const VGPUSessionRecord *record;
    const void *parameters;    /* VGPU_SESSION_RECORD_ALIGNMENT-aligned */
    const unsigned char *more; /* what follows them, NULL where nothing may */
    uint32_t more_size;        /* bytes, with the padding at the end of the record */
    uint16_t properties;       /* of the operation; 0 when it is unknown */
    bool known;                /* is there such an operation? If not, parameters has all bytes */
} SessionRingRecord;

/*
 * session_ring_init() - an empty ring
 * @r: about 32 KiB
 * @memory: @size bytes, 16-aligned; @size has passed vgpu_session_is_valid()
 * @tail: 8-aligned
 *
 * Both stay the caller's for as long as the ring is used. Positions begin at 0.
 */
void session_ring_init(SessionRing *r, const void *memory, const uint64_t *tail, uint32_t size);

/*
 * session_ring_take() - the next record
 * @ret: written on 0. Of a PAD the header is all that there is.
 *
 * Reads tail only when all that was there at the last look is taken. Returns 0,
 * SESSION_RING_EMPTY, or SESSION_RING_BROKEN; then @r->reason says in words what the guest did.
 */
int session_ring_take(SessionRing *r, SessionRingRecord *ret);

/* session_ring_has_news() - has the guest moved tail since the last look? Takes nothing */
bool session_ring_has_news(const SessionRing *r);

#endif
