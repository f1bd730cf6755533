/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counters and times that VMs and pools have in common, as D-Bus properties.
 * They tick with every request, so they send no PropertiesChanged.
 */
#ifndef VGPU_STATISTICS_BUS_H
#define VGPU_STATISTICS_BUS_H

#include <stddef.h>
#include <systemd/sd-bus.h>

#include "statistics.h"

/* Getters of the percentiles of the Histogram that the property's offset leads to. */
int statistics_bus_get_p50(sd_bus *, const char *, const char *, const char *, sd_bus_message *,
                           void *, sd_bus_error *);
int statistics_bus_get_p95(sd_bus *, const char *, const char *, const char *, sd_bus_message *,
                           void *, sd_bus_error *);
int statistics_bus_get_p99(sd_bus *, const char *, const char *, const char *, sd_bus_message *,
                           void *, sd_bus_error *);

/* statistics_bus_reply_histograms() - answer GetHistograms */
int statistics_bus_reply_histograms(sd_bus_message *call, const Statistics *s);

/* @type, @member: the object, and the path to its Statistics */
#define STATISTICS_PROPERTY(name, type, member, field) \
    SD_BUS_PROPERTY(name, "t", NULL, offsetof(type, member.field), 0)

#define HISTOGRAM_PROPERTIES(name, type, member, field)                                            \
    STATISTICS_PROPERTY(name "USec", type, member, field.sum),                                     \
        SD_BUS_PROPERTY(name "P50USec", "t", statistics_bus_get_p50, offsetof(type, member.field), \
                        0),                                                                        \
        SD_BUS_PROPERTY(name "P95USec", "t", statistics_bus_get_p95, offsetof(type, member.field), \
                        0),                                                                        \
        SD_BUS_PROPERTY(name "P99USec", "t", statistics_bus_get_p99, offsetof(type, member.field), \
                        0),                                                                        \
        STATISTICS_PROPERTY(name "MaxUSec", type, member, field.max)

#define STATISTICS_PROPERTIES(type, member)                                \
    STATISTICS_PROPERTY("RequestsSubmitted", type, member, submitted),     \
        STATISTICS_PROPERTY("RequestsCompleted", type, member, completed), \
        STATISTICS_PROPERTY("RequestsFailed", type, member, failed),       \
        STATISTICS_PROPERTY("RequestsRejected", type, member, rejected),   \
        STATISTICS_PROPERTY("BytesIn", type, member, bytes_in),            \
        STATISTICS_PROPERTY("BytesOut", type, member, bytes_out),          \
        HISTOGRAM_PROPERTIES("WaitTime", type, member, wait),              \
        HISTOGRAM_PROPERTIES("ExecutionTime", type, member, execution),    \
        STATISTICS_PROPERTY("LastRequestTimestamp", type, member, last_request_usec)

#endif
