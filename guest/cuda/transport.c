/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transport.h"

#include <errno.h>

#include "address-space.h"

int transport_map_window(transport *t, uint64_t size,
                         int (*map)(transport *t, uint64_t size, void *at, void **ret))
{
    for (uint64_t i = 0; i < WINDOW_BASES; i++) {
        void *at = (void *) (uintptr_t) (WINDOW_BASE_FIRST + i * WINDOW_BASE_STEP), *window;
        int r = map(t, size, at, &window);

        if (r == -EEXIST)
            continue;
        if (r < 0)
            return r;
        t->window = window;
        t->window_size = size;
        return 0;
    }
    return -EADDRINUSE;
}
