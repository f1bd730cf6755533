/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The linker. The result is a cubin that names the kernels of all that was put in, as
 * fake_image_read() finds them; variables are left out. A function that is only declared has to be
 * in another input, as text, or be one that the device has by itself.
 */
#include "fake-driver.h"
#include "fake-image.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    JIT_INFO_LOG_BUFFER = 3,
    JIT_INFO_LOG_BUFFER_SIZE = 4,
    JIT_ERROR_LOG_BUFFER = 5,
    JIT_ERROR_LOG_BUFFER_SIZE = 6,
    JIT_OPTIONS = 34, /* CU_JIT_NUM_OPTIONS */
};

#define INPUTS_MAX 64u
#define NAMES_MAX 256u
#define MACHINE_CUDA 190u

typedef struct LinkLog {
    char *text;
    size_t size;
} LinkLog;

typedef struct LinkNames {
    char *name[NAMES_MAX];
    size_t n;
} LinkNames;

struct CUlinkState_st {
    FakeObject object;
    LinkLog info, error;
    FakeImage inputs[INPUTS_MAX];
    size_t n_inputs;
    LinkNames declared, defined;
    bool prints;
    unsigned char *cubin;
};

__attribute__((format(printf, 2, 3))) static void link_say(const LinkLog *log, const char *format,
                                                           ...)
{
    size_t length = log->text && log->size > 0 ? strlen(log->text) : 0;
    va_list args;

    if (log->size == 0 || !log->text)
        return;
    va_start(args, format);
    vsnprintf(log->text + length, log->size - length, format, args);
    va_end(args);
}

static CUresult link_read_options(unsigned n, int *options, void **values, CUlinkState state)
{
    for (unsigned i = 0; i < n; i++) {
        if (options[i] < 0 || options[i] >= JIT_OPTIONS)
            return CUDA_ERROR_INVALID_VALUE;
        if (!state)
            continue;
        if (options[i] == JIT_INFO_LOG_BUFFER)
            state->info.text = values[i];
        else if (options[i] == JIT_INFO_LOG_BUFFER_SIZE)
            state->info.size = (unsigned) (uintptr_t) values[i];
        else if (options[i] == JIT_ERROR_LOG_BUFFER)
            state->error.text = values[i];
        else if (options[i] == JIT_ERROR_LOG_BUFFER_SIZE)
            state->error.size = (unsigned) (uintptr_t) values[i];
    }
    return CUDA_SUCCESS;
}

CUresult cuLinkCreate_v2(unsigned n, int *options, void **values, CUlinkState *state)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    CUlinkState made = fake_object_new(FAKE_KIND_LINK, fake_context(), sizeof(*made));
    CUresult r = link_read_options(n, options, values, made);

    if (r != CUDA_SUCCESS) {
        fake_object_end(made);
        return r;
    }
    *state = made;
    return CUDA_SUCCESS;
}

/* ---- Names of functions in PTX -----------------------------------------------------------------
 */

static void link_add_name(LinkNames *names, const char *name, size_t length)
{
    if (names->n == NAMES_MAX)
        fake_misuse("linker: more than %u functions", NAMES_MAX);
    names->name[names->n] = strndup(name, length);
    if (!names->name[names->n++])
        abort();
}

static bool link_has_name(const LinkNames *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->name[i], name) == 0)
            return true;
    return false;
}

/* .func [(.param ...)] NAME */
static void link_read_functions(CUlinkState state, const char *text)
{
    for (const char *at = text; (at = strstr(at, ".func"));) {
        const char *line = at, *name;
        bool external;

        while (line > text && line[-1] != '\n')
            line--;
        external = strncmp(line, ".extern", strlen(".extern")) == 0;
        at += strlen(".func");
        at += strspn(at, " \t\n");
        if (*at == '(')
            at += strcspn(at, ")") + 1;
        name = at + strspn(at, " \t\n");
        at = name + strcspn(name, " \t\n(");
        link_add_name(external ? &state->declared : &state->defined, name, (size_t) (at - name));
    }
}

static void link_read_text(CUlinkState state, const char *text)
{
    link_read_functions(state, text);
    state->prints = state->prints || strstr(text, "vprintf");
}

