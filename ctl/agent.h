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
 * Does nothing when it runs already, for root, and where standard input is no
 * terminal. Without an agent polkit refuses, and that is the error to see; so
 * there is none here.
 */
void agent_start(Agent *a);

/* agent_stop() - end it, if it runs, and wait until the terminal is ours again */
void agent_stop(Agent *a);

#endif
