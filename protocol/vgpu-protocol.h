/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two contracts of vgpu-mediator, stated once.
 *
 *  1. What a guest sees: the registers of the PCI device vgpu-stub and the
 *     requests and responses written through them.
 *  2. What the device and the mediator say to each other on the Unix socket.
 *
 * The device, the mediator, the executor, the guest library, the tests and the
 * fuzzers all include this file, and none of them restates a number from it.
 * Nothing here may change its meaning: a guest built against this header must
 * work on every later host. Values are only ever added.
 *
 * Every field is little-endian. The structures are read and written in place,
 * so the header refuses to compile for a big-endian target.
 *
 * The file depends on the freestanding headers and <string.h> alone, so that
 * QEMU code and static guest programs can use it as it is.
 */
#ifndef VGPU_PROTOCOL_H
#define VGPU_PROTOCOL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vgpu-mediator supports little-endian hosts and guests only"
#endif

/* ---- The PCI device ------------------------------------------------------ */

#define VGPU_PCI_VENDOR_ID 0x1af4u
#define VGPU_PCI_DEVICE_ID 0x1111u
#define VGPU_PCI_CLASS 0x1200u /* base class 0x12: processing accelerator */
#define VGPU_PCI_CLASS_CODE 0x120000u
#define VGPU_PCI_REVISION 0x02u

#define VGPU_BAR0_SIZE 0x1000u

#define VGPU_PROTOCOL_VERSION 0x00010000u
#define VGPU_CAP_BASIC 0x00000001u

#define VGPU_REQUEST_MAX 1024u /* bytes, header included */
#define VGPU_RESPONSE_MAX 1024u

/* Offsets in BAR0. RO registers ignore writes. */
enum {
    VGPU_REG_DOORBELL = 0x000,     /* W: 1 submits; reads 0 */
    VGPU_REG_STATUS = 0x004,       /* RO: VGPU_STATUS_* */
    VGPU_REG_POOL_ID = 0x008,      /* RO: ASCII 'A'..'Z' */
    VGPU_REG_PRIORITY = 0x00c,     /* RO: VGPU_PRIORITY_*, as attached */
    VGPU_REG_VM_ID = 0x010,        /* RO */
    VGPU_REG_ERROR_CODE = 0x014,   /* RO: VGPU_ERROR_*, while STATUS is ERROR */
    VGPU_REG_REQUEST_LEN = 0x018,  /* RW: bytes, 1..VGPU_REQUEST_MAX */
    VGPU_REG_RESPONSE_LEN = 0x01c, /* RO: bytes */
    VGPU_REG_PROTOCOL_VER = 0x020, /* RO: VGPU_PROTOCOL_VERSION */
    VGPU_REG_CAPABILITIES = 0x024, /* RO: VGPU_CAP_BASIC, for ever */
    VGPU_REG_IRQ_CTRL = 0x028,     /* RW: VGPU_IRQ_COMPLETION enables */
    VGPU_REG_IRQ_STATUS = 0x02c,   /* RW1C: VGPU_IRQ_COMPLETION */
    VGPU_REG_REQUEST_ID = 0x030,   /* RW: the guest's tag */
    VGPU_REG_TIMESTAMP_LO = 0x034, /* RO: completion, host CLOCK_MONOTONIC µs */
    VGPU_REG_TIMESTAMP_HI = 0x038,
    VGPU_REG_SCRATCH = 0x03c,   /* RW: no meaning */
    VGPU_REG_REQUEST = 0x040,   /* RW: VGPU_REQUEST_MAX bytes */
    VGPU_REG_RESPONSE = 0x440,  /* RO: VGPU_RESPONSE_MAX bytes */
    VGPU_REG_EXTENSION = 0x840, /* reads 0 where no extension is offered */
};

static_assert(VGPU_REG_REQUEST + VGPU_REQUEST_MAX == VGPU_REG_RESPONSE, "buffers are adjacent");
static_assert(VGPU_REG_RESPONSE + VGPU_RESPONSE_MAX == VGPU_REG_EXTENSION, "buffers are adjacent");
static_assert(VGPU_REG_EXTENSION < VGPU_BAR0_SIZE, "registers fit into BAR0");

