/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counters that VMs and pools have in common, as D-Bus properties. They tick
 * with every request, so they send no PropertiesChanged.
 */
#ifndef VGPU_STATISTICS_BUS_H
#define VGPU_STATISTICS_BUS_H

#include <stddef.h>
#include <systemd/sd-bus.h>

#define STATISTICS_PROPERTY(name, type, field) \
    SD_BUS_PROPERTY(name, "t", NULL, offsetof(type, statistics.field), 0)

#define STATISTICS_PROPERTIES(type)                                \
    STATISTICS_PROPERTY("RequestsSubmitted", type, submitted),     \
        STATISTICS_PROPERTY("RequestsCompleted", type, completed), \
        STATISTICS_PROPERTY("RequestsFailed", type, failed),       \
        STATISTICS_PROPERTY("RequestsRejected", type, rejected),   \
        STATISTICS_PROPERTY("BytesIn", type, bytes_in),            \
        STATISTICS_PROPERTY("BytesOut", type, bytes_out),          \
        STATISTICS_PROPERTY("WaitTimeUSec", type, wait_usec),      \
        STATISTICS_PROPERTY("ExecutionTimeUSec", type, exec_usec), \
        STATISTICS_PROPERTY("LastRequestTimestamp", type, last_request_usec)

#endif
