/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mediator's socket and the executor of a session behind it, as threads of a test: what libvgpu's
 * sessions are tested against. It computes nothing but copies, and remembers what it was told.
 */
#ifndef TEST_GUEST_SESSION_FAKE_H
#define TEST_GUEST_SESSION_FAKE_H

#include <pthread.h>
#include <stdbool.h>

#include "vgpu-ring.h"
#include "vgpu-session.h"

/* Where the fake's device memory begins, for the guest, and its bytes */
#define FAKE_MEMORY UINT64_C(0x2ac000000000)
#define FAKE_MEMORY_SIZE (UINT64_C(64) << 20)

/* What its shared memory has: the first word of each token, and bytes */
#define FAKE_TOKEN UINT64_C(0x1122334455667788)
#define FAKE_SHARED_SIZE (UINT64_C(2) << 20)

/* Bytes that array n needs: n times this. The texture of array n is this and n. */
#define FAKE_NEEDS UINT64_C(4096)
#define FAKE_OBJECT UINT64_C(0x700000000)

typedef struct fake_session fake_session;

struct fake_session {
    char path[100];
    int listener;
    pthread_t mediator, executor;

    /* ---- What a test may set before a session is opened */
    uint32_t refuse;      /* VGPU_ERROR_* of SESSION_READY */
    uint32_t refuse_cuda; /* and the CUresult */
    bool knows_nothing;   /* no sessions in WELCOME */
    bool busy;            /* the executor looks at the ring all the time, and sleeps never */
    /* Called for each record, by the executor's thread. Returns the CUresult. Or NULL. */
    uint32_t (*hook)(fake_session *f, const VGPUSessionRecord *record, const void *parameters);

    uint64_t next_address; /* of the next thing that has one; then 0 again */
    uint64_t value[6];     /* of the replies to operations that the fake knows nothing of */

    /* ---- Atomic; a test may set them at any time */
    int hold;      /* the executor takes nothing while set */
    int hold_wake; /* it signals nothing while set */
    int quit;      /* the connection ends */
    int end;       /* the executor ends: state ENDED, with this sticky error */
    int end_ready; /* the mediator says that the session is over, with this CUresult */
    int lie_head;  /* the executor moves head past tail */
    int sleeps;    /* how many times it slept on the doorbell */

    /* ---- For the hook and for the test, when nothing runs */
    int connection;
    int window_fd, doorbell_fd, interrupt_fd;
    uint8_t *window;
    uint64_t window_size;
    VGPUSessionHeader *header;
    VGPUSessionReply *replies;
    uint8_t *ring;
    uint8_t *memory; /* of the device */
    uint64_t allocated;
    uint64_t operations, pads;
    bool is_running, must_stop;
    uint8_t image_key[32];
    uint64_t image_size, image_at;
    uint8_t *image;
    uint32_t n_images;
    bool *pinned; /* by page of the window */
    unsigned n_pins, n_contexts;
    /* What OUTPUT gives, from the beginning on; text_at is how far it has come */
    bool prints; /* modules may print */
    const char *text[2];
    uint64_t text_at[2];
    uint32_t n_outputs;     /* how often it was asked */
    uint8_t module_key[32]; /* of the last MODULE_LOAD or LINK_ADD */
    /* What LINK_COMPLETE makes: bytes of a rising number */
    uint64_t linked_size;
    uint8_t linked_key[32];
    uint64_t lie_output; /* if not 0: the bytes that it says it gave */
};

/* Listen, and serve one session after the other. */
void fake_session_start(fake_session *f);
void fake_session_stop(fake_session *f);

/* A view of the device's memory, or NULL when the address is none of it */
void *fake_session_memory(fake_session *f, uint64_t address, uint64_t size);

#endif
