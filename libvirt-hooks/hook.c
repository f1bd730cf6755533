/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's qemu hook: called at each step of a domain's life with
 *
 *   50-vgpu-mediator DOMAIN OPERATION SUB-OPERATION EXTRA   and its XML on stdin.
 *
 * prepare registers the VM with the mediator and writes a record for the emulator launcher,
 * which attaches the device; started tells the mediator what came of it; release undoes both.
 * restore and migrate come before prepare, where a machine's state is to be loaded, and leave it a
 * record that says so.
 *
 * The hook must never call libvirt, which waits for the hook; never print to stdout, which
 * libvirt takes for XML at migrate and restore; never fail at reconnect, which would end a
 * running guest; and never take long, because libvirt holds the domain's lock.
 *
 * An element that is wrong refuses the start. A mediator that does not work refuses no start:
 * the domain starts without the device, with a warning. But the state of a machine that had the
 * device cannot be loaded without it, and is refused with the reason. prepare refuses it, and not
 * restore: libvirt 11.3 takes a refusal there, of a state that it keeps itself, for a success, and
 * removes the state.
 */
#include <errno.h>
#include <limits.h>
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
#include "fail.h"
#include "hooks-config.h"
#include "mediator-client.h"
#include "process.h"
#include "qemu-plugin.h"
#include "record.h"
#include "slot.h"
#include "vgpu-ring.h"
#include "vm-name.h"
#include "xml.h"

/* For all calls to the mediator together, from the start of this process. When the bus is started
 * anew, the mediator is back on it some seconds later. */
#define DEADLINE_USEC ((uint64_t) ANSWER_SEC * USEC_PER_SEC)
/* After this the process ends itself, wherever it hangs, which may be in the system's log. */
#define LAST_USEC (DEADLINE_USEC + USEC_PER_SEC / 2)

typedef struct Hook {
    const char *name; /* the domain's, as libvirt gave it */
    Domain *domain;
    bool invalid_device;
    bool loads_state; /* of a machine that had the device */
    char *error;      /* what is wrong with it */
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
        .it_value = {.tv_sec = LAST_USEC / USEC_PER_SEC, .tv_usec = LAST_USEC % USEC_PER_SEC},
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

/* Or not at all, where there is a state to load. */
static int hook_start_without(const Hook *h, const char *reason)
{
    if (h->loads_state) {
        verdict = EXIT_FAILURE;
        hook_say(h, LOG_ERR, "its state has a vgpu device, and cannot be loaded without one: %s",
                 reason);
        return EXIT_FAILURE;
    }
    hook_say(h, LOG_WARNING, "starts without its vgpu device: %s", reason);
    return EXIT_SUCCESS;
}

/* libvirt takes names that the mediator does not. */
static int hook_start_without_for_name(const Hook *h, const char *problem)
{
    CLEANUP_FREE char *reason = NULL;
    int r = fail_with(0, &reason, "the mediator does not take its name: %s", problem);

    return hook_start_without(h, r == 0 ? reason : strerror(-r));
}

/* ---- Before the start ------------------------------------------------------------------ */

/* Is this the answer of a bus that went away meanwhile? Another may be there soon. */
static bool is_lost_bus(int r)
{
    return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ECONNREFUSED;
}

static int hook_register_once(Hook *h, Record *record, char **ret_error)
{
    CLEANUP_CLIENT MediatorClient *client = NULL;
    MediatorVM vm = {.device = h->domain->device, .window_size = record->window_size};
    int r;

    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0)
        return fail_with(r, ret_error, "%s", strerror(-r));
    r = mediator_client_has_machined(client, &vm.needs_machine);
    if (r == 0)
        r = mediator_client_register(client, h->domain->name, h->domain->uuid, &vm, &record->vm_id);
    if (r != 0)
        return fail_with(r, ret_error, "%s", mediator_client_error(client));

    record->needs_machine = vm.needs_machine;
    record->registered = true;
    return 0;
}

/* Fills in what the mediator says. Returns 0, MEDIATOR_REFUSED, or a negative errno. */
static int hook_register(Hook *h, Record *record, char **ret_error)
{
    int r;

    while (is_lost_bus(r = hook_register_once(h, record, ret_error)) &&
           now_usec() + USEC_PER_SEC < h->deadline_usec) {
        free(*ret_error);
        *ret_error = NULL;
        (void) usleep(USEC_PER_SEC / 10);
    }
    return r;
}

/* What the launcher runs: the emulator that the domain had before ours, where it had one. */
static const char *hook_emulator(const Hook *h)
{
    const char *former = h->domain->former_emulator;

    return former && !domain_is_launcher(former) ? former : QEMU_PATH;
}

static int hook_copy_emulator(const Hook *h, Record *record)
{
    const char *emulator = hook_emulator(h);

    if (strlen(emulator) >= sizeof(record->emulator))
        return -ENAMETOOLONG;
    strcpy(record->emulator, emulator);
    return 0;
}

