/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl: options, and which verb they are for. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ctl.h"
#include "terminal.h"
#include "text.h"
#include "vm-limits.h"

#define ANY INT_MAX

static const struct {
    const char *name;
    int min, max; /* arguments */
    bool on_bus;  /* needs a connection to the mediator */
    Verb *run;
} verbs[] = {
    {"list", 0, ANY, true, verb_list},
    {"status", 1, ANY, true, verb_status},
    {"show", 1, ANY, true, verb_status},
    {"info", 1, ANY, true, verb_status},
    {"pools", 0, ANY, true, verb_pools},
    {"sessions", 0, ANY, true, verb_sessions},
    {"top", 0, 0, true, verb_top},
    {"monitor", 0, 0, true, verb_monitor},
    {"metrics", 0, 0, true, verb_metrics},
    {"check", 0, 0, false, verb_check},
    {"set-priority", 2, 2, true, verb_set_priority},
    {"set-pool", 2, 2, true, verb_set_pool},
    {"set-limits", 2, ANY, true, verb_set_limits},
    {"revert", 1, ANY, true, verb_revert},
    {"pause", 1, ANY, true, verb_change_vms},
    {"resume", 1, ANY, true, verb_change_vms},
    {"quarantine", 1, ANY, true, verb_change_vms},
    {"release", 1, ANY, true, verb_change_vms},
    {"register", 1, ANY, true, verb_register},
    {"unregister", 1, ANY, true, verb_change_vms},
    {"end-session", 1, ANY, true, verb_end_session},
    {"pause-pool", 1, ANY, true, verb_change_pools},
    {"resume-pool", 1, ANY, true, verb_change_pools},
    {"reset-statistics", 0, ANY, true, verb_reset_statistics},
    {"reload", 0, 0, true, verb_reload},
#if VGPU_HAVE_LIBVIRT
    {"attach", 1, ANY, false, verb_attach},
    {"detach", 0, 1, false, verb_detach},
#endif
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

#define USAGE_INDENTATION 32
#define USAGE_WIDTH 80

/* Lists the limits behind "Change limits:", on as many lines as they need. */
static void usage_limits(void)
{
    int column = USAGE_INDENTATION + (int) strlen("Change limits:");

    for (unsigned i = vm_limits_next(0), next; i < VM_N_SETTINGS; i = next) {
        const char *name = vm_settings[i].name, *comma;

        next = vm_limits_next(i + 1);
        comma = next < VM_N_SETTINGS ? "," : "";
        if (column + 1 + (int) (strlen(name) + strlen(comma)) > USAGE_WIDTH)
            column = printf("\n%*s%s%s", USAGE_INDENTATION, "", name, comma) - 1;
        else
            column += printf(" %s%s", name, comma);
    }
    putchar('\n');
}

static void usage(void)
{
    printf("vgpuctl [OPTIONS...] COMMAND ...\n\n"
           "Watch and steer what virtual machines may use of the GPU.\n\n"
           "Looking:\n"
           "  list [VM...]                  List VMs (the default); with --all, also those\n"
           "                                that are not there\n"
           "  status VM...                  Show all about VMs\n"
           "  pools [POOL...]               List GPU pools\n"
           "  sessions [VM...]              List CUDA sessions: of these VMs, or all\n"
           "  top                           Show VMs as they work\n"
           "  monitor                       Show changes as they happen\n"
           "  metrics                       Write everything for Prometheus\n"
           "  check                         Find what keeps VMs from their GPU\n\n"
           "Virtual machines:\n"
           "  set-priority VM high|medium|low\n"
           "                                Change a VM's priority\n"
           "  set-pool VM POOL              Move a VM to another pool\n"
           "  set-limits VM LIMIT=N...      Change limits:");
    usage_limits();
    printf("  revert VM [SETTING...]        Take such changes back\n"
           "  pause|resume VM...            Hold what VMs have queued, or let it run\n"
           "  quarantine|release VM...      Refuse what VMs submit, or accept it again\n"
           "  register VM UUID [LIMIT=N...] Make a VM known, and print its number\n"
           "  register VM --unit=UNIT|--machine=MACHINE [LIMIT=N...]\n"
           "                                The same of all processes of a container\n"
           "  unregister VM...              Forget VMs\n"
           "  end-session ID...             End CUDA sessions\n"
#if VGPU_HAVE_LIBVIRT
           "  attach DOMAIN [LIMIT=N...]    Give a libvirt domain a GPU at its next start\n"
           "  detach DOMAIN | --all         Take it from the domain again, or from every one\n"
#endif
           "\nThe service:\n"
           "  pause-pool|resume-pool POOL...\n"
           "                                Hold the queue of pools, or let it run\n"
           "  reset-statistics [VM...]      Set counters and times to zero\n"
           "  reload                        Read the configuration again\n\n"
           "Options:\n"
           "  -h --help                     Show this help\n"
           "     --version                  Show the version\n"
           "     --json=pretty|short|off    Write JSON\n"
           "  -l --full                     All columns, however narrow the terminal is\n"
           "     --no-legend                No headings and no totals\n"
           "     --no-pager                 Do not go through a pager\n"
           "     --no-ask-password          Do not ask for a password\n"
           "     --runtime                  Change until the VM is unregistered only\n"
           "     --pool=POOL                With register, attach, reset-statistics\n"
           "     --unit=UNIT                With register: a service or a scope\n"
           "     --machine=MACHINE          With register: one that machinectl lists\n"
           "     --priority=PRIORITY        With register, attach: high, medium or low\n"
#if VGPU_HAVE_LIBVIRT
           "  -c --connect=URI              Which libvirt to speak with\n"
#endif
           "     --format=FORMAT            With metrics: prometheus or openmetrics\n"
           "  -o --output=FILE              With metrics: put them into a file\n"
           "     --root=DIRECTORY           With check: of the system below there\n"
           "     --all                      With list: VMs that are not there, too; with\n"
           "                                reset-statistics, detach: of all\n"
           "  -i --interval=SECONDS         With top: the time between two looks; with list,\n"
           "                                pools: to measure the rate in; 0: do not\n\n"
           "See vgpuctl(1) for details.\n");
}

/* ---- The outside -------------------------------------------------------------------------- */

/* Decides as systemd's programs do. */
static bool want_colors(void)
{
    const char *e = getenv("SYSTEMD_COLORS"), *term = getenv("TERM");

    if (e && *e)
        return strcmp(e, "0") != 0 && strcasecmp(e, "no") != 0 && strcasecmp(e, "false") != 0 &&
               strcasecmp(e, "off") != 0;
    e = getenv("NO_COLOR");
    return !(e && *e) && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

/* The pager's terminal is ours. */
static size_t table_width(const Options *o)
{
    size_t rows, columns;

    if (o->full || !isatty(STDOUT_FILENO))
        return 0;
    terminal_size(&rows, &columns);
    return columns;
}

void open_pager(Context *c)
{
    if (!c->options.no_pager)
        pager_open(&c->pager);
}

/*
 * A descriptor that is closed would go to the next file or socket that is opened, and our output
 * into that. So each gets /dev/null, opened so that its use fails.
 */
static void occupy_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* Writes what standard output still holds. Where any of it could not be written, says so. */
static int finish_output(void)
{
    bool pending = __fpending(stdout) > 0, failed = ferror(stdout) != 0;
    int r = fclose(stdout) != 0 ? -errno : 0;

    if (r == 0 && !failed)
        return 0;
    if (r == -EBADF && !failed && !pending)
        return 0; /* it was closed all the time, and there was nothing to write */
    /* The reason of an earlier failure is not known any more. */
    if (r < 0)
        print_error("Failed to write to standard output: %s", strerror(-r));
    else
        print_error("Failed to write to standard output: some of it is missing.");
    return -EIO;
}

/* ---- Options ------------------------------------------------------------------------------ */

static int parse_json(const char *value, JSONMode *ret)
{
    if (strcmp(value, "pretty") == 0)
        *ret = JSON_PRETTY;
    else if (strcmp(value, "short") == 0)
        *ret = JSON_SHORT;
    else if (strcmp(value, "off") == 0)
        *ret = JSON_OFF;
    else {
        print_error("--json= takes pretty, short or off, not '%s'.", value);
        return -EINVAL;
    }
    return 0;
}

static int parse_interval(const char *value, uint64_t *ret)
{
    double seconds;
    char *end;

    errno = 0;
    seconds = strtod(value, &end);
    if (errno != 0 || end == value || *end || !isfinite(seconds) || seconds < 0 || seconds > 3600) {
        print_error("--interval= takes a number of seconds up to 3600, not '%s'.", value);
        return -EINVAL;
    }
    *ret = (uint64_t) (seconds * (double) USEC_PER_SEC);
    return 0;
}

/* The completion asks for these. The help does not name the option. */
static void list_limits(void)
{
    for (unsigned i = vm_limits_next(0); i < VM_N_SETTINGS; i = vm_limits_next(i + 1))
        printf("%s=\n", vm_settings[i].name);
}

/* Returns 1 to go on, 0 when the option was all that there is to do, or a negative errno. */
static int parse_options(int argc, char **argv, Options *o)
{
    enum {
        OPT_VERSION = 256,
        OPT_JSON,
        OPT_NO_LEGEND,
        OPT_NO_PAGER,
        OPT_NO_ASK_PASSWORD,
        OPT_RUNTIME,
        OPT_POOL,
        OPT_PRIORITY,
        OPT_UNIT,
        OPT_MACHINE,
        OPT_ALL,
        OPT_FORMAT,
        OPT_ROOT,
        OPT_LIST_LIMITS,
    };
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},
        {"json", required_argument, NULL, OPT_JSON},
        {"full", no_argument, NULL, 'l'},
        {"format", required_argument, NULL, OPT_FORMAT},
        {"root", required_argument, NULL, OPT_ROOT},
        {"output", required_argument, NULL, 'o'},
        {"no-legend", no_argument, NULL, OPT_NO_LEGEND},
        {"no-pager", no_argument, NULL, OPT_NO_PAGER},
        {"no-ask-password", no_argument, NULL, OPT_NO_ASK_PASSWORD},
        {"runtime", no_argument, NULL, OPT_RUNTIME},
        {"pool", required_argument, NULL, OPT_POOL},
        {"priority", required_argument, NULL, OPT_PRIORITY},
        {"unit", required_argument, NULL, OPT_UNIT},
        {"machine", required_argument, NULL, OPT_MACHINE},
        {"connect", required_argument, NULL, 'c'},
        {"all", no_argument, NULL, OPT_ALL},
        {"interval", required_argument, NULL, 'i'},
        {"list-limits", no_argument, NULL, OPT_LIST_LIMITS},
        {0},
    };
    int c, r = 0;

    while ((c = getopt_long(argc, argv, "hlc:i:o:", options, NULL)) >= 0 && r >= 0)
        switch (c) {
        case 'h':
            usage();
            return 0;
        case OPT_VERSION:
            puts("vgpu-mediator " VGPU_VERSION);
            return 0;
        case OPT_LIST_LIMITS:
            list_limits();
            return 0;
        case OPT_JSON:
            r = parse_json(optarg, &o->table.json);
            break;
        case 'l':
            o->full = true;
            break;
        case OPT_FORMAT:
            o->format = optarg;
            break;
        case OPT_ROOT:
            o->root = optarg;
            break;
        case 'o':
            o->output = optarg;
            break;
        case OPT_NO_LEGEND:
            o->table.no_legend = true;
            break;
        case OPT_NO_PAGER:
            o->no_pager = true;
            break;
        case OPT_NO_ASK_PASSWORD:
            o->no_ask_password = true;
            break;
        case OPT_RUNTIME:
            o->runtime = true;
            break;
        case OPT_POOL:
            o->pool = optarg;
            break;
        case OPT_PRIORITY:
            o->priority = optarg;
            break;
        case OPT_UNIT:
            o->unit = optarg;
            break;
        case OPT_MACHINE:
            o->machine = optarg;
            break;
        case OPT_ALL:
            o->all = true;
            break;
        case 'c':
            o->connect = optarg;
            break;
        case 'i':
            r = parse_interval(optarg, &o->interval_usec);
            break;
        default:
            print_error("See vgpuctl --help.");
            return -EINVAL;
        }
    return r < 0 ? r : 1;
}

