/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "vgpuctl check": what was looked at, and what was found. */
#ifndef VGPU_CTL_CHECK_H
#define VGPU_CTL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl.h"
#include "snapshot.h"

typedef enum FindingState {
    FINDING_OK,
    FINDING_NOTE,    /* as it should be on some hosts, and not on others */
    FINDING_PROBLEM, /* it keeps VMs from their device */
} FindingState;

typedef struct Finding {
    const char *area;  /* what was looked at: "socket", "bus", … */
    const char *state; /* FindingState in words */
    char *text;        /* one sentence */
    char *mend;        /* what to do, mostly a command; empty: nothing */
} Finding;

typedef struct Check {
    const char *root;   /* the directory that is taken for /; "": that one itself */
    bool has_gpu;       /* set by check_gpu(): there is one that can be used */
    Snapshot *snapshot; /* set by check_mediator(): what the mediator says; NULL: nothing */
    Finding *findings;
    size_t n;
    size_t n_problems, n_notes;
    bool out_of_memory;
} Check;

/*
 * check_add() - a finding
 * @area: a literal
 * @mend: what to do about it; NULL: nothing
 * @format: the sentence
 */
void check_add(Check *c, const char *area, FindingState state, const char *mend, const char *format,
               ...) __attribute__((format(printf, 5, 6)));

/* check_path() - @path below the root. Returns @buffer, of PATH_MAX bytes */
const char *check_path(const Check *c, const char *path, char *buffer);

/* What there is to look at. Each of these adds at least one finding. */
void check_socket(Check *c);
void check_state_directory(Check *c);
void check_gpu(Check *c);
void check_sessions(Check *c); /* after check_gpu() */
void check_plugin(Check *c);
void check_hook(Check *c);
void check_apparmor(Check *c);

/* check_mediator() - over the bus, its pools too; after check_gpu() */
void check_mediator(Check *c);

/* check_pool_sessions() - whether this pool can have CUDA sessions, once it is known what computes
 */
void check_pool_sessions(Check *c, const PoolInfo *pool);

/* check_domains() - of the libvirt at @uri; NULL: the system's. After check_mediator(). A build
 * without libvirt has none */
void check_domains(Check *c, const char *uri);

#endif
