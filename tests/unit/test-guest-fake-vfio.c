/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-fake-vfio.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP "7"

/* The kernel puts each region at an offset of its own in the device's file, and so does this. */
#define REGION_OFFSET(index) ((uint64_t) (index) << 40)

static fake_vfio *current_vfio;

static bool is_open(int fd)
{
    return fd >= 0 && fcntl(fd, F_GETFD) >= 0;
}

/* ---- The files ---------------------------------------------------------------- */

static const char *vfio_path(const fake_vfio *v, const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/vfio/%s", v->sysfs->dev, name);
    return path;
}

static const char *group_name(const fake_vfio *v)
{
    return v->has_no_iommu ? "noiommu-" GROUP : GROUP;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
    fake_vfio *v = current_vfio;
    mode_t mode = 0;
    bool is_group;
    va_list args;
    int fd;

    va_start(args, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(args, mode_t);
    va_end(args);

    is_group = v && strcmp(path, vfio_path(v, group_name(v))) == 0;
    if (is_group && (v->is_used || is_open(v->group_fd))) {
        errno = EBUSY;
        return -1;
    }
    fd = __real_open64(path, is_group ? flags | O_CREAT : flags, is_group ? 0600 : mode);
    if (is_group) {
        v->group_fd = fd;
        v->has_container = v->has_iommu = false;
    }
    return fd;
}

static void make_tree(fake_vfio *v)
{
    const char *link;
    int fd;

    fake_sysfs_bind(v->sysfs, FAKE_ADDRESS, "vfio-pci");
    link = fake_sysfs_path(v->sysfs, FAKE_ADDRESS, "iommu_group");
    assert_return_code(symlink("../../../../kernel/iommu_groups/" GROUP, link), 0);
    assert_return_code(mkdir(vfio_path(v, ""), 0777), 0);
    fd = __real_open64(vfio_path(v, "vfio"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_return_code(fd, 0);
    close(fd);
}

/* ---- The device ---------------------------------------------------------------- */

uint16_t fake_vfio_command(const fake_vfio *v)
{
    const off_t at = (off_t) REGION_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX) + PCI_COMMAND;
    uint16_t command;

    assert_int_equal(pread(v->device_fd, &command, sizeof(command), at), sizeof(command));
    return command;
}

/* A message is a write to memory: a device that is not a bus master sends none. */
static void send_message(model *m, unsigned int vector)
{
    const fake_vfio *v = current_vfio;
    const uint64_t one = 1;

    (void) m;
    if (v->messages[vector] >= 0 && fake_vfio_command(v) & PCI_COMMAND_MASTER)
        assert_int_equal(write(v->messages[vector], &one, sizeof(one)), sizeof(one));
}

static void drop_messages(fake_vfio *v)
{
    for (size_t i = 0; i < INTERRUPT_N_CAUSES; i++) {
        if (v->messages[i] >= 0)
            close(v->messages[i]);
        v->messages[i] = -1;
    }
}

static void reset(fake_vfio *v)
{
    v->resets++;
    model_reset(v->model);
}

static int give_device(fake_vfio *v, const char *address)
{
    if (!v->has_container || !v->has_iommu || strcmp(address, FAKE_ADDRESS) != 0) {
        errno = EINVAL;
        return -1;
    }

    v->device_fd = memfd_create("device", MFD_CLOEXEC);
    assert_return_code(v->device_fd, 0);
    assert_return_code(
        ftruncate(v->device_fd, (off_t) REGION_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX + 1)), 0);
    drop_messages(v);
    reset(v);
    return v->device_fd;
}

static void describe_region(const fake_vfio *v, struct vfio_region_info *info)
{
    assert_true(info->argsz >= sizeof(*info));
    info->offset = REGION_OFFSET(info->index);
    info->size = info->index == VFIO_PCI_BAR0_REGION_INDEX     ? VGPU_BAR0_SIZE
                 : info->index == VFIO_PCI_BAR2_REGION_INDEX   ? v->model->ring.size
                 : info->index == VFIO_PCI_CONFIG_REGION_INDEX ? 256
                                                               : 0;
}

static void set_messages(fake_vfio *v, const struct vfio_irq_set *set)
{
    int32_t fds[INTERRUPT_N_CAUSES];

    assert_int_equal(set->argsz, sizeof(*set) + sizeof(fds));
    assert_int_equal(set->flags, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
    assert_int_equal(set->index, VFIO_PCI_MSIX_IRQ_INDEX);
    assert_int_equal(set->start, 0);
    assert_int_equal(set->count, INTERRUPT_N_CAUSES);
    memcpy(fds, set->data, sizeof(fds));
    drop_messages(v);
    for (size_t i = 0; i < INTERRUPT_N_CAUSES; i++) {
        v->messages[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        assert_return_code(v->messages[i], 0);
    }
}

/* ---- In place of the system calls ----------------------------------------------------- */

static int set_iommu(fake_vfio *v, unsigned long type)
{
    if (!v->has_container)
        errno = EINVAL;
    else if (v->iommu_error != 0)
        errno = v->iommu_error;
    else if (type != (v->has_no_iommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU))
        errno = ENODEV;
    else
        v->has_iommu = true;
    return v->has_iommu ? 0 : -1;
}

static int control_device(fake_vfio *v, unsigned long command, void *argument)
{
    switch (command) {
    case VFIO_DEVICE_GET_REGION_INFO:
        describe_region(v, argument);
        return 0;
    case VFIO_DEVICE_GET_IRQ_INFO:
        assert_int_equal(((struct vfio_irq_info *) argument)->index, VFIO_PCI_MSIX_IRQ_INDEX);
        ((struct vfio_irq_info *) argument)->count = v->n_vectors;
        return 0;
    case VFIO_DEVICE_SET_IRQS:
        if (v->n_vectors_left == 0)
            set_messages(v, argument);
        return v->n_vectors_left;
    case VFIO_DEVICE_RESET:
        reset(v);
        return 0;
    default:
        fail_msg("an ioctl of the device that the fake does not know: %#lx", command);
        return -1;
    }
}

int __real_ioctl(int fd, unsigned long command, ...);
int __wrap_ioctl(int fd, unsigned long command, ...);

int __wrap_ioctl(int fd, unsigned long command, ...)
{
    fake_vfio *v = current_vfio;
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);

    if (!v)
        return __real_ioctl(fd, command, argument);
    if (fd == v->device_fd)
        return control_device(v, command, argument);

    switch (command) {
    case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
    case VFIO_SET_IOMMU:
        return set_iommu(v, (unsigned long) argument);
    case VFIO_GROUP_GET_STATUS:
        assert_int_equal(fd, v->group_fd);
        ((struct vfio_group_status *) argument)->flags =
            v->is_unviable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
        return 0;
    case VFIO_GROUP_SET_CONTAINER:
        assert_int_equal(fd, v->group_fd);
        v->has_container = is_open(*(int *) argument);
        return 0;
    case VFIO_GROUP_GET_DEVICE_FD:
        assert_int_equal(fd, v->group_fd);
        return give_device(v, argument);
    default:
        return __real_ioctl(fd, command, argument);
    }
}

void *__real_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);

/* The window is the model's, which has a file of its own. */
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    const fake_vfio *v = current_vfio;

    if (v && fd >= 0 && fd == v->device_fd) {
        assert_true(fake_vfio_command(v) & PCI_COMMAND_MEMORY);
        if ((uint64_t) offset == REGION_OFFSET(VFIO_PCI_BAR2_REGION_INDEX)) {
            fd = v->model->ring.fd;
            offset = 0;
        }
    }
    return __real_mmap64(address, size, protection, flags, fd, offset);
}

/* ---- Beginning and end ---------------------------------------------------------- */

void fake_vfio_add(fake_vfio *v, model *m, fake_sysfs *sysfs)
{
    *v = (fake_vfio){
        .model = m,
        .sysfs = sysfs,
        .group_fd = -1,
        .device_fd = -1,
        .n_vectors = INTERRUPT_N_CAUSES,
        .messages = {-1, -1},
    };
    make_tree(v);
    m->message = send_message;
    current_vfio = v;
}

void fake_vfio_remove(fake_vfio *v)
{
    assert_false(is_open(v->device_fd));
    assert_false(is_open(v->group_fd));
    drop_messages(v);
    current_vfio = NULL;
}
