/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's PCI slot on the root bus, as text: in the domain's element and in the record. */
#ifndef VGPU_HOOKS_SLOT_H
#define VGPU_HOOKS_SLOT_H

/* What stands for a slot where there is none. */
enum {
    SLOT_ANY = -1,  /* nobody has said anything: the launcher chooses */
    SLOT_NONE = -2, /* the domain's state has no device */
};

/* The slots that the device may have. The machine's own devices are at the ends. */
#define SLOT_FIRST 2
#define SLOT_LAST 30

#define SLOT_TEXT_SIZE 8

/*
 * slot_parse() - "0x1e", as libvirt writes it, or "none"
 * @ret: SLOT_FIRST to SLOT_LAST, or SLOT_NONE
 *
 * Returns 0 or -EINVAL.
 */
int slot_parse(const char *text, int *ret);

/* slot_print() - the opposite, for all but SLOT_ANY; returns @buf */
const char *slot_print(int slot, char buf[static SLOT_TEXT_SIZE]);

#endif
