/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CUDA session: one guest process, one area in the window, one executor process on the host
 * that has the guest process's CUDA contexts. The mediator starts the executor and hands it the
 * window; it reads nothing of what is below.
 *
 * The area lies anywhere in the window, at a multiple of VGPU_SESSION_ALIGNMENT:
 *
 *   VGPUSessionHeader             one page
 *   the ring                      ring_size bytes
 *   VGPUSessionReply              VGPU_SESSION_REPLIES of them
 *
 * The guest process writes operations into the ring, as records of any length, and moves tail.
 * The executor takes each record once, checks its copy, carries it out and moves head. Positions
 * are byte counts that run freely through 64 bits; position p stands at p modulo ring_size. A
 * record is in one piece: where it would not fit before the end of the ring, a PAD record fills the
 * rest.
 *
 * Order. Operations are carried out in the order of the ring, as if one thread of a CUDA program
 * made these calls one after the other. Those marked SLOW below may take long in the driver; they
 * are carried out in order among each other, on a thread of their own, and others overtake them. So
 * a guest waits for the reply of a SLOW operation before it uses what it made.
 *
 * Results. An operation that has a reply slot writes there how it ended. Without one, the first
 * error is latched in the header (error, error_position) until the guest takes it with
 * ERROR_TAKE. An error that the context does not survive is in the header's sticky, too, and each
 * later operation ends with it.
 *
 * Names. The guest chooses the number of every context, stream, event, module, function and so on
 * when it makes one, and uses it from then on: making one needs no answer. A number is free again
 * after the operation that ends the object. Numbers count from 1 for each kind. 0 means none; where
 * a stream is expected it is the context's legacy default stream.
 *
 * Addresses. Device addresses are those of the executor's CUDA. The window is mapped in the
 * executor at window_base, the address at which the guest process has it, and is registered with
 * CUDA: so an address in it means the same bytes to the program, to the executor and to a kernel.
 * An operation accepts addresses in the device's memory that this session has allocated, and in the
 * window from its beginning to its end, as far as the device has it (WINDOW_PIN); others are
 * CUDA_ERROR_INVALID_VALUE. Offsets ("window bytes") count from the beginning of the window. What
 * the executor itself reads or writes there (images, logs, texts) need not be pinned.
 *
 * Waiting. A FENCE makes the device write a number into the window when all before it in its
 * stream is done: the guest looks at memory, and no thread waits on the host. For a reply it looks
 * at the reply's state. To sleep, it sets guest_waits, has a full barrier, looks once more, and
 * waits for the interrupt; the executor signals it after a reply while guest_waits is set. What the
 * device writes, nobody signals: who sleeps for a fence puts a WAKE behind it in the stream.
 *
 * The executor sleeps in the same way: it sets executor_waits, has a full barrier, looks at tail
 * once more, and waits for the doorbell. The guest has a full barrier between moving tail and
 * reading executor_waits, and rings the doorbell when it is set.
 *
 * Everything that the guest writes here is hostile to the executor, and ends at worst this session.
 */
#ifndef VGPU_SESSION_H
#define VGPU_SESSION_H

#include "vgpu-protocol.h"

#define VGPU_SESSION_MAGIC 0x53555056u /* "VPUS" */
#define VGPU_SESSION_VERSION 1u
#define VGPU_SESSION_ALIGNMENT 4096u
#define VGPU_SESSION_HEADER_SIZE 4096u
#define VGPU_SESSION_RING_MIN (UINT32_C(1) << 16)
#define VGPU_SESSION_RING_MAX (UINT32_C(1) << 26)
#define VGPU_SESSION_REPLIES 256u
#define VGPU_SESSION_RECORD_MAX \
    (UINT32_C(1) << 15) /* bytes, with the header; at most half a ring */
#define VGPU_SESSION_RECORD_ALIGNMENT 16u
#define VGPU_SESSION_COMMAND_MAX 32u
/* The largest number of an object, for each kind; a host may allow fewer. */
#define VGPU_SESSION_ID_MAX 65535u

enum {
    VGPU_SESSION_STATE_NEW = 0,     /* the executor has not looked yet */
    VGPU_SESSION_STATE_OPEN = 1,    /* it takes operations */
    VGPU_SESSION_STATE_REFUSED = 2, /* the area is not as it has to be */
    VGPU_SESSION_STATE_ENDED = 3,   /* takes no more; sticky says why */
};

/* The guest pins what it uses of the window, with WINDOW_PIN. Without it, the first context pins
 * all of the window, which takes 60 us for each MiB. */
#define VGPU_SESSION_PINS 0x1u

typedef struct VGPUSessionHeader {
    /* The guest, before the session is opened */
    uint32_t magic;
    uint32_t version;
    uint32_t ring_size;   /* bytes, a power of two */
    uint32_t guest_pid;   /* as the guest sees it; for its administrator's eyes */
    uint64_t window_base; /* where the guest has mapped the window; a multiple of 2 MiB; 0: it does
                           * not matter, and no address in the window is used */
    char command[VGPU_SESSION_COMMAND_MAX]; /* of that process; ends with 0 */
    uint8_t opening_reserved[72];
    /* The guest */
    uint64_t tail;
    uint32_t guest_waits; /* 1: signal the interrupt after a reply */
    uint32_t flags;       /* before the session is opened: VGPU_SESSION_PINS; other bits 0 */
    uint8_t guest_reserved[48];
    /* The executor */
    uint64_t head;
    uint32_t executor_waits; /* 1: ring the doorbell after moving tail */
    uint32_t state;          /* VGPU_SESSION_STATE_* */
    uint32_t sticky;         /* CUresult that ended the session's CUDA, or 0 */
    uint32_t error;          /* CUresult: the first that had no reply slot, or 0 */
    uint64_t error_position; /* of that record */
    uint64_t memory;         /* bytes of device memory that the session has now */
    uint64_t device_usec;    /* how long the device has had work of it */
    uint32_t n_contexts;     /* that it has now */
    uint8_t executor_reserved[12];
    uint8_t reserved[VGPU_SESSION_HEADER_SIZE - 256];
} VGPUSessionHeader;

enum {
    VGPU_SESSION_REPLY_PENDING = 0, /* the guest writes this before it publishes the record */
    VGPU_SESSION_REPLY_DONE = 1,    /* the executor, last (release) */
};

typedef struct VGPUSessionReply {
    uint32_t state;
    uint32_t result;   /* CUresult */
    uint64_t value[6]; /* as the operation says */
    uint64_t reserved;
} VGPUSessionReply;

/* What every record begins with; the operation's parameters follow. */
typedef struct VGPUSessionRecord {
    uint32_t size;        /* bytes with this header, a multiple of VGPU_SESSION_RECORD_ALIGNMENT */
    uint16_t opcode;      /* VGPU_SESSION_OP_* */
    uint16_t reply;       /* 1 to VGPU_SESSION_REPLIES: that slot, counted from 1; 0: none */
    uint32_t context;     /* whose; ignored by operations that need none */
    uint8_t capture_mode; /* of the calling thread (cuThreadExchangeStreamCaptureMode) */
    uint8_t reserved;
    uint16_t thread; /* the calling one's number, as the guest counts its threads; see captures */
} VGPUSessionRecord;

