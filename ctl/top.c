/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* top: VMs and pools on the whole screen, asked for again and again. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "ctl.h"
#include "list.h"
#include "terminal.h"
#include "text.h"

#define INTERVAL_USEC USEC_PER_SEC
#define INTERVAL_MIN_USEC (100 * USEC_PER_MSEC)

/* 80 characters, as wide as the narrowest terminal that people have. */
#define FOOTER "q quit  arrows move  n name p prio u queue r rate s share w wait x run R reverse"

_Static_assert(sizeof(FOOTER) - 1 <= 80, "the keys do not fit into a line");

typedef struct Sort {
    char key;
    const char *name;
    const char *column; /* its key in list_vm_columns[] */
    int (*compare)(const VMInfo *a, const VMInfo *b);
} Sort;

typedef struct Top {
    Context *context;
    sd_event *event;
    sd_bus *bus;
    sd_event_source *timer;
    sd_bus_slot *call; /* NULL: none is under way */
    Terminal terminal;
    Snapshot *snapshot; /* NULL: none yet */
    char *trouble;      /* NULL: none */
    const Sort *sort;
    bool reversed;
    size_t scrolled; /* VMs */
    size_t shifted;  /* columns that are out at the left */
    char sequence;   /* the last byte of an escape sequence that has begun, or 0 */
    uint64_t interval_usec;
} Top;

/* ---- Order -------------------------------------------------------------------------------- */

static int compare_numbers(double a, double b)
{
    /* The largest first, and what is not known last. */
    a = isnan(a) ? -1 : a;
    b = isnan(b) ? -1 : b;
    return a < b ? 1 : a > b ? -1 : 0;
}

static double time_value(uint64_t usec)
{
    return usec == UINT64_MAX ? NAN : (double) usec;
}

static int by_name(const VMInfo *a, const VMInfo *b)
{
    return strverscmp(a->object.name, b->object.name);
}

static int rank(const VMInfo *vm)
{
    return strcmp(vm->priority, "high") == 0 ? 0 : strcmp(vm->priority, "medium") == 0 ? 1 : 2;
}

static int by_priority(const VMInfo *a, const VMInfo *b)
{
    return rank(a) - rank(b);
}

static int by_queue(const VMInfo *a, const VMInfo *b)
{
    return compare_numbers(a->queue_depth, b->queue_depth);
}

static int by_rate(const VMInfo *a, const VMInfo *b)
{
    return compare_numbers(a->object.counters.rate, b->object.counters.rate);
}

static int by_share(const VMInfo *a, const VMInfo *b)
{
    return compare_numbers(a->object.counters.share, b->object.counters.share);
}

static int by_wait(const VMInfo *a, const VMInfo *b)
{
    return compare_numbers(time_value(a->object.counters.wait_p99),
                           time_value(b->object.counters.wait_p99));
}

static int by_run(const VMInfo *a, const VMInfo *b)
{
    return compare_numbers(time_value(a->object.counters.execution_p99),
                           time_value(b->object.counters.execution_p99));
}

static const Sort sorts[] = {
    {'r', "rate", "requests_per_second", by_rate},
    {'n', "name", "name", by_name},
    {'p', "priority", "priority", by_priority},
    {'u', "queue", "queue_depth", by_queue},
    {'s', "share", "share", by_share},
    {'w', "wait", "wait_p99_usec", by_wait},
    {'x', "run", "execution_p99_usec", by_run},
};

static int top_compare(const void *a, const void *b, void *userdata)
{
    const Top *t = userdata;
    int order = t->sort->compare(a, b);

    if (order == 0)
        return by_name(a, b);
    return t->reversed ? -order : order;
}

/* ---- Drawing ------------------------------------------------------------------------------ */

