/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the QEMU versions the device is built for.
 *
 * Include after qemu/osdep.h. Where a header has moved, the file itself says
 * so; only what cannot be found out that way goes by version number.
 */
#ifndef VGPU_QEMU_COMPAT_H
#define VGPU_QEMU_COMPAT_H

#if __has_include("hw/pci/pci_device.h") /* since 8.0 */
#include "hw/pci/pci_device.h"
#else
#include "hw/pci/pci.h"
#endif

#if __has_include("hw/core/qdev-properties.h") /* since 10.2 */
#include "hw/core/qdev-properties.h"
#include "hw/core/qdev-properties-system.h"
#else
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#endif

#if __has_include("system/runstate.h") /* since 10.0 */
#include "system/kvm.h"
#include "system/runstate.h"
#include "system/system.h"
#else
#include "sysemu/kvm.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#endif

#include "migration/blocker.h"
#include "qapi/error.h"

#define VGPU_QEMU_SINCE(major, minor)       \
    (QEMU_VERSION_MAJOR > (major) ||        \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

/*
 * Functions that not every version has. The dynamic linker must accept the
 * plugin in every version, so that the plugin can report that it was built for
 * another.
 */
#ifdef VGPU_STUB_PLUGIN
#if VGPU_QEMU_SINCE(9, 2)
#pragma weak device_class_set_legacy_reset
#endif
#if VGPU_QEMU_SINCE(10, 0)
#pragma weak device_class_set_props_n
#else
#pragma weak device_class_set_props
#endif
#endif

/* Since 10.0, property lists are constant and know their length. */
#if VGPU_QEMU_SINCE(10, 0)
#define VGPU_PROPERTY_LIST static const Property
#define VGPU_PROPERTY_END
#else
#define VGPU_PROPERTY_LIST static Property
#define VGPU_PROPERTY_END DEFINE_PROP_END_OF_LIST(),
#endif

#if VGPU_QEMU_SINCE(10, 1)
#define VGPU_CLASS_DATA const void
#else
#define VGPU_CLASS_DATA void
#endif

/*
 * Keep the VM from being migrated for *@reason, and let it be migrated again.
 * Either way *@reason is NULL when there is no blocker. Since 8.2, QEMU itself
 * frees it.
 */
static inline int vgpu_compat_add_blocker(Error **reason)
{
#if VGPU_QEMU_SINCE(8, 2)
    return migrate_add_blocker(reason, NULL);
#else
    int r = migrate_add_blocker(*reason, NULL);

    if (r < 0) {
        error_free(*reason);
        *reason = NULL;
    }
    return r;
#endif
}

static inline void vgpu_compat_del_blocker(Error **reason)
{
#if VGPU_QEMU_SINCE(8, 2)
    migrate_del_blocker(reason);
#else
    migrate_del_blocker(*reason);
    error_free(*reason);
    *reason = NULL;
#endif
}

/* Sets the reset function. The way to do so changed when resets got phases. */
static inline void vgpu_compat_set_reset(DeviceClass *dc,
                                         void (*reset)(DeviceState *dev))
{
#if VGPU_QEMU_SINCE(9, 2)
    device_class_set_legacy_reset(dc, reset);
#else
    dc->reset = reset;
#endif
}

#endif