/* ---- Parameters ------------------------------------------------------------------------------ */

/* A piece of the window */
typedef struct VGPUSessionBytes {
    uint64_t offset;
    uint64_t size;
} VGPUSessionBytes;

typedef struct VGPUSessionNone {
    uint64_t reserved[2]; /* 0 */
} VGPUSessionNone;

/* One number, or one number of an object */
typedef struct VGPUSessionId {
    uint32_t id;
    uint32_t flags; /* as the driver's function has them, else 0 */
    uint64_t value;
} VGPUSessionId;

/* ERROR_TAKE: value[0] is the latched CUresult, or 0; value[1] the position of its record. Nothing
 * is latched after that. */

/* DEVICE_INFO: fills a VGPUSessionDevice, as much of it as has room. value[0]: its bytes */
typedef struct VGPUSessionDeviceInfo {
    VGPUSessionBytes into;
} VGPUSessionDeviceInfo;

/* CU_DEVICE_ATTRIBUTE_MAX of CUDA 13.0 is 149; a driver that knows more is cut, one that knows
 * fewer leaves 0 with the result of asking. */
#define VGPU_SESSION_ATTRIBUTES 160u

typedef struct VGPUSessionDevice {
    uint32_t driver_version; /* cuDriverGetVersion() */
    uint32_t n_attributes;
    uint64_t total_memory; /* what the VM's sessions may have, at most the device's */
    char name[128];
    uint8_t uuid[16];
    /* 0 and 0 before the session's first context */
    int32_t stream_priority_least, stream_priority_greatest;
    struct {
        int32_t value;
        int32_t result;                   /* CUresult of asking */
    } attribute[VGPU_SESSION_ATTRIBUTES]; /* by CUdevice_attribute */
} VGPUSessionDevice;

/* BOARD_INFO: fills a VGPUSessionBoard, likewise: what the host's management library says of the
 * device. What is not known is 0 or empty. */
typedef struct VGPUSessionBoard {
    char driver[32];          /* the version of NVIDIA's driver; ends with 0 */
    uint32_t brand;           /* nvmlBrandType_t */
    uint32_t pcie_generation; /* the highest that the device and its place have */
    uint32_t pcie_width;      /* lanes, likewise */
    uint32_t reserved;
} VGPUSessionBoard;

/*
 * OUTPUT: what kernels have printed since the last one, into @into: first what goes to the
 * program's standard output, then what goes to its standard error. value[0] and value[1]: bytes of
 * each; value[2]: 1 when there is more. All that kernels of the record's context printed whose end
 * the guest knows of (by a fence) is there; with context 0, what had come to the executor before.
 * Also answered when the session's CUDA has ended: what an assertion says comes then. While a
 * stream captures, what kernels printed since the capture began may come later. Of each text the
 * host keeps 16 MiB; what comes above that is lost, and a line in the text says so.
 */
typedef struct VGPUSessionOutput {
    VGPUSessionBytes into;
} VGPUSessionOutput;

/* WINDOW_PIN: @bytes, whole pages, are pinned until the session ends, in each context. A second pin
 * of the same piece is nothing; one that overlaps another otherwise is CUDA_ERROR_INVALID_VALUE. A
 * copy may cross pieces. The session's own area needs none. CUDA_ERROR_OUT_OF_MEMORY above
 * VGPU_SESSION_PINS_MAX pieces. */
#define VGPU_SESSION_PINS_MAX 4096u

typedef struct VGPUSessionPin {
    VGPUSessionBytes bytes;
} VGPUSessionPin;

/* CONTEXT_CREATE: @id is the new context; flags as cuCtxCreate(). With primary it is the device's
 * primary context; the guest counts its references. */
typedef struct VGPUSessionContext {
    uint32_t id;
    uint32_t flags;
    uint32_t primary;
    uint32_t reserved;
} VGPUSessionContext;

/* CONTEXT_LIMIT_GET, CONTEXT_LIMIT_SET: value[0] of GET is the limit */
typedef struct VGPUSessionLimit {
    uint32_t limit; /* CUlimit */
    uint32_t reserved;
    uint64_t value;
} VGPUSessionLimit;

/* STREAM_CREATE, EVENT_CREATE: the numbers of cuStreamCreateWithPriority(), cuEventCreate() */
typedef struct VGPUSessionCreate {
    uint32_t id;
    uint32_t flags;
    int32_t priority;
    uint32_t reserved;
} VGPUSessionCreate;

/* STREAM_ATTRIBUTE: cuStreamSetAttribute(). @attribute is a CUlaunchAttributeID, of those that are
 * more than how the program waits: ACCESS_POLICY_WINDOW, PRIORITY, MEM_SYNC_DOMAIN_MAP,
 * MEM_SYNC_DOMAIN; others are CUDA_ERROR_INVALID_VALUE. */
typedef struct VGPUSessionStreamAttribute {
    uint32_t stream;
    uint32_t attribute;
    uint8_t value[64]; /* CUlaunchAttributeValue */
} VGPUSessionStreamAttribute;

/* EVENT_RECORD, STREAM_WAIT_EVENT. EVENT_ELAPSED: from @event to @other, value[0] is a float's bits
 */
typedef struct VGPUSessionEvent {
    uint32_t event;
    uint32_t stream;
    uint32_t flags;
    uint32_t other;
} VGPUSessionEvent;

/* FENCE: the device writes @value (64 bits) to the window's byte @offset, a multiple of 8. WAKE has
 * the interrupt signalled; both when all before them in the stream is done. Neither is possible
 * in a stream that captures: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, and the capture goes on. */
typedef struct VGPUSessionFence {
    uint32_t stream;
    uint32_t reserved;
    uint64_t offset;
    uint64_t value;
    uint64_t reserved2;
} VGPUSessionFence;

/*
 * HOST_CALL (a VGPUSessionFence): a function of the guest's in the stream, also in one that
 * captures. At @offset, a multiple of 16, are two words of 64 bits. When all before it in the
 * stream is done, the executor writes 0 to the second and then @value to the first, and signals the
 * interrupt; the stream goes on when the guest has written 1 to the second. The guest clears the
 * first before that. A graph does the same each time that it is launched; two executable graphs
 * made of one share the words, and must not run at the same time (NODE_EXEC_SET gives one of them
 * others). When neither the stream nor any graph needs the words any more, the executor writes
 * VGPU_SESSION_HOST_ENDED to the second, and never again to either; the guest uses them for nothing
 * else before that. It may do so a while later, and does not signal it.
 *
 * A session has VGPU_SESSION_HOST_CALLS_MAX of them: those that are on their way, and those in
 * graphs, until the last graph with it has ended. The next is CUDA_ERROR_OUT_OF_MEMORY. The time in
 * which a stream waits for the guest is none of the device's, and has no limit. Where that is in a
 * graph, no limit is for the whole of it; it is time of the device unless each of the graph's nodes
 * follows the one before.
 */
