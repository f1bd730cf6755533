/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"

/* What vgpu info tells about a device: its registers, and what the host answers. */
typedef struct facts {
    const char *address, *access;
    int uio;
    uint32_t protocol, capabilities, pool, priority, vm_id, status, error;
    bool has_extension;
    vgpu_extension extension;
    uint32_t ring, ring_entries, ring_error;
    int result; /* of GET_DEVICE_INFO */
    VGPUDeviceInfo info;
} facts;

static uint32_t read_register(vgpu_device *dev, uint32_t offset)
{
    uint32_t value = 0;

    vgpu_read_register(dev, offset, &value); /* cannot fail: the offset is a constant */
    return value;
}

static facts facts_gather(const options *o, vgpu_device *dev, int uio)
{
    facts f = {
        .address = vgpu_get_address(dev),
        .access = vgpu_get_access(dev),
        .uio = uio,
        .protocol = read_register(dev, VGPU_REG_PROTOCOL_VER),
        .capabilities = read_register(dev, VGPU_REG_CAPABILITIES),
        .pool = read_register(dev, VGPU_REG_POOL_ID),
        .priority = read_register(dev, VGPU_REG_PRIORITY),
        .vm_id = read_register(dev, VGPU_REG_VM_ID),
        .status = read_register(dev, VGPU_REG_STATUS),
        .error = read_register(dev, VGPU_REG_ERROR_CODE),
    };

    f.has_extension = vgpu_get_extension(dev, &f.extension) == 0;
    if (f.has_extension && f.extension.features & VGPU_EXT_FEATURE_RING) {
        f.ring = read_register(dev, VGPU_REG_RING_CTRL);
        f.ring_entries = read_register(dev, VGPU_REG_RING_ENTRIES);
        f.ring_error = read_register(dev, VGPU_REG_RING_ERROR);
    }
    f.result = vgpu_get_device_info(dev, o->timeout_ms, &f.info);
    return f;
}

static const char *status_to_string(uint32_t status)
{
    static const char *const names[] = {"IDLE", "BUSY", "DONE", "ERROR"};

    return status < ELEMENTSOF(names) ? names[status] : "unknown";
}

static const char *ring_to_string(uint32_t state)
{
    static const char *const names[] = {"OFF", "ON", "STARTING", "FAILED", "STOPPING"};

    return state < ELEMENTSOF(names) ? names[state] : "unknown";
}

static const char *priority_to_string(uint32_t priority)
{
    const char *name = vgpu_priority_to_string(priority);

    return name ? name : "unknown";
}

static void print_memory(const VGPUDeviceInfo *info)
{
    printf("  memory:        %" PRIu64 " MiB, %" PRIu64 " MiB free\n", info->memory_total >> 20,
           info->memory_free >> 20);
}

static void print_host_plain(const VGPUDeviceInfo *info)
{
    fputs("  backend:       ", stdout);
    print_foreign(info->backend);
    fputs("\n  name:          ", stdout);
    print_foreign(info->name);
    putchar('\n');
    print_memory(info);
    if (strcmp(info->backend, "cuda") == 0) {
        printf("  processors:    %" PRIu32 " multiprocessors\n", info->multiprocessors);
        printf("  capability:    %" PRIu32 ".%" PRIu32 "\n", info->compute_major,
               info->compute_minor);
        printf("  driver:        CUDA %" PRIu32 ".%" PRIu32 "\n", info->driver_version / 1000,
               info->driver_version % 1000 / 10);
    } else {
        printf("  processors:    %" PRIu32 " CPUs\n", info->multiprocessors);
    }
}

static void print_extension_plain(const facts *f)
{
    if (!f->has_extension) {
        puts("  extensions:    none");
        return;
    }

    printf("  extensions:    version %" PRIu32 ", features 0x%08" PRIx32 "\n", f->extension.version,
           f->extension.features);
    if (f->extension.features & VGPU_EXT_FEATURE_WINDOW)
        printf("  window:        %" PRIu64 " KiB\n", f->extension.window_size >> 10);
    if (f->extension.features & VGPU_EXT_FEATURE_RING) {
        printf("  ring:          %s", ring_to_string(f->ring));
        if (f->ring == VGPU_RING_ON)
            printf(", %" PRIu32 " entries", f->ring_entries);
        if (f->ring == VGPU_RING_FAILED)
            printf(" (%s)", vgpu_error_to_string(f->ring_error));
        putchar('\n');
    }
}

