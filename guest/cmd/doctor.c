/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor: what in this machine may keep a program from the GPU, and what mends it. */
#include "doctor.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL"};

/* ---- Findings ------------------------------------------------------------------- */

/* Names, paths and the environment come from elsewhere: text is what a terminal shows as it is. */
static void make_printable(char *text)
{
    for (char *p = text; p && *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

static void doctor_append(doctor *d, doctor_finding finding)
{
    doctor_finding *findings = reallocarray(d->findings, d->n + 1, sizeof(*findings));

    if (!findings || !finding.text || !finding.mend) {
        d->out_of_memory = true;
        free(finding.text);
        free(finding.mend);
    } else {
        findings[d->n++] = finding;
        d->n_states[finding.state]++;
    }
    if (findings)
        d->findings = findings;
}

void doctor_add(doctor *d, const char *what, doctor_state state, const char *mend,
                const char *format, ...)
{
    doctor_finding finding = {.what = what, .state = state, .mend = strdup(mend ? mend : "")};
    va_list args;

    va_start(args, format);
    if (vasprintf(&finding.text, format, args) < 0)
        finding.text = NULL;
    va_end(args);
    make_printable(finding.text);
    make_printable(finding.mend);

    pthread_mutex_lock(&d->lock);
    if (d->is_closed && !pthread_equal(d->owner, pthread_self())) {
        free(finding.text);
        free(finding.mend);
    } else {
        doctor_append(d, finding);
    }
    pthread_mutex_unlock(&d->lock);
}

const char *doctor_path(const doctor *d, const char *path, char *buffer)
{
    snprintf(buffer, PATH_MAX, "%s%s", d->root, path);
    return buffer;
}

static void doctor_free(doctor *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->findings[i].text);
        free(d->findings[i].mend);
    }
    free(d->findings);
    free(d);
}

/* ---- Printing ------------------------------------------------------------------- */

static void print_text(const doctor *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const doctor_finding *f = &d->findings[i];

        printf("%-4s  %-11s  %s%s%s\n", state_names[f->state], f->what, f->text,
               *f->mend ? " - " : "", f->mend);
    }
}

static void print_string(const char *name, const char *text)
{
    printf("\"%s\":\"", name);
    for (const char *p = text; *p; p++)
        printf("%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
    putchar('"');
}

static void print_json(const doctor *d)
{
    fputs("{\"checks\":[", stdout);
    for (size_t i = 0; i < d->n; i++) {
        const doctor_finding *f = &d->findings[i];

        fputs(i > 0 ? ",{" : "{", stdout);
        print_string("check", f->what);
        putchar(',');
        print_string("state", state_names[f->state]);
        putchar(',');
        print_string("text", f->text);
        putchar(',');
        print_string("mend", f->mend);
        putchar('}');
    }
    printf("],\"failures\":%zu,\"warnings\":%zu}\n", d->n_states[DOCTOR_FAIL],
           d->n_states[DOCTOR_WARN]);
}

static int doctor_print(doctor *d)
{
    if (d->out_of_memory) {
        complain("%s", strerror(ENOMEM));
        return EXIT_SYSTEM;
    }
    if (d->o->json)
        print_json(d);
    else
        print_text(d);
    return finish_output(d->n_states[DOCTOR_FAIL] > 0   ? EXIT_REFUSED
                         : d->n_states[DOCTOR_WARN] > 0 ? EXIT_WARNED
                                                        : EXIT_OK);
}

/* ---- The subcommand ------------------------------------------------------------- */

static void doctor_init(doctor *d, const options *o, const char *root)
{
    d->o = o;
    d->root = root;
    doctor_path(d, "/sys", d->sysfs);
    doctor_path(d, "/dev", d->dev);
    d->paths = (vgpu_paths){.sysfs = d->sysfs, .dev = d->dev};
    d->n_sessions = -ENODEV;
    d->owner = pthread_self();
    pthread_mutex_init(&d->lock, NULL);
}

int doctor_run(const options *o, const char *root)
{
    doctor *d = calloc(1, sizeof(*d));
    int code;

    if (!d) {
        complain("%s", strerror(ENOMEM));
        return EXIT_SYSTEM;
    }
    doctor_init(d, o, root);
    signal(SIGXFSZ, SIG_IGN); /* a limit of files is told, not died of */
    code = doctor_way(d);
    if (code == EXIT_OK) {
        doctor_device(d);
        doctor_session(d);
        doctor_libraries(d);
        doctor_machine(d);
        code = doctor_print(d);
    }
    if (!d->is_closed) /* else a thread still has it, and ends with the process */
        doctor_free(d);
    return code;
}

int command_doctor(const options *o, char **argv)
{
    (void) argv;
    return doctor_run(o, "");
}
