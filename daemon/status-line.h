/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line that "systemctl status" shows: how many VMs and which pools there are now. */
#ifndef VGPU_STATUS_LINE_H
#define VGPU_STATUS_LINE_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "manager.h"

#define STATUS_LINE_SIZE 512

typedef struct StatusLine {
    Manager *manager;
    sd_event_source *timer;
    uint64_t next_usec; /* when the line may be sent again */
    bool pending;
    char text[STATUS_LINE_SIZE]; /* as it was sent last */
} StatusLine;

/* status_line_init() - nothing is sent yet. Returns 0 or a negative errno. @s is zero before */
int status_line_init(StatusLine *s, Manager *m);

/* status_line_free() - the manager may be gone already. All zero is fine */
void status_line_free(StatusLine *s);

/* status_line_changed() - send the line soon, if it is another: once a second at most */
void status_line_changed(StatusLine *s);

#endif
