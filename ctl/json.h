/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON of values as they come over D-Bus. Tables have their own, in table.h. */
#ifndef VGPU_CTL_JSON_H
#define VGPU_CTL_JSON_H

#include <stdio.h>
#include <systemd/sd-bus.h>

/* json_string() - write @text, which is UTF-8, as a string */
void json_string(FILE *f, const char *text);

/*
 * json_value() - read the next value of a message, of any type, and write it
 *
 * Basic types, arrays and variants; arrays of dictionary entries with strings for
 * keys become objects. Returns 0 or a negative errno.
 */
int json_value(FILE *f, sd_bus_message *m);

#endif
