/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session, as the files of this library see it.
 *
 * Locks, from the outside in; none is held while a thread waits for the host, but output_lock, the
 * pins' while it pins, and ring_lock while the ring is full:
 *
 *   output_lock  what kernels print; also held while the program's function takes a text, and
 *                while a piece of the window is pinned for one
 *   copy_lock    pieces for copies
 *   pins.lock    what the host has pinned of the window
 *   ring_lock    the ring: whoever writes records
 *   wait_lock    reply slots, and threads that sleep
 *   host_lock    functions in streams
 *   memory_lock  the window's heap, numbers of objects, and addresses
 */
#ifndef VGPU_GUEST_CLIENT_INTERNAL_H
#define VGPU_GUEST_CLIENT_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "copier.h"
#include "cuda-client.h"
#include "transport.h"
#include "window-share.h"

/* What a thread waits for: a reply, a fence, or a function that is to be called. */
typedef struct client_waiter {
    TAILQ_ENTRY(client_waiter) link;
    const uint32_t *reply_state; /* of a reply, else NULL */
    bool for_hosts;              /* the thread of functions */
    const uint64_t *word;        /* of a fence */
    uint64_t number;
    uint64_t since;      /* when it began to look (now_nsec()); 0: it has not yet */
    pthread_cond_t cond; /* for a follower */
} client_waiter;

/* Numbers of one kind of objects: the last that was taken for the first time, and those that were
 * given back, in a circle of CLIENT_IDS places */
#define CLIENT_IDS 65536u

typedef struct client_ids {
    uint16_t *free;
    uint32_t first, n_free, last;
} client_ids;

/* Pages that are reserved for something of the device's (client-claim.c) */
typedef struct client_claim {
    uint64_t begin, end;
    uint64_t address; /* what it is for */
    uint32_t context; /* ends with that one; 0: with none */
    uint32_t module;  /* it is a variable of that one; or 0 */
} client_claim;

/* A piece of the window for copies of the program's memory. Free when its fence has passed. */
typedef struct client_piece {
    TAILQ_ENTRY(client_piece) link;
    uint8_t *memory;
    vgpu_session_fence *fence;
    uint64_t number;
    uint32_t stream, context; /* of the fence */
} client_piece;

TAILQ_HEAD(client_pieces, client_piece);

typedef struct client_pool {
    struct client_pieces pieces; /* not in a thread's hands; the oldest first */
    size_t piece_size;
    uint32_t n, max;
    pthread_cond_t back; /* one has come back */
} client_pool;

/* What the host has pinned of the window (client-pin.c) */
typedef struct client_pins {
    pthread_mutex_t lock;
    uint64_t chunk; /* bytes */
    uint32_t n_chunks;
    uint8_t *state;     /* CHUNK_* of each */
    uint32_t *contexts; /* numbers of those that live */
    size_t n_contexts;
    bool is_whole; /* the host has pinned all */
} client_pins;

/* Memory of the program's own whose place the window has taken (client-register.c) */
typedef struct client_registered {
    uint8_t *memory; /* as the program has it */
    uint8_t *window; /* the same bytes */
    size_t size;
    bool is_used; /* or it was given up, and could not be moved back */
} client_registered;

/* What a reply is for, as far as this library cares */
typedef struct client_asked {
    uint16_t opcode;
    uint32_t context; /* CONTEXT_CREATE: which */
} client_asked;

struct vgpu_session {
    transport *transport;
    const uint32_t *owned; /* 1 in the process that opened it, 0 in its children */
    int failure;           /* atomic: CUresult */
    LIST_ENTRY(vgpu_session) all;

    uint64_t area; /* offset in the window */
    VGPUSessionHeader *header;
    uint8_t *ring;
    VGPUSessionReply *replies;
    uint32_t ring_size;

    pthread_mutex_t ring_lock;
    uint64_t tail;      /* ours, with what is not published yet */
    uint64_t published; /* what the host has seen of it */
    uint64_t head;      /* the host's, when we last looked */