#define VGPU_SESSION_HOST_CALLS_MAX 8192u
#define VGPU_SESSION_HOST_ENDED 2u

/* WORD_WRITE, WORD_WAIT: cuStreamWriteValue, cuStreamWaitValue */
typedef struct VGPUSessionWord {
    uint32_t stream;
    uint32_t flags;
    uint64_t address;
    uint64_t value;
    uint32_t bits; /* 32 or 64 */
    uint32_t reserved;
} VGPUSessionWord;

/* MEMORY_ALLOC: value[0] is the address. MEMORY_FREE: by address. MEMORY_ALLOC_ASYNC from
 * @pool, or the device's default pool where that is 0; it and MEMORY_FREE_ASYNC are
 * CUDA_ERROR_NOT_SUPPORTED in a stream that captures, and the capture goes on. MEMORY_INFO:
 * value[0] free, value[1] total, of what the VM's sessions may have together */
typedef struct VGPUSessionMemory {
    uint64_t address;
    uint64_t size;
    uint32_t stream;
    uint32_t pool;
    uint64_t reserved;
} VGPUSessionMemory;

/* POOL_CREATE: @id is the new pool of the device's memory, @value the bytes that it has at most, or
 * 0. POOL_SET, POOL_GET (value[0]): @attribute is a CUmemPool_attribute. POOL_TRIM: to @value
 * bytes. With @id 0 the device's default pool, which POOL_DESTROY refuses. */
typedef struct VGPUSessionPool {
    uint32_t id;
    uint32_t attribute;
    uint64_t value;
} VGPUSessionPool;

/*
 * Memory that processes of one VM share. Each that has it is charged for it.
 *
 * SHARE_MEMORY: of the MEMORY_ALLOC memory at @address. SHARE_PHYSICAL: of the physical memory @id,
 * which was made with VGPU_PHYSICAL_SHAREABLE. value[0] and value[1] are a token, random and good
 * in this VM alone while this session lives and has the memory. value[2]: bytes.
 *
 * TAKE_MEMORY, with a token of another session: value[0] address, value[1] bytes; ends with
 * TAKEN_FREE, by address. TAKE_PHYSICAL: known as the physical memory @id from now on; value[1]
 * bytes, value[2] VGPU_PHYSICAL_COMPRESSED or 0.
 */
typedef struct VGPUSessionShare {
    uint64_t address;
    uint64_t token[2];
    uint32_t id;
    uint32_t flags; /* 0 */
} VGPUSessionShare;

/* PHYSICAL_CREATE's flags */
#define VGPU_PHYSICAL_SHAREABLE 0x1u
#define VGPU_PHYSICAL_COMPRESSED 0x2u /* if that can be: value[0] has the flag where it is so */

/* ADDRESS_RESERVE (value[0]: the address), ADDRESS_FREE, PHYSICAL_CREATE (of the number @id),
 * PHYSICAL_RELEASE, PHYSICAL_MAP, PHYSICAL_UNMAP, PHYSICAL_ACCESS (@flags: CUmemAccess_flags).
 * GRANULARITY: value[0] */
typedef struct VGPUSessionPhysical {
    uint64_t address; /* RESERVE: where it is wanted, or 0 */
    uint64_t size;
    uint64_t offset;    /* MAP: into the physical memory */
    uint64_t alignment; /* RESERVE: or 0 */
    uint32_t id;
    uint32_t flags;
    uint64_t reserved;
} VGPUSessionPhysical;

/* COPY: @size bytes between any two places */
typedef struct VGPUSessionCopy {
    uint64_t to;
    uint64_t from;
    uint64_t size;
    uint32_t stream;
    uint32_t reserved;
} VGPUSessionCopy;

/* One end of a COPY_3D: linear memory, or an array when @array is not 0 */
typedef struct VGPUSessionPlace {
    uint64_t address;
    uint64_t pitch;    /* bytes from row to row */
    uint64_t height;   /* rows from slice to slice */
    uint32_t array;    /* a level of a mipmap has a number of its own (MIPMAP_LEVEL) */
    uint32_t reserved; /* 0 */
    uint64_t x_bytes, y, z;
} VGPUSessionPlace;

typedef struct VGPUSessionCopy3D {
    VGPUSessionPlace to, from;
    uint64_t width_bytes, height, depth;
    uint32_t stream;
    uint32_t reserved;
} VGPUSessionCopy3D;

/* SET: @count elements of @width bytes (1, 2, 4) in each of @rows rows, @pitch bytes apart */
typedef struct VGPUSessionSet {
    uint64_t address;
    uint64_t count;
    uint64_t rows;  /* 1 for a line */
    uint64_t pitch; /* 0 when rows is 1 */
    uint32_t value;
    uint32_t width;
    uint32_t stream;
    uint32_t reserved;
} VGPUSessionSet;

/*
 * ARRAY_CREATE, MIPMAP_CREATE: @id is the new one; numbers as in CUDA_ARRAY3D_DESCRIPTOR. A mipmap
 * has @levels, as many as it can have at most. MIPMAP_LEVEL: level @levels of @mipmap is known as
 * the array @id, until the mipmap ends. ARRAY_DESTROY, MIPMAP_DESTROY: a VGPUSessionId.
 *
 * ARRAY_NEEDS: of the array @id, or of @mipmap where that is not 0: value[0] bytes, value[1]
 * alignment (cuArrayGetMemoryRequirements()).
 *
 * An array or mipmap is of the record's context; one of another is CUDA_ERROR_INVALID_HANDLE. It is
 * charged for what the device takes for it at most, which is more than its bytes. One with
 * CUDA_ARRAY3D_DEFERRED_MAPPING has no memory, and is only to be asked what it needs. Formats of
 * compressed blocks and of video planes, sparse arrays, depth textures and colour attachments are
 * CUDA_ERROR_NOT_SUPPORTED.
 */
typedef struct VGPUSessionArray {
    uint32_t id;
    uint32_t mipmap;
    uint64_t width, height, depth;
    uint32_t format; /* CUarray_format */
    uint32_t channels;
    uint32_t flags;
    uint32_t levels;
} VGPUSessionArray;

/* TEXTURE_CREATE, SURFACE_CREATE (of it, the resource alone): value[0] is the object, as kernels
 * take it; there may be as many of both as of other objects of one kind. TEXTURE_DESTROY,
 * SURFACE_DESTROY: a VGPUSessionId whose value is the object, which was made in the record's
 * context. It does not keep the array, mipmap or memory that it is of. */
typedef struct VGPUSessionTexture {
    uint32_t resource_type; /* CUresourcetype */
    uint32_t resource;      /* number of the array or mipmap */
    uint64_t address;       /* linear memory; pitched memory */
    uint64_t size;          /* bytes, of linear memory */
    uint64_t width, height; /* pitched memory: elements, rows */
    uint64_t pitch;         /* bytes */
    uint32_t format, channels;
    /* CUDA_TEXTURE_DESC */
    uint32_t address_mode[3];
    uint32_t filter_mode;
    uint32_t flags;
    uint32_t max_anisotropy;
    uint32_t mipmap_filter_mode;
    float mipmap_bias, mipmap_min, mipmap_max;
    float border[4];
    /* CUDA_RESOURCE_VIEW_DESC */
    uint32_t has_view;
    uint32_t view_format;
    uint64_t view_width, view_height, view_depth;
    uint32_t first_level, last_level, first_layer, last_layer;
} VGPUSessionTexture;

