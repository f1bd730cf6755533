/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a child, as an event. */
#ifndef VGPU_CHILD_SOURCE_H
#define VGPU_CHILD_SOURCE_H

#include <systemd/sd-event.h>

/*
 * child_source_add() - sd_event_add_child() for the end of @pid
 * @ret: set also on failure, when there is a source; to be unreferenced by the callback at the
 *       latest
 *
 * It looks as long as the child is there. sd-event's own looks once when the process has ended: one
 * that a debugger still holds is not to be seen then, and nobody would look again. Returns 0 or a
 * negative errno.
 */
int child_source_add(sd_event *event, pid_t pid, sd_event_child_handler_t callback, void *userdata,
                     sd_event_source **ret);

#endif
