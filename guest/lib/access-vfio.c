/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to a device through VFIO, where it is bound to vfio-pci. A kernel that is locked down
 * allows it, because an IOMMU keeps the device within what VFIO has mapped for it. That is nothing
 * here: the device reaches no memory of the guest at all.
 *
 * The kernel lets one open file have a device, so this handle excludes all others, and resets the
 * device when that file is opened and when it is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "device-access.h"
#include "device.h"
#include "mapping.h"
#include "sysfs.h"

struct vfio {
    int container_fd, device_fd;
    int messages_result;                      /* of setting up MSI-X */
    int32_t messages[INTERRUPT_MESSAGES_MAX]; /* an eventfd for each vector that the device has */
};

/* ---- Opening ----------------------------------------------------------------- */

/* Open the group's file. A group without an IOMMU, which root may allow, has another name. */
static int vfio_open_group(const vgpu_paths *paths, const char *address, bool *ret_has_iommu)
{
    char link[PATH_MAX], path[PATH_MAX + NAME_MAX];
    const char *number;
    int r;

    r = sysfs_read_link(paths, address, "iommu_group", link);
    if (r < 0)
        return r;
    number = sysfs_last_component(link);

    snprintf(path, sizeof(path), "%s/vfio/%s", paths_dev(paths), number);
    r = open(path, O_RDWR | O_CLOEXEC);
    *ret_has_iommu = true;
    if (r < 0 && errno == ENOENT) {
        snprintf(path, sizeof(path), "%s/vfio/noiommu-%s", paths_dev(paths), number);
        r = open(path, O_RDWR | O_CLOEXEC);
        *ret_has_iommu = false;
    }
    return r < 0 ? -errno : r;
}

static int vfio_open_container(const vgpu_paths *paths)
{
    CLEANUP_CLOSE int fd = -1;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/vfio/vfio", paths_dev(paths));
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
        return -EPROTONOSUPPORT;
    return TAKE_FD(fd);
}

static int vfio_set_iommu(int container_fd, bool has_iommu)
{
    if (ioctl(container_fd, VFIO_SET_IOMMU, has_iommu ? VFIO_TYPE1v2_IOMMU : VFIO_NOIOMMU_IOMMU) ==
        0)
        return 0;

    switch (errno) {
    case ENODEV:
        return -ENOPKG;
    case EPERM:
        return has_iommu ? -ENOSYS : -EPERM;
    default:
        return -errno;
    }
}

static int vfio_join_container(int group_fd, int container_fd, bool has_iommu)
{
    struct vfio_group_status status = {.argsz = sizeof(status)};

    if (ioctl(group_fd, VFIO_GROUP_GET_STATUS, &status) < 0)
        return -errno;
    if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
        return -EXDEV;
    if (ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, &container_fd) < 0)
        return -errno;
    return vfio_set_iommu(container_fd, has_iommu);
}

