/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving a libvirt domain the vgpu device and taking it away, as "vgpuctl attach" and
 * "vgpuctl detach" do. Two functions work on a definition's text, two on a domain of a
 * running libvirt.
 */
#ifndef VGPU_HOOKS_DOMAIN_ATTACH_H
#define VGPU_HOOKS_DOMAIN_ATTACH_H

#include <stdbool.h>

#include "domain.h"

enum {
    ATTACH_UNCHANGED = 0,
    ATTACH_CHANGED = 1,
    ATTACH_FAILED = 2, /* *ret_error says why */
};

/*
 * attach_to_xml() - put the element into a domain's <metadata>, and our launcher into <emulator>
 * @xml: an inactive domain's definition
 * @attributes: of the element. One that is NULL is not in it afterwards, whatever was there;
 *              emulator must be NULL
 * @ret: the new definition, to be freed; not with ATTACH_FAILED
 * @ret_error: one line, to be freed; with ATTACH_FAILED only
 *
 * What stood in <emulator> is kept in the element for detach_from_xml(). All other content
 * stays as it is; how the text is indented is left to libvirt. Doing it twice changes nothing.
 *
 * Returns ATTACH_UNCHANGED, ATTACH_CHANGED, ATTACH_FAILED (attributes that are
 * wrong, a domain that cannot have the device), or -ENOMEM.
 */
int attach_to_xml(const char *xml, const DomainAttributes *attributes, char **ret,
                  char **ret_error);

/* detach_from_xml() - take both out again; parameters and results as attach_to_xml() */
int detach_from_xml(const char *xml, char **ret, char **ret_error);

/* What a change of a domain's persistent definition does not reach. */
typedef struct AttachTarget {
    bool active; /* the domain runs: the change waits for its next start */
    bool saved;  /* it has a saved state, with the definition of that time, for its next start */
} AttachTarget;

/*
 * attach_to_domain() - attach_to_xml() for a domain's persistent definition
 * @uri: of libvirt, or NULL for its default
 * @domain: the domain's name or UUID
 * @ret_target: not with ATTACH_FAILED
 * @ret_error: one line, to be freed; with ATTACH_FAILED only
 *
 * Refuses the domains of a user's session, which have no GPU. May ask on the terminal for a name
 * and a password, if libvirt's authentication wants them. Prints nothing. Returns as
 * attach_to_xml(). A build without libvirt has neither this function nor the next ones.
 */
int attach_to_domain(const char *uri, const char *domain, const DomainAttributes *attributes,
                     AttachTarget *ret_target, char **ret_error);

/* detach_from_domain() - the same with detach_from_xml(), also for domains of a session */
int detach_from_domain(const char *uri, const char *domain, AttachTarget *ret_target,
                       char **ret_error);

/*
 * attach_list_domains() - the domains that have the element or our launcher
 * @ret: their names, NULL-terminated; freed with attach_free_names()
 * @ret_error: with ATTACH_FAILED: one line, to be freed
 *
 * Transient domains are left out. Returns 0, ATTACH_FAILED or -ENOMEM.
 */
int attach_list_domains(const char *uri, char ***ret, char **ret_error);
char **attach_free_names(char **names);

#endif
