/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CUDA session, from the side of the guest process: what a libcuda is made of.
 *
 * A session is one ring in the device's window and one executor process on the host, which has this
 * process's CUDA contexts (protocol/vgpu-session.h). The library reaches it through a device of
 * this virtual machine, or, on the host itself and in its containers, through the mediator's
 * socket.
 *
 *     vgpu_session *s = NULL;
 *     VGPUSessionReply reply;
 *     const VGPUSessionContext primary = {.id = 1, .primary = 1};
 *     int r;
 *
 *     r = vgpu_session_open(NULL, &s, NULL);
 *     if (r == 0)
 *         r = vgpu_session_call(s, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &primary, sizeof(primary),
 *                               NULL, 0, &reply);
 *     vgpu_session_close(s);
 *
 * Results
 *
 *   vgpu_session_open() has three classes, as in vgpu.h: 0; a negative errno; VGPU_ERROR_*. All
 * other functions return a CUresult, 0 or positive: it is what the program gets, and says nothing
 * of this side's trouble by itself. Arguments named ret_ are written on success only.
 *
 * The end of a session
 *
 *   When the executor has ended, the host refuses to go on, or the host has broken the rules of the
 *   ring, the session has failed for good. Each thread that waits returns then, and every function
 *   returns the same CUresult from then on: the one that ended the session, or
 *   VGPU_CUDA_ERROR_UNKNOWN. Replies and fences that had come before are still seen.
 *
 * Threads
 *
 *   All functions may be called in any number of threads at the same time, but
 * vgpu_session_close(), for which no thread is in another one.
 *
 * fork()
 *
 *   The session belongs to the process that opened it. In a child each function returns
 *   VGPU_CUDA_ERROR_NOT_INITIALIZED and touches nothing, and vgpu_session_close() frees memory
 * only. A child may open a session of its own.
 *
 * Trust
 *
 *   The host can write anywhere in the window. The library never reads back what it wrote, copies a
 *   reply once, and checks every position and length that the host wrote.
 */
#ifndef VGPU_GUEST_CUDA_CLIENT_H
#define VGPU_GUEST_CUDA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda-results.h"
#include "vgpu-session.h"
#include "vgpu.h"

typedef struct vgpu_session vgpu_session;

/* All members may be 0. */
typedef struct vgpu_session_options {
    const vgpu_paths *paths; /* NULL */
    const char *device;      /* as the name of vgpu_open(); NULL: the first */
    /* A mediator's socket; NULL: $VGPU_SOCKET, and without that the default path where this machine
     * has no device. Not together with @device. */
    const char *socket;
    uint64_t window_size;  /* bytes, by socket: of the window that it makes, rounded up to 2 MiB; 0:
                            * $VGPU_WINDOW_SIZE, or VGPU_SESSION_WINDOW_DEFAULT */
    uint32_t ring_size;    /* bytes, a power of two from VGPU_SESSION_RING_MIN on; 0: as the window
                            * allows */
    int timeout_ms;        /* for opening; 0: VGPU_SESSION_TIMEOUT_MS, negative: none */
    unsigned copy_threads; /* that copy a large download into the program's memory, with the caller;
                            * 0: the caller alone */
    const char *keeper;    /* a vgpu command that keeps the rings; NULL: the installed one */
    /* For questions about the device: the process's addresses stay as they are, and no operation
     * may name one. */
    bool only_asks;
} vgpu_session_options;

#define VGPU_SESSION_WINDOW_DEFAULT (UINT64_C(256) << 20)
#define VGPU_SESSION_TIMEOUT_MS 30000

/*
 * vgpu_session_open() - have an executor started, and take up its ring
 * @options: NULL for the usual
 * @ret: to be closed with vgpu_session_close()
 * @ret_cuda: what CUDA said, with VGPU_ERROR_CUDA_ERROR; or NULL. VGPU_CUDA_ERROR_NO_DEVICE: the
 * pool has no GPU.
 *
 * Makes no CUDA context. The first session of a process reserves the address range from which
 * executors have device memory (address-space.h), and maps the window at an address that executors
 * can have, too.
 *
 * Returns 0; VGPU_ERROR_*; or a negative errno:
 *   -ENODEV      no device and no mediator
 *   -EOPNOTSUPP  the device, or the mediator, knows no sessions
 *   -EBUSY       all rings are taken, or a program with an old libvgpu has the whole window
 *   -EADDRINUSE  the program has mapped something where device memory or the window has to be
 *   -ENOSPC      no room in the window
 *   -ETIMEDOUT   the host did not answer in time
 *   -EPROTO      the host broke the rules
 *   others       as vgpu_open()
 */
