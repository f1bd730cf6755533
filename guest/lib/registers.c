/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>

#include "device.h"
#include "mmio.h"

/* The addition is atomic, because threads that use the device's ring touch the registers at the
 * same time as the thread that uses the handle. */
static void count_access(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static bool offset_is_valid(uint32_t offset)
{
    return offset < VGPU_BAR0_SIZE && offset % sizeof(uint32_t) == 0;
}

uint32_t device_read(vgpu_device *dev, uint32_t offset)
{
    assert(offset_is_valid(offset));
    count_access(&dev->counters.reads);
    return mmio_read(dev->bar, offset);
}

void device_write(vgpu_device *dev, uint32_t offset, uint32_t value)
{
    assert(offset_is_valid(offset));
    count_access(&dev->counters.writes);
    mmio_write(dev->bar, offset, value);
}

int vgpu_read_register(vgpu_device *dev, uint32_t offset, uint32_t *ret_value)
{
    if (!offset_is_valid(offset))
        return -EINVAL;

    *ret_value = device_read(dev, offset);
    return 0;
}

int vgpu_write_register(vgpu_device *dev, uint32_t offset, uint32_t value)
{
    if (!offset_is_valid(offset))
        return -EINVAL;

    device_write(dev, offset, value);
    return 0;
}

int vgpu_get_extension(vgpu_device *dev, vgpu_extension *ret)
{
    vgpu_extension e = {0};

    if (device_read(dev, VGPU_REG_EXT_MAGIC) != VGPU_EXT_MAGIC)
        return -EOPNOTSUPP;
    e.version = device_read(dev, VGPU_REG_EXT_VERSION);
    if (e.version < VGPU_EXT_VERSION)
        return -EOPNOTSUPP;

    e.features = device_read(dev, VGPU_REG_EXT_FEATURES);
    if (e.features & VGPU_EXT_FEATURE_WINDOW)
        e.window_size = (uint64_t) device_read(dev, VGPU_REG_WINDOW_SIZE_HI) << 32 |
                        device_read(dev, VGPU_REG_WINDOW_SIZE_LO);
    *ret = e;
    return 0;
}

void vgpu_get_counters(const vgpu_device *dev, vgpu_counters *ret)
{
    *ret = (vgpu_counters){
        .requests = dev->counters.requests,
        .reads = __atomic_load_n(&dev->counters.reads, __ATOMIC_RELAXED),
        .writes = __atomic_load_n(&dev->counters.writes, __ATOMIC_RELAXED),
        .polls = dev->counters.polls,
    };
}
