/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* polkit's text agent, which asks for a password on the terminal. */
#ifndef VGPU_CTL_AGENT_H
#define VGPU_CTL_AGENT_H

#include <sys/types.h>

typedef struct Agent {
    pid_t pid; /* 0: none */
} Agent;

/*
 * agent_start() - run pkttyagent and wait until it serves
 *
 * Does nothing if it runs already, for root, and if standard input is no terminal. A failure is
 * not reported here: without an agent polkit refuses, and that is the error that the user sees.
 */
void agent_start(Agent *a);

/* agent_stop() - end the agent, if it runs, and wait until it has left the terminal */
void agent_stop(Agent *a);

#endif
