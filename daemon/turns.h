/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose turn it is on a device: of several that give it work by themselves, one at a time may.
 * Pure: no I/O, no clock of its own, no allocation. The caller embeds Turn in whatever gives work
 * (a session) and TurnClient in whoever shares the device with others (a VM), owns both, and passes
 * the time in.
 *
 * The scheduler says who is next, as it does for requests: by priority, and inside one by the time
 * since when it waits (SCHED_FIFO), or by shares of the device's time (SCHED_FAIR), and who has
 * waited for the starvation limit overtakes. What is added here is how long a turn is, and that
 * what was given before a turn's end is still there after it.
 *
 * - Who has the turn keeps it while nobody else waits, and as long as it has work: for turn_usec
 *   where somebody of its priority waits, or somebody below it has waited for the starvation limit;
 *   and no longer at all once somebody of higher priority waits, but for a turn by overtaking,
 * which lasts turn_usec. When it has had nothing on the device for idle_usec and somebody waits,
 * its turn is over; before its first work, it has ten times as long.
 * - A turn that is over leaves work on the device. The next one begins when that has ended, and at
 *   the latest patience_usec after the end of the turn where it has a higher priority, and ten
 * times that where not: then both have work on the device, and the driver slices.
 *
 * Let T be turn_usec, P patience_usec, and L the longest that the device takes for what a turn
 * leaves, or 10 P if that is less. Then
 *
 * - who waits at high, where no other high one waits or has work on the device, nobody has the turn
 *   by overtaking and nobody is due, has it after min(L, P); the k-th of the high ones in line has
 * it after 2 k (T + L);
 * - a priority that is due has one of each two turns that begin (of each four, where low and medium
 *   are both due), and each lasts T + L at most;
 * - if fair, the times W of two clients of one priority that both wait or hold all the while differ
 *   by | W_f / w_f - W_g / w_g | <= 4 (T + L) (1 / w_f + 1 / w_g), while no other priority
 * interrupts: as fair.h states it for D = 2, since who is next is decided when a turn ends, and
 * what that turn leaves is counted when it has ended.
 *
 * Cost: as the scheduler's; turns_see() looks at all whose work is still there after their turn.
 */
#ifndef VGPU_TURNS_H
#define VGPU_TURNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "scheduler.h"

typedef struct Turns Turns;
typedef struct Turn Turn;
typedef struct TurnClient TurnClient;

typedef enum TurnState {
    TURN_RESTS, /* it wants nothing */
    TURN_WAITS,
    TURN_NEXT,  /* it gets the turn when what is on the device has ended */
    TURN_HOLDS, /* it may give work */
} TurnState;

struct TurnClient {
    SchedClient sched; /* its weight is set as a client's of the scheduler */
    uint8_t priority;  /* VGPU_PRIORITY_* */
};

/* One that gives work to the device. The caller reads the figures, and sets nothing. */
struct Turn {
    SchedRequest request; /* first; queued while it waits, running while it is next or holds */
    TurnClient *client;
    TurnState state;
    bool leaves; /* the device has work of it, and it does not hold */
    TAILQ_ENTRY(Turn) leaver_link;
    uint64_t begin_usec; /* of its turn; while it holds */
    /* since when the device has nothing of it, at the last look; UINT64_MAX: it has something */
    uint64_t idle_usec;
    uint64_t closed_usec;  /* when its turn ended; while it leaves */
    uint8_t left_priority; /* with which it had it; while it leaves */
    /* Figures */
    uint64_t n_turns;
    uint64_t held_usec;   /* in turns that are over */
    uint64_t waited_usec; /* for turns that have begun */
    uint64_t longest_wait_usec;
};

typedef struct TurnsOps {
    /* It may give work from now on, or no more. */
    void (*set_open)(Turn *t, bool open, void *userdata);
    /* Others want the device, or no more: it is of interest when it has nothing to do. */
    void (*watch)(Turn *t, bool watched, void *userdata);
    /* Since when has the device had nothing of it? UINT64_MAX: it has something. */
    uint64_t (*look)(Turn *t, void *userdata);
    /* Does it wait for its turn? */
    bool (*waits)(Turn *t, void *userdata);
    /* Another one begins although the device still has work of @leaver. */
    void (*lost_patience)(Turn *leaver, Turn *next, void *userdata);
} TurnsOps;

/* One device */
struct Turns {
    Scheduler scheduler;
    uint64_t next_arrival;
    uint64_t turn_usec;
    uint64_t patience_usec;
    uint64_t idle_usec;
    Turn *holder, *next;  /* or NULL; never both */
    bool overtakes;       /* whichever of them there is: one of a higher priority waits */
    bool watched;         /* the holder is */
    uint64_t rivals_usec; /* since when others wait for the holder; UINT64_MAX: nobody does */
    TAILQ_HEAD(, Turn) leavers;
    const TurnsOps *ops;
    void *userdata;
    uint64_t n_turns; /* that have begun */
};

/*
 * turns_init() - a device that nobody wants
 * @ops: outlives it
 * @turn_usec: at least 1
 * @idle_usec: who has had nothing on the device for so long has nothing to do; shorter pauses are
 *     those of programs that wait for what they launch
 *
 * Policy, weights and the starvation limit are set as the scheduler's.
 */
void turns_init(Turns *turns, const TurnsOps *ops, void *userdata, uint64_t turn_usec,
                uint64_t patience_usec, uint64_t idle_usec);

/* turn_client_init() - one without anything that gives work */
void turn_client_init(TurnClient *c, unsigned priority);

/* turn_init() - one more of @client, which wants nothing yet and may not give work. @client
 * outlives it */
void turn_init(Turn *t, TurnClient *client);

/* turns_remove() - it gives no work any more, and the device has none of it */
void turns_remove(Turns *turns, Turn *t, uint64_t now_usec);

/*
 * turns_see() - what one says of itself
 * @waits: it has work to give, and may not
 * @runs: the device has work of it that has not ended
 *
 * Who runs without a turn, as it may for a moment after its end, stands in the next one's way.
 */
void turns_see(Turns *turns, Turn *t, bool waits, bool runs, uint64_t now_usec);

/* turns_set_priority() - of all that are @client's; what it has on the device stays as it is */
void turns_set_priority(Turns *turns, TurnClient *client, unsigned priority, uint64_t now_usec);

/* turns_hold() - @client gets no turn until further notice, and loses the one that it has */
void turns_hold(Turns *turns, TurnClient *client, bool held, uint64_t now_usec);

/* turns_hold_all() - nobody gets one, and who has one loses it */
void turns_hold_all(Turns *turns, bool held, uint64_t now_usec);

/* turns_set_times() - as with turns_init() */
void turns_set_times(Turns *turns, uint64_t turn_usec, uint64_t patience_usec, uint64_t now_usec);

/* turns_tick() - time has passed */
void turns_tick(Turns *turns, uint64_t now_usec);

/* turns_next_tick() - when turns_tick() has something to do; UINT64_MAX: not by itself */
uint64_t turns_next_tick(const Turns *turns);

#endif
