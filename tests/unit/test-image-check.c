/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images, right and wrong by one number each. Each lies in memory of its very size. */
#include "test.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "image-check.h"

#define MAGIC 0xba55ed50u
#define WRAPPER 0x466243b1u

/* ---- Making images --------------------------------------------------------------------------- */

typedef struct Image {
    unsigned char *bytes;
    size_t size;
} Image;

/* Grows by @size bytes; returns where these begin. */
static size_t grow(Image *image, const void *bytes, size_t size)
{
    const size_t at = image->size;

    image->bytes = realloc(image->bytes, at + size);
    assert_non_null(image->bytes);
    if (bytes)
        memcpy(image->bytes + at, bytes, size);
    else
        memset(image->bytes + at, 0, size);
    image->size += size;
    return at;
}

static void put(Image *image, size_t at, uint64_t value, unsigned size)
{
    assert_true(at + size <= image->size);
    memcpy(image->bytes + at, &value, size);
}

static void load(Image *image, const char *name)
{
    static unsigned char bytes[1 << 20];
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/fuzz/corpus/image/%s", getenv("VGPU_PROJECT_SOURCE"), name);
    f = fopen(path, "re");
    assert_non_null(f);
    grow(image, bytes, fread(bytes, 1, sizeof(bytes), f));
    fclose(f);
}

/* A container's header, of which the size is still missing */
static size_t begin_container(Image *image)
{
    const size_t at = grow(image, NULL, 16);

    put(image, at, MAGIC, 4);
    put(image, at + 4, 1, 2);
    put(image, at + 6, 16, 2);
    return at;
}

static size_t add_entry(Image *image, unsigned kind, const void *payload, size_t size)
{
    const size_t at = grow(image, NULL, 64);

    put(image, at, kind, 2);
    put(image, at + 2, 0x101, 2);
    put(image, at + 4, 64, 4);
    put(image, at + 8, size, 8);
    grow(image, payload, size);
    return at;
}

static void end_container(Image *image, size_t at)
{
    put(image, at + 8, image->size - at - 16, 8);
}

static bool is_sound(Image *image)
{
    return image_check(image->bytes, image->size);
}

/* Is the image unsound with this number in it, and sound again without? */
static void breaks(Image *image, size_t at, uint64_t value, unsigned size)
{
    uint64_t before = 0;

    memcpy(&before, image->bytes + at, size);
    assert_true(is_sound(image));
    put(image, at, value, size);
    assert_false(is_sound(image));
    put(image, at, before, size);
    assert_true(is_sound(image));
}

static uint64_t number(const Image *image, size_t at, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, image->bytes + at, size);
    return value;
}

/* ---- Cubins ------------------------------------------------------------------------------------
 */

TEST(test_cubin)
{
    Image cubin = {0};
    size_t sections;

    load(&cubin, "cubin");
    assert_true(is_sound(&cubin));
    sections = number(&cubin, offsetof(Elf64_Ehdr, e_shoff), 8);

    breaks(&cubin, EI_CLASS, ELFCLASS32, 1);
    breaks(&cubin, EI_DATA, ELFDATA2MSB, 1);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_shoff), cubin.size, 8);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_shoff), UINT64_MAX - 8, 8);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_shnum), 0, 2);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_shnum), 0xffff, 2);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_shentsize), 32, 2);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_shstrndx),
           number(&cubin, offsetof(Elf64_Ehdr, e_shnum), 2), 2);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_phoff), cubin.size - 1, 8);
    breaks(&cubin, offsetof(Elf64_Ehdr, e_phentsize), 8, 2);
    breaks(&cubin, sections + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_offset), cubin.size, 8);
    breaks(&cubin, sections + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_size), UINT64_MAX, 8);
    breaks(&cubin, sections + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_size),
           cubin.size -
               number(&cubin, sections + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_offset), 8) +
               1,
           8);
    free(cubin.bytes);
}

/* Cut anywhere, it is none. */
TEST(test_cubin_cut)
{
    Image cubin = {0};

    load(&cubin, "cubin");
    for (size_t size = SELFMAG; size < cubin.size; size++) {
        unsigned char *cut = malloc(size);

        assert_non_null(cut);
        memcpy(cut, cubin.bytes, size);
        assert_false(image_check(cut, size));
        free(cut);
    }
    free(cubin.bytes);
}

/* ---- Containers
 * ---------------------------------------------------------------------------------- */

TEST(test_container)
{
    Image image = {0}, cubin = {0};
    size_t at, first, second;

    load(&cubin, "cubin");
    at = begin_container(&image);
    first = add_entry(&image, 2, cubin.bytes, cubin.size);
    second = add_entry(&image, 1, ".version 6.3", 13);
    end_container(&image, at);
    assert_true(is_sound(&image));

    breaks(&image, at + 6, 15, 2);
    breaks(&image, at + 6, 0xffff, 2);
    breaks(&image, at + 8, image.size - 15, 8);
    breaks(&image, at + 8, image.size - 17, 8);
    breaks(&image, at + 8, UINT64_MAX, 8);
    breaks(&image, first + 4, 0, 4);
    breaks(&image, first + 4, UINT32_MAX, 4);
    breaks(&image, first + 8, UINT64_MAX, 8);
    breaks(&image, first + 8, UINT64_MAX - 63, 8);
    breaks(&image, second + 8, 14, 8);
    breaks(&image, second + 8, 12, 8);
    /* The cubin in it is looked at as well. */
    breaks(&image, first + 64 + offsetof(Elf64_Ehdr, e_shoff), cubin.size, 8);
    free(image.bytes);
    free(cubin.bytes);
}

/* Several, side by side or with zeros up to the next multiple of 8 */
TEST(test_containers)
{
    Image image = {0};
    size_t first, second, entry;

    first = begin_container(&image);
    add_entry(&image, 1, "abc", 3);
    end_container(&image, first);
    grow(&image, NULL, 8 - image.size % 8);
    second = begin_container(&image);
    entry = add_entry(&image, 77, "whatever", 8);
    end_container(&image, second);
    assert_true(is_sound(&image));
    breaks(&image, second + 8, image.size, 8);
    breaks(&image, entry + 8, 9, 8);
    free(image.bytes);
}

TEST(test_compilers_own)
{
    static const char *const names[] = {"container", "compressed", "containers"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        Image image = {0};

        load(&image, names[i]);
        assert_true(is_sound(&image));
        assert_false(image_check(image.bytes, image.size - 1));
        assert_false(image_check(image.bytes, 17));
        free(image.bytes);
    }
}

/* ---- Others
 * -------------------------------------------------------------------------------------- */

TEST(test_text)
{
    assert_true(image_check((const unsigned char *) ".version 6.3", 12));
    assert_true(image_check((const unsigned char *) "x", 1));
    assert_true(image_check((const unsigned char *) "\177EL", 3));
}

/* What the compiler puts into a program has an address in it. */
TEST(test_wrapper)
{
    Image image = {0};
    uint32_t magic = WRAPPER;
    size_t at;

    grow(&image, NULL, 24);
    put(&image, 0, WRAPPER, 4);
    put(&image, 4, 1, 4);
    assert_false(is_sound(&image));
    image.size = 0;

    at = begin_container(&image);
    add_entry(&image, 1, &magic, sizeof(magic));
    end_container(&image, at);
    assert_false(is_sound(&image));
    free(image.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cubin),         cmocka_unit_test(test_cubin_cut),
        cmocka_unit_test(test_container),     cmocka_unit_test(test_containers),
        cmocka_unit_test(test_compilers_own), cmocka_unit_test(test_text),
        cmocka_unit_test(test_wrapper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
