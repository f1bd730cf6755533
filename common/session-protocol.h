/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the mediator and the executor of a CUDA session say to each other. What the guest
 * and the executor say to each other is vgpu-session.h; the mediator is not on that way.
 *
 * They have a connection (AF_UNIX, SOCK_SEQPACKET): one that systemd accepted for
 * vgpu-executor@.service, or one end of a pair where the mediator starts the executor itself. Each
 * packet is one message, which begins with its type (uint32_t). The end of the connection ends the
 * executor; the end of the executor ends the session.
 *
 * HELLO    executor to mediator, first, no payload. The kernel says which process sends it: one
 * that says nothing more can be killed.
 *
 * WARM     mediator to executor, at most once, before START: SessionWarm. Load the driver and make
 *          the device's primary context, so that a session that starts later has it at once. There
 *          is no answer.
 *
 * START    mediator to executor, once: SessionStart, with SESSION_N_FDS descriptors.
 *
 * STARTED  executor to mediator, the answer: SessionStarted. The session takes operations, or the
 *          executor ends.
 *
 * CHANGED  executor to mediator, no payload, while tell is set in the control page: waiting has
 *          become 1, or running has become 0. That running is 0 is told at once while the gate is
 *          closed; while it is open, when the session has had nothing on the device for
 *          SESSION_IDLE_USEC. That running is 1 is told only if the gate is closed in the same
 *          moment; that waiting is 0 is never told: the mediator has opened the gate itself. The
 *          page itself is always up to date, and the mediator reads it when it looks.
 *
 * ENDED    executor to mediator, last: SessionEnded. Why it is about to exit by itself.
 *
 * After STARTED the sessions of a VM share memory by these, each a SessionShareMessage. The
 * executor has one question at a time, and the mediator answers it, maybe later.
 *
 * SHARE    executor to mediator: kind, size and handle, or one descriptor with
 * SESSION_SHARE_PHYSICAL. SHARED   the answer: token, or error: -ENOSPC when the session shares too
 * much.
 *
 * TAKE     executor to mediator: kind and token.
 * TAKEN    the answer: size and handle, or the descriptor, or error: -ENOENT when no session of the
 *          VM shares such memory by that token.
 *
 * UNSHARE  executor to mediator: token, which is good no more. There is no answer.
 *
 * The control page is shared. Each side writes its own part with atomic stores. An executor runs
 * on behalf of a guest: the mediator reads its figures, and believes them about that session alone.
 *
 * The account is shared by all executors of one VM, and holds the device memory of their sessions
 * together below the VM's maximum. Each has a slot of its own. To take memory, it writes the new
 * number of its bytes there (sequentially consistent), adds all slots up, and writes the old number
 * back when the sum is above memory_max: of two that take the last bytes at once, none or one gets
 * them, never both. The mediator alone writes memory_max, at any time, and clears the slot when the
 * executor is gone; it reads no slot. An executor that lies there harms its own VM.
 */
#ifndef VGPU_SESSION_PROTOCOL_H
#define VGPU_SESSION_PROTOCOL_H

#include <assert.h>
#include <stdint.h>

#include "device-name.h"

enum {
    SESSION_MSG_WARM = 1,
    SESSION_MSG_START = 2,
    SESSION_MSG_STARTED = 3,
    SESSION_MSG_CHANGED = 4,
    SESSION_MSG_ENDED = 5,
    SESSION_MSG_SHARE = 6,
    SESSION_MSG_SHARED = 7,
    SESSION_MSG_TAKE = 8,
    SESSION_MSG_TAKEN = 9,
    SESSION_MSG_UNSHARE = 10,
    SESSION_MSG_HELLO = 11,
};

/* In the order in which START carries them */
enum {
    SESSION_FD_WINDOW,    /* memfd, sealed against shrinking */
    SESSION_FD_DOORBELL,  /* eventfd: the guest wakes the executor */
    SESSION_FD_INTERRUPT, /* eventfd: the executor wakes the guest */
    SESSION_FD_CONTROL,   /* memfd of one SessionControl, sealed */
    SESSION_FD_GATE,      /* eventfd: the mediator writes it after opening the gate, and closing */
    SESSION_FD_ACCOUNT,   /* memfd of the VM's SessionAccount, sealed */
    SESSION_N_FDS,
};

/* With the 0. device-name.h says what it may be. */
#define SESSION_DEVICE_MAX DEVICE_NAME_SIZE

typedef struct SessionWarm {
    uint32_t type;
    uint32_t reserved;
    char device[SESSION_DEVICE_MAX];
} SessionWarm;

