/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transport.h"

#include <errno.h>

#include "address-space.h"

static int transport_map_at(transport *t, uint64_t size, void *at,
                            int (*map)(transport *t, uint64_t size, void *at, void **ret))
{
    void *window;
    int r = map(t, size, at, &window);

    if (r < 0)
        return r;
    t->window = window;
    t->window_size = size;
    return 0;
}

int transport_map_window(transport *t, const vgpu_session_options *o, uint64_t size,
                         int (*map)(transport *t, uint64_t size, void *at, void **ret))
{
    if (o->only_asks)
        return transport_map_at(t, size, NULL, map);
    for (uint64_t i = 0; i < WINDOW_BASES; i++) {
        void *at = (void *) (uintptr_t) (WINDOW_BASE_FIRST + i * WINDOW_BASE_STEP);
        int r = transport_map_at(t, size, at, map);

        if (r != -EEXIST)
            return r;
    }
    return -EADDRINUSE;
}
