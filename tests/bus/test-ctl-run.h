/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running the real vgpuctl: to its end, or on a terminal of its own. */
#ifndef VGPU_TEST_CTL_RUN_H
#define VGPU_TEST_CTL_RUN_H

#include <stdbool.h>
#include <sys/types.h>

#define NOBODY 65534

/* What the tests of vgpuctl ask and have done over D-Bus, with world.h. */
#define vm_text_is(vm, property, text) expect_text(VM(vm), VGPU_INTERFACE_VM, property, text)
#define vm_number(vm, property) get_u32(VM(vm), VGPU_INTERFACE_VM, property)
#define vm_is(vm, property) get_bool(VM(vm), VGPU_INTERFACE_VM, property)
#define unregister_vm(vm) call_manager(NULL, "UnregisterVM", "s", vm)

/* What vgpuctl did; to be released with ctl_release(). */
typedef struct Ctl {
    int status; /* its exit status, or 128 and the signal */
    char *out;
    char *err;
} Ctl;

/* The arguments, without or with a NULL at their end, as an array. */
#define CTL_ARGUMENTS(...) ((const char *const[]){"vgpuctl", __VA_ARGS__, NULL})

/* ctl_run() - run vgpuctl with these arguments, without a terminal */
#define ctl_run(...) ctl_run_as(0, __VA_ARGS__)

/* ctl_run_as() - the same as another user */
#define ctl_run_as(uid, ...) ctl_run_arguments((uid), CTL_ARGUMENTS(__VA_ARGS__))
Ctl ctl_run_arguments(uid_t uid, const char *const *arguments);

/* ctl_shell() - run bash with this script; vgpuctl is in its PATH */
Ctl ctl_shell(const char *script);

void ctl_release(Ctl *c);

/* ctl_expect() - it succeeds and writes this, and nothing on standard error */
#define ctl_expect(out, ...) \
    ctl_expect_at(__FILE__, __LINE__, CTL_ARGUMENTS(__VA_ARGS__), 0, out, "")

/* ctl_refuse() - it exits with 1, writes this line, a literal, on standard error and nothing else
 */
#define ctl_refuse(err, ...) \
    ctl_expect_at(__FILE__, __LINE__, CTL_ARGUMENTS(__VA_ARGS__), 1, "", err "\n")
void ctl_expect_at(const char *file, int line, const char *const *arguments, int status,
                   const char *out, const char *err);

/* One that runs on, with its standard output, or a terminal, in our hands. */
typedef struct CtlProcess {
    pid_t pid;
    int fd;
    char *seen; /* what it wrote and no test has looked for yet */
    size_t size;
} CtlProcess;

/* ctl_start() - run it; @uid: as whom. Output and error come together */
#define ctl_start(p, uid, ...) ctl_start_arguments((p), (uid), CTL_ARGUMENTS(__VA_ARGS__))
void ctl_start_arguments(CtlProcess *p, uid_t uid, const char *const *arguments);

/* ctl_start_shell() - run bash with this script, which ends by becoming vgpuctl */
void ctl_start_shell(CtlProcess *p, const char *script);

/* ctl_start_terminal() - on a terminal of 24 rows, and as many columns as this says: 100, or what
 * a test has set */
extern unsigned short ctl_terminal_columns;
#define ctl_start_terminal(p, uid, ...) \
    ctl_start_terminal_arguments((p), (uid), CTL_ARGUMENTS(__VA_ARGS__))
void ctl_start_terminal_arguments(CtlProcess *p, uid_t uid, const char *const *arguments);

/* ctl_wait_for() - read until @text comes, and forget everything up to its end */
void ctl_wait_for(CtlProcess *p, const char *text);

/* ctl_read_line() - the next line, without its end; to be freed */
char *ctl_read_line(CtlProcess *p);

/* ctl_press() - type this on its terminal */
void ctl_press(CtlProcess *p, const char *keys);

/* ctl_end() - wait until it ends. Returns its exit status, or 128 and the signal; *ret_rest: what
 * it wrote last; may be NULL */
int ctl_end(CtlProcess *p, char **ret_rest);

#endif