static bool link_is_of_device(const char *name)
{
    static const char *const names[] = {"vprintf", "__assertfail", "malloc", "free"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* ---- Inputs ------------------------------------------------------------------------------------
 */

/* A copy with a 0 behind it, as fake_image_read() needs it */
static CUresult link_read_input(CUlinkState state, int type, const void *data, size_t size)
{
    FakeImage *input = &state->inputs[state->n_inputs];
    char error[200] = "";
    const char *text;
    char *copy = calloc(1, size + 64);
    bool is_elf = size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
    CUresult r = CUDA_ERROR_INVALID_IMAGE;

    if (!copy)
        abort();
    memcpy(copy, data, size);
    if (type >= CU_JIT_INPUT_OBJECT || is_elf == (type == CU_JIT_INPUT_CUBIN))
        r = type >= CU_JIT_INPUT_OBJECT ? CUDA_SUCCESS
                                        : fake_image_read(copy, input, error, sizeof(error));
    else if (type == CU_JIT_INPUT_PTX)
        r = CUDA_ERROR_INVALID_PTX;
    if (r == CUDA_SUCCESS && type == CU_JIT_INPUT_PTX)
        link_read_text(state, copy);
    if (r == CUDA_SUCCESS && type == CU_JIT_INPUT_FATBINARY)
        for (uint64_t at = 0; (text = fake_image_next_text(copy, &at));)
            link_read_text(state, text);
    free(copy);
    if (r != CUDA_SUCCESS)
        link_say(&state->error, "fake linker: %s\n", error[0] ? error : "an input is none");
    else
        state->n_inputs++;
    return r;
}

CUresult cuLinkAddData_v2(CUlinkState state, int type, void *data, size_t size, const char *name,
                          unsigned n, int *options, void **values)
{
    CUresult r;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(state, FAKE_KIND_LINK, __func__);
    if (type < 0 || type > CU_JIT_INPUT_LIBRARY || size == 0 || state->cubin ||
        state->n_inputs == INPUTS_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    r = link_read_options(n, options, values, NULL);
    if (r == CUDA_SUCCESS)
        r = link_read_input(state, type, data, size);
    if (r == CUDA_SUCCESS)
        link_say(&state->info, "fake linker: %s, %zu bytes\n", name ? name : "an input", size);
    return r;
}

/* ---- The result --------------------------------------------------------------------------------
 */

typedef struct LinkCubin {
    unsigned char *bytes;
    size_t size;
} LinkCubin;

static size_t link_put(LinkCubin *cubin, const void *bytes, size_t size)
{
    size_t at = cubin->size;

    cubin->bytes = realloc(cubin->bytes, at + size);
    if (!cubin->bytes)
        abort();
    memcpy(cubin->bytes + at, bytes, size);
    cubin->size += size;
    return at;
}

static void link_put_section(LinkCubin *sections, size_t name, unsigned type, size_t at,
                             size_t size)
{
    const Elf64_Shdr section = {
        .sh_name = (Elf64_Word) name,
        .sh_type = type,
        .sh_offset = at,
        .sh_size = size,
    };

    link_put(sections, &section, sizeof(section));
}

/* A header, the names, the sections: none, the names, one for each kernel */
static LinkCubin link_make(CUlinkState state)
{
    LinkCubin cubin = {0}, names = {0}, sections = {0};
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = MACHINE_CUDA,
        .e_version = EV_CURRENT,
        .e_ehsize = sizeof(header),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shstrndx = 1,
    };

    link_put(&names, "\0.strtab", 9);
    if (state->prints)
        link_put(&names, "vprintf", 8);
    link_put_section(&sections, 0, SHT_NULL, 0, 0);
    link_put_section(&sections, 1, SHT_STRTAB, sizeof(header), 0);
    for (size_t i = 0; i < state->n_inputs; i++)
        for (size_t k = 0; k < state->inputs[i].n_kernels; k++) {
            char name[300];
            int n = snprintf(name, sizeof(name), ".text.%s", state->inputs[i].kernels[k]);

            link_put_section(&sections, link_put(&names, name, (size_t) n + 1), SHT_PROGBITS, 0, 0);
        }
    ((Elf64_Shdr *) (void *) sections.bytes)[1].sh_size = names.size;
    header.e_shoff = sizeof(header) + names.size;
    header.e_shnum = (Elf64_Half) (sections.size / sizeof(Elf64_Shdr));
    link_put(&cubin, &header, sizeof(header));
    link_put(&cubin, names.bytes, names.size);
    link_put(&cubin, sections.bytes, sections.size);
    free(names.bytes);
    free(sections.bytes);
    return cubin;
}

CUresult cuLinkComplete(CUlinkState state, void **cubin, size_t *size)
{
    LinkCubin made;

    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    fake_object_check(state, FAKE_KIND_LINK, __func__);
    if (state->cubin || state->n_inputs == 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < state->declared.n; i++) {
        const char *name = state->declared.name[i];

        if (link_has_name(&state->defined, name) || link_is_of_device(name))
            continue;
        link_say(&state->error, "error   : Undefined reference to '%s'\n", name);
        return CUDA_ERROR_UNKNOWN;
    }
    made = link_make(state);
    state->cubin = made.bytes;
    *cubin = made.bytes;
    *size = made.size;
    return CUDA_SUCCESS;
}

static void link_end(CUlinkState state)
{
    for (size_t i = 0; i < state->n_inputs; i++)
        fake_image_clear(&state->inputs[i]);
    for (size_t i = 0; i < state->declared.n; i++)
        free(state->declared.name[i]);
    for (size_t i = 0; i < state->defined.n; i++)
        free(state->defined.name[i]);
    free(state->cubin);
    fake_object_end(state);
}

CUresult cuLinkDestroy(CUlinkState state)
{
    ENTER_SESSION(FAKE_INIT);
    FAKE_LOCKED();

    fake_object_check(state, FAKE_KIND_LINK, __func__);
    link_end(state);
    return CUDA_SUCCESS;
}

void fake_links_end(CUcontext context)
{
    for (CUlinkState state; (state = fake_object_any(FAKE_KIND_LINK, context));)
        link_end(state);
}
