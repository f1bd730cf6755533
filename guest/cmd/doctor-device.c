/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device of this machine, from its PCI function to whoever answers behind it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "doctor.h"
#include "driver.h"
#include "sysfs.h"

/* ---- Drivers, and a kernel that is locked down ---------------------------------- */

/* @ret: the driver's name, "" without one */
static void doctor_driver(doctor *d, char ret[static PATH_MAX])
{
    char link[PATH_MAX];

    ret[0] = '\0';
    if (sysfs_read_link(&d->paths, d->address, "driver", link) == 0)
        strcpy(ret, sysfs_last_component(link));
    if (ret[0] != '\0' && strcmp(ret, DRIVER_UIO) != 0 && strcmp(ret, DRIVER_VFIO) != 0)
        doctor_add(d, "driver", DOCTOR_WARN,
                   "the device needs no driver; as root: 'echo ADDRESS "
                   ">/sys/bus/pci/devices/ADDRESS/driver/unbind'",
                   "The kernel's driver %s has the device.", ret);
}

/* Returns whether the kernel lets programs map the device. */
static bool doctor_lockdown(doctor *d, const char *driver)
{
    char path[PATH_MAX], line[128] = "";
    FILE *file = fopen(doctor_path(d, "/sys/kernel/security/lockdown", path), "re");

    if (file && !fgets(line, sizeof(line), file))
        line[0] = '\0';
    if (file)
        fclose(file);
    if (line[0] == '\0' || strstr(line, "[none]") || strcmp(driver, DRIVER_VFIO) == 0)
        return true;
    doctor_add(d, "lockdown", DOCTOR_FAIL,
               "give the machine an IOMMU; then 'modprobe vfio-pci' and 'vgpu bind'; see SECURE "
               "BOOT in vgpu(1)",
               "Secure Boot locks this kernel down, which then permits no program to map the "
               "device.");
    return false;
}

/* ---- Opening --------------------------------------------------------------------- */

static const char *open_mend(int result)
{
    switch (result) {
    case -EACCES:
        return "the udev rule of the package vgpu-guest enables the device and gives it to the "
               "group vgpu: install it, or run this as root";
    case -EPERM:
        return "'modprobe vfio-pci' and 'vgpu bind' give the device to VFIO, which the kernel "
               "permits; see SECURE BOOT in vgpu(1)";
    case -EBUSY:
        return "with vfio-pci one process at a time has the device: end the other, or unbind the "
               "device from vfio-pci";
    case -EPROTONOSUPPORT:
        return "install the vgpu-guest of the host's version";
    case -ENOPKG:
        return "as root: 'modprobe vfio_iommu_type1'";
    case -ENOSYS:
        return "give the machine an IOMMU with intremap='on'; see SECURE BOOT in vgpu(1)";
    default:
        return NULL;
    }
}

static int doctor_open(doctor *d, vgpu_device **ret)
{
    uint32_t enabled = 1;
    int r;

    (void) sysfs_read_u32(&d->paths, d->address, "enable", &enabled);
    r = vgpu_open(&d->paths, d->address, ret);
    if (r < 0)
        doctor_add(d, "permission", DOCTOR_FAIL, open_mend(r), "Cannot open the device%s: %s.",
                   enabled == 0 ? ", which is not enabled" : "", vgpu_strerror(r));
    else
        doctor_add(d, "permission", DOCTOR_OK, NULL, "This process may use the device, through %s.",
                   vgpu_get_access(*ret));
    return r;
}

/* ---- Who answers ----------------------------------------------------------------- */

static const char *mediator_mend(int result)
{
    switch (result) {
    case VGPU_ERROR_MEDIATOR_UNAVAILABLE:
        return "on the host: 'systemctl enable --now vgpu-mediator.socket', and 'vgpuctl check' "
               "for what else may be in the way";
    case VGPU_ERROR_INVALID_POOL:
        return "on the host: give the pool a section in /etc/vgpu/mediator.conf, or the machine "
               "another pool";
    case VGPU_ERROR_VM_QUARANTINED:
        return "on the host: 'vgpuctl status NAME' says why; 'vgpuctl register' or 'vgpuctl "
               "release' lets it in";
    case -ETIMEDOUT:
    case -EBUSY:
        return "on the host: 'vgpuctl', and 'journalctl -u vgpu-mediator.service'";
    default:
        return "on the host: 'journalctl -u vgpu-mediator.service'";
    }
}

/* A pool of the CPU has no sessions, and it is said here why. */
static void doctor_pool(doctor *d, const VGPUDeviceInfo *info)
{
    if (strcmp(info->backend, "cuda") == 0) {
        doctor_add(d, "mediator", DOCTOR_OK, NULL,
                   "The host's mediator answers; the pool is on %s.", info->name);
        return;
    }
    doctor_add(d, "mediator", DOCTOR_FAIL,
               "on the host: 'vgpuctl check' says why the pool has no GPU; or give this machine a "
               "pool that has one",
               "The pool behind this device computes on the CPU (%s), and has no CUDA.",
               info->name);
    d->is_reached = false;
}

static void doctor_mediator(doctor *d, vgpu_device *dev)
{
    VGPUDeviceInfo info;
    int r = vgpu_get_device_info(dev, d->o->timeout_ms, &info);

    if (r == 0) {
        doctor_pool(d, &info);
        return;
    }
    doctor_add(d, "mediator", DOCTOR_FAIL, mediator_mend(r),
               "The host does not compute for this machine: %s.", vgpu_strerror(r));
    d->is_reached = false;
}

void doctor_device(doctor *d)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    char driver[PATH_MAX];

    if (d->address[0] == '\0')
        return;
    doctor_driver(d, driver);
    if (!doctor_lockdown(d, driver) || !doctor_access(d, driver) || doctor_open(d, &dev) < 0)
        return;
    d->is_reached = doctor_rings(d, dev);
    doctor_mediator(d, dev);
}