/* TENSOR_MAP: a CUtensorMap, VGPU_SESSION_TENSOR_MAP_SIZE bytes, into @into. REPLACE: the one that
 * is there gets another address; nothing else is looked at. CUDA_ERROR_NOT_SUPPORTED where the
 * host's driver is older than the kind. */
enum {
    VGPU_TENSOR_MAP_TILED = 0,       /* cuTensorMapEncodeTiled */
    VGPU_TENSOR_MAP_IM2COL = 1,      /* cuTensorMapEncodeIm2col */
    VGPU_TENSOR_MAP_IM2COL_WIDE = 2, /* cuTensorMapEncodeIm2colWide (CUDA 12.8) */
    VGPU_TENSOR_MAP_REPLACE = 3,     /* cuTensorMapReplaceAddress */
};

#define VGPU_SESSION_TENSOR_MAP_SIZE 128u

typedef struct VGPUSessionTensorMap {
    VGPUSessionBytes into;
    uint32_t kind;      /* VGPU_TENSOR_MAP_* */
    uint32_t data_type; /* CUtensorMapDataType; the next four likewise */
    uint32_t interleave, swizzle, l2_promotion, oob_fill;
    uint32_t wide_mode; /* CUtensorMapIm2ColWideMode */
    uint32_t rank;      /* 1 to 5 */
    uint64_t address;
    uint64_t size[5];
    uint64_t stride[5]; /* bytes; rank - 1 of them */
    uint32_t box[5];
    uint32_t element_stride[5];
    int32_t lower[3], upper[3]; /* im2col: rank - 2 of them; wide: [0] alone */
    uint32_t channels, pixels;  /* im2col: of a column */
} VGPUSessionTensorMap;

/*
 * Images: cubin, PTX and fatbin containers. Each is sent once for each session, in pieces through
 * the window, and known by a key that the guest makes of its bytes. A guest that uses one key for
 * two images deceives itself alone.
 *
 * IMAGE_BEGIN: value[0] is 1 when the session has the whole image. IMAGE_PIECE: the piece at @at
 * of the image; the pieces come in order, without gaps, and the last one ends at @size.
 */
typedef struct VGPUSessionImage {
    uint8_t key[32];
    uint64_t size; /* of the whole image */
    uint64_t at;
    VGPUSessionBytes piece;
} VGPUSessionImage;

#define VGPU_SESSION_JIT_OPTIONS 16u

/* MODULE_LOAD (SLOW): the number @id is the new module's. Options as of cuModuleLoadDataEx() that
 * are numbers; logs go to the window, value[0] and value[1] are their lengths. @library: the guest
 * calls it a library. value[2]: 1 when kernels of it may print, so that OUTPUT is worth asking
 * after they have run. */
typedef struct VGPUSessionModule {
    uint8_t key[32];
    uint32_t id;
    uint32_t library;
    uint32_t n_options;
    uint32_t reserved;
    VGPUSessionBytes info_log, error_log; /* size 0: none */
    struct {
        uint32_t option; /* CUjit_option; none of those that point to a log */
        uint32_t value;
    } option[VGPU_SESSION_JIT_OPTIONS];
} VGPUSessionModule;

/*
 * The linker. LINK_CREATE: @id, with options as MODULE_LOAD has them; the sizes of the logs say how
 * much the linker may write in all. LINK_ADD: the image of @key as @type (all but NVVM), with its
 * name, which follows, or none, and options for it alone. LINK_COMPLETE, once: the result, a cubin,
 * is the image of @key from now on, which no image had before; value[2] is its bytes. LINK_READ:
 * @into.size bytes of it from @at on. LINK_ADD and LINK_COMPLETE write the logs of the linker so
 * far as MODULE_LOAD does: value[0], value[1]. LINK_DESTROY. CUDA_ERROR_OUT_OF_MEMORY above 16
 * linkers at once, and above 512 MiB that all of them were given.
 */
typedef struct VGPUSessionLink {
    uint8_t key[32];
    uint32_t id;
    uint32_t type;      /* CUjitInputType */
    uint32_t name_size; /* bytes with the 0, at most VGPU_SESSION_NAME_MAX; 0: none */
    uint32_t n_options;
    uint64_t at;
    VGPUSessionBytes into;
    VGPUSessionBytes info_log, error_log;
    struct {
        uint32_t option;
        uint32_t value;
    } option[VGPU_SESSION_JIT_OPTIONS];
} VGPUSessionLink;

#define VGPU_SESSION_NAME_MAX 4096u /* bytes with the 0 at the end */

/*
 * FUNCTION_GET: of @module, the function @name, known as @id from now on; fills a
 * VGPUSessionFunction in @into. value[0]: its bytes. GLOBAL_GET: value[0] address, value[1] size;
 * CUDA_ERROR_NOT_SUPPORTED for a managed variable, which is the host process's and the device's.
 * FUNCTION_NAMES (of a library): the names, each with its 0, into @into; value[0] is how many,
 * value[1] the bytes that they take.
 */
typedef struct VGPUSessionName {
    uint32_t module;
    uint32_t id;
    VGPUSessionBytes into;
    uint32_t name_size; /* with its 0; the name follows */
    uint32_t reserved;
} VGPUSessionName;

#define VGPU_SESSION_FUNCTION_ATTRIBUTES 16u /* CU_FUNC_ATTRIBUTE_MAX of CUDA 13.0 is 16 */

typedef struct VGPUSessionParameter {
    uint32_t offset;
    uint32_t size;
} VGPUSessionParameter;

typedef struct VGPUSessionFunction {
    struct {
        int32_t value;
        int32_t result;
    } attribute[VGPU_SESSION_FUNCTION_ATTRIBUTES]; /* by CUfunction_attribute */
    uint32_t parameters_size;                      /* bytes of all */
    uint32_t n_parameters;
    VGPUSessionParameter parameter[]; /* n_parameters of them, as many as had room */
} VGPUSessionFunction;

/* FUNCTION_ATTRIBUTE: cuFuncSetAttribute(); FUNCTION_CACHE: cuFuncSetCacheConfig(), value only */
typedef struct VGPUSessionFunctionSet {
    uint32_t function;
    uint32_t attribute;
    int32_t value;
    uint32_t reserved;
} VGPUSessionFunctionSet;

/* OCCUPANCY: what is asked (VGPU_OCCUPANCY_*); value[0]. The size of a block is the product of
 * block[] */
