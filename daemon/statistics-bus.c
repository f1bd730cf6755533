/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "statistics-bus.h"
#include "bus-property.h"
#include "cleanup-bus.h"

BUS_PROPERTY_GET(statistics_bus_get_p50, "t", Histogram, h, histogram_percentile(h, 50));
BUS_PROPERTY_GET(statistics_bus_get_p95, "t", Histogram, h, histogram_percentile(h, 95));
BUS_PROPERTY_GET(statistics_bus_get_p99, "t", Histogram, h, histogram_percentile(h, 99));

static int append_histogram(sd_bus_message *reply, const Histogram *h)
{
    int r = sd_bus_message_open_container(reply, 'a', "(tt)");

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && r >= 0; i++)
        if (h->bucket[i] > 0)
            r = sd_bus_message_append(reply, "(tt)", histogram_bucket_max(i), h->bucket[i]);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

int statistics_bus_reply_histograms(sd_bus_message *call, const Statistics *s)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_message_new_method_return(call, &reply);
    if (r >= 0)
        r = append_histogram(reply, &s->wait);
    if (r >= 0)
        r = append_histogram(reply, &s->execution);
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);
    return r;
}
