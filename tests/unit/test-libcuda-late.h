/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_TEST_LIBCUDA_LATE_H
#define VGPU_TEST_LIBCUDA_LATE_H

/* What is called last; or NULL */
extern void (*late_call)(void);

#endif
