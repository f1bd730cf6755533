/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What everything on D-Bus needs: our errors' numbers, and our objects' paths. */
#ifndef VGPU_BUS_UTIL_H
#define VGPU_BUS_UTIL_H

/*
 * bus_add_errors() - let sd-bus know the errno of each error of ours
 *
 * For a process that gives or gets them; again does no harm. Returns 0, 1 or a
 * negative errno.
 */
int bus_add_errors(void);

/* bus_object_path() - @prefix/@name, with @name escaped; to be freed; NULL without memory */
char *bus_object_path(const char *prefix, const char *name);

#endif
