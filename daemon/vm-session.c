/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "closer.h"
#include "container-of.h"
#include "session-start.h"
#include "session-text.h"
#include "session-turns.h"
#include "vgpu-ring.h"
#include "vgpu-session.h"

#define CUDA_ERROR_LAUNCH_TIMEOUT 702u

/* ---- What it counts ------------------------------------------------------------------------ */

const SessionFigures *session_figures(Session *s)
{
    session_figures_read(&s->figures, s->control, s->memory_max, now_usec() - s->began_usec);
    return &s->figures;
}

/* What it has may be more than the VM may have now, but not more than it might have. */
static void session_see_memory_max(Session *s)
{
    const uint64_t max = s->vm->settings.session_memory_max;

    if (max == 0)
        s->memory_max = UINT64_MAX;
    else if (max > s->memory_max)
        s->memory_max = max;
}

static void session_on_usage(VMUser *u, VMUsage *ret)
{
    const SessionFigures *f = session_figures(CONTAINER_OF(u, Session, user));

    *ret = (VMUsage){
        .memory = f->memory,
        .device_usec = f->device_usec,
        .launches = f->launches,
        .bytes_to_device = f->bytes_to_device,
        .bytes_from_device = f->bytes_from_device,
    };
}

pid_t session_executor(const Session *s)
{
    return session_process_pid(s->process);
}

/* ---- The end ------------------------------------------------------------------------------- */

void session_end(Session *s, SessionReason reason)
{
    if (s->state == SESSION_ENDING)
        return;

    s->state = SESSION_ENDING;
    s->reason = reason;
    session_close_kept(s);
    if (s->error == VGPU_ERROR_NONE)
        s->error = session_reason_error(reason);
    if (s->vm)
        session_shares_end(&s->vm->shares, s);
    session_process_end(s->process);
    s->ops->changed(s, s->userdata);
}

void session_close(Session *s, uint32_t request_id)
{
    s->close_id = request_id;
    s->n_closes++;
    session_end(s, SESSION_CLOSED);
}

void session_abandon(Session *s)
{
    if (!s)
        return;

    *s->owner = NULL;
    s->owner = NULL;
    session_end(s, SESSION_HUNG_UP);
    /* Nobody writes a line about a VM that goes with its device, when that is gone. */
    if (!s->vm->registered) {
        (void) session_figures(s);
        session_log_end(s, "");
    }
}

static void session_on_vm_changed(VMWatcher *w)
{
    Session *s = CONTAINER_OF(w, Session, watcher);

    if (s->vm->quarantined)
        session_end(s, SESSION_QUARANTINED);
    session_see_memory_max(s);
    (void) session_update_gate(s);
}

static void session_forget_vm(Session *s)
{
    vm_unwatch(&s->watcher);
    vm_end_use(&s->user);
    s->vm = NULL;
    session_turns_update(s);
}

/* ---- What the executor says ---------------------------------------------------------------- */

static void session_send_ready(const Session *s, uint32_t error, uint32_t cuda_result)
{
    const VGPUSessionReady ready = {.ring = s->ring, .error = error, .cuda_result = cuda_result};

    if (s->owner)
        vm_send_by(s->vm, s->connection, VGPU_MSG_SESSION_READY, s->open_id, &ready, sizeof(ready));
}

static void session_fail_cuda(Session *s, uint32_t cuda_result)
{
    s->error = VGPU_ERROR_CUDA_ERROR;
    s->cuda_result = cuda_result;
}

static void session_refuse(Session *s, const SessionStarted *m)
{
    switch (m->error) {
    case -ENODEV:
    case -EIO:
        session_fail_cuda(s, m->cuda_result ? m->cuda_result : VGPU_CUDA_RESULT_NO_DEVICE);
        break;
    case -EINVAL:
    case -ERANGE:
    case -EPROTO:
    case -EBADMSG:
        s->error = VGPU_ERROR_INVALID_REQUEST;
        break;
    default:
        break;
    }
    s->executor_error = m->error;
    session_end(s, SESSION_REFUSED);
}

