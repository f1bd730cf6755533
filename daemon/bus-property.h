/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Getters of D-Bus properties, without the seven parameters that sd-bus has for each. */
#ifndef VGPU_BUS_PROPERTY_H
#define VGPU_BUS_PROPERTY_H

#include <assert.h>
#include <systemd/sd-bus.h>

/*
 * BUS_PROPERTY_GET() - define the getter of a property
 * @function: its name; "static" stands before the macro, and a semicolon behind it
 * @signature: the property's
 * @type, @object: what the property's offset leads to, and a name for it
 * @...: the value, as sd_bus_message_append() takes it
 */
#define BUS_PROPERTY_GET(function, signature, type, object, ...)                             \
    int function(sd_bus *bus, const char *path, const char *interface, const char *property, \
                 sd_bus_message *reply, void *userdata, sd_bus_error *error)                 \
    {                                                                                        \
        const type *object = userdata;                                                       \
                                                                                             \
        (void) bus, (void) path, (void) interface, (void) property, (void) error;            \
        (void) object;                                                                       \
                                                                                             \
        return sd_bus_message_append(reply, signature, __VA_ARGS__);                         \
    }                                                                                        \
    static_assert(sizeof(signature) > 1, "lets a semicolon follow")

#endif