int vgpu_session_open(const vgpu_session_options *options, vgpu_session **ret, int *ret_cuda);

/* vgpu_session_close() - end the session, if @s is not NULL, and wait for the host to let go of its
 * memory, for a second at most. Returns NULL. */
vgpu_session *vgpu_session_close(vgpu_session *s);

/* vgpu_session_get_name() - the PCI address or the socket that the session goes by */
const char *vgpu_session_get_name(const vgpu_session *s);

/* vgpu_session_get_failure() - 0 while the session lives, else what every function returns */
int vgpu_session_get_failure(const vgpu_session *s);

/* vgpu_session_get_sticky() - the CUresult that ended CUDA in this session, or 0: a read of memory
 */
int vgpu_session_get_sticky(const vgpu_session *s);

/* vgpu_session_get_latched() - the first error of an operation without reply that ERROR_TAKE has
 * not taken, or 0: a read of memory */
int vgpu_session_get_latched(const vgpu_session *s);

/* ---- Operations (client-ring.c, client-wait.c) ------------------------------------------------
 */

/* Whose operation it is. NULL stands for all 0. */
typedef struct vgpu_session_from {
    uint32_t context;
    uint8_t capture_mode; /* of the calling thread */
    uint16_t thread;      /* its number, as the program counts them (vgpu-session.h, captures) */
} vgpu_session_from;

/*
 * vgpu_session_begin() - begin a record in the ring
 * @opcode: VGPU_SESSION_OP_*
 * @size: bytes of the parameters and of what follows them, at most VGPU_SESSION_RECORD_MAX minus
 *        the record's header
 * @ret_parameters: where they go, in the ring itself; aligned to 16; to be written in full, and not
 *                  to be read
 *
 * Waits while the ring is full. The calling thread has the ring until vgpu_session_commit(), which
 * must follow soon; it calls no other function of the session meanwhile. When this returns an error
 * there is nothing to commit.
 */
int vgpu_session_begin(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from, size_t size,
                       void **ret_parameters);

/* vgpu_session_commit() - publish the record, and wake the executor if it sleeps */
void vgpu_session_commit(vgpu_session *s);

/* vgpu_session_post() - an operation without a reply; @more: bytes that follow the parameters, or
 * NULL
 */
int vgpu_session_post(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                      const void *parameters, size_t size, const void *more, size_t more_size);

/*
 * vgpu_session_call() - an operation, and its reply
 * @ret: a copy of the reply; written when the host has answered, whatever its result; or NULL
 *
 * Returns the reply's result, or the session's failure.
 */
int vgpu_session_call(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                      const void *parameters, size_t size, const void *more, size_t more_size,
                      VGPUSessionReply *ret);

/* vgpu_session_start() - vgpu_session_call() in two steps: @ret_slot is for one
 * vgpu_session_finish(), which must follow. There are VGPU_SESSION_REPLIES slots; waits for one. */
int vgpu_session_start(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                       const void *parameters, size_t size, const void *more, size_t more_size,
                       uint32_t *ret_slot);
int vgpu_session_finish(vgpu_session *s, uint32_t slot, VGPUSessionReply *ret);

/* ---- Numbers of objects (client-ids.c) --------------------------------------------------------
 */

typedef enum vgpu_session_kind {
    VGPU_SESSION_CONTEXTS,
    VGPU_SESSION_STREAMS,
    VGPU_SESSION_EVENTS,
    VGPU_SESSION_PHYSICALS,
    VGPU_SESSION_MODULES,
    VGPU_SESSION_FUNCTIONS,
    VGPU_SESSION_GRAPHS,
    VGPU_SESSION_EXECS,
    VGPU_SESSION_POOLS,
    VGPU_SESSION_ARRAYS,
    VGPU_SESSION_MIPMAPS,
    VGPU_SESSION_LINKS,
    VGPU_SESSION_N_KINDS,
} vgpu_session_kind;

