/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's qemu hook: called at each step of a domain's life with
 *
 *   50-vgpu-mediator DOMAIN OPERATION SUB-OPERATION EXTRA   and its XML on stdin.
 *
 * prepare registers the VM with the mediator and records what the emulator
 * launcher is to attach; release undoes both. What it must never do: call libvirt,
 * which waits for it; print to stdout, which libvirt takes for XML at migrate and
 * restore; fail at reconnect, which would end a running guest; or take long, for
 * libvirt holds the domain's lock.
 *
 * An error of whoever wrote the element refuses the start. A mediator that does
 * not work does not: the domain starts without the device, with a warning.
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
#include "xml.h"

/* For all that the mediator is asked, counted from the start of this process. */
#define DEADLINE_USEC 4000000u
/* After this the process ends, wherever it hangs: in the system's log, say. */
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
__attribute__((format(printf, 3, 4))) static void say(const Hook *h, int priority,
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

/* What the alarm ends the process with: "go on", unless something else is known already. */
static volatile sig_atomic_t verdict = EXIT_SUCCESS;

static void on_alarm(int signal)
{
    static const char text[] = "vgpu-mediator: the hook took too long and ended itself\n";

    (void) signal;
    (void) !write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(verdict);
}

static int arm_last_alarm(void)
{
    const struct sigaction action = {.sa_handler = on_alarm};
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

/* All of stdin, or as much of it as a domain may have and one byte more. */
static int read_stdin(char **ret, size_t *ret_size)
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

/* Reads the domain; where that fails the element is unknown, and so is whether there is one. */
static int hook_read_domain(Hook *h)
{
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    int r;

    r = read_stdin(&text, &size);
    if (r < 0)
        return r;
    r = domain_parse(text, size, &h->domain, &h->error);
    if (r == DOMAIN_INVALID_XML)
        return -EBADMSG;
    h->invalid_device = r == DOMAIN_INVALID_DEVICE;
    return r < 0 ? r : 0;
}

/* ---- What libvirt calls us for --------------------------------------------------------- */

static int refuse(const Hook *h, const char *reason)
{
    verdict = EXIT_FAILURE;
    say(h, LOG_ERR, "<vgpu:device> in its <metadata>: %s", reason);
    return EXIT_FAILURE;
}

static int start_without(const Hook *h, const char *reason)
{
    say(h, LOG_WARNING, "starts without its vgpu device: %s", reason);
    return EXIT_SUCCESS;
}

static int hook_prepare(Hook *h)
{
    const Domain *d = h->domain;
    CLEANUP_CLIENT MediatorClient *client = NULL;
    Record record;
    uint32_t vm_id;
    int r;

    /* Of a start whose release never came, lest the launcher take it for ours. */
    (void) record_remove(DOMAINS_DIR, d->uuid);
    if (h->invalid_device)
        return refuse(h, h->error);
    if (!d->has_device)
        return EXIT_SUCCESS;

    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0)
        return start_without(h, strerror(-r));
    r = mediator_client_register(client, d->name, d->uuid, &d->device, NULL, &vm_id);
    if (r == MEDIATOR_REFUSED)
        return refuse(h, mediator_client_error(client));
    if (r < 0)
        return start_without(h, mediator_client_error(client));

    record = (Record){
        .pool = d->device.settings.pool, .priority = d->device.settings.priority, .vm_id = vm_id};
    r = record_write(DOMAINS_DIR, d->uuid, &record);
    return r < 0 ? start_without(h, strerror(-r)) : EXIT_SUCCESS;
}

/* The VM of this name may be another's: of a start that was refused for that reason. */
static void unregister(const Hook *h)
{
    CLEANUP_CLIENT MediatorClient *client = NULL;
    bool known = false;
    int r;

    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0) {
        say(h, LOG_WARNING, "cannot be unregistered: %s", strerror(-r));
        return;
    }
    r = mediator_client_has(client, h->domain->name, h->domain->uuid, &known);
    if (r == 0 && known)
        r = mediator_client_unregister(client, h->domain->name);
    if (r != 0)
        say(h, LOG_WARNING, "cannot be unregistered: %s", mediator_client_error(client));
}

/* Also without a record: the mediator may have taken what we did not wait for. */
static int hook_release(Hook *h)
{
    int r;

    r = record_remove(DOMAINS_DIR, h->domain->uuid);
    if (r < 0 && r != -ENOENT)
        say(h, LOG_WARNING, "cannot remove its attach record: %s", strerror(-r));
    if (r == 0 || h->domain->has_device)
        unregister(h);
    return EXIT_SUCCESS;
}

/* With the number that its device shows, or any other when somebody else has got that. */
static int register_again(MediatorClient *client, const Domain *d, const DomainDevice *device,
                          uint32_t vm_id)
{
    uint32_t given;
    int r;

    r = mediator_client_register(client, d->name, d->uuid, device, &vm_id, &given);
    if (r == MEDIATOR_REFUSED)
        r = mediator_client_register(client, d->name, d->uuid, device, NULL, &given);
    return r;
}

/* libvirtd is back and the guest was there all the time; so may its device be. */
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
        say(h, LOG_WARNING, "cannot ask whether it is registered: %s", strerror(-r));
        return EXIT_SUCCESS;
    }
    r = mediator_client_has(client, h->domain->name, h->domain->uuid, &known);
    if (r == 0 && !known)
        r = register_again(client, h->domain, &device, record.vm_id);
    if (r != 0)
        say(h, LOG_WARNING, "may not be registered: %s", mediator_client_error(client));
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
    say(h, LOG_WARNING, "its vgpu device, if it has one, is passed over: %s",
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
        if (arm_last_alarm() < 0)
            return EXIT_SUCCESS;
        openlog("vgpu-mediator-hook", LOG_PID, LOG_DAEMON);
        h.deadline_usec = now_usec() + DEADLINE_USEC;
        return hook_run(&h, operations[i].run);
    }
    return EXIT_SUCCESS;
}