static void session_on_started(void *userdata, const SessionStarted *m)
{
    Session *s = userdata;

    session_close_kept(s);

    s->guest_pid = m->guest_pid;
    session_make_printable(s->command, m->command);
    if (s->state != SESSION_STARTING)
        return;
    if (m->error != 0) {
        session_refuse(s, m);
        return;
    }

    s->state = SESSION_OPEN;
    s->was_open = true;
    session_log_open(s);
    session_send_ready(s, VGPU_ERROR_NONE, 0);
    s->ops->changed(s, s->userdata);
}

static SessionReason session_reason(uint32_t ended)
{
    switch (ended) {
    case SESSION_END_VIOLATION:
        return SESSION_VIOLATION;
    case SESSION_END_KERNEL_TIMEOUT:
        return SESSION_KERNEL_TIMEOUT;
    case SESSION_END_WINDOW_LOST:
        return SESSION_WINDOW_LOST;
    case SESSION_END_HANGUP:
        return SESSION_CLOSED;
    default:
        return SESSION_FAILED;
    }
}

static void session_on_ended(void *userdata, const SessionEnded *m)
{
    SessionReason reason = session_reason(m->reason);
    Session *s = userdata;

    s->sticky = m->cuda_result;
    s->timed_out = reason == SESSION_KERNEL_TIMEOUT;
    if (s->state == SESSION_ENDING)
        return;
    if (m->cuda_result != 0 || reason == SESSION_KERNEL_TIMEOUT)
        session_fail_cuda(s, m->cuda_result ? m->cuda_result : CUDA_ERROR_LAUNCH_TIMEOUT);
    session_end(s, reason);
}

/* Returns the answer's descriptor, which stays the table's; -1: none. */
static int session_answer_share(Session *s, const SessionShareMessage *m, int *fd,
                                SessionShareMessage *ret)
{
    SessionShares *shares = &s->vm->shares;
    int answer_fd = -1;

    *ret = (SessionShareMessage){.kind = m->kind};
    if (m->type == SESSION_MSG_TAKE) {
        ret->type = SESSION_MSG_TAKEN;
        ret->error = session_shares_find(shares, m, ret, &answer_fd);
        return answer_fd;
    }
    ret->type = SESSION_MSG_SHARED;
    if (m->kind == SESSION_SHARE_PHYSICAL && *fd < 0)
        ret->error = -EMFILE;
    else
        ret->error = session_shares_add(shares, s, m, TAKE_FD(*fd), ret->token);
    return -1;
}

static void session_on_share(void *userdata, const SessionShareMessage *m, int *fd)
{
    SessionShareMessage answer;
    Session *s = userdata;
    int answer_fd;

    if (s->state != SESSION_OPEN || !s->vm)
        return;
    if (m->type == SESSION_MSG_UNSHARE) {
        session_shares_remove(&s->vm->shares, s, m->token);
        return;
    }
    answer_fd = session_answer_share(s, m, fd, &answer);
    session_process_answer(s->process, &answer, answer_fd);
}

/* One whose executor ended without a word. */
static SessionReason session_reason_of_fate(SessionProcessFate fate)
{
    return fate == SESSION_PROCESS_START_LATE ? SESSION_START_LATE : SESSION_DIED;
}

static bool session_is_fault(const Session *s)
{
    if (s->timed_out || s->sticky != 0 || s->figures.sticky != 0)
        return true;
    return session_reason_is_fault(s->reason) && s->was_open;
}

static void session_answer_end(const Session *s)
{
    const VGPUSessionRing ring = {.ring = s->ring};

    if (s->n_closes == 0)
        session_send_ready(s, s->error, s->cuda_result);
    for (uint32_t i = 0; i < s->n_closes && s->owner; i++)
        vm_send_by(s->vm, s->connection, VGPU_MSG_SESSION_CLOSED, s->close_id, &ring, sizeof(ring));
}

static void session_count_fault(Session *s, VM *vm)
{
    bool fault = session_is_fault(s);

    if (fault || s->reason == SESSION_VIOLATION)
        vm->session_faults++;
    if (fault)
        s->ops->fault(vm, s->userdata);
}

/* Its device is gone before, and with that it ends. Nobody will look at it later for what it has
 * done so far; a VM that nobody registered is its process, which may come back. */
static void session_on_vm_gone(VMUser *u)
{
    Session *s = CONTAINER_OF(u, Session, user);
    VM *vm = s->vm;

    session_end(s, SESSION_HUNG_UP);
    (void) session_figures(s);
    session_log_end(s, "");
    session_forget_vm(s);
    if (vm->process)
        session_count_fault(s, vm);
    s->lost_vm = true;
    s->ops->lost_vm(s, s->userdata);
}

