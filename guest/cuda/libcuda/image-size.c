/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image-size.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WRAPPER_MAGIC 0x466243b1u
#define WRAPPER_OF_PARTS 2u
#define CONTAINER_MAGIC 0xba55ed50u
/* A program with more parts than this none has made. */
#define PARTS_MAX 65536

typedef struct ImageWrapper {
    uint32_t magic, version;
    const void *container;
    const void *more; /* WRAPPER_OF_PARTS: their containers; else a name */
} ImageWrapper;

typedef struct ImageContainer {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size; /* of what follows the header */
} ImageContainer;

/* The containers of a program lie one behind the other, each with a wrapper of its own: what
 * follows this one is another's. */
static size_t image_container(const void *image)
{
    ImageContainer c;

    memcpy(&c, image, sizeof(c));
    return c.magic == CONTAINER_MAGIC && c.header_size >= sizeof(c) ? c.header_size + c.size : 0;
}

/* The end of what lies last: a section, or the table of sections or segments */
static size_t image_elf(const unsigned char *image)
{
    Elf64_Ehdr header;
    size_t end, at;

    memcpy(&header, image, sizeof(header));
    end = header.e_shoff + (size_t) header.e_shnum * header.e_shentsize;
    at = header.e_phoff + (size_t) header.e_phnum * header.e_phentsize;
    if (at > end)
        end = at;
    for (unsigned i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr section;

        memcpy(&section, image + header.e_shoff + (size_t) i * header.e_shentsize, sizeof(section));
        at = section.sh_offset + (section.sh_type == SHT_NOBITS ? 0 : section.sh_size);
        if (at > end)
            end = at;
    }
    return end;
}

size_t image_find(const void *image, const void **ret)
{
    uint32_t magic;

    *ret = image;
    memcpy(&magic, image, sizeof(magic));
    if (magic == WRAPPER_MAGIC) {
        *ret = ((const ImageWrapper *) image)->container;
        return *ret ? image_container(*ret) : 0;
    }
    if (magic == CONTAINER_MAGIC)
        return image_container(image);
    if (memcmp(image, ELFMAG, SELFMAG) == 0)
        return image_elf(image);
    /* PTX begins with a comment, a directive, or white space. */
    return strchr("/.\n\r\t ", *(const char *) image) && *(const char *) image != '\0'
               ? strlen(image) + 1
               : 0;
}

const void *const *image_parts(const void *image)
{
    ImageWrapper wrapper;
    uint32_t magic;

    memcpy(&magic, image, sizeof(magic));
    if (magic != WRAPPER_MAGIC)
        return NULL;
    memcpy(&wrapper, image, sizeof(wrapper));
    return wrapper.version == WRAPPER_OF_PARTS ? wrapper.more : NULL;
}

int image_parts_count(const void *const *parts)
{
    int n = 0;

    while (n < PARTS_MAX && parts[n] && image_container(parts[n]) > 0)
        n++;
    return n == PARTS_MAX || parts[n] ? -1 : n;
}

bool image_is_empty(size_t size)
{
    return size == sizeof(ImageContainer);
}

CUresult image_read(const char *path, void **ret, size_t *ret_size)
{
    FILE *file = fopen(path, "re");
    CUresult r = CUDA_ERROR_FILE_NOT_FOUND;
    char *bytes = NULL;
    struct stat st;

    if (file && fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode)) {
        r = st.st_size > 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_IMAGE;
        bytes = st.st_size > 0 ? malloc((size_t) st.st_size + 1) : NULL;
    }
    if (bytes) {
        *ret_size = fread(bytes, 1, (size_t) st.st_size, file);
        bytes[*ret_size] = '\0';
        r = *ret_size == (size_t) st.st_size ? CUDA_SUCCESS : CUDA_ERROR_FILE_NOT_FOUND;
    }
    if (file)
        fclose(file);
    if (r != CUDA_SUCCESS) {
        free(bytes);
        return r;
    }
    *ret = bytes;
    return CUDA_SUCCESS;
}
