/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settings that an administrator made to last and that stand in no definition: they go on top of
 * what a VM is registered with. They belong to the VM's UUID. Each is kept together with the
 * value that the VM's definition had then. A definition that has another one later was changed
 * later, so it counts, and the override is dropped.
 *
 * They are in memory as they are on disk: a change that cannot be written changes nothing here.
 */
#ifndef VGPU_VM_OVERRIDES_H
#define VGPU_VM_OVERRIDES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "vm-settings.h"

/* So many VMs can have overrides. */
#define VM_OVERRIDES_MAX 16384u

typedef struct VMOverride {
    TAILQ_ENTRY(VMOverride) link;
    bool by_name;        /* of an earlier mediator's file: the next VM of the name gets it */
    uint8_t uuid[16];    /* unless by_name */
    char *name;          /* that the VM had then */
    unsigned which;      /* the set of settings that is kept */
    VMSettings settings; /* these */
    unsigned defined;    /* the set of those that have a value in definition */
    VMSettings definition;
} VMOverride;

typedef struct VMOverrides {
    const char *directory; /* NULL: there is none, and nothing can be kept */
    TAILQ_HEAD(, VMOverride) list;
    unsigned n;
} VMOverrides;

/* vm_overrides_init() - without overrides; @directory outlives them */
void vm_overrides_init(VMOverrides *overrides, const char *directory);

/* vm_overrides_load() - read all that is on disk. What makes no sense is a line in the log */
void vm_overrides_load(VMOverrides *overrides);

void vm_overrides_clear(VMOverrides *overrides);

/* vm_overrides_find() - of a VM, or NULL */
VMOverride *vm_overrides_find(const VMOverrides *overrides, const uint8_t uuid[16]);

/*
 * vm_overrides_set() - keep some settings of a VM, or keep them no more
 * @which: this set, of @settings. Those that are as in @definition are kept no more
 *
 * Waits for the disk. Returns 0; -EDQUOT when too many VMs have overrides; or another negative
 * errno when the change cannot be written.
 */
int vm_overrides_set(VMOverrides *overrides, const uint8_t uuid[16], const char *name,
                     const VMSettings *settings, const VMSettings *definition, unsigned which);

/* vm_overrides_drop() - keep a set of settings no more; @o is gone when none is left. Returns 0
 * or a negative errno */
int vm_overrides_drop(VMOverrides *overrides, VMOverride *o, unsigned which);

/* vm_overrides_find_next() - the next after @o (NULL: the first) that a text names, which is a
 * UUID or the name that the VM had last; or NULL */
VMOverride *vm_overrides_find_next(const VMOverrides *overrides, const VMOverride *o,
                                   const char *text);

/*
 * vm_overrides_apply() - put on top of a definition what is kept of a VM
 * @settings: in: the definition; out: what the VM gets
 *
 * Drops what gives way to the definition, with a line in the log. Returns the set of settings that
 * were put there.
 */
unsigned vm_overrides_apply(VMOverrides *overrides, const uint8_t uuid[16], const char *name,
                            VMSettings *settings);

#endif
