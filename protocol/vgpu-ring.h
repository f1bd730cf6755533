/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A data window in shared memory, and in it a ring on which many requests can be outstanding.
 * Both come beside the registers of vgpu-protocol.h and do not change them.
 *
 * The window is BAR2. To the guest it is RAM; on the host it is a sealed memfd, which the
 * device hands to the mediator and the mediator to the executor, so nobody copies bulk data.
 * The guest decides where the window lies in its memory; every offset here counts from the
 * beginning of the window.
 *
 * The guest puts the ring anywhere in the window: a header, the submission entries, and the
 * completion entries behind them. Indices run freely through 32 bits; entry i stands in slot
 * i modulo the number of entries.
 *
 *   guest     fills a free submission entry with state NEW, then publishes it by
 *             moving sq_tail (release)
 *   mediator  copies the entry once, checks the copy, uses only the copy; sets
 *             state STARTED when it is given to an executor
 *   mediator  when the entry is done: fills in status, result and cq_index and sets
 *             state DONE (release), writes the completion entry, moves cq_tail
 *             (release), and moves sq_head over all leading entries that are DONE
 *   guest     takes completions up to cq_tail (acquire), then moves cq_head
 *
 * A submission slot is free again when sq_head has passed it. The mediator starts no
 * entry while (completions not taken) + (entries started) would exceed the number of
 * entries, so the completion ring cannot overflow. A guest never meets this limit if it has
 * at most that many requests between submitting them and taking their completions. A guest
 * that has more rings the doorbell after moving cq_head: nothing else wakes the mediator then.
 *
 * Before it turns the ring on, the guest sets all four indices and sq_event to one number,
 * usually 0. The guest may have mapped the window write-combining, and then only a full
 * barrier orders one store with another: the guest needs one before it moves sq_tail.
 *
 * Doorbell: after moving sq_tail from old to new the guest rings it only when
 * vgpu_ring_must_notify(sq_event, new, old). Before it goes to sleep, the mediator
 * writes the sq_tail that it has seen to sq_event, and then reads sq_tail once more.
 * The interrupt works the same way in the other direction, with cq_event and cq_tail.
 * This is the event index of virtio 1.2, section 2.7.10: each side has a full memory
 * barrier between writing its own index or event and reading the other side's.
 *
 * A mediator that takes up a ring of an earlier one finds entries from sq_head to sq_tail.
 * It does the NEW ones. It does a STARTED one again if vgpu_submission_check() calls it
 * repeatable, and completes it with an error otherwise. For a DONE one nothing is left to do,
 * except to write its completion if its cq_index is cq_tail. So nothing is lost, and nothing
 * is done twice that must not be. The mediator signals the completion once at the beginning,
 * because its predecessor may have ended between writing a completion and signalling it. An
 * entry that is published after that and is not NEW is answered INVALID_REQUEST.
 *
 * What the guest writes here is hostile. An sq_tail that is further ahead than the ring has
 * entries, or a cq_head that is not between the last one and cq_tail, ends the ring
 * (RING_FAILED).
 *
 * The device sets the ring up with the mediator again by itself whenever it has to: after a
 * break of the connection, when a stopped VM goes on, and where a migrated VM arrives. Before
 * a VM stops, the device asks the mediator to let go of the window (RING_OFF, answered with
 * RING_STOPPED), so that the state that is saved or sent elsewhere is consistent. RING_CTRL
 * reads ON all the while.
 *
 * RING_IRQ_STATUS is set for completions as cq_event asks for them. It is also set when
 * RING_CTRL leaves STARTING, when the ring fails, and after each new setup, because the last
 * mediator may have died between moving cq_tail and signalling it. So on an interrupt look at
 * cq_tail and at RING_CTRL, and expect that nothing may be new. INTx is a level:
 * RING_IRQ_STATUS & RING_IRQ_CTRL, or the same two registers of vgpu-protocol.h.
 *
 * With MSI-X the message is all there is. Every such event sends one while RING_IRQ_CTRL
 * enables it, whether RING_IRQ_STATUS was cleared or not. It is not defined whether the event
 * sets RING_IRQ_STATUS, because KVM may send the message without the device (the ISR status
 * of virtio is no different). Masking the vector or clearing RING_IRQ_CTRL loses nothing: the
 * message comes when that ends. Both are slow; to get no interrupts for a while, use cq_event.
 */
#ifndef VGPU_RING_H
#define VGPU_RING_H

#include "vgpu-protocol.h"

