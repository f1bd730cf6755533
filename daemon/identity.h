/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a process the QEMU of a VM? systemd-machined knows the UUID of each machine
 * that libvirt started, and which processes are in it. The question is asked
 * without waiting.
 *
 * A process in no machine is not a guest's to command (a QEMU started by hand, a
 * test): the socket's permissions decide about those. Without machined, they
 * decide about all.
 */
#ifndef VGPU_IDENTITY_H
#define VGPU_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

typedef struct IdentityCheck IdentityCheck;

/*
 * The answer: @reason is NULL when the process may be that VM, else says why not.
 * The check is over and still the caller's to free.
 */
typedef void (*IdentityHandler)(void *userdata, const char *reason);

/*
 * identity_check_new() - ask
 * @uuid: 16 bytes in RFC 4122 order, copied
 * @ret: to be freed with identity_check_free(), which also takes back the question
 *
 * The handler is called from the event loop, never from here. Returns 0 or a
 * negative errno.
 */
int identity_check_new(sd_bus *bus, pid_t pid, const uint8_t uuid[16], IdentityHandler handler,
                       void *userdata, IdentityCheck **ret);

/* identity_check_free() - NULL is fine */
IdentityCheck *identity_check_free(IdentityCheck *check);

#endif
