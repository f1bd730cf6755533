/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What D-Bus can have done to a VM: each once, for the Manager's method that takes
 * a name and for the VM's own.
 */
#ifndef VGPU_VM_METHODS_H
#define VGPU_VM_METHODS_H

#include <systemd/sd-bus.h>

#include "vm.h"

/*
 * Handlers for both vtables. On the Manager, userdata is the Manager and the first
 * argument a VM's name; on a VM, userdata is the VM.
 */
int vm_method_set_priority(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_set_pool(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_set_limits(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_pause(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_resume(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_quarantine(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_release(sd_bus_message *call, void *userdata, sd_bus_error *error);
int vm_method_unregister(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* For the VM's vtable alone. */
int vm_method_reset_statistics(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* For the Manager's alone. */
int vm_method_register(sd_bus_message *call, void *userdata, sd_bus_error *error);

#endif
