/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "statistics-bus.h"

int statistics_bus_get_p50(sd_bus *bus, const char *path, const char *interface,
                           const char *property, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error)
{
    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append(reply, "t", histogram_percentile(userdata, 50));
}

int statistics_bus_get_p95(sd_bus *bus, const char *path, const char *interface,
                           const char *property, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error)
{
    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append(reply, "t", histogram_percentile(userdata, 95));
}

int statistics_bus_get_p99(sd_bus *bus, const char *path, const char *interface,
                           const char *property, sd_bus_message *reply, void *userdata,
                           sd_bus_error *error)
{
    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return sd_bus_message_append(reply, "t", histogram_percentile(userdata, 99));
}

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
    sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_message_new_method_return(call, &reply);
    if (r >= 0)
        r = append_histogram(reply, &s->wait);
    if (r >= 0)
        r = append_histogram(reply, &s->execution);
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);

    sd_bus_message_unref(reply);
    return r;
}
