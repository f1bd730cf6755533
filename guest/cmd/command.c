/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "cleanup.h"
#include "deadline.h"
#include "parse.h"

void complain(const char *format, ...)
{
    va_list args;

    fflush(stdout); /* so that the two come in order on a terminal */
    va_start(args, format);
    fputs("vgpu: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int exit_code_for(int result)
{
    if (result > 0)
        return EXIT_REFUSED;

    switch (result) {
    case 0:
        return EXIT_OK;
    case -ENODEV:
        return EXIT_NO_DEVICE;
    case -EBUSY:
    case -ETIMEDOUT:
        return EXIT_TIMEOUT;
    default:
        return EXIT_SYSTEM;
    }
}

int complain_result(const char *what, int result)
{
    if (result >= VGPU_N_ERRORS)
        complain("%s: %s (%d)", what, vgpu_strerror(result), result);
    else
        complain("%s: %s", what, vgpu_strerror(result));
    return exit_code_for(result);
}

static int enable_interrupts(vgpu_device *dev)
{
    int r;

    r = vgpu_enable_interrupts(dev);
    if (r == -ENXIO) {
        r = vgpu_bind_uio(NULL, vgpu_get_address(dev));
        if (r == -ENOENT) {
            complain("%s: interrupts need the kernel module uio_pci_generic; load it with "
                     "'modprobe uio_pci_generic'",
                     vgpu_get_address(dev));
            return EXIT_SYSTEM;
        }
        if (r == -EBUSY) {
            complain("%s: the device is bound to another driver", vgpu_get_address(dev));
            return EXIT_SYSTEM;
        }
        if (r == 0)
            r = vgpu_enable_interrupts(dev);
    }
    if (r < 0) {
        complain("%s: cannot use interrupts: %s", vgpu_get_address(dev), vgpu_strerror(r));
        return EXIT_SYSTEM;
    }
    return EXIT_OK;
}

/* Say why there is no device @name. Returns an exit code. */
static int complain_device(const char *name, int result)
{
    if (result == -EINVAL) {
        complain("invalid device '%s': give a number or a PCI address", name);
        return EXIT_USAGE;
    }
    if (result == -ENODEV && !name) {
        complain("no vgpu device found");
        return EXIT_NO_DEVICE;
    }
    complain("cannot open device '%s': %s", name ? name : "0", vgpu_strerror(result));
    if (result == -EPERM)
        complain("a kernel that is locked down permits VFIO: 'modprobe vfio-pci' and 'vgpu bind' "
                 "give it the device; see SECURE BOOT in vgpu(1)");
    return exit_code_for(result);
}

int choose_device(const char *name, char ret_address[static VGPU_ADDRESS_MAX])
{
    int r = address_find(NULL, name, ret_address);

    return r < 0 ? complain_device(name, r) : EXIT_OK;
}

#define OPEN_PAUSE_MAX_NS 10000000u

/* Open a device. One that is bound to vfio-pci is busy as long as another program has it open. */
static int open_in_time(const options *o, const char *name, vgpu_device **ret_dev)
{
    deadline until = deadline_after(o->timeout_ms);
    backoff pause = {0};
    int r;

    do
        r = vgpu_open(NULL, name, ret_dev);
    while (r == -EBUSY && backoff_pause(&pause, until, OPEN_PAUSE_MAX_NS));
    return r;
}

int open_device(const options *o, const char *name, vgpu_device **ret_dev)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    int r;

    r = open_in_time(o, name, &dev);
    if (r < 0)
        return complain_device(name, r);

    if (o->interrupt) {
        r = enable_interrupts(dev);
        if (r != EXIT_OK)
            return r;
    }

    *ret_dev = TAKE_PTR(dev);
    return EXIT_OK;
}

int complain_ring(vgpu_device *dev, int result)
{
    const char *address = vgpu_get_address(dev);

    if (result == -EOPNOTSUPP || result == VGPU_ERROR_UNSUPPORTED_OP) {
        complain("%s: the host is too old for this: its %s", address,
                 result < 0 ? "device has no data window and ring"
                            : "mediator knows no data window and ring");
        return EXIT_REFUSED;
    }
    complain("%s: cannot open the ring: %s", address, vgpu_strerror(result));
    return exit_code_for(result);
}

/* Where the command can fall back on the registers, it waits less long for a slow host to agree to
 * a ring than for a request. */
#define FALL_BACK_MS 2000

int open_ring(const options *o, vgpu_device *dev, bool by_registers, vgpu_ring **ret_ring)
{
    bool may_fall_back = by_registers && o->path == PATH_AUTO;
    int timeout_ms = o->timeout_ms, r;

    *ret_ring = NULL;
    if (by_registers && o->path == PATH_REGISTERS)
        return EXIT_OK;
    if (o->path == PATH_REGISTERS) {
        complain("only the ring can do this: it does not go with --path=registers");
        return EXIT_USAGE;
    }

    if (may_fall_back && (timeout_ms < 0 || timeout_ms > FALL_BACK_MS))
        timeout_ms = FALL_BACK_MS;
    r = vgpu_ring_open(dev, 0, timeout_ms, ret_ring);
    return r == 0 || may_fall_back ? EXIT_OK : complain_ring(dev, r);
}

int parse_number(const char *text, uint32_t *ret_value)
{
    unsigned long long value;
    char *end;

    if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
        return parse_u32(text, 0, UINT32_MAX, ret_value) == 0 ? 0 : -EINVAL;

    errno = 0;
    value = strtoull(text, &end, 16);
    if (errno != 0 || *end != '\0' || value > UINT32_MAX)
        return -EINVAL;

    *ret_value = (uint32_t) value;
    return 0;
}

void print_foreign(const char *text)
{
    for (const char *p = text; *p; p++)
        putchar(*p < ' ' || *p > '~' || *p == '"' || *p == '\\' ? '?' : *p);
}

void print_foreign_lines(FILE *to, const char *text)
{
    for (const char *p = text; *p; p++)
        fputc((*p < ' ' && *p != '\n' && *p != '\t') || *p > '~' ? '?' : *p, to);
}

int finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;

    complain("cannot write to the standard output: %s", strerror(errno));
    return EXIT_SYSTEM;
}
