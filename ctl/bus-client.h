/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to the mediator over the system bus. */
#ifndef VGPU_CTL_BUS_CLIENT_H
#define VGPU_CTL_BUS_CLIENT_H

#include <stdbool.h>
#include <systemd/sd-bus.h>

typedef struct BusClient BusClient;

/*
 * bus_client_new() - connect to the system bus
 * @ask_password: polkit may ask the user for a password, if need be on this terminal
 *
 * Returns 0, or a negative errno after a line on standard error.
 */
int bus_client_new(bool ask_password, BusClient **ret);

/* bus_client_free() - disconnect, and end polkit's agent; takes NULL. Returns NULL */
BusClient *bus_client_free(BusClient *c);

/* bus_client_bus() - the connection; owned by @c */
sd_bus *bus_client_bus(BusClient *c);

/*
 * bus_client_authorize() - be ready to ask for a password
 *
 * To be called before a method that changes something. Starts polkit's text agent as systemctl
 * does: for a user who is not root, at a terminal.
 */
void bus_client_authorize(BusClient *c);

/* bus_client_strerror() - the reason in words; @r is the negative errno that came with @error */
const char *bus_client_strerror(const sd_bus_error *error, int r);

#endif