enum {
    VGPU_OCCUPANCY_BLOCKS = 0,       /* cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags */
    VGPU_OCCUPANCY_SHARED = 1,       /* cuOccupancyAvailableDynamicSMemPerBlock; grid[0]: blocks */
    VGPU_OCCUPANCY_CLUSTERS = 2,     /* cuOccupancyMaxActiveClusters */
    VGPU_OCCUPANCY_CLUSTER_SIZE = 3, /* cuOccupancyMaxPotentialClusterSize */
};

#define VGPU_SESSION_LAUNCH_ATTRIBUTES 16u
#define VGPU_SESSION_PARAMETERS_MAX 32764u

/* A CUlaunchAttribute; of an event in it, the number in its first 4 bytes. Those that say something
 * of a launch are taken; those of streams and graph nodes, and unknown ones, are
 * CUDA_ERROR_INVALID_VALUE. */
typedef struct VGPUSessionLaunchAttribute {
    uint32_t id;
    uint32_t reserved;
    uint8_t value[64];
} VGPUSessionLaunchAttribute;

/* LAUNCH: the attributes follow, and then the parameters, packed as VGPUSessionFunction says.
 * OCCUPANCY: the same, without parameters, @what is asked */
typedef struct VGPUSessionLaunch {
    uint32_t function;
    uint32_t stream;
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t shared_bytes;
    uint32_t n_attributes;
    uint32_t parameters_size;
    uint32_t what;  /* OCCUPANCY */
    uint32_t flags; /* OCCUPANCY; LAUNCH: bit 0, cooperative */
    uint32_t reserved;
} VGPUSessionLaunch;

/*
 * Captures and threads. One thread of the executor's makes the calls of all threads of the guest,
 * so it is the records that say whose call it is: @thread and @capture_mode. While the guest
 * captures, the driver refuses an operation that it holds to be unsafe, and ends captures by that,
 * if the record's mode is not RELAXED and
 *
 *   - its thread has begun one of the captures, in a mode that is not RELAXED; or
 *   - its mode is GLOBAL, and so is that of one of the captures, whoever has begun it.
 *
 * That is the rule of cuThreadExchangeStreamCaptureMode(), for SLOW operations, too. Which
 * operations are unsafe, the driver says. All captures that are not RELAXED end by such a call,
 * where a process of its own would keep those that are of other threads and not GLOBAL. What
 * reaches no executor (waiting for a fence, asking for one) the guest judges by the same rule. A
 * capture that is not RELAXED is ended by its own thread, or else CAPTURE_END is
 * CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, and the capture goes on. One whose first stream is
 * destroyed ends with that, in all streams that it has come to. What is captured may be
 * VGPU_SESSION_NODES_MAX operations, in all captures that are under way at a time; the next is
 * CUDA_ERROR_OUT_OF_MEMORY.
 */

/* CAPTURE_BEGIN: @flags is the CUstreamCaptureMode. CAPTURE_END: the graph is known as @graph.
 * GRAPH_INSTANTIATE: of @graph, known as @exec; value[0] is the result code of
 * CUDA_GRAPH_INSTANTIATE_PARAMS, value[1] the number of the node that is to blame, or 0.
 * GRAPH_UPDATE: @exec by @graph; value[0] CUgraphExecUpdateResult, value[1] and value[2] the nodes
 * of @graph that are to blame, or 0.
 * GRAPH_LAUNCH: @exec in @stream. GRAPH_NODES: value[0] is how many @graph has */
typedef struct VGPUSessionGraph {
    uint32_t graph;
    uint32_t exec;
    uint32_t stream;
    uint32_t flags;
} VGPUSessionGraph;

/* CAPTURE_INFO (a VGPUSessionId, of a stream): value[0] CUstreamCaptureStatus, value[1] the
 * capture's own number */

/*
 * The graph that grows while it is captured. CAPTURE_GRAPH: the one that @stream captures into is
 * known as @graph from now on, and CAPTURE_END is told that number; value[0] is how many nodes the
 * next in the stream will depend on, whose numbers go to @into, as many as have room. CAPTURE_INTO:
 * begins a capture into @graph, behind @n of its nodes; @flags is the CUstreamCaptureMode.
 * CAPTURE_DEPENDS: the next in @stream depends on @n nodes, instead of others (@flags 1) or, too
 * (0). The numbers of nodes follow, padded as for NODE_ADD.
 *
 * With VGPU_SESSION_EDGE_DATA in @flags, too, each of these three has a VGPUSessionEdge in the
 * place of each number, whose @to is 0. An executor that does not know the flag refuses it.
 * CAPTURE_GRAPH, with the flag or without: value[1] is how many of the nodes the next depends on by
 * an edge that is not a plain one.
 *
 * A graph that grows takes operations on nodes but NODE_DESTROY; it cannot be destroyed, and for
 * others it is CUDA_ERROR_NOT_SUPPORTED. When the capture fails, the graph is gone, and its number
 * free, unless it was the guest's before.
 */
#define VGPU_SESSION_EDGE_DATA 0x100u

/* What kind of edge it is, @data says: a CUgraphEdgeData, of which all zeros is a plain edge. With
 * a port or a type that is not known here it is CUDA_ERROR_INVALID_VALUE. */
typedef struct VGPUSessionEdge {
    uint32_t from;
    uint32_t to;
    uint8_t data[8];
} VGPUSessionEdge;

typedef struct VGPUSessionCapture {
    uint32_t graph;
    uint32_t n;
    uint32_t stream;
    uint32_t flags;
    VGPUSessionBytes into;
} VGPUSessionCapture;

/*
 * What a CONDITIONAL node decides by. GRAPH_CONDITION: value[0] is the driver's handle, which
 * kernels take as it is; for one node of @graph, or of graphs in it, in the record's context, which
 * has to be the graph's. @value and @flags as of cuGraphConditionalHandleCreate().
 */
typedef struct VGPUSessionCondition {
    uint32_t graph;
    uint32_t flags;
    uint32_t value;
    uint32_t reserved; /* 0 */
} VGPUSessionCondition;

