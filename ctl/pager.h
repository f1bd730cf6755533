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
 * The pager is what SYSTEMD_PAGER or PAGER names, else less. There is none if standard output is
 * no terminal or a dumb one, or if the variable is empty or "cat". If vgpuctl runs with another
 * user's rights, the pager is less in its secure mode, unless SYSTEMD_PAGERSECURE says
 * otherwise.
 */
void pager_open(Pager *p);

/*
 * pager_close() - end the output to the pager, and wait until the user leaves it
 * @p: open
 *
 * Closes standard output. That the user left before the end is no failure. Returns 0, or a
 * negative errno after a line on standard error: the pager failed, and the user may not have
 * seen everything.
 */
int pager_close(Pager *p);

#endif
