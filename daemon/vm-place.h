/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where processes run that are together one VM: in a unit of systemd, or in a machine that
 * systemd-machined knows, which is mostly a container.
 */
#ifndef VGPU_VM_PLACE_H
#define VGPU_VM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#define VM_PLACE_NAME_SIZE 256u /* with the 0: systemd's own limit */

typedef enum VMPlaceKind {
    VM_PLACE_NONE, /* it is a machine with a device */
    VM_PLACE_UNIT,
    VM_PLACE_MACHINE,
} VMPlaceKind;

typedef struct VMPlace {
    VMPlaceKind kind;
    char name[VM_PLACE_NAME_SIZE]; /* "" with NONE */
} VMPlace;

/* vm_place_set() - returns false when the name is not of a service or a scope, or of a machine */
bool vm_place_set(VMPlace *place, VMPlaceKind kind, const char *name);

/* vm_place_is() - is it this one? */
bool vm_place_is(const VMPlace *place, VMPlaceKind kind, const char *name);

/* vm_place_name() - its name if it is of this kind, or ""; lives as long as @place */
const char *vm_place_name(const VMPlace *place, VMPlaceKind kind);

/* vm_place_uuid() - the UUID of the VM that has no other: the same for the same place */
void vm_place_uuid(const VMPlace *place, uint8_t ret[16]);

#endif