/* vgpu_session_id_take() - a number for a new object. Returns VGPU_CUDA_ERROR_OUT_OF_MEMORY when
 * all are taken. */
int vgpu_session_id_take(vgpu_session *s, vgpu_session_kind kind, uint32_t *ret);

/* vgpu_session_id_give() - the operation that ends the object has been posted, or the one that was
 * to make it has failed */
void vgpu_session_id_give(vgpu_session *s, vgpu_session_kind kind, uint32_t id);

/* ---- The window's memory (client-window.c) ----------------------------------------------------
 */

/*
 * vgpu_session_window_alloc() - memory that the program and the device's kernels share
 * @size: not 0
 * @alignment: a power of two; 0: 64
 * @ret: not cleared; means the same address to program and kernels
 *
 * Processes of one VM share the window. Returns VGPU_CUDA_ERROR_OUT_OF_MEMORY when it has no room.
 */
int vgpu_session_window_alloc(vgpu_session *s, size_t size, size_t alignment, void **ret);

/* vgpu_session_window_free() - give it back, which nothing uses any more. Returns
 * VGPU_CUDA_ERROR_INVALID_VALUE for what is no such memory. */
int vgpu_session_window_free(vgpu_session *s, void *memory);

/* vgpu_session_window_bytes() - how operations name these bytes. Returns false when they are not
 * wholly in the window. */
bool vgpu_session_window_bytes(const vgpu_session *s, const void *memory, size_t size,
                               VGPUSessionBytes *ret);

/*
 * Managed memory (cuMemAllocManaged()) is such memory, too. A libcuda reports of the device
 * MANAGED_MEMORY 1, CONCURRENT_MANAGED_ACCESS 0, PAGEABLE_MEMORY_ACCESS 0 and
 * DIRECT_MANAGED_MEM_ACCESS_FROM_HOST 0: the program touches it only while no kernel runs. Of the
 * pointer it reports IS_MANAGED 1, MEMORY_TYPE CU_MEMORYTYPE_DEVICE, and the same address as the
 * DEVICE_POINTER and the HOST_POINTER. Advice and prefetches have nothing to do. Memory beyond the
 * window's room is not to be had: the result is VGPU_CUDA_ERROR_OUT_OF_MEMORY.
 */

/* vgpu_session_get_window_size() - bytes */
uint64_t vgpu_session_get_window_size(const vgpu_session *s);

/* ---- Memory of the program's own (client-register.c)
 * ---------------------------------------------
 */

/*
 * vgpu_session_host_register() - have the device reach memory of the program's own
 * @memory, @size: whole pages, private and anonymous, readable and writable
 * @ret_window: the same bytes in the window: what kernels and operations call them
 *
 * The window takes the place of these pages, byte by byte the same; the program goes on with its
 * own address. Other threads may use the memory meanwhile: who writes waits for a moment. That
 * needs userfaultfd(2) for all faults of the process (CAP_SYS_PTRACE, or the sysctl
 * vm.unprivileged_userfaultfd); without it the process must have one thread. No device may be about
 * to write into the pages by itself (O_DIRECT, io_uring's fixed buffers, RDMA).
 *
 * Returns
 *   VGPU_CUDA_ERROR_NOT_SUPPORTED   for other memory, or where threads cannot be held back: nothing
 *                                   has changed
 *   VGPU_CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED   some of it is
 *   VGPU_CUDA_ERROR_OUT_OF_MEMORY   the window has no room
 */
int vgpu_session_host_register(vgpu_session *s, void *memory, size_t size, void **ret_window);

/*
 * vgpu_session_host_unregister() - the memory that begins at @memory is the program's alone again
 *
 * What the device does with it is over. Where writes of other threads cannot be held back it stays
 * in the window, and the program does not notice; it is moved back when the session closes, which
 * of a device's window no thread may write into meanwhile. Returns
 * VGPU_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED when nothing is registered there.
 *
 * In a child that fork() has made the memory is private, as it was when the child was made; where a
 * child is made without its handlers (clone(2)), it shares the memory with its parent.
 */
