/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpuctl: what its verbs share. */
#ifndef VGPU_CTL_H
#define VGPU_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "bus-client.h"
#include "cleanup-bus.h"
#include "clock.h"
#include "pager.h"
#include "table.h"

/* What the command line's options say. */
typedef struct Options {
    TableOptions table;
    bool no_pager;
    bool no_ask_password;
    bool runtime;
    bool all;
    bool full;                  /* all columns */
    const char *pool;           /* NULL: not given */
    const char *unit, *machine; /* likewise */
    const char *priority;       /* NULL: not given */
    const char *connect;        /* libvirt's URI; NULL: its default */
    const char *root;           /* for check; NULL: not given */
    const char *format;         /* of metrics; NULL: not given */
    const char *output;         /* a file for metrics; NULL: standard output */
    uint64_t interval_usec;     /* UINT64_MAX: not given */
} Options;

typedef struct Context {
    Options options;
    BusClient *client;
    Pager pager;
} Context;

/*
 * A verb. @argc and @argv are its arguments, with the verb itself first. main.c has checked
 * their number. On failure the verb says what is wrong on standard error and returns a negative
 * errno.
 */
typedef int Verb(Context *c, int argc, char **argv);

Verb verb_list;
Verb verb_pools;
Verb verb_status;
Verb verb_set_priority;
Verb verb_set_pool;
Verb verb_set_limits;
Verb verb_revert;
Verb verb_change_vms;   /* pause, resume, quarantine, release, unregister */
Verb verb_change_pools; /* pause-pool, resume-pool */
Verb verb_register;
Verb verb_sessions;
Verb verb_end_session;
Verb verb_reload;
Verb verb_reset_statistics;
Verb verb_top;
Verb verb_monitor;
Verb verb_metrics;
Verb verb_check;
Verb verb_attach;
Verb verb_detach;

/* open_pager() - from here on, standard output goes through the pager, if one is wanted */
void open_pager(Context *c);

#endif