static void write_summary(FILE *f, const Top *t)
{
    char rate[TEXT_SIZE], interval[TEXT_SIZE];
    const Snapshot *s = t->snapshot;
    size_t connected = 0, queued = 0, running = 0;
    double total = 0;

    for (size_t i = 0; i < s->n_vms; i++)
        connected += s->vms[i].connected;
    for (size_t i = 0; i < s->n_pools; i++) {
        const PoolInfo *p = &s->pools[i];

        queued += (size_t) p->queue_high + p->queue_medium + p->queue_low;
        running += p->object.counters.in_flight;
        total += isnan(p->object.counters.rate) ? 0 : p->object.counters.rate;
    }
    fprintf(f, "%zu VM%s, %zu connected; %zu waiting, %zu running, %s/s; by %s%s, every %s\n",
            s->n_vms, s->n_vms == 1 ? "" : "s", connected, queued, running, text_rate(total, rate),
            t->sort->name, t->reversed ? " reversed" : "", text_usec(t->interval_usec, interval));
}

/* Writes a table without its first @skip rows, but with its head. */
static void write_table(FILE *f, const char *table, size_t skip)
{
    size_t head = strcspn(table, "\n");

    fprintf(f, "\033[7m\033[K%.*s\033[0m\n", (int) head, table);
    table += head + (table[head] == '\n');
    while (skip-- > 0 && *table)
        table += strcspn(table, "\n") + 1;
    fputs(table, f);
    if (*table && table[strlen(table) - 1] != '\n')
        fputc('\n', f);
}

/*
 * The columns that may be seen. The name and what the list is sorted by always are. Without a
 * shift, the table leaves out the least important of the others, as in "list". With one, the
 * others are shown from there on, in their order.
 */
static void top_choose_columns(const Top *t, const Column *from, size_t n, Column *columns)
{
    memcpy(columns, from, n * sizeof(*from));
    for (size_t i = 1; i < n; i++) {
        if (strcmp(columns[i].key, t->sort->column) == 0)
            columns[i].drop = 0;
        else if (i <= t->shifted)
            columns[i].title = NULL;
        else if (t->shifted > 0)
            columns[i].drop = (unsigned) i;
    }
}

static int write_tables(FILE *f, const Top *t)
{
    Column pool_columns[LIST_POOL_COLUMNS], vm_columns[LIST_VM_COLUMNS];
    TableOptions options = t->context->options.table;
    CLEANUP_FREE char *pools = NULL, *vms = NULL;
    const Snapshot *s = t->snapshot;
    size_t rows, columns;
    int r;

    options.no_legend = false;
    terminal_size(&rows, &columns);
    top_choose_columns(t, list_pool_columns, LIST_POOL_COLUMNS, pool_columns);
    top_choose_columns(t, list_vm_columns, LIST_VM_COLUMNS, vm_columns);
    r = table_render(&options, "pools", pool_columns, LIST_POOL_COLUMNS, s->pools, s->n_pools,
                     sizeof(*s->pools), columns, &pools);
    if (r >= 0)
        r = table_render(&options, "vms", vm_columns, LIST_VM_COLUMNS, s->vms, s->n_vms,
                         sizeof(*s->vms), columns, &vms);
    if (r < 0)
        return r;

    fputc('\n', f);
    write_table(f, pools, 0);
    fputc('\n', f);
    if (s->n_vms > 0)
        write_table(f, vms, t->scrolled);
    else
        fputs("No VMs.\n", f);
    return 0;
}

static int top_draw(Top *t)
{
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    int r = 0;

    if (!f)
        return -ENOMEM;
    if (t->snapshot && t->snapshot->n_vms > 0)
        qsort_r(t->snapshot->vms, t->snapshot->n_vms, sizeof(VMInfo), top_compare, t);
    if (t->snapshot)
        write_summary(f, t);
    if (t->trouble)
        fprintf(f, "%s\n", t->trouble);
    if (t->snapshot)
        r = write_tables(f, t);
    if (fclose(f) != 0)
        r = -ENOMEM;
    if (r >= 0)
        terminal_draw(text, FOOTER);
    return r;
}

/* ---- Asking ------------------------------------------------------------------------------ */

/* The text stays on the screen until there is an answer again. */
static int top_set_trouble(Top *t, const char *text)
{
    free(t->trouble);
    t->trouble = text ? text_escape(text) : NULL;
    return text && !t->trouble ? -ENOMEM : 0;
}

