/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scoped clean-up of what belongs to sd-bus. */
#ifndef VGPU_CLEANUP_BUS_H
#define VGPU_CLEANUP_BUS_H

#include <systemd/sd-bus.h>

#include "cleanup.h"

static inline void cleanup_message(sd_bus_message **m)
{
    sd_bus_message_unref(*m);
}

#define CLEANUP_MESSAGE CLEANUP(cleanup_message)
#define CLEANUP_ERROR CLEANUP(sd_bus_error_free)

#endif
