/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "child-source.h"

#include <sys/wait.h>

int child_source_add(sd_event *event, pid_t pid, sd_event_child_handler_t callback, void *userdata,
                     sd_event_source **ret)
{
    int r = sd_event_add_child(event, ret, pid, WEXITED, callback, userdata);

    /* Only a source that was off is registered anew. */
    if (r >= 0)
        r = sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
    return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_ON);
}
