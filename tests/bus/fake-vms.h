/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stand-in for the mediator on the private bus, with VMs, pools and sessions that a test makes
 * up: an older or a newer one than ours, or one in a state that is hard to bring about. */
#ifndef VGPU_TEST_FAKE_VMS_H
#define VGPU_TEST_FAKE_VMS_H

#include <sys/types.h>

/* A property that differs from what the stand-in has by itself. */
typedef struct FakeProperty {
    const char *name;
    char type;        /* as on D-Bus: 's', 'o', 'b', 'u', 't', 'd'; 'T': a t that grows with time */
    const char *text; /* for 's' and 'o' */
    double number;    /* for the others; with 'T', µs a µs */
} FakeProperty;

#define FAKE_PROPERTIES_MAX 12

/* A VM, a pool, or a session, whose name is its number. Without a name, there are no more. */
typedef struct FakeObject {
    const char *name;
    FakeProperty properties[FAKE_PROPERTIES_MAX]; /* up to the first without a name */
} FakeObject;

typedef struct FakeVMs {
    pid_t pid;
    const FakeObject *sessions; /* to be set before the start; NULL: it knows nothing of sessions */
} FakeVMs;

/* fake_vms_start() - own the mediator's name until fake_vms_stop(). The arrays must
 * stay, and end with an object without a name */
void fake_vms_start(FakeVMs *m, const FakeObject *vms, const FakeObject *pools);
void fake_vms_stop(FakeVMs *m);

#endif