#define VGPU_IRQ_COMPLETION 0x1u

enum {
    VGPU_STATUS_IDLE = 0,
    VGPU_STATUS_BUSY = 1,
    VGPU_STATUS_DONE = 2,
    VGPU_STATUS_ERROR = 3,
};

enum {
    VGPU_PRIORITY_LOW = 0,
    VGPU_PRIORITY_MEDIUM = 1,
    VGPU_PRIORITY_HIGH = 2,
    VGPU_N_PRIORITIES = 3,
};

#define VGPU_POOL_FIRST 'A'
#define VGPU_POOL_LAST 'Z'

/* ERROR_CODE and VGPUResponse.status */
enum {
    VGPU_ERROR_NONE = 0x00,
    VGPU_ERROR_INVALID_REQUEST = 0x01,      /* header, params and data do not fit together */
    VGPU_ERROR_REQUEST_TOO_LARGE = 0x02,    /* REQUEST_LEN > VGPU_REQUEST_MAX */
    VGPU_ERROR_MEDIATOR_UNAVAILABLE = 0x03, /* no mediator within the reconnect-timeout */
    VGPU_ERROR_TIMEOUT = 0x04,              /* accepted, but not finished in time */
    VGPU_ERROR_CUDA_ERROR = 0x05,           /* the executor failed it; results[0] is the CUresult */
    VGPU_ERROR_INVALID_POOL = 0x06,
    VGPU_ERROR_QUEUE_FULL = 0x07,
    VGPU_ERROR_UNSUPPORTED_OP = 0x08,
    VGPU_ERROR_INVALID_LENGTH = 0x09, /* REQUEST_LEN is 0 */
    VGPU_ERROR_RATE_LIMITED = 0x0a,   /* back off and retry */
    VGPU_ERROR_VM_QUARANTINED = 0x0b, /* the administrator or the fault limit stopped this VM */
    VGPU_N_ERRORS = 0x0c,
};

/* CUresults that a CUDA_ERROR can state without a call to CUDA. The values are those of cuda.h. */
enum {
    VGPU_CUDA_RESULT_NO_DEVICE = 100, /* the executor could not start */
    VGPU_CUDA_RESULT_LAUNCH_FAILED =
        719, /* the executor ended while it had the request, or a second run would be wrong */
};

/* ---- Requests and responses ---------------------------------------------- */

/* Followed by params[param_count] (u32 each) and, at data_offset from the start
 * of this header, data_length bytes. data_offset means nothing while
 * data_length is 0. flags and reserved are 0. */
typedef struct VGPURequest {
    uint32_t version; /* VGPU_PROTOCOL_VERSION */
    uint32_t opcode;  /* VGPU_OP_* */
    uint32_t flags;
    uint32_t param_count;
    uint32_t data_offset;
    uint32_t data_length;
    uint32_t reserved[2];
} VGPURequest;

/* Followed by results[result_count] (u32 each) and the data, as above. */
typedef struct VGPUResponse {
    uint32_t version;
    uint32_t status; /* VGPU_ERROR_* */
    uint32_t result_count;
    uint32_t data_offset;
    uint32_t data_length;
    uint32_t exec_time_us; /* on the device that computed it; 0xffffffff when longer */
    uint32_t reserved[2];
} VGPUResponse;

static_assert(sizeof(VGPURequest) == 32, "ABI");
static_assert(offsetof(VGPURequest, version) == 0, "ABI");
static_assert(offsetof(VGPURequest, opcode) == 4, "ABI");
static_assert(offsetof(VGPURequest, flags) == 8, "ABI");
static_assert(offsetof(VGPURequest, param_count) == 12, "ABI");
static_assert(offsetof(VGPURequest, data_offset) == 16, "ABI");
static_assert(offsetof(VGPURequest, data_length) == 20, "ABI");
static_assert(offsetof(VGPURequest, reserved) == 24, "ABI");
static_assert(sizeof(VGPUResponse) == 32, "ABI");
static_assert(offsetof(VGPUResponse, version) == 0, "ABI");
static_assert(offsetof(VGPUResponse, status) == 4, "ABI");
static_assert(offsetof(VGPUResponse, result_count) == 8, "ABI");
static_assert(offsetof(VGPUResponse, data_offset) == 12, "ABI");
static_assert(offsetof(VGPUResponse, data_length) == 16, "ABI");
static_assert(offsetof(VGPUResponse, exec_time_us) == 20, "ABI");
static_assert(offsetof(VGPUResponse, reserved) == 24, "ABI");