static int top_take(Top *t, sd_bus_message *reply)
{
    Snapshot *s = NULL;
    int r;

    r = snapshot_parse(reply, &s);
    if (r < 0)
        return r;
    /* The earlier counters are found by name. */
    if (t->snapshot) {
        if (t->snapshot->n_vms > 0)
            qsort_r(t->snapshot->vms, t->snapshot->n_vms, sizeof(VMInfo), top_compare,
                    &(Top){.sort = &sorts[1]});
        snapshot_set_rates(s, t->snapshot);
        snapshot_set_shares(s, t->snapshot);
    }
    list_hide_empty_times(s);
    snapshot_free(t->snapshot);
    t->snapshot = s;
    return 0;
}

static int top_on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    const sd_bus_error *answered = sd_bus_message_get_error(reply);
    Top *t = userdata;
    int r;

    (void) error;

    t->call = sd_bus_slot_unref(t->call);
    r = answered
            ? top_set_trouble(t, bus_client_strerror(answered, sd_bus_error_get_errno(answered)))
            : top_set_trouble(t, NULL);
    if (r >= 0 && !answered)
        r = top_take(t, reply);
    if (r >= 0)
        r = top_draw(t);
    return r < 0 ? sd_event_exit(t->event, r) : 0;
}

/* One call at a time, however long the answer takes. */
static int top_ask(Top *t)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    int r;

    if (t->call)
        return 0;
    r = snapshot_call(t->bus, &m);
    return r < 0 ? r : sd_bus_call_async(t->bus, &t->call, m, top_on_answer, t, 0);
}

static int top_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Top *t = userdata;
    int r;

    (void) usec;

    r = top_ask(t);
    if (r >= 0)
        r = sd_event_source_set_time_relative(source, t->interval_usec);
    if (r >= 0)
        r = sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return r < 0 ? sd_event_exit(t->event, r) : 0;
}

/* ---- Keys and signals ---------------------------------------------------------------------- */

static void top_scroll(Top *t, int by)
{
    size_t n = t->snapshot ? t->snapshot->n_vms : 0;

    if (by < 0 && t->scrolled > 0)
        t->scrolled--;
    else if (by > 0 && t->scrolled + 1 < n)
        t->scrolled++;
}

/* The last column with a title stays to be seen. */
static void top_shift(Top *t, int by)
{
    size_t last = 0;

    for (size_t i = 0; i < LIST_POOL_COLUMNS; i++)
        if (list_pool_columns[i].title)
            last = i;
    if (by < 0 && t->shifted > 0)
        t->shifted--;
    else if (by > 0 && t->shifted + 1 < last)
        t->shifted++;
}

static int top_press(Top *t, char key)
{
    if (key == 'q')
        return sd_event_exit(t->event, 0);
    if (key == ' ')
        return top_ask(t);

    if (key == 'R')
        t->reversed = !t->reversed;
    for (size_t i = 0; i < ELEMENTSOF(sorts); i++)
        if (sorts[i].key == key)
            t->sort = &sorts[i];
    return top_draw(t);
}

/* The arrow keys send ESC [ and a letter from A to D, or with O for [. Their bytes may come one by
 * one. */
static int top_take_byte(Top *t, char byte)
{
    char before = t->sequence;

    t->sequence = byte == '\033' || (before == '\033' && (byte == '[' || byte == 'O')) ? byte : 0;
    if (t->sequence)
        return 0;
    if (!before || before == '\033')
        return top_press(t, byte);

    top_scroll(t, byte == 'A' ? -1 : byte == 'B' ? 1 : 0);
    top_shift(t, byte == 'D' ? -1 : byte == 'C' ? 1 : 0);
    return top_draw(t);
}

static int top_on_keys(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Top *t = userdata;
    char keys[64];
    ssize_t n;
    int r = 0;

    (void) source, (void) events;

    n = read(fd, keys, sizeof(keys));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : sd_event_exit(t->event, -errno);
    if (n == 0)
        return sd_event_exit(t->event, 0);

    for (ssize_t i = 0; i < n && r >= 0; i++)
        r = top_take_byte(t, keys[i]);
    return r < 0 ? sd_event_exit(t->event, r) : 0;
}

