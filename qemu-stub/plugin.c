/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Brings the device into a stock QEMU: -plugin vgpu-stub.so
 *
 * QEMU's plugin interface is made for watching instructions. The device uses
 * nothing of it but the loader, which runs our code before the machine is
 * built: that code registers the device's type. It installs no callback, so the
 * guest's code is translated as it would be without the plugin.
 *
 * The device uses QEMU's internal structures, which change without notice from
 * one minor version to the next. So the plugin registers the type only in the
 * version it was built for, and only where the structures have the expected
 * layout.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/qapi-types-control.h"
#include "qemu/qemu-plugin.h"
#include "qemu-compat.h"
#include "vgpu-stub.h"

/* The tests build a plugin that claims to be for another version. */
#ifndef VGPU_BUILT_FOR_MAJOR
#define VGPU_BUILT_FOR_MAJOR QEMU_VERSION_MAJOR
#endif

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static bool plugin_version_matches(const VersionInfo *version)
{
    return version->qemu->major == VGPU_BUILT_FOR_MAJOR &&
           version->qemu->minor == QEMU_VERSION_MINOR;
}

/*
 * Runs when the object is loaded, before QEMU looks at it. QEMU may refuse a
 * plugin because of the version of the plugin interface alone, and its message
 * then does not say which QEMU to use.
 */
static void __attribute__((constructor)) plugin_report_version(void)
{
    g_autoptr(VersionInfo) version = qmp_query_version(NULL);

    if (!plugin_version_matches(version)) {
        error_report("vgpu-stub: built for QEMU %d.%d, this is QEMU %" PRId64
                     ".%" PRId64 "; use the vgpu-stub.so built for it",
                     VGPU_BUILT_FOR_MAJOR, QEMU_VERSION_MINOR,
                     version->qemu->major, version->qemu->minor);
    }
}

/* Is the field behind this property of PCIDevice where our headers have it? */
static bool plugin_field_matches(const char *property, ptrdiff_t offset)
{
    ObjectClass *class = object_class_by_name(TYPE_PCI_DEVICE);
    ObjectProperty *found = object_class_property_find(class, property);

    return found && ((const Property *)found->opaque)->offset == offset;
}

/* Checks the first and the last field of PCIDevice whose place QEMU tells. */
static bool plugin_abi_matches(void)
{
    if (plugin_field_matches("addr", offsetof(PCIDevice, devfn)) &&
        plugin_field_matches("acpi-index", offsetof(PCIDevice, acpi_index))) {
        return true;
    }
    error_report("vgpu-stub: this QEMU was configured in another way than the "
                 "one vgpu-stub.so was built for; build it against this "
                 "QEMU's own source package");
    return false;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info, int argc,
                                           char **argv)
{
    g_autoptr(VersionInfo) version = qmp_query_version(NULL);

    if (!plugin_version_matches(version)) {
        return -1; /* plugin_report_version() has said why */
    }
    if (argc > 0) {
        error_report("vgpu-stub: the plugin takes no argument, but '%s' was "
                     "given; the device has properties", argv[0]);
        return -1;
    }
    if (!plugin_abi_matches()) {
        return -1;
    }
    if (!object_class_by_name(TYPE_VGPU_STUB)) { /* loaded twice, or built in */
        vgpu_stub_register_types();
    }
    return 0;
}
