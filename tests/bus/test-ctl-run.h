/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running the real vgpuctl: to its end, or on a terminal of its own. */
#ifndef VGPU_TEST_CTL_RUN_H
#define VGPU_TEST_CTL_RUN_H

#include <stdbool.h>
#include <sys/types.h>

#define NOBODY 65534

/* What it did; to be released with ctl_release(). */
typedef struct Ctl {
    int status; /* its exit status, or 128 and the signal */
    char *out;
    char *err;
} Ctl;

/* ctl_run() - run it with these arguments, NULL at the end, away from any terminal */
Ctl ctl_run(const char *first, ...) __attribute__((sentinel));

/* ctl_run_as() - the same as another user */
Ctl ctl_run_as(uid_t uid, const char *first, ...) __attribute__((sentinel));

/* ctl_shell() - run bash with this script; vgpuctl is in its PATH */
Ctl ctl_shell(const char *script);

void ctl_release(Ctl *c);

/* ctl_expect() - it succeeds and writes this, and nothing on standard error */
#define ctl_expect(out, ...) ctl_expect_at(__FILE__, __LINE__, out, __VA_ARGS__, NULL)
void ctl_expect_at(const char *file, int line, const char *out, const char *first, ...)
    __attribute__((sentinel));

/* ctl_refuse() - it exits with 1, writes this line on standard error and nothing else */
#define ctl_refuse(err, ...) ctl_refuse_at(__FILE__, __LINE__, err, __VA_ARGS__, NULL)
void ctl_refuse_at(const char *file, int line, const char *err, const char *first, ...)
    __attribute__((sentinel));

/* One that runs on, with its standard output, or a terminal, in our hands. */
typedef struct CtlProcess {
    pid_t pid;
    int fd;
    char *seen; /* all that it wrote, and was not yet looked for */
    size_t size;
} CtlProcess;

/* ctl_start() - run it; @uid: as whom. Output and error come together */
void ctl_start(CtlProcess *p, uid_t uid, const char *first, ...) __attribute__((sentinel));

/* ctl_start_terminal() - on a terminal of 24 rows and 100 columns */
void ctl_start_terminal(CtlProcess *p, uid_t uid, const char *first, ...) __attribute__((sentinel));

/* ctl_wait_for() - read on until it wrote @text; what came until there is forgotten */
void ctl_wait_for(CtlProcess *p, const char *text);

/* ctl_read_line() - the next line, without its end; to be freed */
char *ctl_read_line(CtlProcess *p);

/* ctl_press() - type this on its terminal */
void ctl_press(CtlProcess *p, const char *keys);

/* ctl_end() - its exit status, or 128 and the signal, when it ends; *ret_rest: what it
 * wrote last; may be NULL */
int ctl_end(CtlProcess *p, char **ret_rest);

#endif