enum {
    /* No params, no data; an empty response. */
    VGPU_OP_NOP = 0x0000,
    /* params (a, b), no data: one result, a + b modulo 2^32, computed by the
     * vector-add kernel. The oldest client's request. */
    VGPU_OP_CUDA_KERNEL = 0x0001,
    VGPU_OP_MEMORY_ALLOC = 0x0002,
    VGPU_OP_MEMORY_FREE = 0x0003,
    VGPU_OP_MEMORY_COPY = 0x0004,
    /* No params, no data: the response's data is a VGPUDeviceInfo. */
    VGPU_OP_GET_DEVICE_INFO = 0x0005,
    VGPU_OP_SYNCHRONIZE = 0x0006,

    /* No params; data is a[n] and then b[n]; the response's data is c[n] with
     * c[i] = a[i] + b[i]. n is data_length / (2 * element size), at least 1.
     * Integer sums wrap (two's complement); floating-point sums are IEEE 754
     * round-to-nearest-even, so every backend gives the same bits (a NaN's
     * payload aside). */
    VGPU_OP_VECTOR_ADD_INT32 = 0x0100,
    VGPU_OP_VECTOR_ADD_INT64 = 0x0101,
    VGPU_OP_VECTOR_ADD_FLOAT32 = 0x0102,
    VGPU_OP_VECTOR_ADD_FLOAT64 = 0x0103,
};

/* Bytes of data that fit into a request or response without params. */
#define VGPU_REQUEST_DATA_MAX (VGPU_REQUEST_MAX - (uint32_t) sizeof(VGPURequest))
#define VGPU_RESPONSE_DATA_MAX (VGPU_RESPONSE_MAX - (uint32_t) sizeof(VGPUResponse))

/* What runs a pool. Strings are NUL-terminated UTF-8. Later hosts may append
 * fields: take the part you know. */
typedef struct VGPUDeviceInfo {
    char backend[16];         /* "cpu" or "cuda" */
    char name[64];            /* the device's own name */
    uint64_t memory_total;    /* bytes */
    uint64_t memory_free;     /* bytes, at the time of the request */
    uint32_t multiprocessors; /* CUDA multiprocessors, or online CPUs */
    uint32_t compute_major;   /* CUDA compute capability; 0.0 on a CPU */
    uint32_t compute_minor;
    uint32_t driver_version; /* as cuDriverGetVersion: 1000 * major + 10 * minor; 0 on a CPU */
} VGPUDeviceInfo;

static_assert(sizeof(VGPUDeviceInfo) == 112, "ABI");
static_assert(offsetof(VGPUDeviceInfo, name) == 16, "ABI");
static_assert(offsetof(VGPUDeviceInfo, memory_total) == 80, "ABI");
static_assert(offsetof(VGPUDeviceInfo, memory_free) == 88, "ABI");
static_assert(offsetof(VGPUDeviceInfo, multiprocessors) == 96, "ABI");
static_assert(offsetof(VGPUDeviceInfo, compute_major) == 100, "ABI");
static_assert(offsetof(VGPUDeviceInfo, compute_minor) == 104, "ABI");
static_assert(offsetof(VGPUDeviceInfo, driver_version) == 108, "ABI");

/* ---- The wire between device and mediator -------------------------------- */

#define VGPU_SOCKET_PATH "/run/vgpu/mediator.sock"
#define VGPU_SOCKET_MAGIC 0x56475055u

/* The largest payload any message may announce. */
#define VGPU_PAYLOAD_MAX 1024u