    pthread_mutex_t wait_lock;
    client_asked asked[VGPU_SESSION_REPLIES];
    uint16_t free_replies[VGPU_SESSION_REPLIES];
    uint32_t n_free_replies;
    pthread_cond_t reply_free;
    TAILQ_HEAD(, client_waiter) waiters; /* all that sleep, or are about to */
    client_waiter *leader;               /* who sleeps for all of them */
    uint32_t n_fence_waiters;
    uint32_t n_asking;   /* of those in the list, for whom the host is to signal after replies */
    int wake_fd;         /* wakes the leader */
    uint64_t spin_nsec;  /* atomic: how long it pays to look before sleeping */
    uint64_t next_check; /* atomic: when to look whether the session is over */

    pthread_mutex_t memory_lock;
    window_share share;
    client_ids ids[VGPU_SESSION_N_KINDS];
    client_claim *claims; /* outside the reserved ranges */
    size_t n_claims;
    uint32_t *fence_free; /* words of the window for fences: their cache lines */
    uint32_t n_fence_free, n_fence_words;
    SLIST_HEAD(, vgpu_session_fence) fence_owed; /* freed, but the device still writes them */

    client_registered *registered; /* under a lock of all sessions */
    size_t n_registered;
    client_pins pins;
    LIST_HEAD(, client_linked) linked; /* client-link.c */
    uint64_t n_linked;                 /* atomic: keys that were made */

    pthread_mutex_t copy_lock;
    client_pool large, small;
    bool is_slow; /* to read from the window: it is write-combining */
    copier copier;

    pthread_mutex_t output_lock;
    vgpu_session_text *text_take;
    void *text_userdata;
    uint8_t printing[CLIENT_IDS / 8]; /* modules whose kernels may print, by number */
    uint32_t n_printing;              /* atomic: how many */
    bool output_ended;                /* atomic: asked after CUDA has ended */
    char *output_room;                /* of the window; NULL: not taken yet */
    size_t output_size;

    pthread_mutex_t host_lock;
    TAILQ_HEAD(, client_host) hosts; /* functions in streams and graphs */
    pthread_cond_t host_more;        /* the first one, or the end */
    pthread_t host_thread;
    bool host_runs, host_stop;
    uint64_t host_value; /* the last one given */
};

struct vgpu_session_fence {
    SLIST_ENTRY(vgpu_session_fence) link;
    uint64_t *word; /* in the window; the device writes it */
    uint64_t last;  /* under ring_lock: the last number that was posted */
    uint64_t asked; /* atomic: the last that the host has taken for who sleeps (fence_ask()) */
};

/* client_fail() - the session is over; everybody who waits returns */
void client_fail(vgpu_session *s, int result);

/* client_check() - look, from time to time (or @now), whether the session is over */
void client_check(vgpu_session *s, bool now);

/* client_usable() - 0, or what a function of the session has to return */
static inline int client_usable(const vgpu_session *s)
{
    if (__atomic_load_n(s->owned, __ATOMIC_RELAXED) != 1)
        return VGPU_CUDA_ERROR_NOT_INITIALIZED;
    return __atomic_load_n(&s->failure, __ATOMIC_ACQUIRE);
}

/* ---- Several records at once (client-ring.c) ----------------------------------------------------
 */

/* client_enter() - take the ring. Returns 0, or what the caller returns. */
int client_enter(vgpu_session *s);

/* client_record() - write a record's header, with the ring taken; waits for room. @reply: its slot,
 * from 1, or 0. Returns 0, or what the caller returns after client_leave(). */
int client_record(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from, uint32_t reply,
                  size_t size, void **ret_parameters);

/* client_leave() - publish what was written, and let others have the ring */
void client_leave(vgpu_session *s);

/* client_put() - client_record(), and copy the parameters */
int client_put(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from, uint32_t reply,
               const void *parameters, size_t size);

/* client_put_fence() - a FENCE, with the ring taken */
int client_put_fence(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                     vgpu_session_fence *fence, uint32_t reply, uint64_t *ret_number);

/* client_start_fence() - a FENCE with a reply, for client_finish_silently() */
int client_start_fence(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                       vgpu_session_fence *fence, uint32_t *ret_slot, uint64_t *ret_number);

