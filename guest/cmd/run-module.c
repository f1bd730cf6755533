/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run-module.h"

#include <stdlib.h>
#include <string.h>

#include "session-command.h"

#define LOG_SIZE 16384u
#define NAMES_SHOWN 20u

static bool is_ptx(const uint8_t *image, size_t size)
{
    static const uint8_t elf[] = {0x7f, 'E', 'L', 'F'}, fatbin[] = {0x50, 0xed, 0x55, 0xba};

    return size < 4 || (memcmp(image, elf, 4) != 0 && memcmp(image, fatbin, 4) != 0);
}

/* A text is loaded with the 0 behind it. */
int run_module_load(vgpu_session *s, const vgpu_session_from *from, const uint8_t *image,
                    size_t size, const char *name, uint32_t *ret_module)
{
    static char log[LOG_SIZE];
    vgpu_session_logs logs = {.error = log, .error_size = sizeof(log)};
    int r;

    r = vgpu_session_module_load(s, from, image, is_ptx(image, size) ? size + 1 : size, NULL, &logs,
                                 ret_module);
    if (r == 0)
        return EXIT_OK;
    r = complain_cuda(name, r);
    if (log[0] != '\0') {
        print_foreign_lines(stderr, log);
        fputc('\n', stderr);
    }
    return r;
}

/* ---- Names ------------------------------------------------------------------ */

/* @names: @n_names of them, each with its 0. Returns how many have @like in them, and prints the
 * first of those if it is to. */
static size_t go_through(const char *names, uint32_t n_names, const char *like, bool is_to_print)
{
    const char *name = names;
    size_t n = 0;

    for (uint32_t i = 0; i < n_names; name += strlen(name) + 1, i++) {
        if (name[0] == '\0' || !strstr(name, like))
            continue;
        if (++n > NAMES_SHOWN || !is_to_print)
            continue;
        fputs("  ", stderr);
        print_foreign_lines(stderr, name);
        fputc('\n', stderr);
    }
    return n;
}

/* A name of C++ has the one that its source says in it. */
static void complain_name(const char *wanted, const char *names, uint32_t n_names)
{
    const char *like = go_through(names, n_names, wanted, false) > 0 ? wanted : "";
    size_t n = go_through(names, n_names, like, false);

    if (n == 0)
        complain("the module has no kernel '%s', and no other", wanted);
    else if (like[0] != '\0')
        complain("the module has no kernel '%s'; these contain it (C++ makes names longer):",
                 wanted);
    else
        complain("the module has no kernel '%s'; it has:", wanted);
    (void) go_through(names, n_names, like, true);
    if (n > NAMES_SHOWN)
        fprintf(stderr, "  and %zu more\n", n - NAMES_SHOWN);
}

/* Asks for the module's names, and says that @wanted is none of them. Returns a CUresult. */
static int list_names(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                      const char *wanted)
{
    CLEANUP_FREE char *names = NULL;
    uint32_t n;
    int r = vgpu_session_function_names(s, from, module, &names, &n);

    if (r == 0)
        complain_name(wanted, names, n);
    return r;
}

int run_module_find(vgpu_session *s, const vgpu_session_from *from, uint32_t module,
                    const char *name, uint32_t *ret_id, VGPUSessionFunction **ret)
{
    int r = vgpu_session_function_get(s, from, module, name, ret_id, ret);

    if (r == 0)
        return EXIT_OK;
    if (r != VGPU_CUDA_ERROR_NOT_FOUND)
        return complain_cuda(name, r);
    if (list_names(s, from, module, name) != 0)
        complain("the module has no kernel '%s'", name);
    return EXIT_USAGE;
}
