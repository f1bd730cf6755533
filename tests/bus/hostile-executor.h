/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hostile-executor does when one of these is to be added to something */
#ifndef VGPU_TEST_HOSTILE_EXECUTOR_H
#define VGPU_TEST_HOSTILE_EXECUTOR_H

#define HOSTILE_LONG_USEC 2000000u

enum {
    HOSTILE_DIE = 666001,       /* begins, and dies of it */
    HOSTILE_TAKE_LONG = 666002, /* begins, and answers after HOSTILE_LONG_USEC */
    HOSTILE_HANG_LATE = 666003, /* begins after HOSTILE_LONG_USEC, and never answers */
};

#endif
