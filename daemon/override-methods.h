/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus: what VMs are configured with, what an administrator made last on top of it, and how that
 * is taken back. As in vm-methods.h, each is there for the Manager's method and for the VM's.
 */
#ifndef VGPU_OVERRIDE_METHODS_H
#define VGPU_OVERRIDE_METHODS_H

#include <systemd/sd-bus.h>

int override_method_configure(sd_bus_message *call, void *userdata, sd_bus_error *error);
int override_method_revert(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* For the Manager's vtable alone. */
int override_method_list(sd_bus_message *call, void *userdata, sd_bus_error *error);

#endif
