/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest process with a CUDA session, and the mediator that starts its executor, for tests: a
 * window with a session's area, the descriptors and the control page of session-protocol.h, and the
 * guest's half of vgpu-session.h.
 *
 *   SessionGuest g;
 *   session_guest_open(&g, NULL);                  the window and the area; change what you like
 * ... session_guest_spawn(&g, "slow=5");             vgpu-executor --session on the fake driver
 *   assert_int_equal(session_guest_start(&g), 0);  START, STARTED (in g.started)
 *   session_guest_context(&g, 1, true);            the primary context is number 1
 *   session_guest_call(&g, VGPU_SESSION_OP_..., 1, &parameters, sizeof(parameters));
 *   session_guest_end(&g, NULL);                   hangs up; the exit status
 *   session_guest_close(&g);
 *
 * Whoever has no process but a connection leaves session_guest_spawn() out: all other functions
 * need only the area. A function that fails for a reason that no test is about ends the program
 * with a message. Nothing waits longer than SESSION_GUEST_TIMEOUT_MSEC.
 */
#ifndef VGPU_TEST_SESSION_GUEST_H
#define VGPU_TEST_SESSION_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "session-protocol.h"
#include "vgpu-ring.h"
#include "vgpu-session.h"

#define SESSION_GUEST_TIMEOUT_MSEC 60000

typedef struct SessionGuestOptions {
    uint64_t window_size; /* bytes; 0: 16 MiB */
    uint64_t offset;      /* of the area in it */
    uint32_t ring_size;   /* bytes; 0: 64 KiB */
    uint64_t window_base; /* where it is mapped; 0: anywhere, and the session is told 0 */
    int memfd;            /* for the window, taken over; 0: one is made */
    uint32_t flags;       /* of the header */
    int account;          /* a memfd of the VM's, taken over; 0: one is made */
    uint32_t slot;        /* in the account */
} SessionGuestOptions;

typedef struct SessionGuest {
    uint8_t capture_mode; /* of all records that have none of their own; 0 at first */
    uint16_t thread;      /* likewise */
    int fds[SESSION_N_FDS];
    char *window;
    uint64_t window_size;
    VGPUSessionHeader *header;
    unsigned char *ring;
    VGPUSessionReply *replies;
    SessionControl *control;
    SessionAccount *account;
    SessionStart start; /* what START says; the gate is open, there are no limits */
    SessionStarted started;
    uint64_t heap; /* window bytes from here on are free */
    uint64_t tail; /* written up to here; published by session_guest_publish() */
    bool sleeps;   /* waits for replies on the interrupt, and does not look */

    int socket; /* the mediator's end; -1: none */
    pid_t pid;  /* 0: no process */
    int text; /* a file with what it wrote to standard error, and with the fake driver's complaints
               */
    char text_path[40]; /* until the driver has opened it */
} SessionGuest;

/* session_guest_open() - a window, and an area that has not been opened yet. @options: NULL for the
 * usual ones */
void session_guest_open(SessionGuest *g, const SessionGuestOptions *options);

/* session_guest_close() - give all back; kills the process, if there still is one */
void session_guest_close(SessionGuest *g);

/* ---- The mediator's side ----------------------------------------------------------------------
 */

/*
 * session_guest_spawn() - start VGPU_EXECUTOR with --session, connect to it, and hear its HELLO
 * @plan: VGPU_FAKE_CUDA, or NULL
 *
 * Its drivers are those in VGPU_FAKE_CUDA_DIR, if the environment has that.
 */
void session_guest_spawn(SessionGuest *g, const char *plan);

/* session_guest_warm() - send WARM */
void session_guest_warm(SessionGuest *g, const char *device);

/* session_guest_send_start() - send START with these descriptors, without waiting for the answer */
void session_guest_send_start(SessionGuest *g, const int fds[], unsigned n_fds);

/* session_guest_start() - send START; the answer's error, or -EPIPE when there was none */
int session_guest_start(SessionGuest *g);

/*
 * session_guest_message() - the executor's next packet
 * @size: of @buf; a packet has to have this size or less
 *
 * Returns its bytes, 0 when it has hung up, or -ETIMEDOUT after @timeout_msec.
 */
ssize_t session_guest_message(SessionGuest *g, void *buf, size_t size, int timeout_msec);

/* session_guest_wait_ended() - skip to ENDED; false when it hung up without */
bool session_guest_wait_ended(SessionGuest *g, SessionEnded *ret);

/* session_guest_gate() - open or close it, as a mediator does */
void session_guest_gate(SessionGuest *g, bool is_open);