/*
 * Nodes of graphs. GRAPH_CREATE: @graph is new, and empty. GRAPH_CLONE: @graph as @exec (a number
 * of a graph, here).
 *
 * The executor gives nodes their numbers: from 1, in each graph, in the order in which it hears of
 * them; a clone's nodes have the numbers of their originals, and so has @exec made of the graph.
 * GRAPH_LIST: into @into, @what: 32-bit numbers of all nodes, of the roots, or pairs of them (from,
 * to) of all edges. value[0]: how many nodes or pairs there are, whether they had room or not.
 *
 * NODE_ADD: value[0] is the number of the new node. NODE_SET: the same in the graph; NODE_EXEC_SET:
 * in @exec, which was made of @graph. NODE_GET: value[0] is its type, value[1] the bytes of what is
 * written to @into: the payload, as much of it as has room. Behind the parameters follow
 * @n_dependencies numbers of nodes (32 bits each, padded with one more to a multiple of 8 bytes;
 * for NODE_SET and NODE_EXEC_SET none) and the payload, by @type:
 *
 *   KERNEL   VGPUSessionLaunch, attributes, parameters, as for LAUNCH; stream 0. In NODE_EXEC_SET
 *            without attributes
 *   MEMCPY   VGPUSessionCopy3D; stream 0
 *   MEMSET   VGPUSessionSet; stream 0
 *   HOST     VGPUSessionFence, as for HOST_CALL. In a graph this is one node, though the driver has
 *            two for it
 *   GRAPH    nothing; @child is the graph, of which the node gets a copy. NODE_GET with @child not
 *            0: a copy of the node's graph is known as @child
 *   EMPTY    nothing
 *   WAIT_EVENT, EVENT_RECORD   nothing; @event. NODE_GET: value[2], or 0 if it has ended
 *   BATCH_MEM_OP   VGPUSessionWord, at most VGPU_SESSION_NODE_WORDS of them; @flags: bit i is set
 *            when the word i (from 0) is waited for. NODE_GET: value[2] is that
 *   CONDITIONAL   VGPUSessionConditional, and @size numbers of new graphs, which are the node's
 *
 * Copies and sets of no bytes are no nodes: CUDA_ERROR_INVALID_VALUE. Nodes of other types, which
 * may come with a capture, have numbers and a type, and no payload.
 *
 * A graph of a CONDITIONAL node is filled as any other, by NODE_ADD or CAPTURE_INTO, with nodes of
 * the types KERNEL, MEMCPY, MEMSET, GRAPH, EMPTY and CONDITIONAL. It ends with its node, and is not
 * for GRAPH_DESTROY. It is not instantiated or cloned, and in no other graph; nor is a graph that
 * has a CONDITIONAL node cloned, or in another, or what was made of it launched into a capture:
 * CUDA_ERROR_NOT_SUPPORTED. Each such graph, and each handle of a condition, counts as a node.
 *
 * NODE_DESTROY. NODE_DEPENDS: @n_dependencies pairs (from, to) follow; @flags: 1 adds them, 0
 * removes them. With VGPU_SESSION_EDGE_DATA in @flags, too, each is a VGPUSessionEdge; without it
 * the edges are plain ones. To remove an edge takes the data that it has. NODE_ENABLE: of @exec;
 * @flags: 1 or 0.
 *
 * A graph, and all made of it, that names a function ends for all purposes but GRAPH_DESTROY and
 * GRAPH_EXEC_DESTROY when the function's module does, also after NODE_SET has put another function
 * there: CUDA_ERROR_INVALID_HANDLE. So does one that copies with an array, when ARRAY_DESTROY, or
 * MIPMAP_DESTROY of the mipmap whose level it is, is asked for. An event in a graph lives on in it.
 *
 * A graph has at most VGPU_SESSION_NODES_MAX nodes, with those of graphs in it, and so have all
 * graphs and executable ones of a session VGPU_SESSION_ALL_NODES_MAX; more is
 * CUDA_ERROR_OUT_OF_MEMORY. An executable graph takes VGPU_SESSION_EXEC_BYTES of the quota of
 * device memory, and VGPU_SESSION_EXEC_NODE_BYTES for each node, until it has ended and what was
 * launched of it, too; without a quota a small one may count no longer than it lives itself.
 */
#define VGPU_SESSION_NODE_WORDS 32u
#define VGPU_SESSION_BODIES_MAX 4096u /* graphs of one CONDITIONAL node */
#define VGPU_SESSION_NODES_MAX (UINT32_C(1) << 18)
#define VGPU_SESSION_ALL_NODES_MAX (UINT32_C(1) << 20)
#define VGPU_SESSION_EXEC_BYTES (UINT64_C(64) << 10)
#define VGPU_SESSION_EXEC_NODE_BYTES UINT64_C(2304)

enum {
    VGPU_GRAPH_LIST_NODES = 0,
    VGPU_GRAPH_LIST_ROOTS = 1,
    VGPU_GRAPH_LIST_EDGES = 2,
    VGPU_GRAPH_LIST_EDGE_DATA = 3, /* EDGES, each a VGPUSessionEdge */
};

typedef struct VGPUSessionNode {
    uint32_t graph;
    uint32_t exec;
    uint32_t node;
    uint32_t type; /* CUgraphNodeType */
    uint32_t n_dependencies;
    uint32_t child;
    uint32_t event;
    uint32_t flags;
    uint32_t what; /* GRAPH_LIST */
    uint32_t reserved;
    VGPUSessionBytes into;
} VGPUSessionNode;

typedef struct VGPUSessionConditional {
    uint64_t handle; /* of GRAPH_CONDITION */
    uint32_t type;   /* CUgraphConditionalNodeType */
    uint32_t size;   /* graphs */
} VGPUSessionConditional;

/* ---- Operations ------------------------------------------------------------------------------ */

/* Properties of an operation */
enum {
    VGPU_SESSION_IN_CONTEXT = 0x1,   /* the record's context becomes current */
    VGPU_SESSION_GIVES_WORK = 0x2,   /* to the device: needs the session's turn */
    VGPU_SESSION_SLOW = 0x4,         /* see above */
    VGPU_SESSION_REPLIES_ONLY = 0x8, /* makes no sense without a reply slot */
    VGPU_SESSION_MORE = 0x10,        /* bytes follow the parameters */
    VGPU_SESSION_IF_CONTEXT = 0x20,  /* the record's context becomes current, if it has one */
};

#define VGPU_SESSION_CONTEXT_WORK (VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_GIVES_WORK)
#define VGPU_SESSION_CONTEXT_ASK (VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_REPLIES_ONLY)

