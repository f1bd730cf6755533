/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fast lane: a data window in shared memory, and in it a ring on which many
 * requests can be outstanding. Beside vgpu-protocol.h, which it does not change.
 *
 * The window is BAR2: RAM to the guest, a sealed memfd that the device hands to
 * the mediator and the mediator to the executor, so bulk data is copied by
 * nobody. Where it lies in guest memory is the guest's affair; every offset here
 * counts from its beginning.
 *
 * The ring lies where the guest puts it: a header, the submission entries, and the
 * completion entries behind them. Indices run freely through 32 bits; entry i
 * stands in slot i modulo the number of entries.
 *
 *   guest     fills a free submission entry with state NEW, then publishes it by
 *             moving sq_tail (release)
 *   mediator  copies the entry once, checks the copy, uses only the copy; sets
 *             state STARTED when it is given to an executor
 *   mediator  when it is done: fills in status, result and cq_index and sets state
 *             DONE (release), writes the completion entry, moves cq_tail (release),
 *             and moves sq_head over all leading entries that are DONE
 *   guest     takes completions up to cq_tail (acquire), then moves cq_head
 *
 * A submission slot is free again when sq_head has passed it. The mediator starts no
 * entry while (completions not taken) + (entries started) would exceed the number of
 * entries, so the completion ring cannot overflow. A guest that keeps no more requests than
 * that between submitting them and taking their completions never meets this limit; one that
 * does rings the doorbell after moving cq_head, for nothing else wakes the mediator then.
 *
 * Before it turns the ring on, the guest sets all four indices to one number, 0 as a rule, and
 * sq_event to the same. The window may be mapped write-combining in the guest, where no store
 * is ordered with another but by a full barrier: the guest has one before it moves sq_tail.
 *
 * Doorbell: after moving sq_tail from old to new the guest rings it only when
 * vgpu_ring_must_notify(sq_event, new, old). The mediator writes sq_event = what it
 * has seen before it goes to sleep, and looks at sq_tail once more after that.
 * Interrupt: the same the other way round with cq_event and cq_tail. This is the
 * event index of virtio 1.2, section 2.7.10; a full memory barrier stands between
 * writing one's own index or event and reading the other's.
 *
 * A mediator that starts anew finds in the entries from sq_head to sq_tail what was
 * NEW (to do), STARTED (done again if vgpu_submission_check() calls it repeatable, else completed
 * with an error), and DONE (nothing left, or, when its cq_index is cq_tail, its completion still to
 * be written). So nothing is lost, and nothing is done twice that must not be. It signals the
 * completion once at the beginning, since its predecessor may have ended between writing a
 * completion and signalling it. An entry that is not NEW when it is published later than that is
 * INVALID_REQUEST.
 *
 * What the guest writes here is hostile: a sq_tail further than the ring is long, or a
 * cq_head that is not between the last one and cq_tail, ends the ring (RING_FAILED).
 *
 * The device sets the ring up with the mediator again by itself whenever it has to: after a
 * break of the connection, when a stopped VM goes on, where a migrated VM arrives. Before a VM
 * stops, it asks the mediator to let go of the window (RING_OFF, answered with RING_STOPPED),
 * so that what is saved or sent elsewhere is whole. RING_CTRL reads ON all the while.
 *
 * RING_IRQ_STATUS is set for completions as asked for by cq_event, and also when RING_CTRL
 * leaves STARTING, when the ring fails, and after each new setup, as the last mediator
 * may have died between moving cq_tail and saying so. So: on an interrupt look at
 * cq_tail and at RING_CTRL, and be content when nothing is new. INTx is a level,
 * RING_IRQ_STATUS & RING_IRQ_CTRL (or that of vgpu-protocol.h).
 *
 * With MSI-X the message is all there is: every such event sends one while RING_IRQ_CTRL enables
 * it, whether RING_IRQ_STATUS was cleared or not, and whether the event sets RING_IRQ_STATUS is
 * not defined, as KVM may send the message without the device (the ISR status of virtio is no
 * different). Nothing is lost by masking the vector or clearing RING_IRQ_CTRL: the message comes
 * when that ends. Both are slow; to be left alone for a while, use cq_event.
 */
