/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's qemu hook: called at each step of a domain's life with
 *
 *   50-vgpu-mediator DOMAIN OPERATION SUB-OPERATION EXTRA   and its XML on stdin.
 *
 * prepare registers the VM with the mediator and writes a record for the emulator launcher,
 * which attaches the device; release undoes both.
 *
 * The hook must never call libvirt, which waits for the hook; never print to stdout, which
 * libvirt takes for XML at migrate and restore; never fail at reconnect, which would end a
 * running guest; and never take long, because libvirt holds the domain's lock.
 *
 * An element that is wrong refuses the start. A mediator that does not work refuses nothing:
 * the domain starts without the device, with a warning.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "domain.h"
#include "hooks-config.h"
#include "mediator-client.h"
#include "record.h"
#include "vm-name.h"
#include "xml.h"

/* For all calls to the mediator together, from the start of this process. */
#define DEADLINE_USEC 4000000u
/* After this the process ends itself, wherever it hangs, which may be in the system's log. */
#define LAST_USEC 4500000u

typedef struct Hook {
    const char *name; /* the domain's, as libvirt gave it */
    Domain *domain;
    bool invalid_device;
    char *error; /* what is wrong with it */
    uint64_t deadline_usec;
} Hook;

static void hook_cleanup(Hook *h)
{
    domain_free(h->domain);
    free(h->error);
}

static void mediator_client_freep(MediatorClient **c)
{
    mediator_client_free(*c);
}

#define CLEANUP_CLIENT CLEANUP(mediator_client_freep)

/* ---- Words, and the last alarm --------------------------------------------------------- */

/* One line on stderr, which virsh shows when we fail, and in the system's log. */
__attribute__((format(printf, 3, 4))) static void hook_say(const Hook *h, int priority,
                                                           const char *format, ...)
{
    CLEANUP_FREE char *text = NULL;
    va_list list;
    int r;

    va_start(list, format);
    r = vasprintf(&text, format, list);
    va_end(list);
    if (r < 0) {
        text = NULL; /* vasprintf() leaves it undefined */
        return;
    }

    fprintf(stderr, "vgpu-mediator: domain '%s': %s\n", h->name, text);
    syslog(priority, "domain '%s': %s", h->name, text);
}

/* The exit status if the alarm ends the process: "go on", unless the hook has refused already. */
static volatile sig_atomic_t verdict = EXIT_SUCCESS;

static void hook_on_alarm(int signal)
{
    static const char text[] = "vgpu-mediator: the hook took too long and ended itself\n";

    (void) signal;
    (void) !write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(verdict);
}

static int hook_arm_alarm(void)
{
    const struct sigaction action = {.sa_handler = hook_on_alarm};
    const struct itimerval timer = {
        .it_value = {.tv_sec = LAST_USEC / 1000000, .tv_usec = LAST_USEC % 1000000},
    };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    if (sigaction(SIGALRM, &action, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 ||
        setitimer(ITIMER_REAL, &timer, NULL) < 0)
        return -errno;
    return 0;
}

/* ---- Input ----------------------------------------------------------------------------- */

/* Reads stdin to its end, or one byte more than a domain may have. */
static int hook_read_stdin(char **ret, size_t *ret_size)
{
    const size_t max = XML_SIZE_MAX + 1;
    CLEANUP_FREE char *text = malloc(max);
    size_t size = 0;
    ssize_t n;

    if (!text)
        return -ENOMEM;
    while (size < max) {
        n = read(STDIN_FILENO, text + size, max - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t) n;
    }

    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

/* Reads the domain. If that fails, nobody knows whether it has an element. */
static int hook_read_domain(Hook *h)
{
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    int r;

    r = hook_read_stdin(&text, &size);
    if (r < 0)
        return r;
    r = domain_parse(text, size, &h->domain, &h->error);
    if (r == DOMAIN_INVALID_XML)
        return -EBADMSG;
    h->invalid_device = r == DOMAIN_INVALID_DEVICE;
    return r < 0 ? r : 0;
}

/* ---- What libvirt calls us for --------------------------------------------------------- */

static int hook_refuse(const Hook *h, const char *reason)
{
    verdict = EXIT_FAILURE;
    hook_say(h, LOG_ERR, "<vgpu:device> in its <metadata>: %s", reason);
    return EXIT_FAILURE;
}

static int hook_start_without(const Hook *h, const char *reason)
{
    hook_say(h, LOG_WARNING, "starts without its vgpu device: %s", reason);
    return EXIT_SUCCESS;
}

/* libvirt takes names that the mediator does not. */
static int hook_start_without_for_name(const Hook *h, const char *problem)
{
    hook_say(h, LOG_WARNING,
             "starts without its vgpu device: the mediator does not take its name: %s", problem);
    return EXIT_SUCCESS;
}

static int hook_prepare(Hook *h)
{
    const Domain *d = h->domain;
    CLEANUP_CLIENT MediatorClient *client = NULL;
    char problem[VM_NAME_PROBLEM_SIZE];
    Record record;
    uint32_t vm_id;
    int r;

    /* A record may be left from a start whose release never came. The launcher must not find it. */
    (void) record_remove(DOMAINS_DIR, d->uuid);
    if (h->invalid_device)
        return hook_refuse(h, h->error);
    if (!d->has_device)
        return EXIT_SUCCESS;
    if (vm_name_problem(d->name, problem))
        return hook_start_without_for_name(h, problem);

    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0)
        return hook_start_without(h, strerror(-r));
    r = mediator_client_register(client, d->name, d->uuid, &d->device, NULL, &vm_id);
    if (r == MEDIATOR_REFUSED)
        return hook_refuse(h, mediator_client_error(client));
    if (r < 0)
        return hook_start_without(h, mediator_client_error(client));

    record = (Record){
        .pool = d->device.settings.pool, .priority = d->device.settings.priority, .vm_id = vm_id};
    r = record_write(DOMAINS_DIR, d->uuid, &record);
    return r < 0 ? hook_start_without(h, strerror(-r)) : EXIT_SUCCESS;
}

/* The name may belong to another VM: the start was refused for that reason then. */
static void hook_unregister(const Hook *h)
{
    CLEANUP_CLIENT MediatorClient *client = NULL;
    bool known = false;
    int r;

    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0) {
        hook_say(h, LOG_WARNING, "cannot be unregistered: %s", strerror(-r));
        return;
    }
    r = mediator_client_has(client, h->domain->name, h->domain->uuid, &known);
    if (r == 0 && known)
        r = mediator_client_unregister(client, h->domain->name);
    if (r != 0)
        hook_say(h, LOG_WARNING, "cannot be unregistered: %s", mediator_client_error(client));
}

