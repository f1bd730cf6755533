/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties of an object on D-Bus, read into a struct as its columns say. */
#ifndef VGPU_CTL_PROPERTIES_H
#define VGPU_CTL_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

#include "table.h"

/*
 * properties_read() - read a{sv} into a struct that was of zeros before
 *
 * A property that no column names is passed over: a newer mediator has it. An array of strings
 * becomes one, with commas. Returns 0 or a negative errno. On failure the struct holds what was
 * read, and is to be released all the same.
 */
int properties_read(sd_bus_message *m, const Column *columns, size_t n, void *object);

/* properties_are_all_there() - has it all strings but those that are optional? */
bool properties_are_all_there(const Column *columns, size_t n, const void *object);

/* properties_release() - free the strings that have been read */
void properties_release(const Column *columns, size_t n, void *object);

#endif
