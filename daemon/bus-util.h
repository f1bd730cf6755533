/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What everything on D-Bus needs: the bus, our errors' numbers, our objects' paths, and what
 * objects are like in one list of all. */
#ifndef VGPU_BUS_UTIL_H
#define VGPU_BUS_UTIL_H

#include <systemd/sd-bus.h>

/*
 * bus_add_errors() - let sd-bus know the errno of each error of ours
 *
 * For a process that gives or gets them; again does no harm. Returns 0, 1 or a
 * negative errno.
 */
int bus_add_errors(void);

/*
 * bus_open_system() - sd_bus_open_system(), but the bus passes no descriptors on it
 * bus_open_user() - the same of sd_bus_open_user()
 *
 * Anybody may send a call with descriptors, whatever arguments the method has, and sd-bus would
 * close them: close(2) can take as long as their sender likes.
 */
int bus_open_system(sd_bus **ret);
int bus_open_user(sd_bus **ret);

/*
 * bus_append_object() - append an object to the answer of GetManagedObjects
 * @tables: of its one interface
 * @object: what the tables' offsets lead into
 *
 * As sd-bus does it. Returns 0 or a negative errno.
 */
int bus_append_object(sd_bus_message *m, const char *path, const char *interface,
                      const sd_bus_vtable *const *tables, unsigned n_tables, void *object);

/*
 * bus_add_timer() - a timer that is off, for what is announced later than it happens
 * @priority: of its event source
 *
 * Returns 0 or a negative errno.
 */
int bus_add_timer(sd_event *event, int priority, sd_event_time_handler_t handler, void *userdata,
                  sd_event_source **ret);

/* bus_object_path() - @prefix/@name, with @name escaped; to be freed; NULL without memory */
char *bus_object_path(const char *prefix, const char *name);

#endif
