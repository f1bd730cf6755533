/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What D-Bus can have done to a VM: each once, for the Manager's method that takes
 * a name and for the VM's own.
 */
#ifndef VGPU_VM_METHODS_H
#define VGPU_VM_METHODS_H

#include <systemd/sd-bus.h>

#include "bus-context.h"
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
void vm_method_refuse_registration(sd_bus_message *call, const VM *vm);
int vm_method_set_started(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* ---- What such handlers are made of ------------------------------------------------------- */

/*
 * vm_method_begin() - find the VM that a call is about, and ask whether the caller may
 *
 * Reads the name from a call of the Manager. Returns 1 with the VM; 0 when the handler is to
 * return 1 and wait; or a negative errno.
 */
int vm_method_begin(sd_bus_message *call, void *userdata, sd_bus_error *error, VM **ret);

/* vm_method_require_registered() - returns 0, or a negative errno with @error set */
int vm_method_require_registered(const VM *vm, sd_bus_error *error);

/* vm_method_log_settings() - a line in the journal for each setting that is another than @before */
void vm_method_log_settings(const BusContext *context, const VM *vm, const VMSettings *before);

/*
 * vm_method_conclude() - answer a call whose change is made
 * @r: 0, or the negative errno for which it could not be kept: then the answer is NotKept
 *
 * The result is the handler's.
 */
int vm_method_conclude(sd_bus_message *call, const char *name, int r, sd_bus_error *error);

#endif