int vgpu_session_host_unregister(vgpu_session *s, void *memory);

/* vgpu_session_host_find() - the window's address of bytes that are registered, all in one piece.
 * Returns false for others. */
bool vgpu_session_host_find(vgpu_session *s, const void *memory, size_t size,
                            uint64_t *ret_address);

/* ---- The device's memory (client-memory.c) ------------------------------------------------------
 *
 * Addresses are the device's own. The library keeps this process from mapping anything there. Where
 * it has something there already, what was to be made is undone again, and the result is
 * VGPU_CUDA_ERROR_OUT_OF_MEMORY.
 */

/* vgpu_session_memory_alloc() - @size: bytes. Freed with vgpu_session_memory_free(), or with its
 * context */
int vgpu_session_memory_alloc(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                              uint64_t *ret_address);
int vgpu_session_memory_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address);

/* vgpu_session_memory_info() - bytes, of what the session may have */
int vgpu_session_memory_info(vgpu_session *s, const vgpu_session_from *from, uint64_t *ret_free,
                             uint64_t *ret_total);

/*
 * vgpu_session_memory_alloc_async() - in the order of a stream
 * @pool: as vgpu_session_pool_create() told; 0: the device's default pool
 *
 * Each kind of memory may be freed in both ways. vgpu_session_memory_free_async() is told nothing
 * of its end: what the host refuses is latched.
 */
int vgpu_session_memory_alloc_async(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                                    uint32_t pool, uint64_t size, uint64_t *ret_address);
int vgpu_session_memory_free_async(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                                   uint64_t address);

/* vgpu_session_global_get() - a variable of a module, with its bytes; it ends with the module.
 * Without a place in this process the variable stays, and is of no use. */
int vgpu_session_global_get(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                            const char *name, uint64_t *ret_address, uint64_t *ret_size);

/* ---- Pools of it (client-pool.c)
 * -----------------------------------------------------------------
 */

/*
 * vgpu_session_pool_create() - @max: bytes that it has at most; 0: no limit of its own
 * vgpu_session_pool_destroy() - allocations of it live on
 * vgpu_session_pool_set(), _get() - @attribute: a CUmemPool_attribute from 1 to 8, whose value is
 * an int or 64 bits vgpu_session_pool_trim() - give back what is free, but @keep bytes
 *
 * The number 0 is the device's default pool, which cannot be destroyed. What a pool keeps counts as
 * the session's memory.
 */
int vgpu_session_pool_create(vgpu_session *s, const vgpu_session_from *from, uint64_t max,
                             uint32_t *ret_id);
int vgpu_session_pool_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id);
int vgpu_session_pool_set(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                          uint32_t attribute, uint64_t value);
int vgpu_session_pool_get(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                          uint32_t attribute, uint64_t *ret);
int vgpu_session_pool_trim(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                           uint64_t keep);

/* ---- Reserved addresses, and physical memory (client-physical.c)
 * ---------------------------------
 *
 * All sizes, addresses and offsets are multiples of the granularity.
 */

/* vgpu_session_granularity() - the least, or what is recommended */
int vgpu_session_granularity(vgpu_session *s, const vgpu_session_from *from, bool recommended,
                             uint64_t *ret);

/* vgpu_session_address_reserve() - @alignment: or 0; @wanted: where, if that can be, or 0. Ends
 * with vgpu_session_address_free(), of all of it, when nothing is mapped there. */
int vgpu_session_address_reserve(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                                 uint64_t alignment, uint64_t wanted, uint64_t *ret_address);
int vgpu_session_address_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                              uint64_t size);

/* vgpu_session_physical_create() - @flags: VGPU_PHYSICAL_*, and then those that it has got. Lives
 * until it is released and nothing of it is mapped. */
int vgpu_session_physical_create(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                                 uint32_t *flags, uint32_t *ret_id);
int vgpu_session_physical_release(vgpu_session *s, const vgpu_session_from *from, uint32_t id);

