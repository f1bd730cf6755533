/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu smi: the GPU as a CUDA session has it, and the sessions of this machine. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ring-keeper.h"
#include "session-command.h"
#include "session-list.h"

/* By CUdevice_attribute: facts from the CUDA manual */
enum {
    ATTRIBUTE_MULTIPROCESSORS = 16,
    ATTRIBUTE_COMPUTE_MAJOR = 75,
    ATTRIBUTE_COMPUTE_MINOR = 76,
};

typedef struct smi_facts {
    VGPUSessionDevice device;
    session_listed sessions[VGPU_RINGS_MAX];
    int n_sessions; /* negative: they are not to be had */
    uint32_t rings;
    const char *name;
} smi_facts;

static const char *state_to_string(uint32_t state)
{
    static const char *const names[] = {"off", "on", "starting", "failed", "stopping"};

    return state < ELEMENTSOF(names) ? names[state] : "unknown";
}

/* Before this process has a session of its own. A way without a device has no others to show. */
static void list_sessions(const options *o, smi_facts *f)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;

    f->n_sessions = -ENODEV;
    if (vgpu_open(NULL, o->device, &dev) == 0)
        f->n_sessions = session_list(dev, f->sessions, &f->rings);
}

static void print_uuid(const uint8_t uuid[static 16])
{
    printf("GPU-");
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static int attribute(const smi_facts *f, unsigned int number)
{
    return f->device.attribute[number].result == 0 ? f->device.attribute[number].value : 0;
}

static void print_text(const smi_facts *f)
{
    print_foreign(f->device.name);
    printf("\n  uuid:            ");
    print_uuid(f->device.uuid);
    printf("\n  reached by:      ");
    print_foreign(f->name);
    printf("\n  CUDA driver:     %" PRIu32 ".%" PRIu32 "\n", f->device.driver_version / 1000,
           f->device.driver_version % 1000 / 10);
    printf("  compute:         %d.%d, %d multiprocessors\n", attribute(f, ATTRIBUTE_COMPUTE_MAJOR),
           attribute(f, ATTRIBUTE_COMPUTE_MINOR), attribute(f, ATTRIBUTE_MULTIPROCESSORS));
    printf("  memory:          %" PRIu64 " MiB for a session\n", f->device.total_memory >> 20);
    if (f->n_sessions < 0)
        return;
    printf("  sessions:        %d of %" PRIu32 "\n", f->n_sessions, f->rings);
    for (int i = 0; i < f->n_sessions; i++) {
        printf("    %2" PRIu32 "  %-8s  pid %-8" PRIu32 "  ", f->sessions[i].ring,
               state_to_string(f->sessions[i].state), f->sessions[i].pid);
        print_foreign(f->sessions[i].command);
        putchar('\n');
    }
}

static void print_json(const smi_facts *f)
{
    printf("{\"name\":\"");
    print_foreign(f->device.name);
    printf("\",\"uuid\":\"");
    print_uuid(f->device.uuid);
    printf("\",\"reached_by\":\"");
    print_foreign(f->name);
    printf("\",\"driver_version\":%" PRIu32 ",\"compute_major\":%d,\"compute_minor\":%d,"
           "\"multiprocessors\":%d,\"memory_bytes\":%" PRIu64,
           f->device.driver_version, attribute(f, ATTRIBUTE_COMPUTE_MAJOR),
           attribute(f, ATTRIBUTE_COMPUTE_MINOR), attribute(f, ATTRIBUTE_MULTIPROCESSORS),
           f->device.total_memory);
    if (f->n_sessions >= 0)
        printf(",\"sessions_max\":%" PRIu32 ",\"sessions\":[", f->rings);
    for (int i = 0; i < f->n_sessions; i++) {
        printf("%s{\"ring\":%" PRIu32 ",\"state\":\"%s\",\"pid\":%" PRIu32 ",\"command\":\"",
               i > 0 ? "," : "", f->sessions[i].ring, state_to_string(f->sessions[i].state),
               f->sessions[i].pid);
        print_foreign(f->sessions[i].command);
        printf("\"}");
    }
    printf(f->n_sessions >= 0 ? "]}\n" : "}\n");
}

int command_smi(const options *o, char **argv)
{
    CLEANUP_VGPU_SESSION vgpu_session *s = NULL;
    smi_facts f = {0};
    int r;

    (void) argv;
    list_sessions(o, &f);
    r = open_session(o, &s);
    if (r != EXIT_OK)
        return r;
    r = vgpu_session_device_get(s, &f.device);
    if (r != 0)
        return complain_cuda("cannot ask for the device", r);

    f.name = vgpu_session_get_name(s);
    if (o->json)
        print_json(&f);
    else
        print_text(&f);
    return finish_output(EXIT_OK);
}

/* For libvgpu, which starts it. */
int command_keep_rings(const options *o, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;

    (void) o;
    if (vgpu_open(NULL, argv[0], &dev) < 0)
        return EXIT_NO_DEVICE;
    ring_keeper_run(dev);
    return EXIT_OK;
}
