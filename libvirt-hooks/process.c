/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "launcher-arguments.h"
#include "parse.h"
#include "process.h"

/* More than Linux lets a program have in one argument, and more than libvirt writes in all. */
#define STRINGS_SIZE_MAX (1024u * 1024u)

static void file_closep(FILE **f)
{
    if (*f)
        fclose(*f);
}

static void strings_freep(char ***strings)
{
    free(*strings);
}

static int process_read_pid(const char *directory, const char *name, pid_t *ret)
{
    CLEANUP(file_closep) FILE *f = NULL;
    char path[PATH_MAX], line[32] = "";
    uint32_t pid;
    int r;

    r = snprintf(path, sizeof(path), "%s/%s.pid", directory, name);
    if (r < 0 || (size_t) r >= sizeof(path))
        return -ENAMETOOLONG;
    f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ESRCH : -errno;
    if (!fgets(line, sizeof(line), f))
        return -ESRCH;
    line[strcspn(line, "\n")] = '\0';
    r = parse_u32(line, 1, INT_MAX, &pid);
    if (r < 0)
        return r;

    *ret = (pid_t) pid;
    return 0;
}

/* Reads a file of /proc/PID/ that has strings, each with its end, into a block of memory: first
 * the NULL-terminated array of them, then what the array points to. Freed with free(). */
static int process_read_strings(pid_t pid, const char *file, char ***ret)
{
    CLEANUP(file_closep) FILE *f = NULL;
    CLEANUP_FREE char *text = malloc(STRINGS_SIZE_MAX + 1);
    CLEANUP(strings_freep) char **strings = NULL;
    size_t size, n = 0;
    char path[64], *at;

    if (!text)
        return -ENOMEM;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, file);
    f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ESRCH : -errno;
    size = fread(text, 1, STRINGS_SIZE_MAX, f);
    if (ferror(f))
        return -EIO;
    text[size] = '\0';

    for (size_t i = 0; i < size; i += strlen(text + i) + 1)
        n++;
    strings = malloc((n + 1) * sizeof(*strings) + size + 1);
    if (!strings)
        return -ENOMEM;
    at = memcpy(strings + n + 1, text, size + 1);
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
        strings[i] = at;
    strings[n] = NULL;

    *ret = TAKE_PTR(strings);
    return 0;
}

/* The guest may have taken over its QEMU meanwhile, so the text may be any. */
static void process_take_problem(char *const environment[], char ret[static PROCESS_TEXT_SIZE])
{
    const size_t n = strlen(PROCESS_PROBLEM "=");

    ret[0] = '\0';
    for (size_t i = 0; environment[i]; i++)
        if (strncmp(environment[i], PROCESS_PROBLEM "=", n) == 0)
            snprintf(ret, PROCESS_TEXT_SIZE, "%s", environment[i] + n);
    for (char *p = ret; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

int process_find(const char *directory, const char *name, const char *uuid, Process *ret)
{
    CLEANUP(strings_freep) char **arguments = NULL, **environment = NULL;
    char found[UUID_TEXT_SIZE];
    Process process;
    int r;

    r = process_read_pid(directory, name, &process.pid);
    if (r == 0)
        r = process_read_strings(process.pid, "cmdline", &arguments);
    if (r < 0)
        return r;
    if (!arguments_get_uuid(arguments, found) || strcmp(found, uuid) != 0)
        return -ESRCH;

    r = arguments_find_device(arguments, &process.slot);
    if (r == 0)
        r = process_read_strings(process.pid, "environ", &environment);
    if (r < 0)
        return r;
    process_take_problem(environment, process.problem);
    *ret = process;
    return 0;
}
