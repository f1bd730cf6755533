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
    uint64_t window_size; /* bytes, by socket: of the window that it makes, rounded up to 2 MiB; 0:
                           * $VGPU_WINDOW_SIZE, or VGPU_SESSION_WINDOW_DEFAULT */
    uint32_t ring_size;   /* bytes, a power of two from VGPU_SESSION_RING_MIN on; 0: as the window
                           * allows */
    int timeout_ms;       /* for opening; 0: VGPU_SESSION_TIMEOUT_MS, negative: none */
    const char *keeper;   /* a vgpu command that keeps the rings; NULL: the installed one */
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

/* ---- The window's memory (client-memory.c) ----------------------------------------------------
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

/* vgpu_session_get_window_size() - bytes */
uint64_t vgpu_session_get_window_size(const vgpu_session *s);

/*
 * vgpu_session_memory_alloc() - device memory
 * @ret_address: an address that nothing in this process has
 *
 * An address outside the reserved range is reserved by itself; if the program has something there,
 * the memory is freed again and the result is VGPU_CUDA_ERROR_OUT_OF_MEMORY.
 */
int vgpu_session_memory_alloc(vgpu_session *s, const vgpu_session_from *from, uint64_t size,
                              uint64_t *ret_address);
int vgpu_session_memory_free(vgpu_session *s, const vgpu_session_from *from, uint64_t address);

/* ---- Fences (client-fence.c) --------------------------------------------------------------------
 */

/* A stream's place in time: a word in the window, in which the device writes numbers that rise. For
 * one stream. */
typedef struct vgpu_session_fence vgpu_session_fence;

int vgpu_session_fence_new(vgpu_session *s, vgpu_session_fence **ret);

/* vgpu_session_fence_free() - the device writes no more numbers in it. Returns NULL. */
vgpu_session_fence *vgpu_session_fence_free(vgpu_session *s, vgpu_session_fence *fence);

/* vgpu_session_fence_post() - put a number into the stream, behind all that is in it */
int vgpu_session_fence_post(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                            vgpu_session_fence *fence, uint64_t *ret_number);

/* vgpu_session_fence_is_passed() - a read of memory */
bool vgpu_session_fence_is_passed(const vgpu_session_fence *fence, uint64_t number);

/* vgpu_session_fence_wait() - wait until the device has come to @number. A thread that waits long
 * sleeps, and puts a WAKE into the stream for that. */
int vgpu_session_fence_wait(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
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
 * order; it must not call a function of the session. */
typedef void vgpu_session_text(void *userdata, bool is_error, const char *text, size_t size);

/* vgpu_session_set_text() - who takes it from now on. NULL: the standard output and the standard
 * error, as at first */
void vgpu_session_set_text(vgpu_session *s, vgpu_session_text *take, void *userdata);

/* vgpu_session_output() - write what kernels of the context have printed, as the functions above
 * do: for a wait that is none of them, as a look at a fence by which a program synchronizes, and
 * for an error of vgpu_session_get_sticky() that a program is told without any call of these */
void vgpu_session_output(vgpu_session *s, const vgpu_session_from *from);

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
int vgpu_session_module_unload(vgpu_session *s, const vgpu_session_from *from, uint32_t id);

/*
 * vgpu_session_function_get() - a kernel of a module
 * @name: at most VGPU_SESSION_NAME_MAX bytes with its 0
 * @ret_id: its number, which ends with the module
 * @ret: attributes and parameters; the caller frees it with free()
 */
int vgpu_session_function_get(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                              const char *name, uint32_t *ret_id, VGPUSessionFunction **ret);

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

#endif