/* Also without a record: the mediator may have registered the VM after we stopped waiting. */
static int hook_release(Hook *h)
{
    int r;

    r = record_remove(DOMAINS_DIR, h->domain->uuid);
    if (r < 0 && r != -ENOENT)
        hook_say(h, LOG_WARNING, "cannot remove its attach record: %s", strerror(-r));
    if (r == 0 || h->domain->has_device)
        hook_unregister(h);
    return EXIT_SUCCESS;
}

/* Asks for the number that its device shows; if another VM has got that, for any. */
static int hook_register_again(MediatorClient *client, const Domain *d, const DomainDevice *device,
                               uint32_t vm_id)
{
    uint32_t given;
    int r;

    r = mediator_client_register(client, d->name, d->uuid, device, &vm_id, &given);
    if (r == MEDIATOR_REFUSED)
        r = mediator_client_register(client, d->name, d->uuid, device, NULL, &given);
    return r;
}

/* libvirtd was restarted. The guest ran on, and its device is registered unless the mediator has
 * lost it. */
static int hook_reconnect(Hook *h)
{
    DomainDevice device = h->domain->device; /* for its limits */
    CLEANUP_CLIENT MediatorClient *client = NULL;
    bool known = false;
    Record record;
    int r;

    r = record_read(DOMAINS_DIR, h->domain->uuid, geteuid(), &record);
    if (r < 0)
        return EXIT_SUCCESS;
    device.settings.pool = record.pool;
    device.settings.priority = (uint8_t) record.priority;

    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0) {
        hook_say(h, LOG_WARNING, "cannot ask whether it is registered: %s", strerror(-r));
        return EXIT_SUCCESS;
    }
    r = mediator_client_has(client, h->domain->name, h->domain->uuid, &known);
    if (r == 0 && !known)
        r = hook_register_again(client, h->domain, &device, record.vm_id);
    if (r != 0)
        hook_say(h, LOG_WARNING, "may not be registered: %s", mediator_client_error(client));
    return EXIT_SUCCESS;
}

static const struct {
    const char *operation;
    const char *sub_operation;
    int (*run)(Hook *h);
} operations[] = {
    {"prepare", "begin", hook_prepare},
    {"release", "end", hook_release},
    {"reconnect", "begin", hook_reconnect},
};

static int hook_run(Hook *h, int (*run)(Hook *h))
{
    int r = hook_read_domain(h);

    if (r == 0)
        return run(h);
    hook_say(h, LOG_WARNING, "its vgpu device, if it has one, is passed over: %s",
             h->error ? h->error : strerror(-r));
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    CLEANUP(hook_cleanup) Hook h = {.name = argc > 1 ? argv[1] : ""};

    if (argc < 4) {
        fprintf(stderr,
                "Usage: %s DOMAIN OPERATION SUB-OPERATION EXTRA <XML\n"
                "libvirt runs it; see vgpu-libvirt(7).\n",
                argc > 0 ? argv[0] : "50-vgpu-mediator");
        return 2;
    }

    for (size_t i = 0; i < ELEMENTSOF(operations); i++) {
        if (strcmp(argv[2], operations[i].operation) != 0 ||
            strcmp(argv[3], operations[i].sub_operation) != 0)
            continue;
        if (hook_arm_alarm() < 0)
            return EXIT_SUCCESS;
        openlog("vgpu-mediator-hook", LOG_PID, LOG_DAEMON);
        h.deadline_usec = now_usec() + DEADLINE_USEC;
        return hook_run(&h, operations[i].run);
    }
    return EXIT_SUCCESS;
}