/* ---- Waiting (client-wait.c)
 * --------------------------------------------------------------------- */

static inline void client_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* client_wait_spin() - look for a while. Returns whether it has come. */
bool client_wait_spin(vgpu_session *s, client_waiter *w);

/* client_wait_sleep() - sleep until it has come. Returns 0 or the session's failure. */
int client_wait_sleep(vgpu_session *s, client_waiter *w);

/* client_wait_wake_all() - the session is over */
void client_wait_wake_all(vgpu_session *s);

/* ---- Functions in streams (client-host.c) -------------------------------------------------------
 */

/* client_hosts_come() - is there something to do for the thread of functions? */
bool client_hosts_come(vgpu_session *s);

/* client_hosts_init(), client_hosts_stop(), client_hosts_destroy() - at the beginning; end the
 * thread, where this process has it; free all */
void client_hosts_init(vgpu_session *s);
void client_hosts_stop(vgpu_session *s);
void client_hosts_destroy(vgpu_session *s);

typedef struct client_host client_host;

/* client_host_new() - a function that the host is about to be told of; @ret_fence: what to tell.
 * client_host_given() - it has answered */
int client_host_new(vgpu_session *s, const vgpu_session_host *host, client_host **ret,
                    VGPUSessionFence *ret_fence);
void client_host_given(vgpu_session *s, client_host *h, int result);

/* client_line_take(), client_line_give() - a cache line of the window for words, aligned to 64.
 * Returns 0, or what the caller returns (client-fence.c) */
int client_line_take(vgpu_session *s, uint64_t **ret);
void client_line_give(vgpu_session *s, const uint64_t *line);

/* client_fence_abandon() - free one that the device may still write: its line is not used again */
void client_fence_abandon(vgpu_session_fence *fence);

/* ---- Pieces of the window for bytes that travel (client-copy.c) -------------------- */

/* client_piece_take() - a large piece, of @ret_size bytes; for client_piece_give() when the host is
 * done with it. Returns 0, or what the caller returns. */
int client_piece_take(vgpu_session *s, client_piece **ret, size_t *ret_size);
void client_piece_give(vgpu_session *s, client_piece *piece);

/* client_pool_for() - the pieces that suit a copy of so many bytes */
client_pool *client_pool_for(vgpu_session *s, size_t size);

/*
 * client_pool_take() - a piece, for client_pool_give() when its last copy has been posted
 * @wait: until there is one, which only a thread without pieces may; else @ret may be NULL
 *
 * Returns 0, or what the caller returns.
 */
int client_pool_take(vgpu_session *s, client_pool *pool, bool wait, client_piece **ret);
void client_pool_give(vgpu_session *s, client_pool *pool, client_piece *piece);

/* client_piece_post() - an operation that uses the piece, and its fence, together */
int client_piece_post(vgpu_session *s, const vgpu_session_from *from, client_piece *piece,
                      uint16_t opcode, const void *parameters, size_t size, uint32_t stream);

/* ---- Addresses (client-claim.c)
 * ------------------------------------------------------------------------------------------- */

/*
 * client_claim_address() - keep this process from mapping anything at an address of the device's
 * @context: whose memory it is, or 0
 * @module: whose variable it is, or 0
 *
 * Returns 0, or VGPU_CUDA_ERROR_OUT_OF_MEMORY when the process has something there: whatever it is
 * must be freed again.
 */
int client_claim_address(vgpu_session *s, uint64_t address, uint64_t size, uint32_t context,
                         uint32_t module);

/* client_disclaim_address(), _module(), _context() - it is about to be freed: that of an address,
 * the variables of a module, or all of a context */
void client_disclaim_address(vgpu_session *s, uint64_t address);
void client_disclaim_module(vgpu_session *s, uint32_t module);
void client_disclaim_context(vgpu_session *s, uint32_t context);

/* ---- Pins (client-pin.c)
 * ------------------------------------------------------------------------------------------- */