/* vgpu_session_physical_map(), _unmap(), _access() - @access: CUmemAccess_flags; nothing may touch
 * what is mapped before */
int vgpu_session_physical_map(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                              uint64_t size, uint64_t offset, uint32_t id);
int vgpu_session_physical_unmap(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                                uint64_t size);
int vgpu_session_physical_access(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                                 uint64_t size, uint32_t access);

/* ---- Memory that processes of this machine share (client-share.c)
 * --------------------------------
 */

#define VGPU_SESSION_HANDLE_SIZE 64u

/* What one process gives to another, in any way: bytes as those of a cuIpcMemHandle. They mean
 * something to sessions of this virtual machine alone, or of the same container. */
typedef struct vgpu_session_handle {
    uint8_t bytes[VGPU_SESSION_HANDLE_SIZE];
} vgpu_session_handle;

/* Memory of another process, in this one */
typedef struct vgpu_session_taken {
    uint64_t address; /* of the whole allocation, which vgpu_session_taken_free() takes */
    uint64_t size;    /* bytes */
    uint64_t offset;  /* in it, of what the handle is about */
} vgpu_session_taken;

/*
 * vgpu_session_share_memory() - a handle for device memory
 * @address: of an allocation that vgpu_session_memory_alloc() made
 * @offset: in it, of what is to be shared; for the other process to know
 *
 * The handle is good until the memory is freed or the session ends. The other process has all of
 * the allocation.
 */
int vgpu_session_share_memory(vgpu_session *s, const vgpu_session_from *from, uint64_t address,
                              uint64_t offset, vgpu_session_handle *ret);

/*
 * vgpu_session_take_memory() - memory of another process, by its handle
 * @ret: to be ended with vgpu_session_taken_free(), once for each time that it was taken
 *
 * Returns VGPU_CUDA_ERROR_INVALID_VALUE for bytes that are no handle,
 * VGPU_CUDA_ERROR_INVALID_HANDLE for one that is good no more, or what the driver says: of this
 * process's own, CUDA_ERROR_INVALID_CONTEXT (201).
 */
int vgpu_session_take_memory(vgpu_session *s, const vgpu_session_from *from,
                             const vgpu_session_handle *handle, vgpu_session_taken *ret);
int vgpu_session_taken_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address);

/*
 * vgpu_session_share_physical() - the same of physical memory, which was made with
 * VGPU_PHYSICAL_SHAREABLE
 * @ret_fd: a descriptor, which is closed on exec, for the program to pass on and to close
 */
int vgpu_session_share_physical(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                                int *ret_fd);

/*
 * vgpu_session_take_physical() - physical memory of another process
 * @fd: a descriptor that it got in whatever way; stays the caller's
 * @ret_id: its number, which ends with PHYSICAL_RELEASE
 * @ret_size: bytes
 * @ret_flags: VGPU_PHYSICAL_COMPRESSED, or 0
 *
 * Returns as vgpu_session_take_memory().
 */
int vgpu_session_take_physical(vgpu_session *s, const vgpu_session_from *from, int fd,
                               uint32_t *ret_id, uint64_t *ret_size, uint32_t *ret_flags);

/* ---- Fences (client-fence.c) --------------------------------------------------------------------
 */

/* A stream's place in time: a word in the window, in which the device writes numbers that rise. For
 * one stream. */
typedef struct vgpu_session_fence vgpu_session_fence;

int vgpu_session_fence_new(vgpu_session *s, vgpu_session_fence **ret);

/* vgpu_session_fence_free() - all numbers that were posted have passed. Returns NULL. */
vgpu_session_fence *vgpu_session_fence_free(vgpu_session *s, vgpu_session_fence *fence);

/* vgpu_session_fence_post() - put a number into the stream, behind all that is in it */
int vgpu_session_fence_post(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                            vgpu_session_fence *fence, uint64_t *ret_number);

/* vgpu_session_fence_put() - the same, and the host has answered: the number comes, or was refused
 */
int vgpu_session_fence_put(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                           vgpu_session_fence *fence, uint64_t *ret_number);

