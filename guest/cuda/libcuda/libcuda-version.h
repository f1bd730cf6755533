/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_LIBCUDA_VERSION_H
#define VGPU_LIBCUDA_VERSION_H

#include <stdint.h>

/* The newest version whose functions and tables the libcuda.so.1 for guests knows. A runtime
 * refuses a driver that is older than itself; one that says more than it can do makes a runtime
 * call what is not there. */
#define LIBCUDA_VERSION 13000

/* libcuda_version_of() - what it says on a host whose driver has that one */
static inline int libcuda_version_of(uint32_t driver)
{
    return driver < LIBCUDA_VERSION ? (int) driver : LIBCUDA_VERSION;
}

#endif
