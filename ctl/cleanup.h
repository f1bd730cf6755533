/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scoped clean-up: variables that free what they hold when their scope ends. */
#ifndef VGPU_CTL_CLEANUP_H
#define VGPU_CTL_CLEANUP_H

#include <stdlib.h>
#include <systemd/sd-bus.h>

static inline void cleanup_free(void *p)
{
    free(*(void **) p);
}

static inline void cleanup_message(sd_bus_message **m)
{
    sd_bus_message_unref(*m);
}

#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_MESSAGE CLEANUP(cleanup_message)
#define CLEANUP_ERROR CLEANUP(sd_bus_error_free)

#endif