/* vgpu_session_fence_is_passed() - a read of memory */
bool vgpu_session_fence_is_passed(const vgpu_session_fence *fence, uint64_t number);

/* vgpu_session_fence_is_idle() - the same, and the device writes nothing more there of what waits
 * have put behind it: only then may the fence serve another stream */
bool vgpu_session_fence_is_idle(const vgpu_session_fence *fence, uint64_t number);

/* vgpu_session_fence_wait() - wait until the device has come to @number. A thread that waits long
 * sleeps, and puts a WAKE into the stream for that. */
int vgpu_session_fence_wait(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                            vgpu_session_fence *fence, uint64_t number);

/* vgpu_session_fence_wait_left() - the same, when the stream has ended after it was given the
 * number: work in it goes on */
int vgpu_session_fence_wait_left(vgpu_session *s, const vgpu_session_from *from,
                                 vgpu_session_fence *fence, uint64_t number);

/* ---- What kernels print (client-output.c) -------------------------------------------------------
 *
 * Every function that waits for the device writes, before it returns, what kernels have printed
 * that ended before: vgpu_session_fence_wait(), vgpu_session_download(),
 * vgpu_session_module_unload(), and vgpu_session_call() with CONTEXT_DESTROY. It goes to this
 * program's standard output, by the C library's stream, which is flushed. After an error that ends
 * CUDA, what an assertion said goes to standard error before the first function returns that error.
 *
 * A session that has no module whose kernels may print pays nothing for this.
 */

/* vgpu_session_text - takes a piece of it: @size bytes, without a 0. In one thread at a time, in
 * order: others that wait for the device wait for it too. It must not call a function of the
 * session. */
typedef void vgpu_session_text(void *userdata, bool is_error, const char *text, size_t size);

/* vgpu_session_set_text() - who takes it from now on. NULL: the standard output and the standard
 * error, as at first */
void vgpu_session_set_text(vgpu_session *s, vgpu_session_text *take, void *userdata);

/* vgpu_session_output() - write what kernels of the context have printed, as the functions above
 * do: for a wait that is none of them, as a look at a fence by which a program synchronizes, and
 * for an error of vgpu_session_get_sticky() that a program is told without any call of these */
void vgpu_session_output(vgpu_session *s, const vgpu_session_from *from);

/* ---- Functions in streams (client-host.c) -------------------------------------------------------
 */

typedef void (*vgpu_session_function)(void *userdata);

/*
 * vgpu_session_host_call() - call @function when all before it in the stream is done; what is
 * behind it waits for it
 *
 * One thread of the process calls all functions of a session, one after the other; it is started
 * with the first, sleeps while there is nothing to call, and has all signals blocked. Functions
 * call no function of the session. In a stream that captures, @function is part of the graph: it is
 * called each time that this is launched, and forgotten when the graph and all made of it have
 * ended. When the session has failed, functions are not called any more. vgpu_session_close() waits
 * for the one that runs.
 *
 * Returns VGPU_CUDA_ERROR_OUT_OF_MEMORY above VGPU_SESSION_HOST_CALLS_MAX, or without a thread.
 */
int vgpu_session_host_call(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                           vgpu_session_function function, void *userdata);

/* A function, and more on it */
typedef struct vgpu_session_host {
    vgpu_session_function function;
    void *userdata;
    /* What is called when nothing calls it any more; or NULL. In any thread, and with a lock held,
     * so that it calls no function of the session but vgpu_session_window_free(). Not when the
     * session closes before, and not of what was refused. */
    vgpu_session_function end;
    /* It is called also when CUDA in the session has ended before it was its turn: once, and
     * vgpu_session_get_sticky() or vgpu_session_get_failure() say by what. Not for a stream that
     * captures. */
    bool is_callback;
} vgpu_session_host;

/* vgpu_session_host_call_with() - the same, of such a function */
int vgpu_session_host_call_with(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                                const vgpu_session_host *host);

/* vgpu_session_in_function() - is the calling thread inside a function of a stream? */
bool vgpu_session_in_function(void);

/* vgpu_session_host_function() - which function a HOST node has that NODE_GET says @fence of.
 * Returns VGPU_CUDA_ERROR_INVALID_VALUE when it is none. */
