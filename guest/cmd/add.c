/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "command.h"

int command_add(const options *o, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    uint32_t operands[2], sum;
    int r;

    for (int i = 0; i < 2; i++)
        if (parse_number(argv[i], &operands[i]) < 0) {
            complain("invalid number '%s': give 0 to %" PRIu32, argv[i], UINT32_MAX);
            return EXIT_USAGE;
        }

    r = open_device(o, o->device, &dev);
    if (r != EXIT_OK)
        return r;

    r = vgpu_add(dev, operands[0], operands[1], o->timeout_ms, &sum);
    if (r != 0)
        return complain_result(vgpu_get_address(dev), r);

    printf("%" PRIu32 "\n", sum);
    return finish_output(EXIT_OK);
}
