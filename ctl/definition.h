/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a VM in libvirt, where there is one: the place for settings that last. They
 * go along with the domain then, whatever becomes of it: a rename, a migration, a copy, its end.
 */
#ifndef VGPU_CTL_DEFINITION_H
#define VGPU_CTL_DEFINITION_H

#include "ctl.h"
#include "vm-settings.h"

typedef struct Definition Definition;

/*
 * definition_open() - of the VM that the mediator knows by this name, or else of the domain of this
 * name that is off
 * @ret: NULL where libvirt has none for it, or vgpuctl was built without libvirt; to be freed with
 *     definition_free()
 *
 * Returns 0 or -ENOMEM.
 */
int definition_open(Context *c, const char *vm, Definition **ret);

/* definition_free() - takes NULL too. Returns NULL */
Definition *definition_free(Definition *d);

/* definition_check_pool() - say it where the mediator has no such pool. It may be on another host,
 * or not run: then nobody knows. Not in a build without libvirt */
void definition_check_pool(char pool);

/* definition_is_off() - the domain does not run, and the mediator knows no VM of its name */
bool definition_is_off(const Definition *d);

/* definition_set_off() - write a set of settings into the definition of a domain that is off. Says
 * what is wrong, and when it takes effect if not at the next start. Returns 0 or a negative errno
 */
int definition_set_off(Definition *d, const char *name, const VMSettings *settings, unsigned which);

/* definition_set() - write a set of settings into it, and tell the mediator, which has them in
 * effect already. Says what is wrong. Returns 0 or a negative errno */
int definition_set(Context *c, Definition *d, const char *vm, const VMSettings *settings,
                   unsigned which);

/* A VM that libvirt could start. */
typedef struct DefinitionInfo {
    const char *name, *uuid;
    bool active;
    const VMSettings *settings;
    unsigned given; /* the set of settings that the definition has */
} DefinitionInfo;

/* definition_for_each() - every domain that has a GPU by its definition, if libvirt can be
 * reached. Returns 0, or what the handler returned that is not 0, or -ENOMEM */
int definition_for_each(Context *c, int (*handler)(void *userdata, const DefinitionInfo *info),
                        void *userdata);

#endif