int vgpu_session_host_function(vgpu_session *s, const VGPUSessionFence *fence,
                               vgpu_session_function *ret, void **ret_userdata);

/* ---- Nodes of graphs (client-graph.c) -----------------------------------------------------------
 */

/*
 * vgpu_session_node_add() - NODE_ADD
 * @node: its graph, type, child, event and flags are used
 * @dependencies: @n_dependencies numbers
 * @payload: as the type has it, or NULL; with the numbers at most VGPU_SESSION_RECORD_MAX minus the
 *           record
 */
int vgpu_session_node_add(vgpu_session *s, const vgpu_session_from *from,
                          const VGPUSessionNode *node, const uint32_t *dependencies,
                          uint32_t n_dependencies, const void *payload, size_t payload_size,
                          uint32_t *ret_node);

/* vgpu_session_node_add_host() - a node that calls a function, as vgpu_session_host_call() */
int vgpu_session_node_add_host(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                               const uint32_t *dependencies, uint32_t n_dependencies,
                               vgpu_session_function function, void *userdata, uint32_t *ret_node);

int vgpu_session_node_add_host_with(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                                    const uint32_t *dependencies, uint32_t n_dependencies,
                                    const vgpu_session_host *host, uint32_t *ret_node);

/* vgpu_session_node_set_host() - another function in a node of @graph, or with @exec not 0, in that
 * executable graph */
int vgpu_session_node_set_host(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                               uint32_t exec, uint32_t node, vgpu_session_function function,
                               void *userdata);
int vgpu_session_node_set_host_with(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                                    uint32_t exec, uint32_t node, const vgpu_session_host *host);

/*
 * vgpu_session_node_get() - NODE_GET
 * @ret_payload: NULL where the type has none; the caller frees it with free()
 * @ret: the reply's value: type, bytes of the payload, event or flags
 */
int vgpu_session_node_get(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                          uint32_t node, void **ret_payload, uint64_t ret[static 3]);

/*
 * vgpu_session_graph_list() - GRAPH_LIST
 * @what: VGPU_GRAPH_LIST_*
 * @ret: the numbers, two for each edge, or a VGPUSessionEdge; the caller frees it with free()
 * @ret_n: nodes, or edges
 */
int vgpu_session_graph_list(vgpu_session *s, const vgpu_session_from *from, uint32_t graph,
                            uint32_t what, uint32_t **ret, uint64_t *ret_n);

/* vgpu_session_capture_graph() - CAPTURE_GRAPH; @ret: edges from nodes, as above */
int vgpu_session_capture_graph(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                               uint32_t graph, VGPUSessionEdge **ret, uint64_t *ret_n);

/* vgpu_session_capture_nodes() - CAPTURE_INTO, CAPTURE_DEPENDS; @edges: from as many nodes as
 * @capture says */
int vgpu_session_capture_nodes(vgpu_session *s, const vgpu_session_from *from, uint16_t opcode,
                               const VGPUSessionCapture *capture, const VGPUSessionEdge *edges);

/* ---- Copies of the program's own memory (client-copy.c) -----------------------------------------
 */

/* vgpu_session_upload() - copy into the device's memory, in a stream. Returns when @from_memory may
 * be changed; the device may not have it yet. */
int vgpu_session_upload(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                        uint64_t to, const void *from_memory, size_t size);

/* vgpu_session_download() - copy from the device's memory, behind all that is in the stream.
 * Returns when the bytes have come. */
int vgpu_session_download(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                          void *to_memory, uint64_t from_address, size_t size);

/* ---- Images, modules, functions (client-image.c)
 * ------------------------------------------------- */

/* vgpu_session_image_key() - what the host knows an image by */
void vgpu_session_image_key(const void *image, size_t size, uint8_t ret[static 32]);

/* vgpu_session_image_send() - have the host know an image; sends it unless it does */
int vgpu_session_image_send(vgpu_session *s, const void *image, size_t size,
                            const uint8_t key[static 32]);

/* vgpu_session_image_offer() - the two together; what the linker has made, the host knows already.
 * @ret_key: what it knows the image by, from now on */
