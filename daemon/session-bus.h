/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions on D-Bus: their objects, and what the Manager says of them */
#ifndef VGPU_SESSION_BUS_H
#define VGPU_SESSION_BUS_H

#include "bus-context.h"

/* session_bus_add_objects() - returns 0 or a negative errno */
int session_bus_add_objects(BusContext *context, sd_bus *bus);

/* session_bus_append_all() - append the objects of a VM's sessions to the answer at hand, of
 * GetManagedObjects. Returns 0 or a negative errno */
int session_bus_append_all(BusContext *context, sd_bus_message *m, const VM *vm);

/* ListSessions and EndSession of the Manager, whose userdata is the BusContext. */
int session_bus_list(sd_bus_message *call, void *userdata, sd_bus_error *error);
int session_bus_end_session(sd_bus_message *call, void *userdata, sd_bus_error *error);

#endif
