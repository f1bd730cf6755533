/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private bus with a mediator on it, and questions to both: what the tests of the bus
 * interface share. A failed expectation fails the test. */
#ifndef VGPU_TEST_WORLD_H
#define VGPU_TEST_WORLD_H

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "names.h"
#include "private-bus.h"
#include "service.h"

extern TestBus test_bus;
extern sd_bus *bus;

#define POOL_A VGPU_OBJECT_POOL "/A"
#define VM(name) VGPU_OBJECT_VM "/" name

/* world_start() - in a set-up: start a bus and a mediator with this mediator.conf, and connect
 * to the bus */
int world_start(const char *config);

/* world_end() - a teardown: the mediator must exit cleanly */
int world_end(void **state);

/* wait_for_name() - wait until the mediator owns its name */
void wait_for_name(void);

/* get_u64() and the others - the value of an object's property; expect_text() - it is this text */
uint64_t get_u64(const char *path, const char *interface, const char *property);
uint32_t get_u32(const char *path, const char *interface, const char *property);
bool get_bool(const char *path, const char *interface, const char *property);
void expect_text(const char *path, const char *interface, const char *property,
                 const char *expected);

/*
 * call_manager() - call a method of the Manager
 * @error: NULL when it must work, else the name of the error that must come
 */
#define call_manager(error, member, ...) \
    call_object(error, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, member, __VA_ARGS__)
void call_object(const char *error, const char *path, const char *interface, const char *member,
                 const char *types, ...);

/* register_vm() - register a VM whose UUID is sixteen bytes @tag; returns its number */
uint32_t register_vm(const char *name, uint8_t tag, const char *pool, const char *priority);

/* UUID_OF() - the UUID of register_vm() with a tag, of which this is the text: UUID_OF("a1") */
#define UUID_OF(tag) tag tag tag tag "-" tag tag "-" tag tag "-" tag tag "-" tag tag tag tag tag tag

/* restart_mediator() - end it with a signal, and run it again with the same files */
void restart_mediator(int signal);

/* hello() - say HELLO as the VM with the UUID of @tag and with this priority; @resume may be
 * NULL */
void hello(int fd, uint8_t tag, uint8_t claimed_priority, const uint8_t resume[16]);

/* expect_welcome() - the next message is WELCOME; returns it, with its secret */
VGPUWelcome expect_welcome(int fd);

/* expect_quarantined() - the next message is QUARANTINED, for request @id */
void expect_quarantined(int fd, uint32_t id);

/*
 * expect_signal() - wait for a signal of the mediator, and pass over others
 * @path: the object's; NULL: any object's
 * @first: the signal's first argument
 */
void expect_signal(const char *path, const char *member, const char *first);

#endif
