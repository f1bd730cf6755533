/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for vgpu-executor, of a pool and of sessions. Of a session it has no CUDA: it does
 * what the command in the area's header says (FAKE_*), and otherwise serves in this way. On each
 * doorbell it
 * copies the figures (FakeFigures) from the header to the control page, writes what it sees
 * (FakeReport) to the header, and signals the interrupt.
 */
#ifndef VGPU_TEST_SESSION_EXECUTOR_H
#define VGPU_TEST_SESSION_EXECUTOR_H

#include <stdint.h>

#include "vgpu-session.h"

/* Instead of STARTED */
#define FAKE_DIE_EARLY "die-early"     /* exits with status 1 */
#define FAKE_DIE_WARM "die-warm"       /* the same, of one that has had WARM; else it serves */
#define FAKE_HANG "hang"               /* says nothing, for ever */
#define FAKE_HELLO_AGAIN "hello-again" /* HELLO for the second time */
#define FAKE_NO_DEVICE "no-device"     /* -ENODEV, 100 */
#define FAKE_BAD_CUDA "bad-cuda"       /* -EIO, 999 */
#define FAKE_BAD_AREA "bad-area"       /* -EINVAL */
#define FAKE_NO_MEMORY "no-memory"     /* -ENOMEM */
#define FAKE_NO_TYPE "no-type"         /* a message of no known type */
#define FAKE_SHORT "short"             /* STARTED, but a byte */
#define FAKE_LONG "long"               /* STARTED, and a byte */
#define FAKE_EMPTY "empty"             /* a message without a byte */
#define FAKE_TWICE "twice"             /* STARTED twice */
#define FAKE_CHANGED "changed"         /* STARTED, and a CHANGED that nobody has asked for */
#define FAKE_FLOOD "flood"             /* STARTED, and very many CHANGED */
#define FAKE_DESCRIPTORS "descriptors" /* STARTED with descriptors */
#define FAKE_ENDED_TWICE "ended-twice" /* STARTED, ENDED, ENDED */

/* On the doorbell */
#define FAKE_DIE "die"                 /* of SIGABRT */
#define FAKE_EXIT "exit"               /* with status 0, without a word */
#define FAKE_HANG_UP "hang-up"         /* closes its connection, and stays */
#define FAKE_END_VIOLATION "violation" /* ENDED, and exits */
#define FAKE_END_TIMEOUT "timeout"     /* likewise */
#define FAKE_END_WINDOW "window"       /* likewise */
#define FAKE_END_FAILURE "failure"     /* likewise */
#define FAKE_END_STAY "end-stay"       /* ENDED with KERNEL_TIMEOUT, and stays */

/* On the doorbell: SHARE as it may not be */
#define FAKE_SHARE_KIND "share-kind"       /* of no known kind */
#define FAKE_SHARE_SHORT "share-short"     /* but a byte */
#define FAKE_SHARE_ERROR "share-error"     /* with an error */
#define FAKE_SHARE_FD "share-fd"           /* a descriptor with a handle */
#define FAKE_SHARE_NO_FD "share-no-fd"     /* none where one belongs */
#define FAKE_SHARE_TWO_FDS "share-two-fds" /* two where one belongs */
#define FAKE_SHARE_FLOOD "share-flood"     /* very many TAKE, and reads no answer */
/* On the doorbell, and then it serves */
#define FAKE_SHARE_ASK "share-ask" /* FAKE_QUESTIONS times TAKE, of nothing, each answered */
#define FAKE_QUESTIONS 800u

/* When the mediator hangs up */
#define FAKE_STAY "stay" /* stays */

/* What the guest has it count; in opening_reserved of the header. */
typedef struct FakeFigures {
    uint64_t memory, memory_peak, images, operations, launches, bytes_to_device, bytes_from_device,
        device_usec;
    uint32_t sticky;
    /* Another number than the last: say this now. One that waits runs when the gate opens. */
    uint8_t serial, running, waiting;
} FakeFigures;

/* In reserved of the header. */
typedef struct FakeReport {
    uint32_t n_doorbells;
    uint32_t n_gates;            /* how often it was woken for the gate */
    uint32_t ahead_usec;         /* what the control page says */
    uint8_t gate, tell, running; /* likewise */
    uint8_t is_warm;             /* there was a WARM */
    uint64_t memory_max;         /* what the account says */
} FakeReport;

static_assert(sizeof(FakeFigures) <= sizeof(((VGPUSessionHeader *) NULL)->opening_reserved),
              "fits");
static_assert(sizeof(FakeReport) <= sizeof(((VGPUSessionHeader *) NULL)->reserved), "fits");

#endif