/* Writes why there is no device, for the launcher and for ourselves when the domain has started. */
static int hook_leave_out(const Hook *h, Record *record, const char *reason)
{
    snprintf(record->problem, sizeof(record->problem), "%s", reason);
    (void) record_write(DOMAINS_DIR, h->domain->uuid, record);
    return hook_start_without(h, reason);
}

static bool hook_is_running(const char *name, const char *uuid)
{
    Process process;

    return process_find(PID_DIR, name, uuid, &process) != -ESRCH;
}

/* A machine's state is to be loaded. Where that has our device, QEMU cannot do without, and prepare
 * has to know. */
static int hook_load(Hook *h)
{
    const Record record = {
        .slot = SLOT_ANY,
        .loads_state = true,
        .problem = "libvirt has not come to its start",
    };
    const Domain *d = h->domain;
    int r;

    if (!d->has_device || d->device.slot == SLOT_NONE ||
        (d->emulator && !domain_is_launcher(d->emulator)))
        return EXIT_SUCCESS;
    r = record_write(DOMAINS_DIR, d->uuid, &record);
    if (r < 0)
        hook_say(h, LOG_WARNING, "cannot note that its state has a vgpu device: %s", strerror(-r));
    return EXIT_SUCCESS;
}

/* Has hook_load() been here? */
static bool hook_loads_state(const Hook *h)
{
    Record record;

    return record_read(DOMAINS_DIR, h->domain->uuid, SYSTEM_UID, &record) == 0 &&
           record.loads_state;
}

/*
 * Is there a plugin for its QEMU? An emulator of the user's is not asked for its version: the hook
 * is root, and root runs no program because a definition or a saved state names it. The launcher,
 * which libvirt runs as QEMU's user, asks it.
 */
static int hook_find_plugin(const Hook *h, char **ret_error)
{
    const char *emulator = hook_emulator(h);
    char plugin[PATH_MAX];

    return strcmp(emulator, QEMU_PATH) == 0
               ? qemu_plugin_find(PLUGIN_DIR, emulator, plugin, ret_error)
               : 0;
}

static int hook_prepare(Hook *h)
{
    const Domain *d = h->domain;
    char problem[VM_NAME_PROBLEM_SIZE];
    CLEANUP_FREE char *error = NULL;
    Record record = {
        .pool = d->device.settings.pool,
        .priority = d->device.settings.priority,
        .window_size = d->device.window_size,
        .slot = d->device.slot,
    };
    int r;

    h->loads_state = hook_loads_state(h);
    if (h->loads_state)
        verdict = EXIT_FAILURE;
    /* A record may be left from a start whose release never came. The launcher must not find it. */
    (void) record_remove(DOMAINS_DIR, d->uuid);
    if (h->invalid_device)
        return hook_refuse(h, h->error);
    if (!d->has_device)
        return EXIT_SUCCESS;
    if (vm_name_problem(d->name, problem))
        return hook_start_without_for_name(h, problem);
    record_tidy(DOMAINS_DIR, SYSTEM_UID, hook_is_running);
    if (strlen(d->name) < sizeof(record.name) && !strchr(d->name, '\n'))
        strcpy(record.name, d->name);

    r = hook_register(h, &record, &error);
    if (r == MEDIATOR_REFUSED)
        return hook_refuse(h, error);
    if (r == 0)
        r = hook_copy_emulator(h, &record);
    if (r == 0 && h->loads_state)
        r = hook_find_plugin(h, &error);
    if (r != 0)
        return hook_leave_out(h, &record, error ? error : strerror(-r));
    if (d->emulator && !domain_is_launcher(d->emulator)) {
        r = fail_with(0, &error, "its <emulator> is %s and not %s", d->emulator, LAUNCHER_PATH);
        return hook_leave_out(h, &record, r == 0 ? error : strerror(-r));
    }

    r = record_write(DOMAINS_DIR, d->uuid, &record);
    return r < 0 ? hook_start_without(h, strerror(-r)) : EXIT_SUCCESS;
}

/* ---- After the start ------------------------------------------------------------------- */

/* Has the domain's state say where its device is, too, when it is saved or goes to another host. */
static void hook_keep_slot(const Hook *h, MediatorClient *client, const Process *process)
{
    const Domain *d = h->domain;

    if (d->has_device && process->slot != SLOT_ANY && process->slot != d->device.slot &&
        mediator_client_keep_slot(client, d->uuid) != 0)
        hook_say(h, LOG_WARNING, "its definition does not say where its device is: %s",
                 mediator_client_error(client));
}

