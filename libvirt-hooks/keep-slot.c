/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has a running domain's definition say in which PCI slot its device is. The hook has this done
 * by a unit of its own, because libvirt, which waits for the hook, cannot be called from there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "domain-keep-slot.h"
#include "hooks-config.h"
#include "uuid.h"

int main(int argc, char **argv)
{
    CLEANUP_FREE char *error = NULL;
    char uuid[UUID_TEXT_SIZE];
    int r;

    if (argc != 2 || !uuid_normalize(argv[1], uuid)) {
        fprintf(stderr, "Usage: vgpu-keep-slot UUID\nRun by vgpu-keep-slot@.service.\n");
        return 2;
    }

    r = keep_slot_of_domain("qemu:///system", uuid, PID_DIR, &error);
    if (r == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "The definition of domain %s does not say where its vgpu device is: %s\n", uuid,
            error ? error : strerror(-r));
    return EXIT_FAILURE;
}
