/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may call what. One table says which polkit action a member needs; a member
 * that is not in it is refused.
 *
 * Nothing here waits: a handler whose caller must be asked about first returns,
 * and runs again from the top when the verdict is there. It must look up
 * everything anew then.
 */
#ifndef VGPU_ACCESS_H
#define VGPU_ACCESS_H

#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

typedef struct Access Access;

/* Who calls, by the bus. */
typedef struct AccessCaller {
    uid_t uid;
    pid_t pid; /* 0: not known */
} AccessCaller;

/*
 * The calls that wait for a verdict.
 *
 * What one caller has in it takes no place from another: a few calls of each connection and user
 * wait for polkit, more are refused with LimitsExceeded. Root and the mediator's own user need no
 * such place.
 */
typedef struct AccessQueue {
    TAILQ_HEAD(, Access) list;
    sd_bus *questions; /* the connection that polkit and the bus are asked on; the owner's */
    AccessCaller caller;
} AccessQueue;

void access_queue_init(AccessQueue *queue);

/* access_queue_clear() - forget all questions */
void access_queue_clear(AccessQueue *queue);

/* access_action() - the action that a member needs, or NULL when it is not in the table */
const char *access_action(const char *interface, const char *member);

/*
 * access_check() - may the caller of this method call it?
 * @vm: the name of the VM it is about, for polkit's rules ("vm"), or NULL
 *
 * Root and the mediator's own user may. About others, polkit is asked.
 *
 * Returns 1 when it may, with the caller in @queue->caller until the handler returns; 0 when the
 * answer is to come: the handler then returns 1 at once, and is called again; or a negative errno,
 * with @error set, for the handler to return.
 */
int access_check(AccessQueue *queue, sd_bus_message *call, const char *vm, sd_bus_error *error);

#endif
