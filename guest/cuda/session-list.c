/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-list.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "session-rings.h"

static uint32_t ring_read(vgpu_device *dev, uint32_t ring, uint32_t reg)
{
    return device_read(dev, vgpu_session_register(ring, reg));
}

/* The session's area, which another process writes: looked at once, and believed in nothing.
 * @header: of the list's own, where the area's is mapped; all of a large window takes long */
static void read_area(vgpu_device *dev, uint64_t window_size, uint64_t offset,
                      VGPUSessionHeader *header, session_listed *ret)
{
    if (offset % VGPU_SESSION_ALIGNMENT != 0 || offset > window_size ||
        window_size - offset < sizeof(*header) ||
        dev->access->map_over(dev, BAR_WINDOW, offset, sizeof(*header), header) < 0)
        return;
    if (header->magic != VGPU_SESSION_MAGIC)
        return;
    ret->pid = header->guest_pid;
    memcpy(ret->command, header->command, sizeof(ret->command));
    ret->command[sizeof(ret->command) - 1] = '\0';
    ret->memory = __atomic_load_n(&header->memory, __ATOMIC_RELAXED);
    ret->device_usec = __atomic_load_n(&header->device_usec, __ATOMIC_RELAXED);
    ret->n_contexts = __atomic_load_n(&header->n_contexts, __ATOMIC_RELAXED);
}

int session_list(vgpu_device *dev, session_listed ret[static VGPU_RINGS_MAX], uint32_t *ret_rings)
{
    uint32_t rings = session_rings_count(dev);
    vgpu_extension extension;
    VGPUSessionHeader *header;
    int n = 0, r;

    if (rings < 2)
        return -EOPNOTSUPP;
    r = vgpu_get_extension(dev, &extension);
    if (r < 0)
        return r;
    header =
        mmap(NULL, sizeof(*header), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (header == MAP_FAILED)
        return -errno;

    for (uint32_t i = 1; i < rings; i++) {
        uint32_t state = ring_read(dev, i, VGPU_SESSION_REG_CTRL);
        uint64_t offset;

        if (state == VGPU_RING_OFF)
            continue;
        offset = ring_read(dev, i, VGPU_SESSION_REG_OFFSET_LO) |
                 (uint64_t) ring_read(dev, i, VGPU_SESSION_REG_OFFSET_HI) << 32;
        ret[n] = (session_listed){.ring = i, .state = state};
        read_area(dev, extension.window_size, offset, header, &ret[n++]);
    }
    munmap(header, sizeof(*header));
    *ret_rings = rings - 1;
    return n;
}