static void hook_tell_started(const Hook *h, MediatorClient *client, const Record *record,
                              const Process *process)
{
    const char *problem;

    if (process->slot != SLOT_NONE)
        problem = "";
    else if (record->problem[0] != '\0')
        problem = record->problem;
    else
        problem = process->problem[0] ? process->problem : "the launcher has not added the device";

    if (mediator_client_set_started(client, h->domain->name, process->pid, problem) != 0)
        hook_say(h, LOG_WARNING, "the mediator does not know of its start: %s",
                 mediator_client_error(client));
}

/* Returns whether there is one. */
static bool hook_find_process(const Hook *h, Process *ret)
{
    int r = process_find(PID_DIR, h->domain->name, h->domain->uuid, ret);

    if (r < 0)
        hook_say(h, LOG_WARNING, "cannot find its QEMU: %s", strerror(-r));
    return r == 0;
}

static int hook_started(Hook *h)
{
    CLEANUP_CLIENT MediatorClient *client = NULL;
    Process process;
    Record record;

    if (record_read(DOMAINS_DIR, h->domain->uuid, SYSTEM_UID, &record) < 0 ||
        !hook_find_process(h, &process) || mediator_client_new(h->deadline_usec, &client) < 0)
        return EXIT_SUCCESS;
    /* Where the mediator did not answer before the start, nobody waits for it a second time. */
    if (record.registered)
        hook_tell_started(h, client, &record, &process);
    hook_keep_slot(h, client, &process);
    return EXIT_SUCCESS;
}

/* ---- After the end --------------------------------------------------------------------- */

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

/* ---- libvirtd was restarted ------------------------------------------------------------ */

/* What the domain may use is in its element, where an administrator's changes are, too; in the
 * record only where it has lost the element. Asks for the number that its device shows; if another
 * VM has got that, for any. */
static int hook_register_again(MediatorClient *client, const Domain *d, const Record *record)
{
    MediatorVM vm = {
        .device = d->device,
        .window_size = record->window_size,
        .needs_machine = record->needs_machine,
        .vm_id = &record->vm_id,
    };
    uint32_t given;
    int r;

    if (!d->has_device) {
        vm.device.settings.pool = record->pool;
        vm.device.settings.priority = (uint8_t) record->priority;
    }
    r = mediator_client_register(client, d->name, d->uuid, &vm, &given);
    if (r == MEDIATOR_REFUSED) {
        vm.vm_id = NULL;
        r = mediator_client_register(client, d->name, d->uuid, &vm, &given);
    }
    return r;
}

/* Has the mediator know the VM. *ret_forgotten: it did not. */
static int hook_remind(const Hook *h, MediatorClient *client, const Record *record,
                       bool *ret_forgotten)
{
    bool known = false;
    int r;

    r = mediator_client_has(client, h->domain->name, h->domain->uuid, &known);
    if (r == 0 && !known)
        r = hook_register_again(client, h->domain, record);
    if (r == 0)
        *ret_forgotten = !known;
    return r;
}

/* The guest ran on, and its device is registered unless the mediator has lost it. What was to write
 * down the device's slot may have missed libvirtd, or be newer than the domain. */
static int hook_reconnect(Hook *h)
{
    CLEANUP_CLIENT MediatorClient *client = NULL;
    bool forgotten = false;
    Process process;
    Record record;
    int r;

    if (record_read(DOMAINS_DIR, h->domain->uuid, SYSTEM_UID, &record) < 0)
        return EXIT_SUCCESS;
    r = mediator_client_new(h->deadline_usec, &client);
    if (r < 0) {
        hook_say(h, LOG_WARNING, "cannot ask whether it is registered: %s", strerror(-r));
        return EXIT_SUCCESS;
    }
    r = record.registered ? hook_remind(h, client, &record, &forgotten) : 0;
    if (r != 0) {
        hook_say(h, LOG_WARNING, "may not be registered: %s", mediator_client_error(client));
        return EXIT_SUCCESS;
    }
    if (!hook_find_process(h, &process))
        return EXIT_SUCCESS;
    if (forgotten)
        hook_tell_started(h, client, &record, &process);
    hook_keep_slot(h, client, &process);
    return EXIT_SUCCESS;
}

static const struct {
    const char *operation;
    const char *sub_operation;
    int (*run)(Hook *h);
} operations[] = {
    {"restore", "begin", hook_load},    {"migrate", "begin", hook_load},
    {"prepare", "begin", hook_prepare}, {"started", "begin", hook_started},
    {"release", "end", hook_release},   {"reconnect", "begin", hook_reconnect},
};

static int hook_run(Hook *h, int (*run)(Hook *h))
{
    int r = hook_read_domain(h);

    if (r == 0 && geteuid() != SYSTEM_UID) {
        if (run == hook_prepare && h->domain->has_device)
            hook_start_without(h, "domains of a session have no GPU: use qemu:///system");
        return EXIT_SUCCESS;
    }
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
