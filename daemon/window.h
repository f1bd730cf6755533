/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM's data window: the memfd that its device handed over, mapped here, and
 * handed on to the executors that compute in it.
 *
 * A device hands the same memfd over again for its next ring. That is a Window of
 * its own all the same: inode numbers of memfds repeat in the end, and must not
 * decide who gets at whose memory. They only say what to wait for.
 */
#ifndef VGPU_WINDOW_H
#define VGPU_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "memory-guard.h"

typedef struct ExecutorClient ExecutorClient;
typedef struct Manager Manager;

typedef struct Window {
    TAILQ_ENTRY(Window) link;
    Manager *manager;
    unsigned n_references;
    int fd;
    dev_t device;
    ino_t inode;
    uint64_t size;
    void *memory;
    MemoryGuard guard;
    uint32_t id;        /* to executors */
    uint32_t executors; /* bit i: the executor of pool 'A' + i has it */
    unsigned n_running; /* requests that executors compute in it */
} Window;

typedef TAILQ_HEAD(WindowList, Window) WindowList;

/*
 * window_open() - the window in a memfd
 * @fd: taken over, also on failure. Gets sealed against growing and further seals
 * @ret: a reference
 *
 * Returns NULL, or a static string that says why it cannot be used.
 */
const char *window_open(Manager *manager, int fd, Window **ret);

Window *window_ref(Window *w);

/*
 * window_unref() - NULL is fine
 *
 * The last one unmaps it and takes it from the executors. A request that runs has one, so
 * nothing runs in it then.
 */
Window *window_unref(Window *w);

/* window_begin() - a request is about to run in it on the executor of pool @name */
void window_begin(Window *w, char name, ExecutorClient *executor);

/* window_end() - it does not run any more; lanes that wait for that may go on */
void window_end(Window *w);

/* window_is_quiet() - does no executor compute in this memfd, for whatever ring? */
bool window_is_quiet(const Window *w);

/* window_is_lost() - has the VM taken memory of it away? Then what is mapped here are zeros. */
bool window_is_lost(const Window *w);

/* window_forget_executor() - the executor of pool @name ended, and had every window it had */
void window_forget_executor(Manager *manager, char name);

#endif