/* ---- Registers: the extension block of BAR0 ---------------------------------- */

#define VGPU_EXT_MAGIC 0x58555056u /* "VPUX" */
#define VGPU_EXT_VERSION 1u

#define VGPU_EXT_FEATURE_WINDOW 0x1u
#define VGPU_EXT_FEATURE_RING 0x2u
#define VGPU_EXT_FEATURE_MSIX 0x4u /* vector 0: v1 completions, vector 1 + i: ring i's */
/* More rings than the one above, each for a CUDA session of one guest process (vgpu-session.h) */
#define VGPU_EXT_FEATURE_SESSIONS 0x8u

enum {
    VGPU_REG_EXT_MAGIC = 0x840,      /* RO */
    VGPU_REG_EXT_VERSION = 0x844,    /* RO */
    VGPU_REG_EXT_FEATURES = 0x848,   /* RO */
    VGPU_REG_WINDOW_SIZE_LO = 0x850, /* RO: bytes */
    VGPU_REG_WINDOW_SIZE_HI = 0x854,
    VGPU_REG_RING_OFFSET_LO = 0x858, /* RW while the ring is off: multiple of 4096 */
    VGPU_REG_RING_OFFSET_HI = 0x85c,
    VGPU_REG_RING_ENTRIES = 0x860,    /* RW while off: a power of two */
    VGPU_REG_RING_CTRL = 0x864,       /* W: 1 turns it on, 0 off, else ignored; reads VGPU_RING_* */
    VGPU_REG_RING_ERROR = 0x868,      /* RO: VGPU_ERROR_*, while VGPU_RING_FAILED */
    VGPU_REG_RING_IRQ_CTRL = 0x86c,   /* RW: VGPU_IRQ_COMPLETION enables */
    VGPU_REG_RING_IRQ_STATUS = 0x870, /* RW1C */
    VGPU_REG_RINGS = 0x874,           /* RO: how many, with ring 0; with FEATURE_SESSIONS */
    VGPU_REG_SESSION = 0x900,         /* ring 1's registers; see below */
    VGPU_REG_RING_DOORBELL = 0xf00,   /* W: any value; alone in its place, for an ioeventfd */
};

/* Ring 0 has the registers above. Each further ring i has registers of its own, at
 * vgpu_session_register(i, VGPU_SESSION_REG_*), and its doorbell, at vgpu_ring_doorbell(i): guest
 * processes that share the device need no lock between them once each has a ring. */
enum {
    VGPU_SESSION_REG_OFFSET_LO = 0x00, /* RW while off: of its area, a multiple of 4096 */
    VGPU_SESSION_REG_OFFSET_HI = 0x04,
    VGPU_SESSION_REG_CTRL = 0x08,        /* as RING_CTRL */
    VGPU_SESSION_REG_ERROR = 0x0c,       /* RO: VGPU_ERROR_*, while VGPU_RING_FAILED */
    VGPU_SESSION_REG_CUDA_RESULT = 0x10, /* RO: likewise, the CUresult, or 0 */
    VGPU_SESSION_REG_IRQ_CTRL = 0x14,    /* RW: VGPU_IRQ_COMPLETION enables */
    VGPU_SESSION_REG_IRQ_STATUS = 0x18,  /* RW1C */
    VGPU_SESSION_REG_STRIDE = 0x40,
};

#define VGPU_RINGS_MAX 16u /* with ring 0 */

/* vgpu_session_register() - where a register of ring @ring is, 1 to VGPU_RINGS_MAX - 1 */
static inline uint32_t vgpu_session_register(uint32_t ring, uint32_t reg)
{
    return VGPU_REG_SESSION + (ring - 1) * VGPU_SESSION_REG_STRIDE + reg;
}

/* vgpu_ring_doorbell() - where ring @ring's doorbell is */
static inline uint32_t vgpu_ring_doorbell(uint32_t ring)
{
    return VGPU_REG_RING_DOORBELL + 4 * ring;
}

static_assert(VGPU_REG_SESSION + (VGPU_RINGS_MAX - 1) * 0x40 <= VGPU_REG_RING_DOORBELL, "room");

/* RING_CTRL as read. Turning the ring on is asynchronous: it is STARTING until the mediator has
 * agreed (ON) or refused (FAILED). Turning it off drops what is outstanding: it is STOPPING until
 * the mediator and its executors have let go of the window, which is then the guest's alone (OFF).
 * In STOPPING and FAILED, as in OFF, the guest may write the ring's registers and turn it on again;
 * the new ring then waits until the last one is over. */