/* ---- Verbs -------------------------------------------------------------------------------- */

static int find_verb(const char *name, size_t *ret)
{
    const char *names[N_VERBS], *nearest;

    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            *ret = i;
            return 0;
        }
        names[i] = verbs[i].name;
    }

    nearest = text_nearest(name, names, N_VERBS);
    if (nearest)
        print_error("Unknown command '%s', did you mean '%s'?", name, nearest);
    else
        print_error("Unknown command '%s'. See vgpuctl --help.", name);
    return -EINVAL;
}

static int run_verb(Context *c, int argc, char **argv)
{
    static char *const default_verb[] = {"list", NULL};
    size_t v;
    int r;

    if (argc == 0) {
        argc = 1;
        argv = (char **) default_verb;
    }
    r = find_verb(argv[0], &v);
    if (r < 0)
        return r;
    if (argc - 1 < verbs[v].min || argc - 1 > verbs[v].max) {
        print_error("Too %s arguments for '%s'. See vgpuctl --help.",
                    argc - 1 < verbs[v].min ? "few" : "many", argv[0]);
        return -EINVAL;
    }

    if (verbs[v].on_bus) {
        r = bus_client_new(!c->options.no_ask_password, &c->client);
        if (r < 0)
            return r;
    }
    return verbs[v].run(c, argc, argv);
}

int main(int argc, char **argv)
{
    Context c = {.options.interval_usec = UINT64_MAX};
    int r, output;

    occupy_descriptors();
    (void) setlocale(LC_ALL, "");
    /* Programs read our numbers too. */
    (void) setlocale(LC_NUMERIC, "C");

    r = parse_options(argc, argv, &c.options);
    if (r > 0) {
        c.options.table.colors = want_colors();
        c.options.table.width = table_width(&c.options);
        r = run_verb(&c, argc - optind, argv + optind);
        if (r == -ENOMEM)
            print_error("Out of memory.");
        c.client = bus_client_free(c.client);
    }

    output = c.pager.pid > 0 ? pager_close(&c.pager) : finish_output();
    return r < 0 || output < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