enum {
    VGPU_MSG_REQUEST = 1,  /* to the mediator: VGPURequest and what follows it */
    VGPU_MSG_RESPONSE = 2, /* to the device: VGPUResponse and what follows it */
    VGPU_MSG_PING = 3,     /* either way, no payload: answer with PONG and the same request_id */
    VGPU_MSG_PONG = 4,
    VGPU_MSG_BUSY = 5, /* to the device, no payload: the request was not queued, QUEUE_FULL */
    VGPU_MSG_QUARANTINED = 6, /* to the device, no payload: the VM may not submit, VM_QUARANTINED */
    VGPU_MSG_HELLO = 0x20,    /* to the mediator, first on a connection: VGPUHello */
    VGPU_MSG_WELCOME = 0x21,  /* to the device, the answer: VGPUWelcome */
};

typedef struct VGPUSocketHeader {
    uint32_t magic; /* VGPU_SOCKET_MAGIC */
    uint32_t msg_type;
    uint32_t vm_id;      /* a claim */
    uint32_t request_id; /* returned with the answer */
    uint8_t pool_id;     /* a claim */
    uint8_t priority;    /* a claim */
    uint16_t pad;        /* 0 */
    uint32_t payload_len;
} __attribute__((packed)) VGPUSocketHeader;

static_assert(sizeof(VGPUSocketHeader) == 24, "ABI");
static_assert(offsetof(VGPUSocketHeader, magic) == 0, "ABI");
static_assert(offsetof(VGPUSocketHeader, msg_type) == 4, "ABI");
static_assert(offsetof(VGPUSocketHeader, vm_id) == 8, "ABI");
static_assert(offsetof(VGPUSocketHeader, request_id) == 12, "ABI");
static_assert(offsetof(VGPUSocketHeader, pool_id) == 16, "ABI");
static_assert(offsetof(VGPUSocketHeader, priority) == 17, "ABI");
static_assert(offsetof(VGPUSocketHeader, pad) == 18, "ABI");
static_assert(offsetof(VGPUSocketHeader, payload_len) == 20, "ABI");

/* Both may grow at the end. A receiver takes the part that it knows, reads a missing
 * part as zero, and requires at least the fields before resume. */
typedef struct VGPUHello {
    uint8_t uuid[16];   /* the VM's, in RFC 4122 byte order; all zero when it has none */
    uint32_t features;  /* VGPU_FEATURE_* of vgpu-ring.h; no other bit is assigned yet */
    uint32_t reserved;  /* 0 */
    uint8_t resume[16]; /* from the last WELCOME; all zero before the first */
} VGPUHello;

typedef struct VGPUWelcome {
    uint32_t vm_id;     /* the number the mediator knows the VM by */
    uint32_t features;  /* the bits of HELLO that the mediator takes up */
    uint8_t resume[16]; /* a secret: who shows it on a new connection is this VM; zero: none */
} VGPUWelcome;

#define VGPU_HELLO_SIZE_MIN ((uint32_t) offsetof(VGPUHello, resume))
#define VGPU_WELCOME_SIZE_MIN ((uint32_t) offsetof(VGPUWelcome, resume))

static_assert(sizeof(VGPUHello) == 40, "ABI");
static_assert(offsetof(VGPUHello, features) == 16, "ABI");
static_assert(offsetof(VGPUHello, resume) == 24, "ABI");
static_assert(sizeof(VGPUWelcome) == 24, "ABI");
static_assert(offsetof(VGPUWelcome, features) == 4, "ABI");
static_assert(offsetof(VGPUWelcome, resume) == 8, "ABI");

/* ---- Validators ----------------------------------------------------------- */

/*
 * vgpu_error_to_string() - the name of an error code, as in the tables
 * @code: any number
 *
 * Returns a static string; "UNKNOWN" for a code this header does not know.
 */
