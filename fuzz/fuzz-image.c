/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may send as an image. The check reads nothing outside of it, which the sanitizers
 * see, for it lies in memory of its very size. What the check lets pass is walked once more, in
 * another way: all that the headers name is read. Then it is looked at, unpacked where it is
 * compressed.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "image-check.h"
#include "image-facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

static void read_all(const unsigned char *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        sink ^= bytes[i];
}

static uint64_t number(const unsigned char *at, unsigned bytes)
{
    uint64_t n = 0;

    memcpy(&n, at, bytes);
    return n;
}

static void walk_elf(const unsigned char *elf)
{
    const unsigned char *sections = elf + number(elf + offsetof(Elf64_Ehdr, e_shoff), 8);
    const unsigned char *segments = elf + number(elf + offsetof(Elf64_Ehdr, e_phoff), 8);
    const uint64_t n_sections = number(elf + offsetof(Elf64_Ehdr, e_shnum), 2);
    const uint64_t n_segments = number(elf + offsetof(Elf64_Ehdr, e_phnum), 2);

    for (uint64_t i = 0; i < n_sections; i++) {
        const unsigned char *section = sections + i * sizeof(Elf64_Shdr);
        const uint64_t type = number(section + offsetof(Elf64_Shdr, sh_type), 4);

        if (type != SHT_NULL && type != SHT_NOBITS)
            read_all(elf + number(section + offsetof(Elf64_Shdr, sh_offset), 8),
                     number(section + offsetof(Elf64_Shdr, sh_size), 8));
    }
    for (uint64_t i = 0; i < n_segments; i++) {
        const unsigned char *segment = segments + i * sizeof(Elf64_Phdr);

        read_all(elf + number(segment + offsetof(Elf64_Phdr, p_offset), 8),
                 number(segment + offsetof(Elf64_Phdr, p_filesz), 8));
    }
}

static bool is_elf(const unsigned char *image, uint64_t size)
{
    return size >= SELFMAG && memcmp(image, ELFMAG, SELFMAG) == 0;
}

static void walk(const unsigned char *image, size_t size)
{
    const unsigned char *end, *entry;

    if (is_elf(image, size)) {
        walk_elf(image);
        return;
    }
    if (size < 4 || number(image, 4) != 0xba55ed50)
        return;
    entry = image + number(image + 6, 2);
    end = entry + number(image + 8, 8);
    while (entry < end) {
        const unsigned char *payload = entry + number(entry + 4, 4);
        const uint64_t payload_size = number(entry + 8, 8);

        read_all(payload, payload_size);
        if (is_elf(payload, payload_size))
            walk_elf(payload);
        entry = payload + payload_size;
    }
    if (entry != end || end > image + size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *image;
    ImageFacts facts;
    bool is_sound;

    if (size == 0)
        return 0;
    image = malloc(size);
    if (!image)
        abort();
    memcpy(image, data, size);
    is_sound = image_check(image, size);
    if (is_sound)
        walk(image, size);
    image_look(image, size, 0, &facts);
    /* Of what the check does not let pass nothing is known. */
    if (!is_sound && (!facts.may_print || facts.knows_memory))
        abort();
    free(image);
    return 0;
}
