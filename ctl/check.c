/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: what on this host may keep a VM from its GPU, and what mends it. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "text.h"

#define INDENTATION 17

static const Column finding_columns[] = {
    {NULL, "check", COLUMN_STRING, offsetof(Finding, area), NULL, false, 0},
    {NULL, "state", COLUMN_STRING, offsetof(Finding, state), NULL, false, 0},
    {NULL, "text", COLUMN_STRING, offsetof(Finding, text), NULL, false, 0},
    {NULL, "mend", COLUMN_STRING, offsetof(Finding, mend), NULL, false, 0},
};

/* ---- Findings ----------------------------------------------------------------------------- */

/* Space for one more, zeroed; NULL without memory. */
static Finding *check_grow(Check *c)
{
    Finding *findings = reallocarray(c->findings, c->n + 1, sizeof(*findings));

    if (!findings)
        return NULL;
    c->findings = findings;
    findings[c->n] = (Finding){0};
    return &findings[c->n++];
}

void check_add(Check *c, const char *area, FindingState state, const char *mend, const char *format,
               ...)
{
    static const char *const names[] = {"ok", "note", "problem"};
    Finding *f = check_grow(c);
    va_list ap;
    int n;

    if (!f) {
        c->out_of_memory = true;
        return;
    }
    va_start(ap, format);
    n = vasprintf(&f->text, format, ap);
    va_end(ap);
    if (n < 0)
        f->text = NULL;
    f->area = area;
    f->state = names[state];
    f->mend = strdup(mend ? mend : "");
    c->out_of_memory |= !f->text || !f->mend;
    c->n_problems += state == FINDING_PROBLEM;
    c->n_notes += state == FINDING_NOTE;
}

const char *check_path(const Check *c, const char *path, char *buffer)
{
    snprintf(buffer, PATH_MAX, "%s%s", c->root, path);
    return buffer;
}

static void check_release(Check *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->findings[i].text);
        free(c->findings[i].mend);
    }
    free(c->findings);
    snapshot_free(c->snapshot);
}

/* ---- Printing ----------------------------------------------------------------------------- */

static const char *finding_color(const Finding *f)
{
    return strcmp(f->state, "ok") == 0 ? "32" : strcmp(f->state, "note") == 0 ? "33" : "31";
}

/* Writes @text from the column INDENTATION on, and so that no line is wider than @width where its
 * words allow that; 0: on one line. */
static void print_wrapped(const char *text, size_t width)
{
    size_t column = INDENTATION, n;

    for (; *text; text += n + (text[n] != '\0')) {
        n = strcspn(text, " ");
        if (width > 0 && column > INDENTATION && column + 1 + n > width) {
            printf("\n%*s", INDENTATION, "");
            column = INDENTATION;
        }
        column += (size_t) printf("%s%.*s", column > INDENTATION ? " " : "", (int) n, text);
    }
    putchar('\n');
}

static void print_finding(const Finding *f, const TableOptions *o)
{
    CLEANUP_FREE char *text = text_escape(f->text), *line = NULL, *mend = NULL;

    if (o->colors)
        printf("\033[%sm%-7s\033[0m", finding_color(f), f->state);
    else
        printf("%-7s", f->state);
    printf(" %-8s ", f->area);
    print_wrapped(text ? text : "", o->width);
    if (!*f->mend)
        return;
    if (asprintf(&line, "Mend: %s", f->mend) < 0)
        line = NULL;
    mend = text_escape(line ? line : f->mend);
    printf("%*s", INDENTATION, "");
    print_wrapped(mend ? mend : "", o->width);
}

static int check_print(Context *context, const Check *c)
{
    const TableOptions *o = &context->options.table;

    open_pager(context);
    if (o->json != JSON_OFF)
        return table_print(o, "checks", "checks", finding_columns, ELEMENTSOF(finding_columns),
                           c->findings, c->n, sizeof(*c->findings));

    for (size_t i = 0; i < c->n; i++)
        print_finding(&c->findings[i], o);
    if (!o->no_legend)
        printf("\n%zu problem%s, %zu note%s.\n", c->n_problems, c->n_problems == 1 ? "" : "s",
               c->n_notes, c->n_notes == 1 ? "" : "s");
    return 0;
}

/* ---- The verb ----------------------------------------------------------------------------- */

int verb_check(Context *context, int argc, char **argv)
{
    const char *root = context->options.root;
    CLEANUP(check_release) Check c = {.root = root ? root : ""};
    int r;

    (void) argc, (void) argv;

    check_socket(&c);
    check_state_directory(&c);
    check_gpu(&c);
    check_sessions(&c);
    check_plugin(&c);
    check_hook(&c);
    check_apparmor(&c);
    /* What runs is this host's, whatever the root is. */
    if (!root) {
        check_mediator(&c);
#if VGPU_HAVE_LIBVIRT
        check_domains(&c, context->options.connect);
#endif
    }
    if (c.out_of_memory)
        return -ENOMEM;

    r = check_print(context, &c);
    return r < 0 ? r : c.n_problems > 0 ? -ENOTRECOVERABLE : 0;
}
