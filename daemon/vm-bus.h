/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VGPU_VM_BUS_H
#define VGPU_VM_BUS_H

#include <stdbool.h>

#include "vm.h"

/* vm_bus_announce() - tell the bus, where there is one, that a VM is new or about to go */
void vm_bus_announce(VM *vm, bool added);

#endif
