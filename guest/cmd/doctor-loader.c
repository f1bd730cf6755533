/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which file the system's loader takes for a library. This program is static and has no loader; so
 * it asks that of a program which has one. With LD_TRACE_LOADED_OBJECTS the loader lists what it
 * would load, and runs nothing of it; what LD_PRELOAD names it looks for as for a program's own
 * libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "doctor.h"

#define PROGRAM "/bin/sh"

/* In the child. The shell runs only where its loader does not know the variable. */
__attribute__((noreturn)) static void run_loader(const char *preload, bool with_environment,
                                                 int to_fd)
{
    if (!with_environment)
        unsetenv("LD_LIBRARY_PATH");
    setenv("LD_PRELOAD", preload, 1);
    setenv("LD_TRACE_LOADED_OBJECTS", "1", 1);
    if (dup2(to_fd, STDOUT_FILENO) >= 0 && freopen("/dev/null", "w", stderr))
        execl(PROGRAM, PROGRAM, "-c", "exit 1", NULL);
    _exit(EXIT_FAILURE);
}

/* "	NAME => PATH (0xADDRESS)", or "	PATH (0xADDRESS)" of one that was named by its path */
static void take_line(char *line, doctor_library *libraries, size_t n)
{
    char *name = line + strspn(line, " \t"), *path = strstr(name, " => "), *end;

    if (path) {
        *path = '\0';
        path += strlen(" => ");
    } else {
        path = name;
    }
    end = strstr(path, " (0x");
    if (!end)
        return;
    *end = '\0';
    if (path == name)
        name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    for (size_t i = 0; i < n; i++)
        if (strcmp(libraries[i].name, name) == 0 && libraries[i].path[0] == '\0')
            snprintf(libraries[i].path, sizeof(libraries[i].path), "%s", path);
}

/* The user's own preloads come first, as they do for a program. */
static char *make_preload(const doctor_library *libraries, size_t n, bool with_environment)
{
    const char *users = with_environment ? getenv("LD_PRELOAD") : NULL;
    size_t size = users ? strlen(users) + 1 : 1;
    char *preload;

    for (size_t i = 0; i < n; i++)
        size += strlen(libraries[i].name) + 1;
    preload = malloc(size);
    if (!preload)
        return NULL;
    strcpy(preload, users ? users : "");
    for (size_t i = 0; i < n; i++) {
        if (preload[0] != '\0')
            strcat(preload, " ");
        strcat(preload, libraries[i].name);
    }
    return preload;
}

int doctor_find_libraries(doctor_library *libraries, size_t n, bool with_environment)
{
    CLEANUP_FREE char *preload = make_preload(libraries, n, with_environment);
    CLEANUP_FREE char *line = NULL;
    int fds[2], status;
    size_t room = 0;
    FILE *file;
    pid_t pid;

    for (size_t i = 0; i < n; i++)
        libraries[i].path[0] = '\0';
    if (!preload || pipe2(fds, O_CLOEXEC) < 0)
        return -ENOMEM;
    pid = fork();
    if (pid == 0)
        run_loader(preload, with_environment, fds[1]);
    close(fds[1]);
    file = fdopen(fds[0], "r");
    if (!file)
        close(fds[0]);
    while (file && getline(&line, &room, file) > 0)
        take_line(line, libraries, n);
    if (file)
        fclose(file);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EOPNOTSUPP;
}
