/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu smi: the GPU as a CUDA session has it, and the sessions of this machine. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ring-keeper.h"
#include "session-command.h"
#include "session-device.h"
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

static int attribute(const smi_facts *f, unsigned int number)
{
    return f->device.attribute[number].result == 0 ? f->device.attribute[number].value : 0;
}

static uint64_t memory_used(const smi_facts *f)
{
    uint64_t sum = 0;

    for (int i = 0; i < f->n_sessions; i++)
        sum += f->sessions[i].memory;
    return sum;
}

/* ---- As a table ------------------------------------------------------------------ */

#define WIDTH 76 /* between the bars */

static void print_rule(void)
{
    putchar('+');
    for (int i = 0; i < WIDTH; i++)
        putchar('-');
    puts("+");
}

/* A line of two halves, which begin and end at a bar. Both may have come from anybody. */
static void print_line(const char *left, const char *right)
{
    int room = WIDTH - 3 - (int) strlen(right), n = (int) strlen(left);

    printf("| ");
    for (int i = 0; i < room; i++)
        putchar(i >= n ? ' ' : left[i] < ' ' || left[i] > '~' ? '?' : left[i]);
    printf(" %s |\n", right);
}

static void print_device(const smi_facts *f)
{
    char left[160], right[64];

    snprintf(right, sizeof(right), "CUDA %" PRIu32 ".%" PRIu32, f->device.driver_version / 1000,
             f->device.driver_version % 1000 / 10);
    print_line(f->device.name, right);
    session_device_uuid_text(&f->device, left);
    snprintf(right, sizeof(right), "compute %d.%d, %d multiprocessors",
             attribute(f, ATTRIBUTE_COMPUTE_MAJOR), attribute(f, ATTRIBUTE_COMPUTE_MINOR),
             attribute(f, ATTRIBUTE_MULTIPROCESSORS));
    print_line(left, right);

    snprintf(left, sizeof(left), "by %s", f->name);
    if (f->n_sessions >= 0)
        snprintf(right, sizeof(right), "memory: %" PRIu64 " of %" PRIu64 " MiB",
                 memory_used(f) >> 20, f->device.total_memory >> 20);
    else
        snprintf(right, sizeof(right), "memory: %" PRIu64 " MiB", f->device.total_memory >> 20);
    print_line(left, right);
}

static void print_session(const session_listed *s)
{
    char left[96];

    snprintf(left, sizeof(left), "%4" PRIu32 "  %9" PRIu32 "  %-8s  %8" PRIu64 " MiB  %s", s->ring,
             s->pid, state_to_string(s->state), s->memory >> 20, s->command);
    print_line(left, "");
}

static void print_sessions(const smi_facts *f)
{
    char left[64];

    snprintf(left, sizeof(left), "sessions: %d of %" PRIu32, f->n_sessions, f->rings);
    print_line(left, "");
    if (f->n_sessions > 0)
        print_line("RING        PID  STATE           MEMORY  COMMAND", "");
    for (int i = 0; i < f->n_sessions; i++)
        print_session(&f->sessions[i]);
    print_rule();
}

static void print_text(const smi_facts *f)
{
    print_rule();
    print_device(f);
    print_rule();
    if (f->n_sessions >= 0)
        print_sessions(f);
}

/* ---- As JSON --------------------------------------------------------------------- */

static void print_json(const smi_facts *f)
{
    char uuid[SESSION_UUID_TEXT_SIZE];

    session_device_uuid_text(&f->device, uuid);
    printf("{\"name\":\"");
    print_foreign(f->device.name);
    printf("\",\"uuid\":\"%s\",\"reached_by\":\"", uuid);
    print_foreign(f->name);
    printf("\",\"driver_version\":%" PRIu32 ",\"compute_major\":%d,\"compute_minor\":%d,"
           "\"multiprocessors\":%d,\"memory_bytes\":%" PRIu64,
           f->device.driver_version, attribute(f, ATTRIBUTE_COMPUTE_MAJOR),
           attribute(f, ATTRIBUTE_COMPUTE_MINOR), attribute(f, ATTRIBUTE_MULTIPROCESSORS),
           f->device.total_memory);
    if (f->n_sessions >= 0)
        printf(",\"memory_used_bytes\":%" PRIu64 ",\"sessions_max\":%" PRIu32 ",\"sessions\":[",
               memory_used(f), f->rings);
    for (int i = 0; i < f->n_sessions; i++) {
        printf("%s{\"ring\":%" PRIu32 ",\"state\":\"%s\",\"pid\":%" PRIu32
               ",\"memory_bytes\":%" PRIu64 ",\"command\":\"",
               i > 0 ? "," : "", f->sessions[i].ring, state_to_string(f->sessions[i].state),
               f->sessions[i].pid, f->sessions[i].memory);
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
    if (r != EXIT_OK && f.n_sessions > 0 && !o->json) { /* they may be the reason */
        print_rule();
        print_sessions(&f);
    }
    if (r != EXIT_OK)
        return finish_output(r);
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