static void print_plain(size_t index, const facts *f)
{
    printf("device %zu: %s\n", index, f->address);
    printf("  protocol:      %" PRIu32 ".%" PRIu32 "\n", f->protocol >> 16, f->protocol & 0xffff);
    printf("  capabilities:  0x%08" PRIx32 "\n", f->capabilities);
    print_extension_plain(f);
    printf("  pool:          %c\n", vgpu_pool_is_valid(f->pool) ? (int) f->pool : '?');
    printf("  priority:      %s\n", priority_to_string(f->priority));
    printf("  VM:            %" PRIu32 "\n", f->vm_id);
    printf("  status:        %s", status_to_string(f->status));
    if (f->status == VGPU_STATUS_ERROR)
        printf(" (%s)", vgpu_error_to_string(f->error));
    putchar('\n');
    printf("  access:        %s\n", f->access);
    if (strcmp(f->access, "vfio") == 0)
        printf("  interrupt:     %s\n",
               f->extension.features & VGPU_EXT_FEATURE_MSIX ? "MSI-X" : "none");
    else if (f->uio >= 0)
        printf("  interrupt:     /dev/uio%d\n", f->uio);
    else
        puts("  interrupt:     not bound to uio_pci_generic");
    if (f->result == 0)
        print_host_plain(&f->info);
}

/* A device without a window has window_size 0, and one without a ring has the state null. */
static void print_extension_json(const facts *f)
{
    printf(",\"features\":%" PRIu32 ",\"window_size\":%" PRIu64, f->extension.features,
           f->extension.window_size);
    if (f->extension.features & VGPU_EXT_FEATURE_RING)
        printf(",\"ring\":\"%s\",\"ring_entries\":%" PRIu32, ring_to_string(f->ring),
               f->ring_entries);
    else
        fputs(",\"ring\":null,\"ring_entries\":0", stdout);
}

static void print_json(size_t index, const facts *f)
{
    printf("%s{\"index\":%zu,\"address\":\"%s\",\"protocol\":%" PRIu32 ",\"capabilities\":%" PRIu32
           ",\"extensions\":%s,\"pool\":\"%c\",\"priority\":\"%s\",\"vm_id\":%" PRIu32
           ",\"status\":\"%s\",\"error_code\":%" PRIu32 ",\"uio\":",
           index > 0 ? "," : "", index, f->address, f->protocol, f->capabilities,
           f->has_extension ? "true" : "false", vgpu_pool_is_valid(f->pool) ? (int) f->pool : '?',
           priority_to_string(f->priority), f->vm_id, status_to_string(f->status), f->error);
    if (f->uio >= 0)
        printf("%d", f->uio);
    else
        fputs("null", stdout);
    printf(",\"access\":\"%s\"", f->access);
    print_extension_json(f);

    if (f->result != 0) {
        printf(",\"host\":null,\"result\":%d}", f->result);
        return;
    }
    fputs(",\"host\":{\"backend\":\"", stdout);
    print_foreign(f->info.backend);
    fputs("\",\"name\":\"", stdout);
    print_foreign(f->info.name);
    printf("\",\"memory_total\":%" PRIu64 ",\"memory_free\":%" PRIu64
           ",\"multiprocessors\":%" PRIu32 ",\"compute_major\":%" PRIu32
           ",\"compute_minor\":%" PRIu32 ",\"driver_version\":%" PRIu32 "},\"result\":0}",
           f->info.memory_total, f->info.memory_free, f->info.multiprocessors,
           f->info.compute_major, f->info.compute_minor, f->info.driver_version);
}

static int info_show(const options *o, size_t index, const vgpu_found *found)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    facts f;
    int r;

    r = open_device(o, found->address, &dev);
    if (r != EXIT_OK)
        return r;

    f = facts_gather(o, dev, found->uio);
    if (o->json)
        print_json(index, &f);
    else
        print_plain(index, &f);

    return f.result == 0 ? EXIT_OK : complain_result(f.address, f.result);
}

int command_info(const options *o, char **argv)
{
    CLEANUP_FREE vgpu_found *list = NULL;
    char only[VGPU_ADDRESS_MAX] = "";
    int code = EXIT_OK, r;
    size_t n;

    (void) argv;
    if (o->device)
        code = choose_device(o->device, only);
    if (code != EXIT_OK)
        return code;

    r = vgpu_find(NULL, &list, &n);
    if (r < 0)
        return complain_result("cannot look for devices", r);
    if (n == 0) {
        complain("no vgpu device found");
        return EXIT_NO_DEVICE;
    }

    if (o->json)
        putchar('[');
    for (size_t i = 0; i < n; i++)
        if (only[0] == '\0' || strcmp(only, list[i].address) == 0) {
            r = info_show(o, i, &list[i]);
            if (code == EXIT_OK)
                code = r;
        }
    if (o->json)
        puts("]");

    return finish_output(code);
}
