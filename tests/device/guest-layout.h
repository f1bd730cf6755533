/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guest.S and guest.c must agree about. The assembler reads this, too. */
#ifndef VGPU_TEST_GUEST_LAYOUT_H
#define VGPU_TEST_GUEST_LAYOUT_H

/* Interrupts. A higher number is more urgent, so when the guest has taken a kick, it has taken all
 * interrupts that came before it. */
#define GUEST_KICK 0x30
#define GUEST_VECTOR 0x40 /* and the next number */

#define GUEST_APIC 0xfee00000

#define GUEST_FIRMWARE_SIZE 4096

/* GuestState in RAM */
#define GUEST_STATE 0x1000
#define GUEST_STARTS GUEST_STATE
#define GUEST_INTERRUPTS (GUEST_STATE + 4)
#define GUEST_KICKS (GUEST_STATE + 12)
#define GUEST_ADDRESS (GUEST_STATE + 16)
#define GUEST_WRITES (GUEST_STATE + 20)

#endif
