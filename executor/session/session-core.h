/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session from inside: what the files of the core share. Operations see session.h.
 *
 * A launch takes the driver three to four microseconds, and what the executor adds must be little
 * beside it. The driver leaves none of our code in the processor's first cache, so each function
 * that is called costs a line of it. What a launch goes through is therefore inline where it is the
 * usual case, and a call where it is not.
 *
 * Five threads:
 *
 *   the ring's  takes operations and carries them out, all but the SLOW ones (session-loop.c). It
 *               alone gives work to the device, so it alone asks the driver whether that has ended
 *               (session-meter.c), and it alone waits at the gate.
 *   SLOW        carries out the SLOW ones (session-slow.c).
 *   the first   opens the session, hears what the mediator says, and looks after kernels that never
 *               end (session-process.c). From then on it never calls the driver, which may hold the
 *               others for ever.
 *   one more    waits for the mediator's end, from the beginning.
 *   another     keeps what kernels print, from the beginning (session-output.c).
 *
 * Each but the last may end the session, and with it the process (session_end()).
 */
#ifndef VGPU_SESSION_CORE_H
#define VGPU_SESSION_CORE_H

#include <sys/queue.h>

#include "busy-poll.h"
#include "cleanup.h"
#include "session-output.h"
#include "session-ring.h"
#include "session-table.h"
#include "session-uses.h"
#include "session.h"

typedef struct SessionContext SessionContext;

/* A stream, with what is known of its work. The ring's thread owns it. */
typedef struct SessionStream {
    CUstream handle;
    uint32_t id; /* 0: the context's legacy default stream */
    SessionContext *context;
    bool is_blocking; /* waits for the legacy default stream, and that waits for it */
    bool is_gone;     /* destroyed, maybe with work in it: nothing can be asked of it */
    bool captures;    /* a capture was begun in it, and not ended */

    /* session-captures.c, while it captures: of the guest's call that has begun it */
    LIST_ENTRY(SessionStream) capture_link;
    uint8_t capture_mode;
    uint16_t capture_thread;
    struct SessionGraph *grows; /* the capture's graph, when the guest has a number for it */

    /* session-meter.c */
    LIST_ENTRY(SessionStream) busy_link;
    bool is_busy;   /* it has got work that is not known to have ended */
    bool unsure;    /* some of it after the last mark */
    bool has_chain; /* some of it is a graph that may wait for the guest, and does nothing then */
    bool has_other; /* some of it is one that may do something meanwhile */

    /* session-marks.c */
    uint32_t place;     /* of its word; SESSION_NO_PLACE: none */
    uint32_t span;      /* for how many works the next mark is */
    uint64_t mark;      /* the last one given */
    uint64_t mark_nsec; /* when */
    bool is_open;       /* works follow the last mark directly */
    uint32_t n_works;   /* how many */

    /* session-ahead.c */
    uint32_t n_ahead;    /* works that are not known to be done */
    uint32_t n_unmarked; /* of them, behind the last mark */
} SessionStream;

#define SESSION_NO_PLACE UINT32_MAX

#define SESSION_N_CHARGED_LIMITS 3u /* op-context.c knows which */

/* A context of the guest's. The ring's thread frees it: streams in it may have ended later. */
struct SessionContext {
    LIST_ENTRY(SessionContext) link;
    uint32_t id;
    bool is_primary;
    bool is_dead; /* atomic: the driver has destroyed it */
    CUcontext handle;
    SessionStream legacy;
    CUstream output; /* never has work (op-output.c); the ring's thread's; NULL: not made yet */
    uint64_t charged[SESSION_N_CHARGED_LIMITS]; /* bytes of the quota; the ring's thread's */
    /* session-local.c */
    uint32_t local_size;    /* atomic: bytes of a thread up to which nothing is left to charge */
    uint64_t local_charged; /* bytes of the quota, under the session's lock */
};

/* The guest may not fill the device's memory with contexts, which its quota does not count. */
#define SESSION_CONTEXTS_MAX 8u

/* What one of the two threads that carry out operations has set in the driver */
typedef struct SessionThread {
    CUcontext current;
    int capture_mode;
    SessionContext *context; /* of the operation now; NULL: it needs none */
    const SessionCall *call; /* the operation now; atomic */
    bool gives_work;         /* does it? */
    bool captures;           /* is what its stream gets now captured? */
} SessionThread;