enum {
    VGPU_RING_OFF = 0,
    VGPU_RING_ON = 1,
    VGPU_RING_STARTING = 2,
    VGPU_RING_FAILED = 3,
    VGPU_RING_STOPPING = 4,
};

#define VGPU_RING_ENTRIES_MIN 4u
#define VGPU_RING_ENTRIES_MAX 1024u
#define VGPU_RING_ALIGNMENT 4096u

#define VGPU_WINDOW_SIZE_MIN (UINT64_C(1) << 16)
#define VGPU_WINDOW_SIZE_DEFAULT (UINT64_C(16) << 20)
#define VGPU_WINDOW_SIZE_MAX (UINT64_C(1) << 40)

/* ---- The ring in the window ------------------------------------------------------ */

/* Each index is on a cache line of the side that writes it. */
typedef struct VGPURingHeader {
    uint32_t sq_tail;  /* guest */
    uint32_t cq_head;  /* guest */
    uint32_t cq_event; /* guest */
    uint32_t guest_reserved[13];
    uint32_t sq_head;  /* mediator */
    uint32_t cq_tail;  /* mediator */
    uint32_t sq_event; /* mediator */
    uint32_t mediator_reserved[13];
} VGPURingHeader;

enum {
    VGPU_ENTRY_NEW = 0,
    VGPU_ENTRY_STARTED = 1,
    VGPU_ENTRY_DONE = 2,
};

/* An operand: @count elements (the operation's), @stride elements apart. */
typedef struct VGPUOperand {
    uint64_t offset; /* bytes into the window; a multiple of the element's size */
    uint32_t stride; /* elements, at least 1; of a matrix: from row to row, at least the columns */
    uint32_t reserved;
} VGPUOperand;

typedef struct VGPUSubmission {
    /* guest */
    uint64_t tag;    /* returned with the completion */
    uint32_t opcode; /* VGPU_OP_RING_*; see vgpu-builtin.h for it and its operands */
    uint32_t type;   /* VGPU_TYPE_* */
    uint64_t count;  /* elements; of a matrix product: rows of a and c (m) */
    uint32_t n;      /* matrix product: columns of b and c; else 0 */
    uint32_t k;      /* matrix product: columns of a, rows of b; else 0 */
    double scalar;   /* AXPY: alpha */
    VGPUOperand a, b, c;
    /* mediator; the guest writes NEW and 0 */
    uint32_t state;
    uint32_t status; /* VGPU_ERROR_* */
    uint64_t result; /* DOT, SUM, MIN, MAX: the value's bytes, in the element's type, then 0 */
    uint32_t exec_time_us;
    uint32_t cq_index;
    uint32_t cuda_result; /* with VGPU_ERROR_CUDA_ERROR: the CUresult */
    uint32_t reserved[3];
} VGPUSubmission;

typedef struct VGPUCompletion {
    uint64_t tag;
    uint64_t result;
    uint32_t status;
    uint32_t exec_time_us;
    uint32_t cuda_result;
    uint32_t reserved;
} VGPUCompletion;

static_assert(sizeof(VGPURingHeader) == 128, "ABI");
static_assert(offsetof(VGPURingHeader, sq_head) == 64, "ABI");
static_assert(sizeof(VGPUOperand) == 16, "ABI");
static_assert(sizeof(VGPUSubmission) == 128, "ABI");
static_assert(offsetof(VGPUSubmission, scalar) == 32, "ABI");
static_assert(offsetof(VGPUSubmission, a) == 40, "ABI");
static_assert(offsetof(VGPUSubmission, state) == 88, "ABI");
static_assert(offsetof(VGPUSubmission, result) == 96, "ABI");
static_assert(offsetof(VGPUSubmission, cuda_result) == 112, "ABI");
static_assert(sizeof(VGPUCompletion) == 32, "ABI");

/* ---- Small helpers that all sides share --------------------------------------------- */

/* vgpu_ring_must_notify() - does moving from @old to @new pass @event? */
static inline bool vgpu_ring_must_notify(uint32_t event, uint32_t new_index, uint32_t old_index)
{
    return (uint32_t) (new_index - event - 1) < (uint32_t) (new_index - old_index);
}

/* vgpu_ring_size() - the bytes that a ring with this many entries takes */
static inline uint64_t vgpu_ring_size(uint32_t entries)
{
    return sizeof(VGPURingHeader) +
           (uint64_t) entries * (sizeof(VGPUSubmission) + sizeof(VGPUCompletion));
}