typedef struct SessionStart {
    uint32_t type;
    uint32_t reserved;
    char device[SESSION_DEVICE_MAX]; /* as in WARM, if there was one */
    uint64_t offset;                 /* of the session's area in the window */
    uint64_t images_max;             /* bytes of images; UINT64_MAX: no limit */
    uint64_t kernel_timeout_usec;    /* at least 1; UINT64_MAX: no limit */
    uint32_t objects_max;            /* of each kind, 1 to VGPU_SESSION_ID_MAX */
    uint32_t busy_poll_usec;         /* how long it looks before it sleeps */
    uint32_t account_slot;           /* the session's, below SESSION_ACCOUNT_SLOTS */
    uint32_t reserved2;
    char name[64]; /* for its log lines */
} SessionStart;

typedef struct SessionStarted {
    uint32_t type;
    int32_t error;        /* 0, or a negative errno */
    uint32_t cuda_result; /* with -ENODEV, or -EIO: the CUresult, or 0 */
    uint32_t guest_pid;   /* what the guest says of itself */
    char command[32];     /* likewise; any bytes, ends with 0 */
} SessionStarted;

enum {
    SESSION_END_HANGUP = 0,         /* the mediator's end, or an order of the guest */
    SESSION_END_VIOLATION = 1,      /* the guest wrote what is no ring */
    SESSION_END_KERNEL_TIMEOUT = 2, /* a kernel ran too long */
    SESSION_END_WINDOW_LOST = 3,    /* the VM took memory of its window away */
    SESSION_END_FAILURE = 4,        /* something else, which the log says */
};

typedef struct SessionEnded {
    uint32_t type;
    uint32_t reason;      /* SESSION_END_* */
    uint32_t cuda_result; /* the session's sticky error, or 0 */
    uint32_t reserved;
} SessionEnded;

enum {
    SESSION_SHARE_MEMORY = 0,   /* by a handle of the driver's */
    SESSION_SHARE_PHYSICAL = 1, /* by a descriptor of the driver's */
    SESSION_SHARE_N_KINDS,
};

#define SESSION_SHARE_HANDLE_SIZE 64u

/* What a message has no use for is 0. */
typedef struct SessionShareMessage {
    uint32_t type;
    uint32_t kind; /* SESSION_SHARE_* */
    uint64_t token[2];
    uint64_t size; /* bytes */
    uint8_t handle[SESSION_SHARE_HANDLE_SIZE];
    int32_t error; /* of an answer: 0, or a negative errno */
    uint32_t reserved;
} SessionShareMessage;

static_assert(sizeof(SessionShareMessage) == 104, "no padding");

/* A program that launches and waits, again and again, leaves the device alone for less than this in
 * between. It is not worth two messages each time. */
#define SESSION_IDLE_USEC 100u

typedef struct SessionControl {
    /* The mediator */
    uint32_t gate; /* 1: the executor may give work to the device */
    uint32_t tell; /* 1: send CHANGED */
    /* How much device time the session may give ahead of what the device has done; 0: no bound. It
     * goes by the average of the works before, so a bound is no promise. May change at any time. */
    uint32_t ahead_usec;
    uint8_t mediator_reserved[52];
    /* The executor */
    uint32_t running; /* 1: the device has work of it that has not ended */
    uint32_t waiting; /* 1: it has work to give, and the gate is closed */
    uint32_t sticky;  /* CUresult, or 0 */
    uint32_t n_contexts;
    uint64_t memory;          /* bytes of device memory now */
    uint64_t memory_peak;     /* bytes */
    uint64_t images;          /* bytes */
    uint64_t operations;      /* taken from the ring */
    uint64_t launches;        /* of kernels and graphs */
    uint64_t bytes_to_device; /* copied from the window */
    uint64_t bytes_from_device;
    uint64_t device_usec; /* how long the device has had work of it */
    uint64_t idle_usec;   /* while running is 0: since when, by CLOCK_MONOTONIC; 0: for ever */
    uint8_t executor_reserved[40];
} SessionControl;

static_assert(sizeof(SessionControl) == 192, "no padding");

#define SESSION_ACCOUNT_SLOTS 256u

typedef struct SessionAccount {
    uint64_t memory_max; /* bytes of device memory of all together; UINT64_MAX: no limit */
    uint8_t reserved[56];
    uint64_t slot[SESSION_ACCOUNT_SLOTS]; /* bytes; 0: nobody's, or nothing */
} SessionAccount;

static_assert(sizeof(SessionAccount) == 64 + 8 * SESSION_ACCOUNT_SLOTS, "no padding");

/* Exit status of vgpu-executor, by executor-protocol.h: EXECUTOR_EXIT_OK after HANGUP and
 * VIOLATION, _STICKY after KERNEL_TIMEOUT, _FAILURE after the others. After STARTED with -ENODEV it
 * is _NO_BACKEND, and with another error _FAILURE. */

#endif