#ifndef VGPU_RING_H
#define VGPU_RING_H

#include "vgpu-protocol.h"

/* ---- Registers: the extension block of BAR0 ---------------------------------- */

#define VGPU_EXT_MAGIC 0x58555056u /* "VPUX" */
#define VGPU_EXT_VERSION 1u

#define VGPU_EXT_FEATURE_WINDOW 0x1u
#define VGPU_EXT_FEATURE_RING 0x2u
#define VGPU_EXT_FEATURE_MSIX 0x4u /* vector 0: v1 completions, vector 1: the ring's */

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
    VGPU_REG_RING_DOORBELL = 0xf00,   /* W: any value; alone in its place, for an ioeventfd */
};

/* RING_CTRL as read. Turning on is asynchronous: STARTING until the mediator has
 * agreed, or FAILED. Off drops what is outstanding; STOPPING until the mediator and its
 * executors have let go of the window, which is then the guest's alone. In STOPPING and FAILED
 * the ring's registers may be written and it may be turned on again, as in OFF; what the
 * last one still does is waited for then. */
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

/* Each index on a cache line of the side that writes it. */
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
    uint32_t opcode; /* VGPU_OP_RING_*; it and its operands: vgpu-builtin.h */
    uint32_t type;   /* VGPU_TYPE_* */
    uint64_t count;  /* elements; of a matrix product: rows of a and c (m) */
    uint32_t n;      /* matrix product: columns of b and c; else 0 */
    uint32_t k;      /* matrix product: columns of a, rows of b; else 0 */
    double scalar;   /* AXPY: alpha */
    VGPUOperand a, b, c;
    /* mediator; NEW and 0 from the guest */
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

/* vgpu_ring_size() - bytes of a ring with this many entries */
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

/* In the features of HELLO: the device has a window. In those of WELCOME: the mediator
 * knows the messages below. A device sends none of them to a mediator that did not say so. */
#define VGPU_FEATURE_RING 0x1u

/*
 * Device to mediator, after WELCOME, when the guest turns the ring on. Three
 * descriptors come with the first byte (SCM_RIGHTS): the window's memfd, the
 * doorbell's eventfd (the mediator reads), the completion's eventfd (it writes).
 * The mediator maps the window itself and believes fstat() alone about its size; the
 * memfd must be sealed against shrinking; against growing and further seals the mediator
 * seals it, where the device did not (F_SEAL_SHRINK with F_SEAL_SEAL, but without F_SEAL_GROW, is
 * refused). Answered with RING_READY.
 */
enum {
    VGPU_MSG_RING_SETUP = 0x22,   /* VGPURingSetup */
    VGPU_MSG_RING_READY = 0x23,   /* to the device: VGPURingReady; also later, when a ring fails */
    VGPU_MSG_RING_OFF = 0x24,     /* no payload: start nothing more, and let go of the window */
    VGPU_MSG_RING_STOPPED = 0x25, /* to the device, no payload: the answer */
};

/*
 * RING_OFF may be followed by another RING_SETUP of the same window. So an entry that is NEW stays
 * as it is, and one that was STARTED is finished and completed like any other; then, when no
 * executor has the window any more, RING_STOPPED is sent. Until then PINGs are answered, or the
 * device does not wait for long. RING_STOPPED is sent for each RING_OFF, also when the ring
 * failed or never came to be. RING_SETUP while there is a ring that did not fail, or before
 * RING_STOPPED, breaks the protocol, and so does a second RING_OFF before it.
 *
 * After the end of the connection nothing more is written into the ring: nobody would know when
 * its memory may be used for something else. What was STARTED is finished all the same and may
 * be written into its operands; an executor that computes for a mediator that is gone is
 * killed with it. RING_READY for a later ring in the same window, which the mediator knows by its
 * inode, comes only when that is over.
 */

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
 * vgpu_ring_header_check() - as vgpu_socket_header_check(), and knows the messages above
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