/* A piece of the window that CUDA knows, or is to know from the first context on */
typedef struct SessionPin {
    uint64_t offset, size;   /* window bytes, whole pages */
    CUcontext registered_in; /* NULL: in none */
    CUdeviceptr device;      /* of its first byte */
} SessionPin;

typedef struct SessionWindow {
    int fd;
    unsigned char *memory;
    uint64_t size; /* bytes */
    uint64_t base; /* as the guest addresses it; 0: it does not */
    MemoryGuard guard;
    pthread_mutex_t pins_lock; /* of the pins; the SLOW thread alone changes them */
    SessionPin *pins;          /* by offset; none overlaps another */
    size_t n_pins;
} SessionWindow;

/* An operation that waits for the SLOW thread */
typedef struct SessionSlowCall {
    STAILQ_ENTRY(SessionSlowCall) link;
    SessionContext *context; /* as it was when the operation was taken, or NULL */
    bool in_context;         /* the operation needs one */
    SessionCall call;
    unsigned char bytes[] __attribute__((aligned(VGPU_SESSION_RECORD_ALIGNMENT)));
} SessionSlowCall;

/* How many may wait; then the ring does. 32 MiB at worst. */
#define SESSION_SLOW_MAX 1024u

typedef struct SessionSlow {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more, room;
    STAILQ_HEAD(, SessionSlowCall) calls;
    unsigned n;
    const SessionSlowCall *now; /* is being carried out */
} SessionSlow;

/* What the SLOW thread asks the mediator (session-share.c) */
typedef struct SessionAsk {
    pthread_mutex_t lock;
    pthread_cond_t come;
    uint32_t waits_for; /* type of the answer; 0: none */
    SessionShareMessage answer;
    int fd; /* with the answer; -1: none */
} SessionAsk;

/* How long the device has had work (session-meter.c) */
typedef struct SessionMeter {
    LIST_HEAD(, SessionStream) busy;
    bool is_running;
    uint64_t begin_nsec;   /* of this time of running */
    uint64_t counted_nsec; /* it is counted up to here */
    uint64_t look_nsec;    /* when to ask next */
    uint64_t closed_nsec;  /* since when the gate is seen closed; 0: it is open */
    uint64_t idle_nsec;    /* when to tell that nothing runs; UINT64_MAX: it has been told */
    uint64_t total_nsec;
    unsigned n_captures; /* streams in which a capture was begun, and not ended */
    bool waits;          /* when last asked, all busy streams waited for the guest */
    uint64_t n_calls;    /* how many functions of it had been called by then */
} SessionMeter;

/* Captures that are under way (session-captures.c) */
typedef struct SessionCaptures {
    pthread_mutex_t lock;
    LIST_HEAD(, SessionStream) streams; /* under the lock */
    unsigned n;                         /* of them; atomic */
    uint64_t time;                      /* atomic */
    uint32_t n_nodes;                   /* the ring's thread's; and the next */
    bool may_wait;
    /* Under the handles' lock */
    SessionUses uses;
    uint64_t broken; /* a time */
} SessionCaptures;

/* Functions of the guest in streams and graphs (session-hosts.c) */
typedef struct SessionHosts {
    pthread_mutex_t lock; /* of all but n_calls; never held while the driver is called */
    struct SessionHost *all;
    uint32_t first_free;
    uint32_t *used; /* places */
    uint32_t n_used;
    uint64_t n_calls; /* atomic */
    /* The ring's thread's: what was found last */
    uint64_t seen_calls;
    uint32_t seen_waiting;
} SessionHosts;

/* What the first thread sees of a stream's marks (session-marks.c) */
typedef struct SessionWatch {
    uint64_t given;      /* atomic: the last mark; 0: none yet */
    uint64_t ended;      /* atomic: all work up to that mark, and behind it, has ended */
    uint32_t n_works;    /* atomic: works behind the last mark */
    uint64_t seen;       /* the first thread's: the word as it was at the last look */
    uint64_t since_nsec; /* likewise: since when it is that */
} SessionWatch;

