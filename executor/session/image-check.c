/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image-check.h"

#include <elf.h>
#include <stdint.h>
#include <string.h>

#include "image-format.h"

static bool image_lies_in(uint64_t offset, uint64_t size, size_t whole)
{
    return offset <= whole && size <= whole - offset;
}

/* ---- Cubins --------------------------------------------------------------------------------- */

bool image_is_cubin(const unsigned char *image, size_t size)
{
    return size >= SELFMAG && memcmp(image, ELFMAG, SELFMAG) == 0;
}

static bool image_section_is_sound(const unsigned char *image, size_t size, const Elf64_Ehdr *elf,
                                   unsigned i)
{
    Elf64_Shdr section;

    memcpy(&section, image + elf->e_shoff + i * sizeof(section), sizeof(section));
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS)
        return true;
    return image_lies_in(section.sh_offset, section.sh_size, size);
}

static bool image_segment_is_sound(const unsigned char *image, size_t size, const Elf64_Ehdr *elf,
                                   unsigned i)
{
    Elf64_Phdr segment;

    memcpy(&segment, image + elf->e_phoff + i * sizeof(segment), sizeof(segment));
    return image_lies_in(segment.p_offset, segment.p_filesz, size);
}

static bool image_elf_is_sound(const unsigned char *image, size_t size)
{
    Elf64_Ehdr elf;

    if (size < sizeof(elf))
        return false;
    memcpy(&elf, image, sizeof(elf));
    if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB)
        return false;
    /* Without sections there are no kernels. With 0 here their number would stand elsewhere. */
    if (elf.e_shnum == 0 || elf.e_shentsize != sizeof(Elf64_Shdr) || elf.e_shstrndx >= elf.e_shnum)
        return false;
    if (elf.e_phnum > 0 && elf.e_phentsize != sizeof(Elf64_Phdr))
        return false;
    if (!image_lies_in(elf.e_shoff, elf.e_shnum * sizeof(Elf64_Shdr), size) ||
        !image_lies_in(elf.e_phoff, elf.e_phnum * sizeof(Elf64_Phdr), size))
        return false;

    for (unsigned i = 0; i < elf.e_shnum; i++)
        if (!image_section_is_sound(image, size, &elf, i))
            return false;
    for (unsigned i = 0; i < elf.e_phnum; i++)
        if (!image_segment_is_sound(image, size, &elf, i))
            return false;
    return true;
}

/* ---- Containers ----------------------------------------------------------------------------- */

bool image_begins_with(const unsigned char *image, size_t size, uint32_t magic)
{
    uint32_t begins;

    if (size < sizeof(begins))
        return false;
    memcpy(&begins, image, sizeof(begins));
    return begins == magic;
}

static bool image_entries_are_sound(const unsigned char *entries, size_t size)
{
    while (size > 0) {
        const unsigned char *payload;
        FatbinEntry entry;

        if (size < sizeof(entry))
            return false;
        memcpy(&entry, entries, sizeof(entry));
        if (entry.header_size < sizeof(entry) ||
            !image_lies_in(entry.header_size, entry.size, size))
            return false;
        payload = entries + entry.header_size;
        if (image_is_cubin(payload, entry.size) && !image_elf_is_sound(payload, entry.size))
            return false;
        if (image_begins_with(payload, entry.size, FATBIN_WRAPPER_MAGIC))
            return false;
        size -= entry.header_size + (size_t) entry.size;
        entries = payload + entry.size;
    }
    return true;
}

/* With the zeros that fill the way to the next one */
static size_t image_container_size(const unsigned char *image, size_t size,
                                   const FatbinHeader *header)
{
    size_t whole = header->header_size + (size_t) header->size;

    while (whole < size && whole % FATBIN_ALIGNMENT != 0 && image[whole] == 0)
        whole++;
    return whole;
}

static bool image_containers_are_sound(const unsigned char *image, size_t size)
{
    while (image_begins_with(image, size, FATBIN_MAGIC)) {
        FatbinHeader header;
        size_t whole;

        if (size < sizeof(header))
            return false;
        memcpy(&header, image, sizeof(header));
        if (header.header_size < sizeof(header) ||
            !image_lies_in(header.header_size, header.size, size))
            return false;
        if (!image_entries_are_sound(image + header.header_size, header.size))
            return false;
        whole = image_container_size(image, size, &header);
        image += whole;
        size -= whole;
    }
    return true;
}

FatbinWalk fatbin_walk(const unsigned char *image, size_t size)
{
    return (FatbinWalk){.image = image, .size = size};
}

/* Goes into the next container. Returns false when there is none. */
static bool fatbin_walk_enter(FatbinWalk *walk)
{
    FatbinHeader header;
    size_t whole;

    if (!image_begins_with(walk->image, walk->size, FATBIN_MAGIC))
        return false;
    memcpy(&header, walk->image, sizeof(header));
    walk->entries = walk->image + header.header_size;
    walk->entries_size = header.size;
    whole = image_container_size(walk->image, walk->size, &header);
    walk->image += whole;
    walk->size -= whole;
    return true;
}

bool fatbin_walk_next(FatbinWalk *walk, FatbinEntry *ret)
{
    size_t whole;

    while (walk->entries_size == 0)
        if (!fatbin_walk_enter(walk))
            return false;
    memcpy(ret, walk->entries, sizeof(*ret));
    walk->entry = walk->entries;
    whole = ret->header_size + (size_t) ret->size;
    walk->entries += whole;
    walk->entries_size -= whole;
    return true;
}

bool image_check(const unsigned char *image, size_t size)
{
    if (image_begins_with(image, size, FATBIN_WRAPPER_MAGIC))
        return false;
    if (image_is_cubin(image, size))
        return image_elf_is_sound(image, size);
    return image_containers_are_sound(image, size);
}
