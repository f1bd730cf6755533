/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fair shares of a device, for the clients of one priority: start-time fair queueing
 * (Goyal, Vin, Cheng: Start-Time Fair Queuing, SIGCOMM 1996), in the form for several
 * requests in service at once (Jin, Chase, Kaur: Interposed Proportional Sharing for a
 * Storage Service Utility, SIGMETRICS 2004). What they know in advance, what a request
 * costs, is learned here when it is over: it is charged an estimate when it is picked,
 * and what it took beyond or below that when it ends.
 *
 * Each client has an account: the virtual time up to which it has had its share, which
 * grows by time / weight. The client whose account is least is picked next; that tag is
 * then the level's own virtual time. Who begins to wait starts no earlier than there,
 * so that nothing is saved up; who has used more than its share stays behind until the
 * others have caught up, or until the level has nothing left to do.
 *
 * Bound. Let D be the most requests in service at once, w a client's weight, C the
 * longest that one of its requests takes or is estimated to take, and W the time taken
 * by those that were picked. Then while two clients f and g both have requests waiting,
 * their W grow such that
 *
 *     | W_f / w_f - W_g / w_g |  <=  2 D (C_f / w_f + C_g / w_g)
 *
 * however many requests they have and however long the interval. (Of this, D + 1 parts
 * are the bound in the paper of 2004, and D - 1 are for those in service, whose time is
 * not known yet. Why: let U be a client's account, with each request in service counted
 * at what it will have taken. At every pick n <= D - 1 are in service, so the account that
 * is picked, the least, and all those that wait are within n C / w of their U. So all who
 * wait have U >= V - D C / w, V being the level's virtual time, and by being picked at an
 * account <= V none gets beyond V + D C / w.)
 *
 * A request is charged at least a microsecond, and its time / weight is rounded to
 * 2^-20 microseconds.
 */
#ifndef VGPU_FAIR_H
#define VGPU_FAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "leftist-heap.h"

/* What a request takes: an average that each new one moves by an eighth. */
typedef struct FairEstimate {
    uint64_t eighths; /* of a microsecond; 0: nothing is known yet */
} FairEstimate;

/* One priority of one pool. */
typedef struct FairLevel {
    HeapNode *waiting;  /* of each client its oldest request */
    uint64_t now;       /* the latest tag picked */
    uint64_t latest;    /* the latest that an account ever was */
    unsigned n_running; /* picked here, not over */
} FairLevel;

/* A client's, at the level where it waited or was picked last. */
typedef struct FairAccount {
    FairLevel *level; /* NULL: none yet */
    uint64_t used;
    FairEstimate estimate;
    uint32_t weight; /* 1..VM_WEIGHT_MAX */
} FairAccount;

/* fair_estimate_add() - a request took @usec */
void fair_estimate_add(FairEstimate *e, uint64_t usec);

/*
 * fair_begin() - a client without requests waiting at @level is about to have one
 *
 * What it has used beyond its share it owes here too. Returns the tag of the request.
 */
uint64_t fair_begin(FairAccount *a, FairLevel *level);

/* fair_next() - the same where it had one waiting a moment ago */
uint64_t fair_next(FairAccount *a, FairLevel *level);

/*
 * fair_charge() - a request of the client is picked
 * @tag: its own
 * @others: the estimate for a client of which nothing is known
 *
 * Returns what is charged, for fair_correct().
 */
uint64_t fair_charge(FairAccount *a, FairLevel *level, uint64_t tag, const FairEstimate *others);

/*
 * fair_correct() - a request is over
 * @charged: by fair_charge()
 * @usec: what it took
 */
void fair_correct(FairAccount *a, uint64_t charged, uint64_t usec);

/* fair_refund() - a request that was charged @charged has taken nothing, and will be picked again
 */
void fair_refund(FairAccount *a, uint64_t charged);

/* fair_idle() - nothing waits and nothing runs: what was used without a rival is not owed */
void fair_idle(FairLevel *level);

#endif
