/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to libvirt, for those who ask it about a domain or change one. */
#ifndef VGPU_LIBVIRT_CONNECTION_H
#define VGPU_LIBVIRT_CONNECTION_H

#include <stdbool.h>

#include <libvirt/libvirt.h>

/*
 * libvirt_connect() - open a connection
 * @uri: NULL: libvirt's default
 * @ask: may libvirt ask the user for a password?
 *
 * libvirt prints no errors from then on. Returns NULL on failure: see fail_with_libvirt().
 */
virConnectPtr libvirt_connect(const char *uri, bool ask);

/* fail_with_libvirt() - fail_with() the words of libvirt's last error in this thread */
int fail_with_libvirt(int code, char **ret_error);

/* For CLEANUP(). NULL is nothing to do. */
void libvirt_connection_closep(virConnectPtr *connection);
void libvirt_domain_freep(virDomainPtr *domain);

#endif
