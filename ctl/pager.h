/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_CTL_PAGER_H
#define VGPU_CTL_PAGER_H

#include <sys/types.h>

typedef struct Pager {
    pid_t pid; /* 0: none */
} Pager;

/*
 * pager_open() - let standard output go through a pager
 *
 * That of SYSTEMD_PAGER or PAGER, else less; none where standard output is no
 * terminal, or a dumb one, or the variable is empty or "cat". Where vgpuctl runs
 * with another's rights it is less in its secure mode; SYSTEMD_PAGERSECURE decides
 * otherwise.
 */
void pager_open(Pager *p);

/* pager_close() - if there is one: end of output; waits until the user has left it */
void pager_close(Pager *p);

#endif