/* Every operation: X(name, number, parameters, properties) */
#define VGPU_SESSION_OPERATIONS(X)                                                                \
    X(PAD, 0x000, VGPUSessionNone, VGPU_SESSION_MORE) /* nothing; of any size from 16 bytes on */ \
    X(NOP, 0x001, VGPUSessionNone, 0)                                                             \
    X(ERROR_TAKE, 0x002, VGPUSessionNone, VGPU_SESSION_REPLIES_ONLY)                              \
    X(DEVICE_INFO, 0x003, VGPUSessionDeviceInfo, VGPU_SESSION_REPLIES_ONLY)                       \
    X(OUTPUT, 0x004, VGPUSessionOutput, VGPU_SESSION_REPLIES_ONLY)                                \
    X(WINDOW_PIN, 0x005, VGPUSessionPin, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)            \
    X(BOARD_INFO, 0x006, VGPUSessionDeviceInfo, VGPU_SESSION_REPLIES_ONLY | VGPU_SESSION_SLOW)    \
                                                                                                  \
    X(CONTEXT_CREATE, 0x010, VGPUSessionContext, VGPU_SESSION_REPLIES_ONLY | VGPU_SESSION_SLOW)   \
    X(CONTEXT_DESTROY, 0x011, VGPUSessionId, VGPU_SESSION_SLOW)                                   \
    X(CONTEXT_LIMIT_GET, 0x012, VGPUSessionLimit, VGPU_SESSION_CONTEXT_ASK)                       \
    X(CONTEXT_LIMIT_SET, 0x013, VGPUSessionLimit, VGPU_SESSION_CONTEXT_ASK)                       \
                                                                                                  \
    X(STREAM_CREATE, 0x020, VGPUSessionCreate, VGPU_SESSION_IN_CONTEXT)                           \
    X(STREAM_DESTROY, 0x021, VGPUSessionId, VGPU_SESSION_IN_CONTEXT)                              \
    X(STREAM_WAIT_EVENT, 0x022, VGPUSessionEvent, VGPU_SESSION_CONTEXT_WORK)                      \
    X(FENCE, 0x023, VGPUSessionFence, VGPU_SESSION_CONTEXT_WORK)                                  \
    X(WAKE, 0x024, VGPUSessionFence, VGPU_SESSION_CONTEXT_WORK)                                   \
    X(WORD_WRITE, 0x025, VGPUSessionWord, VGPU_SESSION_CONTEXT_WORK)                              \
    X(WORD_WAIT, 0x026, VGPUSessionWord, VGPU_SESSION_CONTEXT_WORK)                               \
    X(HOST_CALL, 0x027, VGPUSessionFence, VGPU_SESSION_CONTEXT_WORK)                              \
    X(STREAM_ATTRIBUTE, 0x028, VGPUSessionStreamAttribute, VGPU_SESSION_CONTEXT_ASK)              \
                                                                                                  \
    X(EVENT_CREATE, 0x030, VGPUSessionCreate, VGPU_SESSION_IN_CONTEXT)                            \
    X(EVENT_DESTROY, 0x031, VGPUSessionId, VGPU_SESSION_IN_CONTEXT)                               \
    X(EVENT_RECORD, 0x032, VGPUSessionEvent, VGPU_SESSION_CONTEXT_WORK)                           \
    X(EVENT_ELAPSED, 0x033, VGPUSessionEvent, VGPU_SESSION_CONTEXT_ASK)                           \
                                                                                                  \
    X(MEMORY_ALLOC, 0x040, VGPUSessionMemory, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)       \
    X(MEMORY_FREE, 0x041, VGPUSessionMemory, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)         \
    X(MEMORY_INFO, 0x042, VGPUSessionMemory, VGPU_SESSION_CONTEXT_ASK)                            \
    X(MEMORY_ALLOC_ASYNC, 0x043, VGPUSessionMemory,                                               \
      VGPU_SESSION_CONTEXT_WORK | VGPU_SESSION_REPLIES_ONLY)                                      \
    X(MEMORY_FREE_ASYNC, 0x044, VGPUSessionMemory, VGPU_SESSION_CONTEXT_WORK)                     \
    X(ADDRESS_RESERVE, 0x048, VGPUSessionPhysical,                                                \
      VGPU_SESSION_IF_CONTEXT | VGPU_SESSION_REPLIES_ONLY)                                        \
    X(ADDRESS_FREE, 0x049, VGPUSessionPhysical, VGPU_SESSION_IF_CONTEXT)                          \
    X(PHYSICAL_CREATE, 0x04a, VGPUSessionPhysical,                                                \
      VGPU_SESSION_IF_CONTEXT | VGPU_SESSION_REPLIES_ONLY)                                        \
    X(PHYSICAL_RELEASE, 0x04b, VGPUSessionPhysical, VGPU_SESSION_IF_CONTEXT)                      \
    X(PHYSICAL_MAP, 0x04c, VGPUSessionPhysical, VGPU_SESSION_IF_CONTEXT)                          \
    X(PHYSICAL_UNMAP, 0x04d, VGPUSessionPhysical, VGPU_SESSION_IF_CONTEXT)                        \
    X(PHYSICAL_ACCESS, 0x04e, VGPUSessionPhysical, VGPU_SESSION_IF_CONTEXT)                       \
    X(GRANULARITY, 0x04f, VGPUSessionPhysical,                                                    \
      VGPU_SESSION_IF_CONTEXT | VGPU_SESSION_REPLIES_ONLY)                                        \
                                                                                                  \
    X(COPY, 0x050, VGPUSessionCopy, VGPU_SESSION_CONTEXT_WORK)                                    \
    X(COPY_3D, 0x051, VGPUSessionCopy3D, VGPU_SESSION_CONTEXT_WORK)                               \
    X(SET, 0x052, VGPUSessionSet, VGPU_SESSION_CONTEXT_WORK)                                      \
                                                                                                  \
    X(IMAGE_BEGIN, 0x060, VGPUSessionImage, VGPU_SESSION_REPLIES_ONLY)                            \
    X(IMAGE_PIECE, 0x061, VGPUSessionImage, 0)                                                    \
    X(MODULE_LOAD, 0x062, VGPUSessionModule, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)        \
    X(MODULE_UNLOAD, 0x063, VGPUSessionId, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)           \
    X(FUNCTION_GET, 0x064, VGPUSessionName,                                                       \
      VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW | VGPU_SESSION_MORE)                           \
    X(GLOBAL_GET, 0x065, VGPUSessionName,                                                         \
      VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW | VGPU_SESSION_MORE)                           \
    X(FUNCTION_NAMES, 0x066, VGPUSessionName,                                                     \
      VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW | VGPU_SESSION_MORE)                           \
                                                                                                  \
    X(FUNCTION_ATTRIBUTE, 0x070, VGPUSessionFunctionSet, VGPU_SESSION_IN_CONTEXT)                 \
    X(FUNCTION_CACHE, 0x071, VGPUSessionFunctionSet, VGPU_SESSION_IN_CONTEXT)                     \
    X(OCCUPANCY, 0x072, VGPUSessionLaunch, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_MORE)          \
    X(LAUNCH, 0x073, VGPUSessionLaunch, VGPU_SESSION_CONTEXT_WORK | VGPU_SESSION_MORE)            \
                                                                                                  \
    X(CAPTURE_BEGIN, 0x080, VGPUSessionGraph, VGPU_SESSION_IN_CONTEXT)                            \
    X(CAPTURE_END, 0x081, VGPUSessionGraph, VGPU_SESSION_CONTEXT_ASK)                             \
    X(GRAPH_DESTROY, 0x082, VGPUSessionGraph, VGPU_SESSION_IN_CONTEXT)                            \
    X(GRAPH_INSTANTIATE, 0x083, VGPUSessionGraph, VGPU_SESSION_CONTEXT_ASK)                       \
    X(GRAPH_UPDATE, 0x084, VGPUSessionGraph, VGPU_SESSION_CONTEXT_ASK)                            \
    X(GRAPH_LAUNCH, 0x085, VGPUSessionGraph, VGPU_SESSION_CONTEXT_WORK)                           \
    X(GRAPH_EXEC_DESTROY, 0x086, VGPUSessionGraph, VGPU_SESSION_IN_CONTEXT)                       \
    X(GRAPH_NODES, 0x087, VGPUSessionGraph, VGPU_SESSION_CONTEXT_ASK)                             \
    X(CAPTURE_INFO, 0x088, VGPUSessionId, VGPU_SESSION_CONTEXT_ASK)                               \
    X(GRAPH_CREATE, 0x089, VGPUSessionGraph, VGPU_SESSION_IN_CONTEXT)                             \
    X(GRAPH_CLONE, 0x08a, VGPUSessionGraph, VGPU_SESSION_IN_CONTEXT)                              \
    X(GRAPH_LIST, 0x08b, VGPUSessionNode, VGPU_SESSION_CONTEXT_ASK)                               \
    X(NODE_ADD, 0x08c, VGPUSessionNode, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_MORE)             \
    X(NODE_SET, 0x08d, VGPUSessionNode, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_MORE)              \
    X(NODE_EXEC_SET, 0x08e, VGPUSessionNode, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_MORE)         \
    X(NODE_GET, 0x08f, VGPUSessionNode, VGPU_SESSION_CONTEXT_ASK)                                 \
    X(NODE_DESTROY, 0x090, VGPUSessionNode, VGPU_SESSION_IN_CONTEXT)                              \
    X(NODE_DEPENDS, 0x091, VGPUSessionNode, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_MORE)          \
    X(NODE_ENABLE, 0x092, VGPUSessionNode, VGPU_SESSION_IN_CONTEXT)                               \
    X(CAPTURE_GRAPH, 0x093, VGPUSessionCapture, VGPU_SESSION_CONTEXT_ASK)                         \
    X(CAPTURE_INTO, 0x094, VGPUSessionCapture, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_MORE)       \
    X(CAPTURE_DEPENDS, 0x095, VGPUSessionCapture, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_MORE)    \
    X(GRAPH_CONDITION, 0x096, VGPUSessionCondition, VGPU_SESSION_CONTEXT_ASK)                     \
                                                                                                  \
    X(POOL_CREATE, 0x0a0, VGPUSessionPool, VGPU_SESSION_IF_CONTEXT)                               \
    X(POOL_DESTROY, 0x0a1, VGPUSessionPool, VGPU_SESSION_IF_CONTEXT)                              \
    X(POOL_SET, 0x0a2, VGPUSessionPool, VGPU_SESSION_IF_CONTEXT)                                  \
    X(POOL_GET, 0x0a3, VGPUSessionPool, VGPU_SESSION_IF_CONTEXT | VGPU_SESSION_REPLIES_ONLY)      \
    X(POOL_TRIM, 0x0a4, VGPUSessionPool, VGPU_SESSION_IF_CONTEXT)                                 \
                                                                                                  \
    X(SHARE_MEMORY, 0x0a8, VGPUSessionShare, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)        \
    X(SHARE_PHYSICAL, 0x0a9, VGPUSessionShare,                                                    \
      VGPU_SESSION_IF_CONTEXT | VGPU_SESSION_REPLIES_ONLY | VGPU_SESSION_SLOW)                    \
    X(TAKE_MEMORY, 0x0aa, VGPUSessionShare, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)         \
    X(TAKE_PHYSICAL, 0x0ab, VGPUSessionShare,                                                     \
      VGPU_SESSION_IF_CONTEXT | VGPU_SESSION_REPLIES_ONLY | VGPU_SESSION_SLOW)                    \
    X(TAKEN_FREE, 0x0ac, VGPUSessionShare, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)           \
                                                                                                  \
    X(ARRAY_CREATE, 0x0b0, VGPUSessionArray, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)        \
    X(ARRAY_DESTROY, 0x0b1, VGPUSessionId, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)           \
    X(ARRAY_NEEDS, 0x0b2, VGPUSessionArray, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)         \
    X(MIPMAP_CREATE, 0x0b3, VGPUSessionArray, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)       \
    X(MIPMAP_DESTROY, 0x0b4, VGPUSessionId, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)          \
    X(MIPMAP_LEVEL, 0x0b5, VGPUSessionArray, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)        \
    X(TEXTURE_CREATE, 0x0b6, VGPUSessionTexture, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)    \
    X(TEXTURE_DESTROY, 0x0b7, VGPUSessionId, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)         \
    X(SURFACE_CREATE, 0x0b8, VGPUSessionTexture, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)    \
    X(SURFACE_DESTROY, 0x0b9, VGPUSessionId, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)         \
    X(TENSOR_MAP, 0x0ba, VGPUSessionTensorMap, VGPU_SESSION_CONTEXT_ASK)                          \
                                                                                                  \
    X(LINK_CREATE, 0x0c0, VGPUSessionLink, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)          \
    X(LINK_ADD, 0x0c1, VGPUSessionLink,                                                           \
      VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW | VGPU_SESSION_MORE)                           \
    X(LINK_COMPLETE, 0x0c2, VGPUSessionLink, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)        \
    X(LINK_READ, 0x0c3, VGPUSessionLink, VGPU_SESSION_CONTEXT_ASK | VGPU_SESSION_SLOW)            \
    X(LINK_DESTROY, 0x0c4, VGPUSessionLink, VGPU_SESSION_IN_CONTEXT | VGPU_SESSION_SLOW)

