/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the checks of vgpu selftest share. */
#ifndef VGPU_GUEST_SELFTEST_H
#define VGPU_GUEST_SELFTEST_H

#include <stdarg.h>

#include "command.h"
#include "vgpu.h"

typedef struct selftest {
    const options *options;
    vgpu_device *dev; /* locked */
    bool answers;     /* has the host answered a NOP? */
    bool failed;      /* has the running check failed? */
    const char *skip; /* why the running check could not be made, or NULL */
} selftest;

typedef struct check {
    const char *name;
    void (*run)(selftest *t);
    bool needs_host; /* does it need a host that answers? */
} check;

/* The checks, in the order in which they run; each array ends with a member without name. */
extern const check register_checks[];
extern const check request_checks[];
extern const check vector_checks[];
extern const check ring_checks[];

/* Read and write a register. The offset is a constant, so these cannot fail. */
uint32_t get(selftest *t, uint32_t offset);
void set(selftest *t, uint32_t offset, uint32_t value);

/* Fail the running check and say why. */
void fail(selftest *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fail the running check unless the register at @offset reads as @value. Returns whether it does.
 */
bool expect_register(selftest *t, uint32_t offset, uint32_t value, const char *when);

/* Fail the running check unless @result, of a call of the library, is @wanted. Returns whether it
 * is. */
bool expect_result(selftest *t, int result, int wanted, const char *what);

/* Wait until the device is not BUSY, and return STATUS. Fails the check at the time-out. */
uint32_t settle(selftest *t);

#endif