static inline const char *vgpu_error_to_string(uint32_t code)
{
    static const char *const names[VGPU_N_ERRORS] = {
        [VGPU_ERROR_NONE] = "NONE",
        [VGPU_ERROR_INVALID_REQUEST] = "INVALID_REQUEST",
        [VGPU_ERROR_REQUEST_TOO_LARGE] = "REQUEST_TOO_LARGE",
        [VGPU_ERROR_MEDIATOR_UNAVAILABLE] = "MEDIATOR_UNAVAILABLE",
        [VGPU_ERROR_TIMEOUT] = "TIMEOUT",
        [VGPU_ERROR_CUDA_ERROR] = "CUDA_ERROR",
        [VGPU_ERROR_INVALID_POOL] = "INVALID_POOL",
        [VGPU_ERROR_QUEUE_FULL] = "QUEUE_FULL",
        [VGPU_ERROR_UNSUPPORTED_OP] = "UNSUPPORTED_OP",
        [VGPU_ERROR_INVALID_LENGTH] = "INVALID_LENGTH",
        [VGPU_ERROR_RATE_LIMITED] = "RATE_LIMITED",
        [VGPU_ERROR_VM_QUARANTINED] = "VM_QUARANTINED",
    };

    return code < VGPU_N_ERRORS ? names[code] : "UNKNOWN";
}

/*
 * vgpu_priority_to_string() - "low", "medium" or "high"
 * @priority: VGPU_PRIORITY_*
 *
 * Returns a static string, or NULL for any other number.
 */
static inline const char *vgpu_priority_to_string(uint32_t priority)
{
    static const char *const names[VGPU_N_PRIORITIES] = {
        [VGPU_PRIORITY_LOW] = "low",
        [VGPU_PRIORITY_MEDIUM] = "medium",
        [VGPU_PRIORITY_HIGH] = "high",
    };

    return priority < VGPU_N_PRIORITIES ? names[priority] : NULL;
}

/*
 * vgpu_priority_from_string() - the inverse
 *
 * Returns VGPU_PRIORITY_*, or -1 when @s (never NULL) names none.
 */
static inline int vgpu_priority_from_string(const char *s)
{
    for (uint32_t p = 0; p < VGPU_N_PRIORITIES; p++)
        if (strcmp(s, vgpu_priority_to_string(p)) == 0)
            return (int) p;

    return -1;
}

/* vgpu_pool_is_valid() - can a pool have this letter? */
static inline bool vgpu_pool_is_valid(uint32_t pool_id)
{
    return pool_id >= VGPU_POOL_FIRST && pool_id <= VGPU_POOL_LAST;
}

/*
 * vgpu_element_size() - bytes of one element of a VECTOR_ADD opcode
 *
 * Returns 4 or 8, or 0 when @opcode is no VECTOR_ADD.
 */
static inline uint32_t vgpu_element_size(uint32_t opcode)
{
    switch (opcode) {
    case VGPU_OP_VECTOR_ADD_INT32:
    case VGPU_OP_VECTOR_ADD_FLOAT32:
        return 4;
    case VGPU_OP_VECTOR_ADD_INT64:
    case VGPU_OP_VECTOR_ADD_FLOAT64:
        return 8;
    default:
        return 0;
    }
}

/* Does data [offset, offset + length) lie behind the @fixed leading bytes and inside @size? */
static inline bool vgpu_data_fits(size_t fixed, uint32_t offset, uint32_t length, size_t size)
{
    if (length == 0)
        return true;

    return offset >= fixed && offset <= size && length <= size - offset;
}

/*
 * vgpu_request_check() - is this a well-formed request that this header knows?
 * @buf: the request as received, any alignment
 * @size: bytes in @buf
 * @ret: the header, copied out, when the answer is NONE; may be NULL
 *
 * Looks at lengths before content, and at nothing outside @buf. After NONE,
 * params (at 32) and data (at data_offset) lie inside @buf, and their number and
 * length are right for the opcode.
 *
 * Returns VGPU_ERROR_NONE, INVALID_LENGTH (empty), REQUEST_TOO_LARGE,
 * INVALID_REQUEST, or UNSUPPORTED_OP (well-formed, but an opcode nobody here
 * executes).
 */