enum {
#define VGPU_SESSION_OP_(name, number, parameters, properties) VGPU_SESSION_OP_##name = number,
    VGPU_SESSION_OPERATIONS(VGPU_SESSION_OP_)
#undef VGPU_SESSION_OP_
        VGPU_SESSION_N_OPS = 0x0c5,
};

static_assert(sizeof(VGPUSessionHeader) == VGPU_SESSION_HEADER_SIZE, "ABI");
static_assert(offsetof(VGPUSessionHeader, tail) == 128, "ABI");
static_assert(offsetof(VGPUSessionHeader, head) == 192, "ABI");
static_assert(sizeof(VGPUSessionReply) == 64, "ABI");
static_assert(sizeof(VGPUSessionRecord) == 16, "ABI");
/* What begins a capture says where in the same place. */
static_assert(offsetof(VGPUSessionCapture, stream) == offsetof(VGPUSessionGraph, stream) &&
                  offsetof(VGPUSessionCapture, flags) == offsetof(VGPUSessionGraph, flags),
              "ABI");
#define VGPU_SESSION_CHECK_(name, number, parameters, properties) \
    static_assert(sizeof(parameters) % 8 == 0 && (number) < VGPU_SESSION_N_OPS, #name " ABI");
VGPU_SESSION_OPERATIONS(VGPU_SESSION_CHECK_)
#undef VGPU_SESSION_CHECK_

/* vgpu_session_size() - the bytes that an area with this ring takes; a multiple of 4096 */
static inline uint64_t vgpu_session_size(uint32_t ring_size)
{
    return VGPU_SESSION_HEADER_SIZE + (uint64_t) ring_size +
           VGPU_SESSION_REPLIES * sizeof(VGPUSessionReply);
}

/* vgpu_session_is_valid() - may an area lie there? */
static inline bool vgpu_session_is_valid(uint64_t window_size, uint64_t offset, uint32_t ring_size)
{
    return ring_size >= VGPU_SESSION_RING_MIN && ring_size <= VGPU_SESSION_RING_MAX &&
           (ring_size & (ring_size - 1)) == 0 && offset % VGPU_SESSION_ALIGNMENT == 0 &&
           offset <= window_size && vgpu_session_size(ring_size) <= window_size - offset;
}

#endif