/* client_pins_need() - the device is to reach these bytes of the window, one at least. Returns 0,
 * or what the caller returns; 0 without a context, when they are pinned with the next one */
int client_pins_need(vgpu_session *s, uint64_t offset, uint64_t size);

/* client_pins_begin_context() - there is a context of that number. Returns 0, or why what it needs
 * cannot be pinned: then it is no use */
int client_pins_begin_context(vgpu_session *s, uint32_t id);

/* client_pins_end_context() - it is about to be destroyed */
void client_pins_end_context(vgpu_session *s, uint32_t id);

/* ---- Memory that is registered (client-register.c)
 * ------------------------------------------------------------------------------------------- */

/* For fork(): before it, after it in the parent, and in the child, for each session. */
void client_registered_before_fork(void);
void client_registered_after_fork(void);
void client_registered_in_child(vgpu_session *s);

/* client_registered_destroy() - before the window's memory goes. @is_forgotten: in a child */
void client_registered_destroy(vgpu_session *s, bool is_forgotten);

/* ---- Fences without what kernels have printed (client-fence.c)
 * -------------------------------------- */

/* client_fence_wait() - as vgpu_session_fence_wait(), for what this library does by itself */
int client_fence_wait(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                      vgpu_session_fence *fence, uint64_t number);

/* ---- Images and their logs (client-image.c, client-link.c)
 * ----------------------------------------- */

/* Room in the window for the texts of the host's compiler */
typedef struct client_logs {
    vgpu_session_logs *logs; /* where they go in the end; or NULL */
    void *info, *error;
    VGPUSessionBytes info_bytes, error_bytes;
} client_logs;

/* client_logs_open() - with or without @logs. Returns 0, or what the caller returns; needs
 * client_logs_close() either way */
int client_logs_open(vgpu_session *s, vgpu_session_logs *logs, client_logs *ret);

/* client_logs_take() - value[0] and value[1] of the reply are the texts' lengths */
void client_logs_take(const client_logs *room, const VGPUSessionReply *reply);
void client_logs_close(vgpu_session *s, client_logs *room);

/* client_linked_translate() - the key by which the host has an image that it has made itself.
 * Returns false, and @key is as it was, for others */
bool client_linked_translate(vgpu_session *s, uint8_t key[static 32]);
void client_linked_destroy(vgpu_session *s);

/* ---- What kernels print (client-output.c)
 * ------------------------------------------------------------- */

/* client_finish_silently(), client_call_silently() - as vgpu_session_finish() and
 * vgpu_session_call(), and nothing is written (client-ring.c) */
int client_finish_silently(vgpu_session *s, uint32_t slot, VGPUSessionReply *ret);
int client_call_silently(vgpu_session *s, uint16_t opcode, const vgpu_session_from *from,
                         const void *parameters, size_t size, const void *more, size_t more_size,
                         VGPUSessionReply *ret);

/* client_output() - after a wait: write what kernels have printed. A read of memory where no module
 * may print. With no lock held */
void client_output(vgpu_session *s, const vgpu_session_from *from);

/* client_output_end() - once CUDA has ended: write what an assertion said, unless that is done. To
 * be called before a function returns that error, with no lock held */
void client_output_end(vgpu_session *s);

/* client_output_load(), client_output_unload() - there is a module whose kernels may print, and a
 * module has been unloaded */
void client_output_load(vgpu_session *s, uint32_t module);
void client_output_unload(vgpu_session *s, uint32_t module);

void client_output_init(vgpu_session *s);
void client_output_destroy(vgpu_session *s);

/* ---- Parts
 * ------------------------------------------------------------------------------------------ */

/* Each returns 0 or a negative errno, and is undone by the other, also after a failure or before.
 */
int client_window_init(vgpu_session *s);
void client_window_destroy(vgpu_session *s);
void client_claims_destroy(vgpu_session *s);
int client_pins_init(vgpu_session *s);
void client_pins_destroy(vgpu_session *s);
int client_copy_init(vgpu_session *s, unsigned threads);
void client_copy_destroy(vgpu_session *s, bool is_forgotten);
void client_ids_destroy(vgpu_session *s);

#endif
