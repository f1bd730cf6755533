/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How images begin, and what containers of several are made of, as nvcc writes them. */
#ifndef VGPU_SESSION_IMAGE_FORMAT_H
#define VGPU_SESSION_IMAGE_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

enum { FATBIN_PTX = 1, FATBIN_CUBIN = 2 };
enum { FATBIN_LZ4 = 0x2000, FATBIN_ZSTD = 0x8000 };

/* All of it that is known */
typedef struct FatbinEntryLong {
    uint16_t kind;
    uint16_t version;
    uint32_t header_size;
    uint64_t size;
    uint32_t packed_size; /* of the payload, without what fills it up; 0: not compressed */
    uint32_t options;
    uint16_t minor, major;
    uint32_t architecture, name, name_size;
    uint64_t flags; /* FATBIN_LZ4 or FATBIN_ZSTD: compressed so */
    uint64_t reserved;
    uint64_t unpacked_size;
} FatbinEntryLong;

static_assert(sizeof(FatbinEntryLong) == 64, "as nvcc writes it");

/* From entry to entry, over all containers of an image that image_check() has found sound */
typedef struct FatbinWalk {
    const unsigned char *image;   /* behind the containers so far */
    size_t size;                  /* bytes from there on */
    const unsigned char *entries; /* of this container, behind those so far */
    size_t entries_size;
    const unsigned char *entry; /* the one that was found last */
} FatbinWalk;

/* image_begins_with() - does it begin with this number? */
bool image_begins_with(const unsigned char *image, size_t size, uint32_t magic);

/* image_is_cubin() - does it begin as an ELF file? */
bool image_is_cubin(const unsigned char *image, size_t size);

FatbinWalk fatbin_walk(const unsigned char *image, size_t size);

/* fatbin_walk_next() - returns false when there is no more; @ret: a copy of the header's beginning
 */
bool fatbin_walk_next(FatbinWalk *walk, FatbinEntry *ret);

#endif