/* Words that the device writes between the works of a stream (session-marks.c) */
typedef struct SessionMarks {
    uint64_t limit_nsec; /* for one work; UINT64_MAX: none, and hardly any marks are given */
    uint64_t *words;     /* by place; behind them those of session-hosts.c */
    CUdeviceptr device;
    CUcontext registered_in;
    SessionWatch *watches; /* by place */
    uint32_t n;
    uint32_t *free_places; /* a stack, under the session's lock */
    uint32_t n_free;
    unsigned n_given;    /* works, fences and so on, since the device had none */
    SessionStream *last; /* which got the last one */
} SessionMarks;

/* The works of a stream between two of its marks */
typedef struct SessionAheadMark {
    SessionStream *stream;
    uint64_t mark; /* behind them */
    uint32_t n;
} SessionAheadMark;

#define SESSION_AHEAD_MARKS 64u

/* What is given ahead (session-ahead.c) */
typedef struct SessionAhead {
    uint32_t usec;  /* what the control page said; 0: no bound */
    uint32_t n;     /* works that are not known to be done */
    uint32_t bound; /* from so many on, it is looked closer */
    uint32_t allowed;
    uint32_t extra;       /* more than that, which were let through */
    uint32_t n_impatient; /* one after the other, while the device was at work */
    uint32_t span;        /* works from mark to mark */
    uint32_t n_marks;
    SessionAheadMark marks[SESSION_AHEAD_MARKS]; /* by age */
    uint64_t n_done;                             /* works */
    uint64_t average_nsec;                       /* of one; 0: not known */
    uint64_t measured_nsec, n_measured;          /* device time and works by the last sample */
} SessionAhead;

struct Session {
    int socket;
    int fds[SESSION_N_FDS]; /* -1: not there, or no longer needed */
    SessionStart start;
    SessionStarted started;
    CudaSessionDriver driver;
    CUdevice device;
    int ordinal;    /* of the device, as the driver sees it; -1: the driver is not open */
    CUcontext warm; /* a reference to the primary context that no context of the guest has yet */

    SessionControl *control;
    SessionAccount *account;
    SessionWindow window;
    VGPUSessionHeader *header; /* in the window; only for single loads and stores */
    VGPUSessionReply *replies; /* likewise */
    SessionRing ring;

    pthread_mutex_t lock; /* of changing what follows, up to the next comment */
    SessionTable tables[SESSION_N_KINDS];
    LIST_HEAD(, SessionContext) contexts;
    unsigned n_contexts;
    uint32_t error; /* what the header says */
    uint64_t error_position;

    uint32_t sticky; /* atomic */
    SessionThread ring_thread, slow_thread;
    SessionSlow slow;
    SessionAsk ask;
    /* The ring's thread */
    SessionCall ring_call; /* here, so that the first thread may look at it whenever it likes */
    int epoll_fd;
    BusyPoll poll;
    SessionMeter meter;
    SessionAhead ahead;
    bool untold;                         /* CHANGED could not be sent */
    uint64_t tended_nsec;                /* when this was done last between two operations */
    LIST_HEAD(, SessionContext) leaving; /* contexts without a number, which may still have work */

    SessionOutput output;
    SessionMarks marks;
    SessionCaptures captures;
    SessionHosts hosts;
    struct SessionStore *store; /* of the operations on memory, modules, graphs */
    bool launches_lock;         /* the handles, for want of membarrier() (session-launch.h) */
    uint64_t launch_number;     /* atomic: odd while the ring's thread launches */

    pthread_mutex_t end_lock;
    bool is_open; /* atomic: session_end() has what it needs */
};

/* session_thread() - of the calling thread, one of the two that carry out operations */
extern _Thread_local SessionThread *session_this_thread;

static inline SessionThread *session_thread(void)
{
    return session_this_thread;
}

/* session_thread_set() - once, when such a thread begins */
void session_thread_set(SessionThread *thread);

/*
 * session_end() - end the session and the process
 * @reason: SESSION_END_*
 * @result: the CUresult that the guest is left with, or 0
 *
 * From any thread. Answers what is being carried out and what waits for the SLOW thread with
 * @result, tells guest and mediator, and does not return.
 */
__attribute__((noreturn)) void session_end(Session *s, uint32_t reason, uint32_t result);

#endif
