/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attacks on the mediator of service.h, and what a good neighbour sees of them.
 *
 * An attacker is a process of its own and, where the test runs as root, of a user of its own: a
 * QEMU that its guest has taken over. The neighbour is the test. What is expected of it
 * is an order of events, or a number of lines and bytes, so that it holds on a machine with other
 * work.
 */
#ifndef VGPU_TEST_ATTACK_H
#define VGPU_TEST_ATTACK_H

#include <signal.h>
#include <stdint.h>

#include "service.h"

/* What an attacker and the test tell each other */
typedef struct Attack {
    pid_t pid;
    sig_atomic_t volatile ready; /* its preparations are over */
    uint64_t rounds;             /* of attack_repeat(), so far */
} Attack;

/* attack_setup() - a set-up: the mediator with this mediator.conf, its socket open to every user */
int attack_setup(void **state);

/* attack_teardown() - in a teardown: end an attack that a failed test has left */
int attack_teardown(void **state);

/* attack_stop() - a teardown: that, and the end of the mediator */
int attack_stop(void **state);

/*
 * attack_start() - run @attack in an attacker
 *
 * It sets ready when there is something to see, and then goes on until it is ended. The
 * attacker shares its Attack with the test. Waits until it is ready. To be ended with
 * attack_end(), before another.
 */
Attack *attack_start(void (*attack)(Attack *a));

/* attack_repeat() - the same for an attack that consists of rounds */
Attack *attack_repeat(void (*round)(void));

void attack_end(Attack *a);

/* attack_dial() - connect as an attacker; negative when the mediator will not have it */
int attack_dial(void);

/* attack_send() - send all of it, or as much as there is room for in a tenth of a second */
void attack_send(int fd, const void *bytes, size_t size);

/*
 * attack_make_lingering() - a TCP connection that is full: its last close() waits for a day that
 *     somebody reads
 *
 * The process that ends does not wait for what it closes. So an attacker sends it from one, and the
 * other side has the last one.
 */
int attack_make_lingering(void);

/* neighbour_works() - additions over @fd for @seconds, each of which has to be right */
void neighbour_works(int fd, double seconds);

/* mediator_lines() - how many lines the mediator has logged */
unsigned mediator_lines(void);

/* memory_kib() - the memory of a process that is not of a file, in KiB */
unsigned memory_kib(pid_t pid);

/* available() - the bytes that can be read from @fd now */
unsigned available(int fd);

/* UNDER_ATTACK() - a test that has a mediator of its own, with this mediator.conf */
#define UNDER_ATTACK(config, test)                                \
    {                                                             \
#test, test, attack_setup, attack_stop, (void *) (config) \
    }

#endif
