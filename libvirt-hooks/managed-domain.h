/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs as libvirt manages them: what the elements in their definitions say, running or not, and
 * changing it as "virsh --live --config" does. A build without libvirt has none of this.
 */
#ifndef VGPU_HOOKS_MANAGED_DOMAIN_H
#define VGPU_HOOKS_MANAGED_DOMAIN_H

#include <stdbool.h>

#include "vm-settings.h"

typedef struct ManagedDomain ManagedDomain;

enum {
    MANAGED_NOT = 1,    /* libvirt has no such domain with our element, or cannot be reached */
    MANAGED_FAILED = 2, /* *ret_error says why */
};

/*
 * managed_domain_open() - find the domain with a UUID and with our element in its definition
 * @uri: of libvirt
 * @uuid: in any form that libvirt takes
 * @ask: libvirt may ask for a name and a password on the terminal
 * @ret: to be freed with managed_domain_free()
 *
 * Prints nothing. Returns 0, MANAGED_NOT, or a negative errno.
 */
int managed_domain_open(const char *uri, const char *uuid, bool ask, ManagedDomain **ret);

/* managed_domain_open_off() - the same by its name, if it does not run */
int managed_domain_open_off(const char *uri, const char *name, bool ask, ManagedDomain **ret);

/* managed_domain_is_saved() - it starts with a state that was saved, and the definition in that */
bool managed_domain_is_saved(ManagedDomain *d);

/* managed_domain_free() - takes NULL too. Returns NULL */
ManagedDomain *managed_domain_free(ManagedDomain *d);

/*
 * managed_domain_set() - write settings into its element: that of the running domain, and that of
 * its definition, where it has these
 * @which: a set, of @settings; all else in the element stays
 * @ret_error: with MANAGED_FAILED: one line, to be freed
 *
 * Returns 0, MANAGED_FAILED, or -ENOMEM.
 */
int managed_domain_set(ManagedDomain *d, const VMSettings *settings, unsigned which,
                       char **ret_error);

/* One domain with our element. */
typedef struct ManagedDomainInfo {
    const char *name, *uuid;
    bool active;
    const VMSettings *settings; /* as its definition says */
    unsigned given;             /* the set of those that it says */
} ManagedDomainInfo;

/*
 * managed_domain_list() - all domains whose definition has our element, and a proper one
 * @handler: returns 0 to go on, or a negative errno, which is the result then
 *
 * Returns 0, MANAGED_NOT when libvirt cannot be reached, or a negative errno.
 */
int managed_domain_list(const char *uri, bool ask,
                        int (*handler)(void *userdata, const ManagedDomainInfo *info),
                        void *userdata);

#endif
