/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-image.h"
#include "fake-driver.h"

#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define FATBIN_MAGIC 0xba55ed50u
#define FATBIN_VERSION 1u
#define MACHINE_CUDA 190u
#define KERNEL_SECTION ".text."
#define CUBIN_MAX (UINT64_C(1) << 30)
#define PTX_MAX (UINT64_C(1) << 30)

typedef struct FatbinHeader {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size; /* of all entries */
} FatbinHeader;

enum { FATBIN_PTX = 1, FATBIN_CUBIN = 2, FATBIN_COMPRESSED = 0x2000 | 0x8000 };

typedef struct FatbinEntry {
    uint16_t kind, version;
    uint32_t header_size;
    uint64_t size; /* of what follows the header */
    uint32_t compressed_size, options;
    uint16_t minor, major;
    uint32_t architecture, name, name_size;
    uint64_t flags, reserved, uncompressed_size;
} FatbinEntry;

static_assert(sizeof(FatbinEntry) == 64, "as nvcc writes it");

static char *copy_name(const char *name, size_t length)
{
    char *copy = strndup(name, length);

    if (!copy)
        abort();
    return copy;
}

void fake_image_add_kernel(FakeImage *image, const char *name, size_t length)
{
    image->kernels = realloc(image->kernels, (image->n_kernels + 1) * sizeof(char *));
    if (!image->kernels)
        abort();
    image->kernels[image->n_kernels++] = copy_name(name, length);
}

FakeGlobal *fake_image_add_global(FakeImage *image, const char *name, size_t length, size_t size)
{
    image->globals = realloc(image->globals, (image->n_globals + 1) * sizeof(FakeGlobal));
    if (!image->globals)
        abort();
    image->globals[image->n_globals] = (FakeGlobal){.name = copy_name(name, length), .size = size};
    return &image->globals[image->n_globals++];
}

bool fake_image_has_kernel(const FakeImage *image, const char *name)
{
    for (size_t i = 0; i < image->n_kernels; i++)
        if (strcmp(image->kernels[i], name) == 0)
            return true;
    return image->opaque;
}

void fake_image_clear(FakeImage *image)
{
    for (size_t i = 0; i < image->n_kernels; i++)
        free(image->kernels[i]);
    for (size_t i = 0; i < image->n_globals; i++)
        free(image->globals[i].name);
    free(image->kernels);
    free(image->globals);
    *image = (FakeImage){0};
}

/* @size: what is known of it; the driver's functions are told no size, and believe the header. */
static CUresult read_cubin(const unsigned char *bytes, uint64_t size, FakeImage *image)
{
    Elf64_Ehdr header;
    Elf64_Shdr names, section;

    if (size < sizeof(header))
        return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&header, bytes, sizeof(header));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != MACHINE_CUDA ||
        header.e_shentsize != sizeof(section) || header.e_shstrndx >= header.e_shnum ||
        header.e_shoff > size || header.e_shnum * sizeof(section) > size - header.e_shoff)
        return CUDA_ERROR_INVALID_IMAGE;

    memcpy(&names, bytes + header.e_shoff + header.e_shstrndx * sizeof(names), sizeof(names));
    if (names.sh_offset > size || names.sh_size > size - names.sh_offset || names.sh_size == 0 ||
        bytes[names.sh_offset + names.sh_size - 1] != '\0')
        return CUDA_ERROR_INVALID_IMAGE;
    for (unsigned i = 0; i < header.e_shnum; i++) {
        const char *name;

        memcpy(&section, bytes + header.e_shoff + i * sizeof(section), sizeof(section));
        if (section.sh_name >= names.sh_size)
            return CUDA_ERROR_INVALID_IMAGE;
        name = (const char *) bytes + names.sh_offset + section.sh_name;
        if (strncmp(name, KERNEL_SECTION, strlen(KERNEL_SECTION)) == 0)
            fake_image_add_kernel(image, name + strlen(KERNEL_SECTION),
                                  strlen(name) - strlen(KERNEL_SECTION));
    }
    return CUDA_SUCCESS;
}

static CUresult read_entry(const FatbinEntry *entry, const unsigned char *bytes, FakeImage *image,
                           char *error_log, size_t log_size)
{
    if (entry->flags & FATBIN_COMPRESSED) {
        image->opaque = true;
        return CUDA_SUCCESS;
    }
    if (entry->kind == FATBIN_PTX)
        return fake_ptx_read((const char *) bytes, entry->size, image, error_log, log_size);
    if (entry->kind == FATBIN_CUBIN)
        return read_cubin(bytes, entry->size, image);
    return CUDA_ERROR_INVALID_IMAGE;
}

/* A driver takes one entry, the best; the names are the same in all of them. */
static CUresult read_fatbin(const unsigned char *bytes, FakeImage *image, char *error_log,
                            size_t log_size)
{
    bool found = false;
    FatbinHeader header;
    uint64_t at = 0;

    memcpy(&header, bytes, sizeof(header));
    if (header.version != FATBIN_VERSION || header.header_size < sizeof(header))
        return CUDA_ERROR_INVALID_IMAGE;
    bytes += header.header_size;
    while (at < header.size) {
        FatbinEntry entry;
        CUresult r;

        if (header.size - at < sizeof(entry))
            return CUDA_ERROR_INVALID_IMAGE;
        memcpy(&entry, bytes + at, sizeof(entry));
        if (entry.header_size < sizeof(entry) || entry.header_size > header.size - at ||
            entry.size > header.size - at - entry.header_size)
            return CUDA_ERROR_INVALID_IMAGE;
        r = read_entry(&entry, bytes + at + entry.header_size, image, error_log, log_size);
        if (r != CUDA_SUCCESS)
            return r;
        if (image->n_kernels > 0)
            return CUDA_SUCCESS;
        found = true; /* functions, perhaps, for kernels that are elsewhere */
        at += entry.header_size + entry.size;
    }
    return found ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

/* fake_image_read() has found it to be good. */
const char *fake_image_next_text(const void *container, uint64_t *at)
{
    const unsigned char *bytes = container;
    FatbinHeader header;

    memcpy(&header, bytes, sizeof(header));
    if (header.magic != FATBIN_MAGIC)
        return NULL;
    bytes += header.header_size;
    while (*at < header.size) {
        const char *text = NULL;
        FatbinEntry entry;

        memcpy(&entry, bytes + *at, sizeof(entry));
        if (entry.kind == FATBIN_PTX && !(entry.flags & FATBIN_COMPRESSED))
            text = (const char *) bytes + *at + entry.header_size;
        *at += entry.header_size + entry.size;
        if (text)
            return text;
    }
    return NULL;
}

CUresult fake_image_read(const void *image, FakeImage *ret, char *error_log, size_t log_size)
{
    FakeImage read = {0};
    uint32_t magic;
    CUresult r;

    memcpy(&magic, image, sizeof(magic));
    if (magic == FATBIN_MAGIC)
        r = read_fatbin(image, &read, error_log, log_size);
    else if (memcmp(image, ELFMAG, SELFMAG) == 0)
        r = read_cubin(image, CUBIN_MAX, &read);
    else if (!strstr(image, ".version") || !strstr(image, ".target"))
        r = CUDA_ERROR_INVALID_IMAGE;
    else
        r = fake_ptx_read(image, strlen(image), &read, error_log, log_size);

    if (r != CUDA_SUCCESS)
        fake_image_clear(&read);
    *ret = read;
    return r;
}
