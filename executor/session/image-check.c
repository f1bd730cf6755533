/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image-check.h"

#include <elf.h>
#include <stdint.h>
#include <string.h>

#define FATBIN_MAGIC 0xba55ed50u
#define FATBIN_WRAPPER_MAGIC 0x466243b1u

/* Entries are multiples of 8 bytes, and containers begin at such. */
#define FATBIN_ALIGNMENT 8u

typedef struct FatbinHeader {
    uint32_t magic;
    uint16_t version;
    uint16_t header_size;
    uint64_t size; /* of the entries that follow */
} FatbinHeader;

/* The beginning of an entry's header, which is longer */
typedef struct FatbinEntry {
    uint16_t kind;
    uint16_t version;
    uint32_t header_size;
    uint64_t size; /* of the payload that follows */
} FatbinEntry;

static bool image_lies_in(uint64_t offset, uint64_t size, size_t whole)
{
    return offset <= whole && size <= whole - offset;
}

/* ---- Cubins --------------------------------------------------------------------------------- */

static bool image_is_elf(const unsigned char *image, size_t size)
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

static bool image_begins_with(const unsigned char *image, size_t size, uint32_t magic)
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
        if (image_is_elf(payload, entry.size) && !image_elf_is_sound(payload, entry.size))
            return false;
        if (image_begins_with(payload, entry.size, FATBIN_WRAPPER_MAGIC))
            return false;
        size -= entry.header_size + (size_t) entry.size;
        entries = payload + entry.size;
    }
    return true;
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
        whole = header.header_size + (size_t) header.size;
        image += whole;
        size -= whole;
        /* Zeros fill the way to the next one. */
        for (; size > 0 && whole % FATBIN_ALIGNMENT != 0 && *image == 0; whole++, size--)
            image++;
    }
    return true;
}

bool image_check(const unsigned char *image, size_t size)
{
    if (image_begins_with(image, size, FATBIN_WRAPPER_MAGIC))
        return false;
    if (image_is_elf(image, size))
        return image_elf_is_sound(image, size);
    return image_containers_are_sound(image, size);
}
