/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stand-in for the mediator on the private bus, with VMs and pools that a test makes up: an older
 * or a newer one than ours, or one in a state that is hard to bring about. */
#ifndef VGPU_TEST_FAKE_VMS_H
#define VGPU_TEST_FAKE_VMS_H

#include <sys/types.h>

/* A property that differs from what the stand-in has by itself. */
typedef struct FakeProperty {
    const char *name;
    char type;        /* as on D-Bus: 's', 'b', 'u', 't', 'd'; 'T': a t that grows with time */
    const char *text; /* for 's' */
    double number;    /* for the others; with 'T', µs a µs */
} FakeProperty;

#define FAKE_PROPERTIES_MAX 8

/* A VM or a pool. Without a name, there are no more. */
typedef struct FakeObject {
    const char *name;
    FakeProperty properties[FAKE_PROPERTIES_MAX]; /* up to the first without a name */
} FakeObject;

typedef struct FakeVMs {
    pid_t pid;
} FakeVMs;

/* fake_vms_start() - own the mediator's name until fake_vms_stop(). The arrays must
 * stay, and end with an object without a name */
void fake_vms_start(FakeVMs *m, const FakeObject *vms, const FakeObject *pools);
void fake_vms_stop(FakeVMs *m);

#endif