static int vfio_find_region(const struct vfio *v, uint32_t index, struct vfio_region_info *ret)
{
    struct vfio_region_info info = {.argsz = sizeof(info), .index = index};

    if (ioctl(v->device_fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
        return -errno;
    *ret = info;
    return 0;
}

/* VFIO gives out a device that answers no access and, as messages are writes to memory, sends none.
 */
static int vfio_enable(const struct vfio *v)
{
    const uint16_t wanted = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    struct vfio_region_info config = {0};
    uint16_t command;
    off_t at;
    int r;

    r = vfio_find_region(v, VFIO_PCI_CONFIG_REGION_INDEX, &config);
    if (r < 0)
        return r;

    at = (off_t) config.offset + PCI_COMMAND;
    if (pread(v->device_fd, &command, sizeof(command), at) != sizeof(command))
        return -EIO;
    command |= wanted;
    return pwrite(v->device_fd, &command, sizeof(command), at) == sizeof(command) ? 0 : -EIO;
}

/* ---- Interrupts -------------------------------------------------------------- */

/* Returns how many vectors there are to be, or a negative errno. */
static int vfio_count_messages(const struct vfio *v)
{
    struct vfio_irq_info info = {.argsz = sizeof(info), .index = VFIO_PCI_MSIX_IRQ_INDEX};

    if (ioctl(v->device_fd, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0)
        return -errno;
    if (info.count < INTERRUPT_N_CAUSES)
        return -EOPNOTSUPP;
    return info.count < INTERRUPT_MESSAGES_MAX ? (int) info.count : INTERRUPT_MESSAGES_MAX;
}

/* Connect each vector with its eventfd. Kernels before 6.5 cannot add a vector later. */
static int vfio_set_messages(struct vfio *v)
{
    _Alignas(struct vfio_irq_set)
        uint8_t memory[sizeof(struct vfio_irq_set) + sizeof(v->messages)] = {0};
    struct vfio_irq_set *set = (struct vfio_irq_set *) memory;
    int n, r;

    n = vfio_count_messages(v);
    if (n < 0)
        return n;

    for (int i = 0; i < n; i++) {
        v->messages[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (v->messages[i] < 0)
            return -errno;
    }

    *set = (struct vfio_irq_set){
        .argsz = (uint32_t) (sizeof(*set) + (size_t) n * sizeof(v->messages[0])),
        .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
        .index = VFIO_PCI_MSIX_IRQ_INDEX,
        .count = (uint32_t) n,
    };
    memcpy(set->data, v->messages, (size_t) n * sizeof(v->messages[0]));
    r = ioctl(v->device_fd, VFIO_DEVICE_SET_IRQS, set);
    if (r < 0)
        return -errno;
    return r == 0 ? 0 : -EIO; /* positive: the kernel has only so many vectors left */
}

/* A device can do without interrupts: why there are none is said to those who ask for them. */
static int vfio_access_open_interrupt(vgpu_device *dev, interrupt_cause cause, interrupt *ret)
{
    const struct vfio *v = dev->vfio;
    int fd;

    if (v->messages_result < 0)
        return v->messages_result;
    if (v->messages[cause] < 0)
        return -EOPNOTSUPP;

    fd = fcntl(v->messages[cause], F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret = (interrupt){.fd = fd, .config_fd = -1};
    return 0;
}

/* ---- The rest ---------------------------------------------------------------- */

static struct vfio *vfio_new(void)
{
    struct vfio *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->container_fd = v->device_fd = -1;
    for (size_t i = 0; i < INTERRUPT_MESSAGES_MAX; i++)
        v->messages[i] = -1;
    return v;
}

static int vfio_access_open(vgpu_device *dev)
{
    const vgpu_paths paths = device_paths(dev);
    struct vfio *v = dev->vfio = vfio_new();
    bool has_iommu;
    int r;

    if (!v)
        return -ENOMEM;

    dev->lock_fd = vfio_open_group(&paths, dev->address, &has_iommu);
    if (dev->lock_fd < 0)
        return dev->lock_fd;
    v->container_fd = vfio_open_container(&paths);
    if (v->container_fd < 0)
        return v->container_fd;
    r = vfio_join_container(dev->lock_fd, v->container_fd, has_iommu);
    if (r < 0)
        return r;

    v->device_fd = ioctl(dev->lock_fd, VFIO_GROUP_GET_DEVICE_FD, dev->address);
    if (v->device_fd < 0)
        return -errno;
    r = vfio_enable(v);
    if (r < 0)
        return r;
    v->messages_result = vfio_set_messages(v);
    return 0;
}

static void vfio_access_close(vgpu_device *dev)
{
    struct vfio *v = dev->vfio;

    if (!v)
        return;

    for (size_t i = 0; i < INTERRUPT_MESSAGES_MAX; i++)
        if (v->messages[i] >= 0)
            close(v->messages[i]);
    if (v->device_fd >= 0)
        close(v->device_fd);
    if (dev->lock_fd >= 0)
        close(dev->lock_fd);
    if (v->container_fd >= 0)
        close(v->container_fd);
    free(v);
}

static int vfio_access_map(vgpu_device *dev, unsigned int bar, uint64_t size, void *at, void **ret)
{
    const struct vfio *v = dev->vfio;
    struct vfio_region_info region = {0};
    int r;

    r = vfio_find_region(v, VFIO_PCI_BAR0_REGION_INDEX + bar, &region);
    if (r < 0)
        return r;
    if (region.size < size)
        return -ERANGE;

    return mapping_create(at, size, v->device_fd, (off_t) region.offset, ret);
}

static int vfio_access_map_over(vgpu_device *dev, unsigned int bar, uint64_t offset, uint64_t size,
                                void *at)
{
    struct vfio_region_info region = {0};
    int r = vfio_find_region(dev->vfio, VFIO_PCI_BAR0_REGION_INDEX + bar, &region);

    return r < 0 ? r : mapping_replace(at, size, dev->vfio->device_fd, region.offset + offset);
}

static int vfio_access_reset(vgpu_device *dev)
{
    return ioctl(dev->vfio->device_fd, VFIO_DEVICE_RESET) < 0 ? -errno : 0;
}

const access_ops access_vfio = {
    .name = "vfio",
    .open = vfio_access_open,
    .close = vfio_access_close,
    .map = vfio_access_map,
    .map_over = vfio_access_map_over,
    .open_interrupt = vfio_access_open_interrupt,
    .reset = vfio_access_reset,
};