static const SessionProcessHandler session_handler;

/* A spare may have ended before it heard of the session. Returns whether it has another executor.
 */
static bool session_restart(Session *s, const char *text)
{
    LogContext context = session_log_context(s);
    SessionProcess *process;

    if (s->kept.control < 0 || s->ops->start(&process, s->userdata) < 0)
        return false;
    /* What the other one may have written */
    session_reset_pages(s);
    if (session_send_start(s, process) < 0) {
        session_process_free(process);
        return false;
    }
    log_context(LOG_INFO, &context,
                "the executor that waited for CUDA session %u of ring %u %s, and it gets another",
                s->id, s->ring, text);
    session_close_kept(s);
    session_process_free(s->process);
    session_process_set_handler(process, &session_handler, s);
    s->process = process;
    return true;
}

static void session_on_gone(void *userdata, SessionProcessFate fate, const char *text)
{
    Session *s = userdata;
    VM *vm = s->vm;
    char detail[120];

    if (fate == SESSION_PROCESS_UNABLE && s->state == SESSION_STARTING && vm &&
        session_restart(s, text))
        return;
    session_end(s, session_reason_of_fate(fate));
    session_turns_leave(s);
    session_close_account(s); /* before the guest hears of it */
    if (vm) {
        (void) session_figures(s);
        session_describe_end(s, fate, text, detail, sizeof(detail));
        session_log_end(s, detail);
        session_answer_end(s);
        session_forget_vm(s);
        session_count_fault(s, vm);
    }
    if (s->owner)
        *s->owner = NULL;
    s->owner = NULL;
    s->ops->over(s, s->userdata);
}

/* One that once took part may still say what it was asked for then. */
static bool session_on_control(void *userdata)
{
    Session *s = userdata;

    session_turns_see(s);
    return s->turn.client != NULL;
}

static const SessionProcessHandler session_handler = {
    .on_started = session_on_started,
    .on_changed = session_on_control,
    .on_ended = session_on_ended,
    .on_share = session_on_share,
    .on_gone = session_on_gone,
};

/* ---- The beginning --------------------------------------------------------------------------- */

static void session_freep(Session **s)
{
    session_free(*s);
}

int session_new(const SessionOptions *o, VM *vm, Pool *pool, SessionProcess *process,
                Window *window, const SessionOps *ops, void *userdata, Session **owner,
                Session **ret)
{
    CLEANUP(session_freep) Session *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    *s = (Session){
        .ops = ops,
        .userdata = userdata,
        .id = o->id,
        .ring = o->ring,
        .vm = vm,
        .connection = o->connection,
        .pool = pool,
        .start_usec = clock_usec(CLOCK_REALTIME),
        .began_usec = now_usec(),
        .window = window,
        .kept = {.doorbell = -1, .interrupt = -1, .control = -1},
        .gate = -1,
        .signaller = o->signaller,
        .turns = o->turns,
        .watcher.changed = session_on_vm_changed,
        .user = {.usage = session_on_usage, .gone = session_on_vm_gone},
        .open_id = o->request_id,
    };
    snprintf(s->device, sizeof(s->device), "%s", o->device);
    session_see_memory_max(s);
    r = session_start(s, o, process);
    s->window = r < 0 ? NULL : window; /* the caller's, unless there is a session */
    if (r < 0)
        return r;

    session_process_set_handler(process, &session_handler, s);
    s->process = process;
    s->owner = owner;
    *owner = s;
    vm_watch(vm, &s->watcher);
    vm_use(vm, &s->user);
    *ret = TAKE_PTR(s);
    return 0;
}

Session *session_free(Session *s)
{
    if (!s)
        return NULL;

    if (s->process && s->vm) {
        (void) session_figures(s);
        session_log_end(s, "");
    }
    if (s->vm)
        session_shares_end(&s->vm->shares, s);
    session_process_free(s->process);
    session_turns_leave(s);
    vm_unwatch(&s->watcher);
    vm_end_use(&s->user);
    if (s->owner)
        *s->owner = NULL;
    window_unref(s->window);
    session_close_pages(s);
    free(s);
    return NULL;
}
