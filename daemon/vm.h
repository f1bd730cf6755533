/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM as the mediator knows it: its name and number, what it may use, what it
 * has in the queues, and its counters.
 *
 * A VM that nobody registered exists for as long as its connection does. Its
 * pool and priority are what its messages claim.
 */
#ifndef VGPU_VM_H
#define VGPU_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "log.h"
#include "scheduler.h"

typedef struct Connection Connection;
typedef struct Manager Manager;

/* What has happened to the requests of a VM or a pool. */
typedef struct Statistics {
    uint64_t submitted;         /* well-formed and queued */
    uint64_t completed;         /* answered with NONE */
    uint64_t failed;            /* queued, and answered with an error */
    uint64_t rejected;          /* never queued: malformed, no such pool, a queue full */
    uint64_t bytes_in;          /* of requests queued */
    uint64_t bytes_out;         /* of their responses */
    uint64_t wait_usec;         /* in the queue, over all that left it to run */
    uint64_t exec_usec;         /* on the device by its own measure, over all that completed */
    uint64_t last_request_usec; /* CLOCK_REALTIME of the last one queued; 0: none yet */
} Statistics;

typedef struct VM {
    TAILQ_ENTRY(VM) link;
    Manager *manager;
    char *name; /* unique */
    uint32_t id;
    uint8_t uuid[16];
    char pool;
    uint8_t priority;
    pid_t leader;           /* the peer's, by the kernel */
    Connection *connection; /* NULL when its peer is gone */
    SchedClient client;
    Statistics statistics;
    uint64_t log_window_usec; /* when the lines counted here began */
    unsigned log_lines;
} VM;

typedef TAILQ_HEAD(VMList, VM) VMList;

/*
 * vm_new() - a VM the manager knows from now on
 * @id: the number its device shows. The name is "vm<id>", with "-2", "-3", …
 *     behind it where that is taken.
 * @ret: owned by the manager; vm_free() ends it
 *
 * Returns 0 or -ENOMEM.
 */
int vm_new(Manager *manager, uint32_t id, char pool, uint8_t priority, VM **ret);

/* vm_free() - the manager forgets the VM. It must have nothing queued or running. NULL is fine */
VM *vm_free(VM *vm);

/* vm_find() - by name; NULL when there is none */
VM *vm_find(Manager *manager, const char *name);

/* vm_log_context() - for log_context(): which VM a line is about */
LogContext vm_log_context(const VM *vm);

/*
 * vm_may_log() - is there room for one more line about what this VM's guest did?
 *
 * Ten in half a minute: a guest must not fill the journal. Says once in each
 * half minute that lines are left out.
 */
bool vm_may_log(VM *vm);

#endif