/* session_guest_end() - hang up, unless that is done, and wait for the process. @ret_text: what
 * it wrote, to be freed; or NULL. Returns the exit status, or minus the signal's number */
int session_guest_end(SessionGuest *g, char **ret_text);

/* session_guest_says() - has it written that to standard error by now? */
bool session_guest_says(SessionGuest *g, const char *text);

/* ---- The guest's side -------------------------------------------------------------------------
 */

/* session_guest_alloc() - bytes of the window that nothing else uses, zeroed; returns their offset,
 * a multiple of 4096. They stay until session_guest_close() */
uint64_t session_guest_alloc(SessionGuest *g, uint64_t size);

/*
 * session_guest_put() - write a record, without publishing it; waits for room
 * @record: size is filled in
 * @parameters: @size bytes
 * @more: @more_size bytes behind them
 *
 * A PAD is written where it would not fit in one piece. Returns the record's position.
 */
uint64_t session_guest_put(SessionGuest *g, const VGPUSessionRecord *record, const void *parameters,
                           uint32_t size, const void *more, uint32_t more_size);

/* session_guest_put_bytes() - write anything of @size bytes at tail, a multiple of 16 */
void session_guest_put_bytes(SessionGuest *g, const void *bytes, uint32_t size);

/* session_guest_publish() - move tail; ring the doorbell if the executor waits. Returns whether it
 * rang */
bool session_guest_publish(SessionGuest *g);

/* session_guest_submit() - an operation without a reply slot, published; returns its position */
uint64_t session_guest_submit(SessionGuest *g, uint16_t opcode, uint32_t context,
                              const void *parameters, uint32_t size);

/* session_guest_begin() - an operation with reply slot @slot, 1 to VGPU_SESSION_REPLIES, published
 */
void session_guest_begin(SessionGuest *g, uint16_t slot, uint16_t opcode, uint32_t context,
                         const void *parameters, uint32_t size);

/* session_guest_wait() - for the reply in that slot: its CUresult. @ret_value: 6 of them, or NULL
 */
uint32_t session_guest_wait(SessionGuest *g, uint16_t slot, uint64_t *ret_value);

/* session_guest_is_done() - is the reply there? */
bool session_guest_is_done(const SessionGuest *g, uint16_t slot);

/* session_guest_call() - an operation with reply slot 1, and its result */
uint32_t session_guest_call(SessionGuest *g, uint16_t opcode, uint32_t context,
                            const void *parameters, uint32_t size);

/* session_guest_call_with() - the same with bytes behind the parameters, and the values */
uint32_t session_guest_call_with(SessionGuest *g, uint16_t opcode, uint32_t context,
                                 const void *parameters, uint32_t size, const void *more,
                                 uint32_t more_size, uint64_t *ret_value);

/* session_guest_context() - CONTEXT_CREATE, which has to succeed */
void session_guest_context(SessionGuest *g, uint32_t id, bool is_primary);

/* session_guest_fence() - FENCE: @value to the window's byte @offset when @stream has come so far
 */
void session_guest_fence(SessionGuest *g, uint32_t context, uint32_t stream, uint64_t offset,
                         uint64_t value);

/* session_guest_wait_word() - until the 64 bits at the window's byte @offset are @value; false when
 * that takes longer than @timeout_msec */
bool session_guest_wait_word(const SessionGuest *g, uint64_t offset, uint64_t value,
                             int timeout_msec);

/* session_guest_synchronize() - a fence behind all in @stream, and wait for it */
void session_guest_synchronize(SessionGuest *g, uint32_t context, uint32_t stream);

/* ---- Kernels ----------------------------------------------------------------------------------
 */

/* session_guest_load() - send the image in the file @path, and load it as module @id; both have to
 * succeed */
void session_guest_load(SessionGuest *g, uint32_t context, const char *path, uint32_t id);

/* session_guest_function() - @name of @module is function @id from now on; has to succeed */
void session_guest_function(SessionGuest *g, uint32_t context, uint32_t module, const char *name,
                            uint32_t id);

/* session_guest_launch() - one block of one thread, without a reply slot. @parameters: @size
 * bytes, packed as the function has them */
void session_guest_launch(SessionGuest *g, uint32_t context, uint32_t stream, uint32_t function,
                          const void *parameters, uint32_t size);

/* session_guest_sleep() - until the interrupt; false when that takes longer than @timeout_msec */
bool session_guest_sleep(const SessionGuest *g, int timeout_msec);

#endif
