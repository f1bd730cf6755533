/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a libvirt domain's XML says about its vgpu device. The element stands in the domain's
 * <metadata>:
 *
 *   <vgpu:device xmlns:vgpu="urn:vgpu-mediator:domain:1" pool="A" priority="high"/>
 *
 * Its attributes are the settings in vm-settings.h; window-size, that of the device's data window;
 * and two that nobody writes by hand: slot, the device's PCI slot, or "none" in a domain that runs
 * without the device; and emulator, which holds what stood in <emulator> before "vgpuctl attach".
 * vgpu-domain.rng states the same rules for others.
 */
#ifndef VGPU_HOOKS_DOMAIN_H
#define VGPU_HOOKS_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libxml/tree.h>

#include "slot.h"
#include "uuid.h"
#include "vm-settings.h"

#define DOMAIN_NAMESPACE "urn:vgpu-mediator:domain:1"

/* The element's attributes as text; NULL: not given. */
typedef struct DomainAttributes {
    const char *settings[VM_N_SETTINGS]; /* in the order of vm_settings[] */
    const char *window_size;
    const char *slot;
    const char *emulator;
} DomainAttributes;

/* The same, checked. */
typedef struct DomainDevice {
    VMSettings settings;
    unsigned given; /* the set that the element has; what it has not is the mediator's to choose */
    uint64_t window_size; /* bytes, a power of two */
    int slot;             /* where the device is while the domain runs, or SLOT_* */
} DomainDevice;

typedef struct Domain {
    char *name;
    char uuid[UUID_TEXT_SIZE];
    char *emulator; /* what stands in <emulator>; NULL: nothing */
    bool has_device;
    DomainDevice device;
    char *former_emulator; /* of the element; NULL: none */
} Domain;

enum {
    DOMAIN_INVALID_XML = 1,    /* the text is no domain */
    DOMAIN_INVALID_DEVICE = 2, /* it is a domain, and its element is wrong */
};

/*
 * domain_parse() - read a domain's XML
 * @xml: the text, not terminated
 * @size: its bytes
 * @ret: with 0 or DOMAIN_INVALID_DEVICE: the name and the UUID, and with 0 the device, if there
 *       is one; freed with domain_free()
 * @ret_error: with a positive result: one line that names what is wrong, to be freed
 *
 * Returns 0, DOMAIN_INVALID_*, or a negative errno.
 */
int domain_parse(const char *xml, size_t size, Domain **ret, char **ret_error);

/* domain_is_launcher() - is this path in <emulator> ours? NULL is not */
bool domain_is_launcher(const char *emulator);

/* domain_free() - takes NULL too. Returns NULL */
Domain *domain_free(Domain *d);

/*
 * domain_check_attributes() - are these attributes what the element may have?
 * @attributes: as given
 * @ret: with 0: the same as values
 * @ret_error: with a positive result: one line that names the attribute and its value, to be
 *             freed
 *
 * Returns 0, DOMAIN_INVALID_DEVICE, or -ENOMEM.
 */
int domain_check_attributes(const DomainAttributes *attributes, DomainDevice *ret,
                            char **ret_error);

/*
 * domain_find_element() - our element in a domain's <metadata>
 * @root: <domain>
 * @ret: the element, or NULL where there is none
 *
 * Returns 0, DOMAIN_INVALID_DEVICE when there are two, or there is something else in a
 * namespace of ours, or -ENOMEM.
 */
int domain_find_element(const xmlNode *root, xmlNode **ret, char **ret_error);

#endif