/* vgpu_ring_is_valid() - may a ring lie there? */
static inline bool vgpu_ring_is_valid(uint64_t window_size, uint64_t offset, uint32_t entries)
{
    return entries >= VGPU_RING_ENTRIES_MIN && entries <= VGPU_RING_ENTRIES_MAX &&
           (entries & (entries - 1)) == 0 && offset % VGPU_RING_ALIGNMENT == 0 &&
           offset <= window_size && vgpu_ring_size(entries) <= window_size - offset;
}

/* ---- The wire ---------------------------------------------------------------------------- */

/* In the features of HELLO: the device has a window. In the features of WELCOME: the mediator
 * knows the messages below. A device sends them only to a mediator that has said so. */
#define VGPU_FEATURE_RING 0x1u
/* Likewise for SESSION_*; the device has more than one ring. */
#define VGPU_FEATURE_SESSIONS 0x2u
/* Likewise for SESSION_LIST */
#define VGPU_FEATURE_LIST 0x4u

/*
 * RING_SETUP goes from the device to the mediator, after WELCOME, when the guest turns the ring on.
 * Three descriptors come with its first byte (SCM_RIGHTS): the window's memfd, the doorbell's
 * eventfd (the mediator reads it) and the completion's eventfd (the mediator writes it). The
 * mediator maps the window itself and believes only fstat() about its size. The memfd must be
 * sealed against shrinking. If the device has not sealed it against growing and further seals, the
 * mediator does; it refuses F_SEAL_SHRINK with F_SEAL_SEAL but without F_SEAL_GROW. The answer is
 * RING_READY.
 */
enum {
    VGPU_MSG_RING_SETUP = 0x22,   /* VGPURingSetup */
    VGPU_MSG_RING_READY = 0x23,   /* to the device: VGPURingReady; also when a ring fails later */
    VGPU_MSG_RING_OFF = 0x24,     /* no payload: start nothing more, and let go of the window */
    VGPU_MSG_RING_STOPPED = 0x25, /* to the device, no payload: the answer */
};

/*
 * RING_OFF may be followed by another RING_SETUP of the same window. So the mediator leaves an
 * entry that is NEW as it is, and finishes and completes one that is STARTED like any other. It
 * sends RING_STOPPED when no executor has the window any more. Until then it answers PINGs; if it
 * does not, the device does not wait for long. The mediator sends RING_STOPPED for each RING_OFF,
 * even when the ring failed or never came to be. It breaks the protocol to send RING_SETUP while
 * there is a ring that did not fail, or before RING_STOPPED, or a second RING_OFF before
 * RING_STOPPED.
 *
 * After the end of the connection the mediator writes nothing more into the ring: nobody would know
 * when the ring's memory may be used for something else. What is STARTED is finished all the same,
 * and its results may be written into its operands; if the mediator itself is gone, its executors
 * are killed with it. For a later ring in the same window, which the mediator recognises by its
 * inode, RING_READY comes only when that is over.
 */

/*
 * A session's ring. SESSION_OPEN goes from the device to the mediator when the guest turns ring
 * @ring on, with the same three descriptors as RING_SETUP; the eventfds are that ring's own. The
 * mediator starts an executor for it, and answers SESSION_READY. It sends SESSION_READY with an
 * error later, too, when the session ends by itself: the executor is gone then, and so is its hold
 * on the window. SESSION_CLOSE ends the session; the answer is SESSION_CLOSED when its executor is
 * gone. It is sent for each SESSION_CLOSE, also where there is no session. The end of the
 * connection ends all its sessions. A second SESSION_OPEN of a ring whose session has neither
 * failed nor been closed breaks the protocol.
 *
 * A session cannot be taken up again: after a break of the connection the device lets its rings
 * FAIL, with MEDIATOR_UNAVAILABLE.
 */
enum {
    VGPU_MSG_SESSION_OPEN = 0x26,   /* VGPUSessionOpen */
    VGPU_MSG_SESSION_READY = 0x27,  /* to the device: VGPUSessionReady */
    VGPU_MSG_SESSION_CLOSE = 0x28,  /* VGPUSessionRing */
    VGPU_MSG_SESSION_CLOSED = 0x29, /* to the device: VGPUSessionRing */
};

/*
 * SESSION_LIST asks which sessions the VM has, by all its connections: the answer is
 * SESSION_LISTED, with those whose number is above @after, in the order of their numbers, as many
 * as have room. A process without a device asks for it: there is no window in which it could look.
 * Where a VM that nobody registered is one connection of a process, the process's others count as
 * the VM's.
 */