int vgpu_session_image_offer(vgpu_session *s, const void *image, size_t size,
                             uint8_t ret_key[static 32]);

/* Texts of the driver's compiler. Any may be NULL. They end with 0, also when they were cut. */
typedef struct vgpu_session_logs {
    char *info;
    size_t info_size; /* bytes of room */
    char *error;
    size_t error_size;
} vgpu_session_logs;

/*
 * vgpu_session_module_load() - send an image unless the host has it, and load it
 * @module: the options, n_options and library of it are used
 * @logs: written on failure, too; or NULL
 * @ret_id: the module's number; ends with vgpu_session_module_unload()
 */
int vgpu_session_module_load(vgpu_session *s, const vgpu_session_from *from, const void *image,
                             size_t size, const VGPUSessionModule *module, vgpu_session_logs *logs,
                             uint32_t *ret_id);
/* vgpu_session_module_load_key() - the same, of an image that the host has */
int vgpu_session_module_load_key(vgpu_session *s, const vgpu_session_from *from,
                                 const uint8_t key[static 32], const VGPUSessionModule *module,
                                 vgpu_session_logs *logs, uint32_t *ret_id);
int vgpu_session_module_unload(vgpu_session *s, const vgpu_session_from *from, uint32_t id);

/*
 * vgpu_session_function_get() - a kernel of a module
 * @name: at most VGPU_SESSION_NAME_MAX bytes with its 0
 * @ret_id: its number, which ends with the module
 * @ret: attributes and parameters; the caller frees it with free()
 */
int vgpu_session_function_get(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                              const char *name, uint32_t *ret_id, VGPUSessionFunction **ret);

/*
 * vgpu_session_function_names() - the names of a module's kernels (client-names.c)
 * @ret: each with its 0, one behind the other; the caller frees it with free(). NULL for none
 * @ret_n: how many
 */
int vgpu_session_function_names(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                                char **ret, uint32_t *ret_n);

/* ---- The linker (client-link.c)
 * ------------------------------------------------------------------
 */

/* No result is larger. */
#define VGPU_SESSION_LINKED_MAX (UINT64_C(1) << 32)

/*
 * vgpu_session_link_create() - a linker
 * @options: its option and n_options are used; or NULL
 * @logs: how much the linker may say to each; nothing is written. NULL: nothing
 * @ret_id: its number; ends with vgpu_session_link_destroy()
 *
 * A host has a limit for them, and for what they are given: VGPU_CUDA_ERROR_OUT_OF_MEMORY.
 */
int vgpu_session_link_create(vgpu_session *s, const vgpu_session_from *from,
                             const VGPUSessionLink *options, const vgpu_session_logs *logs,
                             uint32_t *ret_id);

/*
 * vgpu_session_link_add() - one more input; it may be changed afterwards
 * @type: CUjitInputType; NVVM is VGPU_CUDA_ERROR_INVALID_VALUE
 * @name: for the logs; one of VGPU_SESSION_NAME_MAX bytes or more is left out; or NULL
 * @options: for this input, as above
 * @logs: all that the linker has said so far; written on failure, too; or NULL
 */
int vgpu_session_link_add(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                          uint32_t type, const void *data, size_t size, const char *name,
                          const VGPUSessionLink *options, vgpu_session_logs *logs);

/*
 * vgpu_session_link_complete() - link; the linker takes no more
 * @ret_cubin: @ret_size bytes, to be freed with free(). The host has them, too: loading a module
 *     from them does not send them
 */
int vgpu_session_link_complete(vgpu_session *s, const vgpu_session_from *from, uint32_t id,
                               vgpu_session_logs *logs, void **ret_cubin, size_t *ret_size);
int vgpu_session_link_destroy(vgpu_session *s, const vgpu_session_from *from, uint32_t id);

/* vgpu_session_device_get() - what the device is. The name ends with 0. */
int vgpu_session_device_get(vgpu_session *s, VGPUSessionDevice *ret);

/* vgpu_session_board_get() - what the host's management library says of it. The text ends with 0 */
int vgpu_session_board_get(vgpu_session *s, VGPUSessionBoard *ret);

#endif
