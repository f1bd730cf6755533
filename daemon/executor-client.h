/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An executor as the mediator sees it: started, given requests, watched, killed when
 * told to, and started again with a growing pause when it ends. executor-protocol.h is
 * the language.
 */
#ifndef VGPU_EXECUTOR_CLIENT_H
#define VGPU_EXECUTOR_CLIENT_H

#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "executor-process.h"

typedef struct ExecutorClient ExecutorClient;

typedef enum ExecutorState {
    EXECUTOR_STARTING, /* the process runs and has not said HELLO */
    EXECUTOR_READY,
    EXECUTOR_ENDING,  /* killed or broken, not reaped yet */
    EXECUTOR_WAITING, /* no process; the next start is due later */
} ExecutorState;

/* How an executor ended, for the handler. */
typedef enum ExecutorEnd {
    EXECUTOR_END_STARTED, /* after it had been ready */
    EXECUTOR_END_START,   /* before; the next one may do better */
    EXECUTOR_END_UNABLE,  /* before: it says that it can't run here, or none could start for a while
                           */
} ExecutorEnd;

typedef struct ExecutorHandler {
    /* The executor takes requests from now on. */
    void (*on_ready)(void *userdata, const ExecutorHello *hello);
    /* @response passed vgpu_response_check(); @tag is whatever the executor says. Returns false
     * when it makes no sense: the executor is then ended. */
    bool (*on_response)(void *userdata, uint64_t tag, const void *response, uint32_t size);
    /* The same for a COMPUTE; @result is in range, whatever it means. */
    bool (*on_result)(void *userdata, uint64_t tag, const ExecutorResult *result);
    /* All answers that there were have been handled. */
    void (*on_round)(void *userdata);
    /* Is there anything to do but wait for the executor? */
    bool (*has_work)(void *userdata);
    /* The process is gone, and every request it had with it. */
    void (*on_end)(void *userdata, ExecutorEnd end);
} ExecutorHandler;

/*
 * executor_client_new() - start an executor on @event
 * @options: copied; the strings must outlive the client
 * @handler: must outlive the client; called from the event loop only
 *
 * A start that fails is tried again like an end. Returns 0, or a negative errno
 * when the event loop refuses.
 */
int executor_client_new(sd_event *event, const ExecutorOptions *options,
                        const ExecutorHandler *handler, void *userdata, ExecutorClient **ret);

/* executor_client_free() - end the process and forget it; no handler is called. NULL is fine */
ExecutorClient *executor_client_free(ExecutorClient *c);

ExecutorState executor_client_state(const ExecutorClient *c);

/* executor_client_pid() - of the process, or 0 without one */
pid_t executor_client_pid(const ExecutorClient *c);

/*
 * executor_client_begun() - when the execution of a request began, by what the executor wrote
 * @tag: as given to executor_client_submit()
 *
 * Also of the process that has ended, until the next one starts. Returns EXECUTOR_BEGUN_*, or
 * microseconds of CLOCK_MONOTONIC, which may be any number.
 */
uint64_t executor_client_begun(const ExecutorClient *c, uint64_t tag);

/* executor_client_restarts() - how often a process that had been ready was replaced */
uint64_t executor_client_restarts(const ExecutorClient *c);

/*
 * executor_client_submit() - give it a request
 * @request: passed vgpu_request_check()
 * @urgent: show it to the executor now; otherwise with others that follow in this
 *     round of the event loop
 *
 * The state must be EXECUTOR_READY. A failure ends the executor and reaches the
 * caller through on_end, so there is no result.
 */
void executor_client_submit(ExecutorClient *c, uint64_t tag, uint32_t priority, const void *request,
                            uint32_t size, bool urgent);

/*
 * executor_client_hold(), executor_client_release() - nothing is urgent in between
 *
 * For a caller that has several requests to give. Each hold needs its release. While the client
 * handles what the executor said, it holds by itself.
 */
void executor_client_hold(ExecutorClient *c);
void executor_client_release(ExecutorClient *c);

/* executor_client_flush() - show the executor what there is now, held or not */
void executor_client_flush(ExecutorClient *c);

/*
 * executor_client_add_window() - hand over a window for the COMPUTEs that follow
 * @id: in use for no other window
 * @fd: stays the caller's, who keeps it open until one of those is answered or on_end
 *
 * Goes out with the next request. The state must be EXECUTOR_READY. Returns 0 or -ENOMEM.
 */
int executor_client_add_window(ExecutorClient *c, uint32_t id, int fd);

/*
 * executor_client_remove_window() - take it back; no COMPUTE of it is in flight
 *
 * Does nothing while no executor is ready.
 */
void executor_client_remove_window(ExecutorClient *c, uint32_t id);

/*
 * executor_client_compute() - as executor_client_submit(), for an entry of a ring
 * @submission: passed vgpu_submission_check() for the window @window
 */
void executor_client_compute(ExecutorClient *c, uint64_t tag, uint32_t priority, uint32_t window,
                             const VGPUSubmission *submission, bool urgent);

/*
 * executor_client_replace() - end the process and start one with other options at once
 * @options: as in executor_client_new()
 */
void executor_client_replace(ExecutorClient *c, const ExecutorOptions *options);

/* executor_client_kill() - SIGKILL; on_end follows from the event loop */
void executor_client_kill(ExecutorClient *c);

#endif