static inline uint32_t vgpu_request_check(const void *buf, size_t size, VGPURequest *ret)
{
    VGPURequest r;
    uint32_t element;

    if (size == 0)
        return VGPU_ERROR_INVALID_LENGTH;
    if (size > VGPU_REQUEST_MAX)
        return VGPU_ERROR_REQUEST_TOO_LARGE;
    if (size < sizeof(r))
        return VGPU_ERROR_INVALID_REQUEST;

    memcpy(&r, buf, sizeof(r));

    if (r.version != VGPU_PROTOCOL_VERSION || r.flags != 0 || r.reserved[0] != 0 ||
        r.reserved[1] != 0)
        return VGPU_ERROR_INVALID_REQUEST;
    if (r.param_count > (size - sizeof(r)) / sizeof(uint32_t))
        return VGPU_ERROR_INVALID_REQUEST;
    if (!vgpu_data_fits(sizeof(r) + r.param_count * sizeof(uint32_t), r.data_offset, r.data_length,
                        size))
        return VGPU_ERROR_INVALID_REQUEST;

    switch (r.opcode) {
    case VGPU_OP_NOP:
    case VGPU_OP_GET_DEVICE_INFO:
        if (r.param_count != 0 || r.data_length != 0)
            return VGPU_ERROR_INVALID_REQUEST;
        break;

    case VGPU_OP_CUDA_KERNEL:
        if (r.param_count != 2 || r.data_length != 0)
            return VGPU_ERROR_INVALID_REQUEST;
        break;

    case VGPU_OP_VECTOR_ADD_INT32:
    case VGPU_OP_VECTOR_ADD_INT64:
    case VGPU_OP_VECTOR_ADD_FLOAT32:
    case VGPU_OP_VECTOR_ADD_FLOAT64:
        element = vgpu_element_size(r.opcode);
        if (r.param_count != 0 || r.data_length == 0 || r.data_length % (2 * element) != 0)
            return VGPU_ERROR_INVALID_REQUEST;
        break;

    default:
        return VGPU_ERROR_UNSUPPORTED_OP;
    }

    if (ret)
        *ret = r;
    return VGPU_ERROR_NONE;
}

/*
 * vgpu_response_check() - is this a well-formed response?
 * @buf: the response as received, any alignment
 * @size: bytes in @buf
 * @ret: the header, copied out, when the answer is true; may be NULL
 *
 * After true, results (at 32) and data (at data_offset) lie inside @buf.
 */
static inline bool vgpu_response_check(const void *buf, size_t size, VGPUResponse *ret)
{
    VGPUResponse r;

    if (size < sizeof(r) || size > VGPU_RESPONSE_MAX)
        return false;

    memcpy(&r, buf, sizeof(r));

    if (r.version != VGPU_PROTOCOL_VERSION || r.status >= VGPU_N_ERRORS)
        return false;
    if (r.result_count > (size - sizeof(r)) / sizeof(uint32_t))
        return false;
    if (!vgpu_data_fits(sizeof(r) + r.result_count * sizeof(uint32_t), r.data_offset, r.data_length,
                        size))
        return false;

    if (ret)
        *ret = r;
    return true;
}

/*
 * vgpu_socket_header_check() - may this header open a message?
 * @h: a header as received
 *
 * Looks at what every message has in common. The receiver still decides which
 * types it takes and what each type's payload must be.
 *
 * Returns NULL when it may, else a static string that says what is wrong.
 */
static inline const char *vgpu_socket_header_check(const VGPUSocketHeader *h)
{
    if (h->magic != VGPU_SOCKET_MAGIC)
        return "bad magic";
    if (h->pad != 0)
        return "padding is not zero";
    if (h->payload_len > VGPU_PAYLOAD_MAX)
        return "payload too large";

    switch (h->msg_type) {
    case VGPU_MSG_REQUEST:
        return NULL;
    case VGPU_MSG_RESPONSE:
        return h->payload_len >= sizeof(VGPUResponse) ? NULL : "response shorter than its header";
    case VGPU_MSG_PING:
    case VGPU_MSG_PONG:
    case VGPU_MSG_BUSY:
    case VGPU_MSG_QUARANTINED:
        return h->payload_len == 0 ? NULL : "payload where none belongs";
    case VGPU_MSG_HELLO:
        return h->payload_len >= VGPU_HELLO_SIZE_MIN ? NULL : "hello too short";
    case VGPU_MSG_WELCOME:
        return h->payload_len >= VGPU_WELCOME_SIZE_MIN ? NULL : "welcome too short";
    default:
        return "unknown message type";
    }
}

#endif
