/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-start.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "closer.h"
#include "session-gate.h"
#include "session-turns.h"
#include "vgpu-session.h"

/* Bytes of images: those of the largest libraries, some times over. */
#define IMAGES_MAX (UINT64_C(16) << 30)

/* ---- What session and executor share --------------------------------------------------------- */

void session_close_kept(Session *s)
{
    int *fds[] = {&s->kept.doorbell, &s->kept.interrupt, &s->kept.control};

    for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
        closer_close(*fds[i]);
        *fds[i] = -1;
    }
}

void session_close_account(Session *s)
{
    if (s->account)
        memory_account_give_slot(s->account, s->account_slot);
    s->account = memory_account_unref(s->account);
}

void session_reset_pages(Session *s)
{
    memset(&s->control->running, 0, sizeof(*s->control) - offsetof(SessionControl, running));
    memory_account_give_slot(s->account, s->account_slot);
    (void) memory_account_take_slot(s->account, &s->account_slot); /* there is one now */
}

void session_close_pages(Session *s)
{
    session_close_account(s);
    session_close_kept(s);
    if (s->control)
        (void) munmap(s->control, sizeof(*s->control));
    if (s->gate >= 0)
        close(s->gate);
}

/* ---- The gate ------------------------------------------------------------------------------ */

int session_update_gate(Session *s)
{
    bool has_turns = s->vm && s->pool->config.sharing == POOL_SHARING_TURNS;

    if (has_turns && !s->turns_device)
        return session_turns_enter(s->turns, s);
    if (s->turns_device && s->pool->config.sharing != POOL_SHARING_TURNS)
        session_turns_leave(s);
    if (s->turns_device) {
        session_turns_update(s);
        return 0;
    }
    __atomic_store_n(&s->control->ahead_usec, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->control->tell, 0, __ATOMIC_RELAXED);
    session_set_gate(s, s->vm && !s->vm->paused && !s->pool->queue.scheduler.held);
    return 0;
}

/* ---- START ------------------------------------------------------------------------------------
 */

/* Returns the memfd of the control page, or a negative errno. */
static int session_make_control(Session *s)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    CLEANUP_CLOSE int fd = memfd_create("vgpu-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *page;

    if (fd < 0 || ftruncate(fd, sizeof(SessionControl)) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
        return -errno;
    page = mmap(NULL, sizeof(SessionControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;

    s->control = page;
    s->gate = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return s->gate < 0 ? -errno : TAKE_FD(fd);
}

/* START, with what is kept. */
int session_send_start(Session *s, SessionProcess *process)
{
    const PoolConfig *config = &s->pool->config;
    SessionStart start = {
        .type = SESSION_MSG_START,
        .offset = s->kept.offset,
        .images_max = IMAGES_MAX,
        .kernel_timeout_usec = config->kernel_timeout_usec,
        .objects_max = VGPU_SESSION_ID_MAX,
        .busy_poll_usec = config->busy_poll_usec,
        .account_slot = s->account_slot,
    };
    int fds[SESSION_N_FDS];

    snprintf(start.device, sizeof(start.device), "%s", s->device);
    snprintf(start.name, sizeof(start.name), "session %u, ring %u of %.32s", s->id, s->ring,
             s->vm->name);
    fds[SESSION_FD_WINDOW] = s->window->fd;
    fds[SESSION_FD_DOORBELL] = s->kept.doorbell;
    fds[SESSION_FD_INTERRUPT] = s->kept.interrupt;
    fds[SESSION_FD_CONTROL] = s->kept.control;
    fds[SESSION_FD_GATE] = s->gate;
    fds[SESSION_FD_ACCOUNT] = s->account->fd;
    return session_process_begin(process, &start, fds);
}

static int session_keep(Session *s, const SessionOptions *o)
{
    s->kept.offset = o->offset;
    s->kept.control = session_make_control(s);
    if (s->kept.control < 0)
        return s->kept.control;
    s->kept.doorbell = fcntl(o->doorbell, F_DUPFD_CLOEXEC, 0);
    s->kept.interrupt = fcntl(o->interrupt, F_DUPFD_CLOEXEC, 0);
    return s->kept.doorbell < 0 || s->kept.interrupt < 0 ? -errno : 0;
}

static int session_open_account(Session *s)
{
    MemoryAccount *account;
    int r = vm_account(s->vm, &account);

    if (r >= 0)
        r = memory_account_take_slot(account, &s->account_slot);
    if (r >= 0)
        s->account = memory_account_ref(account);
    return r;
}

int session_start(Session *s, const SessionOptions *o, SessionProcess *process)
{
    int r = session_open_account(s);

    if (r >= 0)
        r = session_keep(s, o);
    if (r < 0)
        return r;
    r = session_update_gate(s);
    if (r < 0)
        return r;
    r = session_send_start(s, process);
    if (!o->is_spare)
        session_close_kept(s);
    return r;
}
