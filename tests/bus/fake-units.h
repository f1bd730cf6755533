/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stand-in for systemd: a process on the private bus that says which unit a process is in. */
#ifndef VGPU_TEST_FAKE_UNITS_H
#define VGPU_TEST_FAKE_UNITS_H

#define FAKE_UNITS_UNIT "my-app@1.service"
#define FAKE_UNITS_PATH "/org/freedesktop/systemd1/unit/my_2dapp_401_2eservice"

/* What it says; to be changed while it runs */
typedef struct FakeUnits {
    char path[128];  /* of the unit that every process is in, FAKE_UNITS_PATH at first; "": none */
    char error[128]; /* instead; "": none */
} FakeUnits;

extern FakeUnits *fake_units;

/* fake_units_start() - returns when the name is owned */
void fake_units_start(void);

/* fake_units_stop() */
void fake_units_stop(void);

#endif
