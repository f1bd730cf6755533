/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guests with a ring, connected to the mediator of service.h: what the tests of the ring share.
 * A failed expectation fails the test. */
#ifndef VGPU_TEST_RING_PEER_H
#define VGPU_TEST_RING_PEER_H

#include <sys/types.h>

#include "ring-guest.h"
#include "service.h"

#define RING_WINDOW (UINT64_C(1) << 20)
#define RING_SETUP_ID 71

/* ring_hello() - connect as an unregistered VM and say HELLO; returns the connection */
int ring_hello(uint32_t vm_id, uint8_t priority);

/* ring_up() - connect, and turn on a ring of @entries at the beginning of a new window */
int ring_up(RingGuest *g, uint32_t entries, uint32_t begin);

/* ring_again() - connect anew, with the ring as it is, and wait for RING_READY */
int ring_again(const RingGuest *g);

/* ring_down() - hang up, and let the guest go */
void ring_down(RingGuest *g, int fd);

/* expect_ready() - the next message is RING_READY with @error */
void expect_ready(int fd, uint32_t error);

/* ring_turn_on() - RING_SETUP on a connection that has none, and wait for RING_READY */
void ring_turn_on(const RingGuest *g, int fd);

/* ring_turn_off() - RING_OFF, and wait for RING_STOPPED */
void ring_turn_off(int fd);

/* ring_off(), expect_stopped() - RING_OFF, and its answer */
void ring_off(int fd);
void expect_stopped(int fd);

/* expect_completion() - the next completion has @status; returns it */
VGPUCompletion expect_completion(RingGuest *g, uint32_t status);

/* expect_tag() - the next completion is that of @tag, without an error */
void expect_tag(RingGuest *g, uint64_t tag);

/* expect_tags() - the same for the next @n completions, of the tags from @tag on */
void expect_tags(RingGuest *g, uint64_t tag, unsigned n);

/* ring_publish_nops() - publish @n entries that do nothing, tagged from @tag on. Returns
 * whether the doorbell was rung. */
bool ring_publish_nops(RingGuest *g, uint64_t tag, unsigned n);

/* expect_ring_works() - an entry that does nothing completes */
void expect_ring_works(RingGuest *g);

/* ring_wait_taken() - wait until the mediator has taken all that was published, and sleeps */
void ring_wait_taken(const RingGuest *g);

/* ring_wait_first_taken() - wait until the first entry of the ring is with an executor */
void ring_wait_first_taken(const RingGuest *g);

/* ring_cell() - an int64 of the window, by its index */
static inline int64_t *ring_cell(const RingGuest *g, uint64_t index)
{
    return (int64_t *) g->window + index;
}

/* count_fds() - how many descriptors a process has */
unsigned count_fds(pid_t pid);

#endif