static int top_on_resize(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    Top *t = userdata;
    int r;

    (void) source, (void) si;

    r = top_draw(t);
    return r < 0 ? sd_event_exit(t->event, r) : 0;
}

/* ^Z: gives the terminal back to the shell, and takes it again after "fg". */
static int top_on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    Top *t = userdata;
    int r;

    (void) source, (void) si;

    terminal_leave(&t->terminal);
    (void) kill(getpid(), SIGSTOP);
    r = terminal_enter(&t->terminal);
    if (r >= 0)
        r = top_draw(t);
    return r < 0 ? sd_event_exit(t->event, r) : 0;
}

static int top_on_end(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    Top *t = userdata;

    (void) source, (void) si;

    return sd_event_exit(t->event, 0);
}

static int top_on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Top *t = userdata;

    (void) m, (void) error;

    return sd_event_exit(t->event, -ECONNRESET);
}

/* ---- The verb ------------------------------------------------------------------------------ */

static int top_add_signals(Top *t)
{
    static const struct {
        int signal;
        sd_event_signal_handler_t handler;
    } signals[] = {
        {SIGWINCH, top_on_resize}, {SIGTSTP, top_on_stop}, {SIGINT, top_on_end},
        {SIGTERM, top_on_end},     {SIGQUIT, top_on_end},  {SIGHUP, top_on_end},
    };
    sigset_t set;
    int r = 0;

    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTSOF(signals); i++)
        sigaddset(&set, signals[i].signal);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    for (size_t i = 0; i < ELEMENTSOF(signals) && r >= 0; i++)
        r = sd_event_add_signal(t->event, NULL, signals[i].signal, signals[i].handler, t);
    return r;
}

static int top_prepare(Top *t)
{
    int r;

    r = sd_event_new(&t->event);
    if (r >= 0)
        r = top_add_signals(t);
    if (r >= 0)
        r = sd_event_add_io(t->event, NULL, STDIN_FILENO, EPOLLIN, top_on_keys, t);
    if (r >= 0)
        r = sd_event_add_time_relative(t->event, &t->timer, CLOCK_MONOTONIC, 0, 0, top_on_timer, t);
    if (r >= 0)
        r = sd_bus_match_signal(t->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                "org.freedesktop.DBus.Local", "Disconnected", top_on_disconnected,
                                t);
    if (r >= 0)
        r = sd_bus_attach_event(t->bus, t->event, 0);
    return r;
}

static void top_release(Top *t)
{
    terminal_leave(&t->terminal);
    sd_bus_slot_unref(t->call);
    (void) sd_bus_detach_event(t->bus);
    sd_event_source_unref(t->timer);
    sd_event_unref(t->event);
    snapshot_free(t->snapshot);
    free(t->trouble);
}

int verb_top(Context *c, int argc, char **argv)
{
    Top t = {
        .context = c,
        .bus = bus_client_bus(c->client),
        .sort = &sorts[0],
        .interval_usec = c->options.interval_usec,
    };
    int r;

    (void) argc, (void) argv;

    if (c->options.table.json != JSON_OFF) {
        print_error("'top' is for a terminal, and takes no --json=. See 'list'.");
        return -EINVAL;
    }
    if (t.interval_usec == UINT64_MAX)
        t.interval_usec = INTERVAL_USEC;
    else if (t.interval_usec < INTERVAL_MIN_USEC)
        t.interval_usec = INTERVAL_MIN_USEC;

    r = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? top_prepare(&t) : -ENOTTY;
    if (r >= 0)
        r = terminal_enter(&t.terminal);
    if (r >= 0)
        r = sd_event_loop(t.event);
    top_release(&t);

    if (r == -ENOTTY)
        print_error("'top' needs a terminal. See 'list'.");
    else if (r == -ECONNRESET)
        print_error("The connection to the system bus is lost.");
    else if (r < 0)
        print_error("Failed to show VMs: %s", strerror(-r));
    return r;
}
