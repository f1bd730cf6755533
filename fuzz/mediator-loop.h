/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mediator's real loop in a fuzz target. It logs nothing: a line for each bad input would hide
 * everything else. */
#ifndef VGPU_FUZZ_MEDIATOR_LOOP_H
#define VGPU_FUZZ_MEDIATOR_LOOP_H

#include "manager.h"

/*
 * mediator_loop_new() - a mediator without configuration, bus and listening socket, whose pool has
 * found that there is no executor for it
 * @executor_socket: of the executors of sessions; NULL: there is none
 */
Manager *mediator_loop_new(const char *executor_socket);

/* mediator_loop_run() - until nothing is left to do at once */
void mediator_loop_run(Manager *m);

/*
 * mediator_loop_next_fd() - the lowest free descriptor
 *
 * It is higher than before if one was left open. What is known of processes is forgotten first, and
 * with it the descriptor that shows the end of this one.
 */
int mediator_loop_next_fd(Manager *m);

#endif
