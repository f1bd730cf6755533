/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions on a bus, for tests: a device of a registered VM, and what an administrator sees.
 */
#ifndef VGPU_TEST_SESSION_WORLD_H
#define VGPU_TEST_SESSION_WORLD_H

#include "session-peer.h"
#include "world.h"

#define SESSION(id) VGPU_OBJECT_SESSION "/" id

#define session_u32(path, property) get_u32(path, VGPU_INTERFACE_SESSION, property)
#define session_u64(path, property) get_u64(path, VGPU_INTERFACE_SESSION, property)
#define vm_u64(vm, property) get_u64(VM(vm), VGPU_INTERFACE_VM, property)
#define expect_session_text(path, property, text) \
    expect_text(path, VGPU_INTERFACE_SESSION, property, text)

/* session_world_start() - a set-up: world_start() with the mediator.conf in *state, or
 * SESSION_CONFIG */
int session_world_start(void **state);

/* connect_as() - as the device of the VM of register_vm() with this tag */
int connect_as(uint8_t tag);

/* has_object() - is there a session at this path? */
bool has_object(const char *path);

/* list_sessions() - how many rows ListSessions has; the last one in @ret_text, as text */
unsigned list_sessions(char *ret_text, size_t size);

/* WITH_SESSIONS() - a test of a mediator with this mediator.conf, or NULL */
#define WITH_SESSIONS(config, test)                                    \
    {                                                                  \
#test, test, session_world_start, world_end, (void *) (config) \
    }

#endif
