/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mediator of the test's own: it runs in a temporary directory, has its socket there, and
 * ends with the test. */
#ifndef VGPU_TEST_MEDIATOR_H
#define VGPU_TEST_MEDIATOR_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct TestMediator {
    char directory[64];
    char socket[96];
    char config[96];
    char log[96]; /* its standard error */
    char runtime[96];
    char state[96];
    pid_t pid;
} TestMediator;

/*
 * test_mediator_start() - run it with a configuration, and wait until it serves
 * @config: the text of mediator.conf
 * @bus: for --bus
 *
 * The programs are those of the environment: VGPU_MEDIATORD, VGPU_EXECUTOR. VGPU_TEST_PRELOAD names
 * a library to preload into them. Returns 0, or a negative errno with a word on standard error.
 */
int test_mediator_start(TestMediator *m, const char *config, const char *bus);

/* test_mediator_run() - start it again, after it ended, with the same files */
int test_mediator_run(TestMediator *m, const char *bus);

/* test_mediator_signal_and_wait() - send @signal and wait for the end. Returns the exit status,
 * or 128 plus the signal that ended the process. */
int test_mediator_signal_and_wait(TestMediator *m, int signal);

/* test_mediator_stop() - send SIGTERM, wait, and remove the directory. Returns as above. */
int test_mediator_stop(TestMediator *m);

/* test_mediator_log() - all that it has logged so far; to be freed */
char *test_mediator_log(const TestMediator *m);

/* test_mediator_wait_log() - wait until the log holds @text. Returns 0 or -ETIMEDOUT. */
int test_mediator_wait_log(const TestMediator *m, const char *text);

/* test_mediator_executor() - the PID of its first child, or 0 */
pid_t test_mediator_executor(const TestMediator *m);

/*
 * test_process_stop() - SIGSTOP, and wait until it has come to rest
 *
 * One that runs at this moment could take another request first. False when it is gone.
 */
bool test_process_stop(pid_t pid);

#endif
