/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "bus-client.h"
#include "text.h"

/* A little longer than the mediator waits for polkit. */
#define INTERACTIVE_TIMEOUT_USEC UINT64_C(125000000)

struct BusClient {
    sd_bus *bus;
    bool ask_password;
    Agent agent;
};

int bus_client_new(bool ask_password, BusClient **ret)
{
    BusClient *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->ask_password = ask_password;

    r = sd_bus_open_system(&c->bus);
    if (r >= 0)
        r = sd_bus_set_allow_interactive_authorization(c->bus, ask_password);
    if (r >= 0 && ask_password)
        r = sd_bus_set_method_call_timeout(c->bus, INTERACTIVE_TIMEOUT_USEC);
    if (r < 0) {
        print_error("Failed to connect to the system bus: %s", strerror(-r));
        bus_client_free(c);
        return r;
    }

    *ret = c;
    return 0;
}

BusClient *bus_client_free(BusClient *c)
{
    if (!c)
        return NULL;
    agent_stop(&c->agent);
    sd_bus_flush_close_unref(c->bus);
    free(c);
    return NULL;
}

sd_bus *bus_client_bus(BusClient *c)
{
    return c->bus;
}

void bus_client_authorize(BusClient *c)
{
    if (c->ask_password)
        agent_start(&c->agent);
}

const char *bus_client_strerror(const sd_bus_error *error, int r)
{
    if (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
        sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
        return "The mediator is not running, and cannot be started.";
    return error->message ? error->message : strerror(-r);
}