enum {
    VGPU_MSG_SESSION_LIST = 0x2a,   /* VGPUSessionList */
    VGPU_MSG_SESSION_LISTED = 0x2b, /* to the process: VGPUSessionListed, 0 to VGPU_LISTED_MAX */
};

typedef struct VGPUSessionList {
    uint32_t after; /* 0: from the first */
    uint32_t reserved;
} VGPUSessionList;

typedef struct VGPUSessionListed {
    uint32_t id;
    uint32_t guest_pid; /* as its process said */
    uint64_t memory;    /* bytes of device memory */
    uint64_t device_usec;
    uint32_t n_contexts;
    uint32_t reserved;
} VGPUSessionListed;

#define VGPU_LISTED_MAX (VGPU_PAYLOAD_MAX / (uint32_t) sizeof(VGPUSessionListed))

static_assert(sizeof(VGPUSessionList) == 8, "ABI");
static_assert(sizeof(VGPUSessionListed) == 32, "ABI");

typedef struct VGPUSessionOpen {
    uint32_t ring;   /* 1 to VGPU_RINGS_MAX - 1 */
    uint32_t flags;  /* 0 */
    uint64_t offset; /* of the area in the window */
} VGPUSessionOpen;

typedef struct VGPUSessionReady {
    uint32_t ring;
    uint32_t error;       /* VGPU_ERROR_NONE, or why not, or why no more */
    uint32_t cuda_result; /* with VGPU_ERROR_CUDA_ERROR: the CUresult. 100: the pool has no GPU */
    uint32_t reserved;
} VGPUSessionReady;

typedef struct VGPUSessionRing {
    uint32_t ring;
    uint32_t reserved;
} VGPUSessionRing;

static_assert(sizeof(VGPUSessionOpen) == 16, "ABI");
static_assert(sizeof(VGPUSessionReady) == 16, "ABI");
static_assert(sizeof(VGPUSessionRing) == 8, "ABI");

typedef struct VGPURingSetup {
    uint64_t offset;
    uint32_t entries;
    uint32_t flags; /* 0 */
} VGPURingSetup;

typedef struct VGPURingReady {
    uint32_t error; /* VGPU_ERROR_NONE, or why not */
    uint32_t reserved;
} VGPURingReady;

static_assert(sizeof(VGPURingSetup) == 16, "ABI");
static_assert(sizeof(VGPURingReady) == 8, "ABI");

#define VGPU_RING_N_FDS 3

/*
 * vgpu_ring_header_check() - vgpu_socket_header_check() that knows the messages above too
 * @h: a header as received
 *
 * Returns NULL when it may open a message, else a static string that says what is wrong.
 */
static inline const char *vgpu_ring_header_check(const VGPUSocketHeader *h)
{
    VGPUSocketHeader common = *h;

    switch (h->msg_type) {
    case VGPU_MSG_RING_SETUP:
        if (h->payload_len < sizeof(VGPURingSetup))
            return "ring setup too short";
        break;
    case VGPU_MSG_RING_READY:
        if (h->payload_len < sizeof(VGPURingReady))
            return "ring ready too short";
        break;
    case VGPU_MSG_SESSION_OPEN:
        if (h->payload_len < sizeof(VGPUSessionOpen))
            return "session open too short";
        break;
    case VGPU_MSG_SESSION_READY:
        if (h->payload_len < sizeof(VGPUSessionReady))
            return "session ready too short";
        break;
    case VGPU_MSG_SESSION_CLOSE:
    case VGPU_MSG_SESSION_CLOSED:
        if (h->payload_len < sizeof(VGPUSessionRing))
            return "session ring too short";
        break;
    case VGPU_MSG_SESSION_LIST:
        if (h->payload_len < sizeof(VGPUSessionList))
            return "session list too short";
        break;
    case VGPU_MSG_SESSION_LISTED:
        if (h->payload_len % sizeof(VGPUSessionListed) != 0)
            return "a listed session in part";
        break;
    case VGPU_MSG_RING_OFF:
    case VGPU_MSG_RING_STOPPED:
        if (h->payload_len != 0)
            return "payload where none belongs";
        break;
    default:
        return vgpu_socket_header_check(h);
    }
    common.msg_type = VGPU_MSG_REQUEST; /* a type whose payload may have any length */
    return vgpu_socket_header_check(&common);
}

#endif
