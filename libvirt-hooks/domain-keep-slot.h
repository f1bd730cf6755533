/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Having a running domain's definition say where its device is. */
#ifndef VGPU_HOOKS_DOMAIN_KEEP_SLOT_H
#define VGPU_HOOKS_DOMAIN_KEEP_SLOT_H

enum {
    KEEP_SLOT_FAILED = 1,
};

/*
 * keep_slot_in_element() - our element with another slot
 * @xml: the element, as libvirt shows it
 * @slot: for the attribute; see slot.h
 * @ret: the same element without namespace, which libvirt adds; to be freed
 *
 * Returns 1, 0 when it has this slot already, -EBADMSG when it cannot be read, or -ENOMEM.
 */
int keep_slot_in_element(const char *xml, int slot, char **ret);

/*
 * keep_slot_of_domain() - write the slot of a running domain's device into its element
 * @uri: of libvirt
 * @uuid: normalized
 * @directory: holds NAME.pid
 * @ret_error: with KEEP_SLOT_FAILED: one line, to be freed
 *
 * The definition of the running domain gets it, which goes into saved states and to other hosts;
 * and the persistent one, unless the domain runs without the device. Does nothing to a domain
 * without the element, or that has ended. Waits for what libvirt does to the domain at that moment,
 * however long that takes.
 *
 * Returns 0, KEEP_SLOT_FAILED, or a negative errno.
 */
int keep_slot_of_domain(const char *uri, const char *uuid, const char *directory, char **ret_error);

#endif
