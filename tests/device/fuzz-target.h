/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine, what a hostile guest does to it, and the mediator beside it. */
#ifndef VGPU_TEST_FUZZ_TARGET_H
#define VGPU_TEST_FUZZ_TARGET_H

#include "device-ring.h"
#include "fuzz-input.h"
#include "hostile-mediator.h"

typedef struct Target {
    Device device;
    HostileMediator mediator;
    bool stopped;
} Target;

/* target_open() - a machine with one device of these properties; never returns NULL */
Target *target_open(const char *options);

/* target_close() - takes NULL, too */
void target_close(Target *t);

void target_set_stopped(Target *t, bool stopped);

/* target_system_reset() - does nothing to a stopped machine */
void target_system_reset(Target *t);

/* target_synchronize() - lets QEMU's main loop look at everything that has been sent to it */
void target_synchronize(Target *t);

/* target_write_config() - writes any word of the configuration space */
void target_write_config(Target *t, FuzzInput *in);

/* target_access_registers() - stores or loads anywhere in BAR0 */
void target_access_registers(Target *t, FuzzInput *in, bool store);

/* target_access_extension() - stores to the ring's registers */
void target_access_extension(Target *t, FuzzInput *in);

/* target_access_other_bars() - the window, and the table of MSI-X vectors, which may name any
 * address */
void target_access_other_bars(Target *t, FuzzInput *in);

/* target_switch_msix() - switches MSI-X on more often than off */
void target_switch_msix(Target *t, FuzzInput *in);

/* target_fill_request() - writes to the beginning of the request buffer */
void target_fill_request(Target *t, FuzzInput *in);

/* target_start_ring() - turns the ring on, mostly where one can lie */
void target_start_ring(Target *t, FuzzInput *in);

/* target_access_session() - stores to the registers of any ring for sessions, or to its doorbell;
 * target_start_session() - turns one on, mostly where it can lie */
void target_access_session(Target *t, FuzzInput *in);
void target_start_session(Target *t, FuzzInput *in);

/* target_bring_up_sessions() - makes what seldom comes about by chance: three that are on */
void target_bring_up_sessions(Target *t);

/* target_bring_up_ring() - makes what seldom comes about by chance: a ring that is on */
void target_bring_up_ring(Target *t);

#endif
