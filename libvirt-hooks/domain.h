/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a libvirt domain's XML says about its vgpu device. The element stands in
 * the domain's <metadata>:
 *
 *   <vgpu:device xmlns:vgpu="urn:vgpu-mediator:domain:1" pool="A" priority="high"/>
 *
 * with queue-limit, request-rate-limit and weight besides. emulator holds what stood in
 * <emulator> before "vgpuctl attach". The same rules are in vgpu-domain.rng.
 */
#ifndef VGPU_HOOKS_DOMAIN_H
#define VGPU_HOOKS_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libxml/tree.h>

#include "uuid.h"

#define DOMAIN_NAMESPACE "urn:vgpu-mediator:domain:1"

#define DOMAIN_QUEUE_LIMIT_MAX 65536u
#define DOMAIN_WEIGHT_MAX 10000u

/* The element's attributes as text; NULL: not given. */
typedef struct DomainAttributes {
    const char *pool;
    const char *priority;
    const char *queue_limit;
    const char *request_rate_limit;
    const char *weight;
    const char *emulator;
} DomainAttributes;

/* The same, checked. */
typedef struct DomainDevice {
    char pool;    /* 'A' to 'Z' */
    int priority; /* VGPU_PRIORITY_* */
    bool has_queue_limit;
    bool has_request_rate_limit;
    bool has_weight;
    uint32_t queue_limit;        /* requests, 1 to DOMAIN_QUEUE_LIMIT_MAX */
    uint32_t request_rate_limit; /* requests a second; 0: any number */
    uint32_t weight;             /* 1 to DOMAIN_WEIGHT_MAX */
} DomainDevice;

typedef struct Domain {
    char *name;
    char uuid[UUID_TEXT_SIZE];
    bool has_device;
    DomainDevice device;
} Domain;

enum {
    DOMAIN_INVALID_XML = 1,    /* this is no domain */
    DOMAIN_INVALID_DEVICE = 2, /* it is one, and its element is wrong */
};

/*
 * domain_parse() - read a domain's XML
 * @xml: the text, not terminated
 * @size: its bytes
 * @ret: when the answer is 0 or DOMAIN_INVALID_DEVICE: name and UUID, and in the
 *       first case the device; freed with domain_free()
 * @ret_error: one line that names what is wrong, to be freed, when the answer is positive
 *
 * Returns 0, DOMAIN_INVALID_*, or a negative errno.
 */
int domain_parse(const char *xml, size_t size, Domain **ret, char **ret_error);

/* domain_free() - takes NULL too. Returns NULL */
Domain *domain_free(Domain *d);

/*
 * domain_check_attributes() - are these attributes what the element may have?
 * @attributes: as given
 * @ret: the same as values, when the answer is 0
 * @ret_error: one line that names the attribute and its value, to be freed, when it is positive
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
 * Returns 0, DOMAIN_INVALID_DEVICE for two of them or another of a namespace of
 * ours, or -ENOMEM.
 */
int domain_find_element(const xmlNode *root, xmlNode **ret, char **ret_error);

#endif
