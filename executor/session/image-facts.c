/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image-facts.h"

#include <elf.h>
#include <limits.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "cleanup.h"
#include "image-check.h"
#include "image-format.h"

#define PRINTS "vprintf"
#define SHARED_SECTION ".nv.shared."
/* More shared memory than this no block has had. */
#define SHARED_MAX (UINT64_C(256) << 10)

static const ImageFacts facts_unreadable = {.may_print = true};

static uint64_t facts_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The driver takes one of the two. */
static void facts_either(ImageFacts *facts, const ImageFacts *other)
{
    facts->may_print = facts->may_print || other->may_print;
    facts->knows_memory = facts->knows_memory && other->knows_memory;
    if (other->memory > facts->memory)
        facts->memory = other->memory;
}

/* ---- Cubins ------------------------------------------------------------------------------------
 */

static Elf64_Shdr cubin_section(const unsigned char *cubin, const Elf64_Ehdr *elf, unsigned i)
{
    Elf64_Shdr section;

    memcpy(&section, cubin + elf->e_shoff + i * sizeof(section), sizeof(section));
    return section;
}

/* Shared memory is of a multiprocessor, and not of the device's memory. */
static bool cubin_is_shared(const unsigned char *cubin, const Elf64_Shdr *names,
                            const Elf64_Shdr *section)
{
    const size_t n = strlen(SHARED_SECTION);

    return names->sh_type == SHT_STRTAB && section->sh_name <= names->sh_size &&
           names->sh_size - section->sh_name >= n && section->sh_size <= SHARED_MAX &&
           memcmp(cubin + names->sh_offset + section->sh_name, SHARED_SECTION, n) == 0;
}

/* image_check() has found the tables to be sound. A kernel that prints names the function that does
 * it; variables without a value have a size, and no bytes. */
static void look_at_cubin(const unsigned char *cubin, ImageFacts *ret)
{
    uint64_t sections = 0, segments = 0, shared = 0;
    Elf64_Shdr names;
    Elf64_Ehdr elf;

    memcpy(&elf, cubin, sizeof(elf));
    names = cubin_section(cubin, &elf, elf.e_shstrndx);
    *ret = (ImageFacts){.knows_memory = true};
    for (unsigned i = 0; i < elf.e_shnum; i++) {
        const Elf64_Shdr section = cubin_section(cubin, &elf, i);

        if (section.sh_type == SHT_STRTAB &&
            memmem(cubin + section.sh_offset, section.sh_size, PRINTS, strlen(PRINTS)))
            ret->may_print = true;
        if (!(section.sh_flags & SHF_ALLOC))
            continue;
        if (cubin_is_shared(cubin, &names, &section))
            shared = facts_sum(shared, section.sh_size);
        else
            sections = facts_sum(sections, section.sh_size);
    }
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        Elf64_Phdr segment;

        memcpy(&segment, cubin + elf.e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_type == PT_LOAD)
            segments = facts_sum(segments, segment.p_memsz);
    }
    segments = segments > shared ? segments - shared : 0;
    ret->memory = sections > segments ? sections : segments;
}

/* ---- Containers --------------------------------------------------------------------------------
 */

/* Returns the bytes of an entry as they are without compression, or NULL. */
static unsigned char *entry_unpack(const FatbinEntryLong *entry, const unsigned char *payload,
                                   uint64_t *budget)
{
    const size_t size = (size_t) entry->unpacked_size;
    unsigned char *unpacked;
    bool done;

    if (size == 0 || size > *budget || entry->packed_size > entry->size)
        return NULL;
    unpacked = malloc(size);
    if (!unpacked)
        return NULL;
    *budget -= size;
    if (entry->flags & FATBIN_ZSTD)
        done = ZSTD_decompress(unpacked, size, payload, entry->packed_size) == size;
    else
        done = entry->packed_size <= INT_MAX && size <= INT_MAX &&
               LZ4_decompress_safe((const char *) payload, (char *) unpacked,
                                   (int) entry->packed_size, (int) size) == (int) size;
    if (done)
        return unpacked;
    free(unpacked);
    return NULL;
}

/* A device runs cubins of its own major version, and PTX of all versions up to its own. */
static bool entry_is_for(const FatbinEntryLong *entry, unsigned capability)
{
    if (capability == 0)
        return true;
    if (entry->kind == FATBIN_CUBIN)
        return entry->architecture / 10 == capability / 10;
    return entry->kind != FATBIN_PTX || entry->architecture <= capability;
}

static void look_at_payload(uint16_t kind, const unsigned char *payload, size_t size,
                            ImageFacts *ret)
{
    *ret = facts_unreadable;
    if (kind == FATBIN_CUBIN && image_is_cubin(payload, size) && image_check(payload, size)) {
        look_at_cubin(payload, ret);
    } else if (kind == FATBIN_PTX) {
        *ret = (ImageFacts){.knows_memory = true};
        image_look_at_text((const char *) payload, size, ret);
    }
}

static void look_at_entry(const unsigned char *bytes, const FatbinEntry *entry, unsigned capability,
                          uint64_t *budget, ImageFacts *ret)
{
    const unsigned char *payload = bytes + entry->header_size;
    CLEANUP_FREE unsigned char *unpacked = NULL;
    FatbinEntryLong full = {.kind = entry->kind, .size = entry->size};

    if (entry->header_size >= sizeof(full))
        memcpy(&full, bytes, sizeof(full));
    if (!(full.flags & (FATBIN_LZ4 | FATBIN_ZSTD))) {
        look_at_payload(entry->kind, payload, entry->size, ret);
        return;
    }
    if (!entry_is_for(&full, capability)) {
        *ret = (ImageFacts){.knows_memory = true};
        return;
    }
    unpacked = entry_unpack(&full, payload, budget);
    if (unpacked)
        look_at_payload(entry->kind, unpacked, full.unpacked_size, ret);
    else
        *ret = facts_unreadable;
}

/* image_check() has found the headers to be sound. */
static void look_at_container(const unsigned char *image, size_t size, unsigned capability,
                              ImageFacts *ret)
{
    uint64_t budget = IMAGE_UNPACKED_MAX;
    FatbinWalk walk = fatbin_walk(image, size);
    FatbinEntry entry;
    ImageFacts facts;

    *ret = (ImageFacts){.knows_memory = true};
    while (fatbin_walk_next(&walk, &entry)) {
        look_at_entry(walk.entry, &entry, capability, &budget, &facts);
        facts_either(ret, &facts);
    }
}

void image_look(const unsigned char *image, size_t size, unsigned capability, ImageFacts *ret)
{
    if (!image_check(image, size)) {
        *ret = facts_unreadable;
    } else if (image_begins_with(image, size, FATBIN_MAGIC)) {
        look_at_container(image, size, capability, ret);
    } else if (image_is_cubin(image, size)) {
        look_at_cubin(image, ret);
    } else {
        *ret = (ImageFacts){.knows_memory = true};
        image_look_at_text((const char *) image, size, ret);
    }
}
