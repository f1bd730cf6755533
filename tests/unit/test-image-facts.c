/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is read in images that nvcc has made (fuzz/corpus/image), and in those that somebody has
 * turned so that less is read. */
#include "test.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "image-facts.h"

#define MIB (UINT64_C(1) << 20)
#define IMAGE_MAX 16384u

typedef struct Image {
    unsigned char bytes[IMAGE_MAX];
    size_t size;
} Image;

static Image load(const char *name)
{
    Image image;
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/fuzz/corpus/image/%s", getenv("VGPU_PROJECT_SOURCE"), name);
    f = fopen(path, "re");
    assert_non_null(f);
    image.size = fread(image.bytes, 1, sizeof(image.bytes), f);
    fclose(f);
    assert_in_range(image.size, 100, IMAGE_MAX - 1);
    return image;
}

/* In memory of its very size */
static ImageFacts look_at_for(const void *bytes, size_t size, unsigned capability)
{
    unsigned char *copy = malloc(size);
    ImageFacts facts;

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    image_look(copy, size, capability, &facts);
    free(copy);
    return facts;
}

static ImageFacts look_at(const void *bytes, size_t size)
{
    return look_at_for(bytes, size, 0);
}

static ImageFacts look_at_image(const Image *image)
{
    return look_at(image->bytes, image->size);
}

static ImageFacts look_at_text(const char *text)
{
    char all[2000];

    snprintf(all, sizeof(all), ".version 6.3\n.target sm_75\n.address_size 64\n%s", text);
    return look_at(all, strlen(all));
}

/* ---- What nvcc has made ------------------------------------------------------------------------
 */

TEST(test_images)
{
    static const struct {
        const char *name;
        bool prints;
        uint64_t least, most; /* bytes */
    } images[] = {
        {"prints-text", true, 64 * MIB, 64 * MIB + 8192},
        {"prints-lz4", true, 64 * MIB, 64 * MIB + 8192},
        {"prints-zstd", true, 64 * MIB, 64 * MIB + 8192},
        {"quiet-lz4", false, 4 * MIB, 4 * MIB + 8192},
        {"quiet-zstd", false, 4 * MIB, 4 * MIB + 8192},
        /* 48 KiB of shared memory, which is not the device's memory */
        {"shared-cubin", false, 4000, 16384},
        {"cubin", false, 1, 16384},
        {"container", false, 1, 16384},
        {"containers", false, 1, 16384},
        {"compressed", false, 1, 4 * MIB + 8192},
    };

    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        const Image image = load(images[i].name);
        const ImageFacts facts = look_at_image(&image);

        if (facts.may_print != images[i].prints || !facts.knows_memory ||
            facts.memory < images[i].least || facts.memory > images[i].most)
            fail_msg("%s: prints %d, knows %d, %lu bytes", images[i].name, facts.may_print,
                     facts.knows_memory, facts.memory);
    }
}

/* ---- What cannot be read -----------------------------------------------------------------------
 */

static void put(Image *image, size_t at, uint64_t value, size_t size)
{
    memcpy(image->bytes + at, &value, size);
}

#define assert_unreadable(facts)                     \
    do {                                             \
        const ImageFacts unreadable_facts = (facts); \
                                                     \
        assert_true(unreadable_facts.may_print);     \
        assert_false(unreadable_facts.knows_memory); \
    } while (0)

TEST(test_unreadable)
{
    enum { ENTRY = 16, KIND = ENTRY, PACKED = ENTRY + 16, FLAGS = ENTRY + 40 };
    enum { UNPACKED = ENTRY + 56, PAYLOAD = ENTRY + 80 };
    static const char *const names[] = {"quiet-lz4", "quiet-zstd"};

    for (unsigned i = 0; i < 2; i++) {
        const Image whole = load(names[i]);
        Image image = whole;

        put(&image, PACKED, UINT32_MAX, 4);
        assert_unreadable(look_at_image(&image));
        image = whole;
        put(&image, PACKED, 0, 4);
        assert_unreadable(look_at_image(&image));
        /* Bombs: more than there is, and more than anything may be */
        image = whole;
        put(&image, UNPACKED, IMAGE_UNPACKED_MAX, 8);
        assert_unreadable(look_at_image(&image));
        put(&image, UNPACKED, IMAGE_UNPACKED_MAX + 1, 8);
        assert_unreadable(look_at_image(&image));
        put(&image, UNPACKED, UINT64_MAX, 8);
        assert_unreadable(look_at_image(&image));
        put(&image, UNPACKED, 0, 8);
        assert_unreadable(look_at_image(&image));
        put(&image, UNPACKED, 10, 8);
        assert_unreadable(look_at_image(&image));
        image = whole;
        memset(image.bytes + PAYLOAD, 0xff, 16);
        assert_unreadable(look_at_image(&image));
        /* Of another kind; or not compressed, as it says */
        image = whole;
        put(&image, KIND, 8, 2);
        assert_unreadable(look_at_image(&image));
        image = whole;
        put(&image, FLAGS, 0x11, 8);
        assert_unreadable(look_at_image(&image));
        /* A container that is not sound */
        image = whole;
        put(&image, 8, UINT64_MAX, 8);
        assert_unreadable(look_at_image(&image));
    }
    assert_unreadable(look_at("x", 1));
    assert_unreadable(look_at("\177ELF", 4));
}

/* What is compressed and for other devices is left out. */
TEST(test_capability)
{
    enum { ENTRY = 16, KIND = ENTRY };
    static const struct {
        unsigned kind, capability;
        bool is_read;
    } cases[] = {{1, 75, true}, {1, 90, true},  {1, 70, false}, {2, 75, true},
                 {2, 78, true}, {2, 80, false}, {2, 90, false}, {8, 90, true}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Image image = load("prints-lz4"); /* PTX of 7.5 */
        ImageFacts facts;

        put(&image, KIND, cases[i].kind, 2);
        facts = look_at_for(image.bytes, image.size, cases[i].capability);
        assert_int_equal(facts.may_print, cases[i].is_read);
        assert_int_equal(facts.memory > 0 || !facts.knows_memory, cases[i].is_read);
    }
}

/* ---- Cubins ------------------------------------------------------------------------------------
 */

static void change_section(Image *image, unsigned index, size_t member, uint64_t value)
{
    Elf64_Ehdr elf;

    memcpy(&elf, image->bytes, sizeof(elf));
    put(image, elf.e_shoff + index * sizeof(Elf64_Shdr) + member, value, 8);
}

TEST(test_cubins)
{
    enum { GLOBAL = 22, SHARED = 23 }; /* sections of shared-cubin */
    Image image = load("shared-cubin");

    change_section(&image, GLOBAL, offsetof(Elf64_Shdr, sh_size), UINT64_C(1) << 40);
    assert_true(look_at_image(&image).memory >= UINT64_C(1) << 40);
    change_section(&image, GLOBAL, offsetof(Elf64_Shdr, sh_size), UINT64_MAX - 5);
    assert_true(look_at_image(&image).memory >= UINT64_MAX - 5);
    /* No block has a gibibyte of shared memory. */
    image = load("shared-cubin");
    change_section(&image, SHARED, offsetof(Elf64_Shdr, sh_size), UINT64_C(1) << 30);
    assert_true(look_at_image(&image).memory >= UINT64_C(1) << 30);
}

/* ---- Text --------------------------------------------------------------------------------------
 */

static void assert_takes(const char *text, uint64_t bytes)
{
    const ImageFacts facts = look_at_text(text);

    /* With the text's own length, and the gaps between variables */
    if (!facts.knows_memory || facts.memory < bytes || facts.memory > bytes + 4000)
        fail_msg("%s: knows %d, %lu bytes", text, facts.knows_memory, facts.memory);
}

TEST(test_text)
{
    assert_takes("", 0);
    assert_takes(".global .b8 x[1048576];", MIB);
    assert_takes(".visible .global .align 16 .v4 .f32 x[1024][64];", MIB);
    assert_takes(".global .align 4 .u32 x[3] = {1, 2, 3}, y[262144];", MIB);
    assert_takes(".global .b64 x = generic(y), z[131072];", MIB);
    assert_takes(".weak/* */.global\n.attribute(.managed)\t.s8 x [ 1048576 ] ;", MIB);
    assert_takes(".visible.global.b8 x[1048576];", MIB);
    assert_takes(".common .global .align 1048576 .b8 x;", MIB);
    assert_takes(".extern .global .b8 x[1048576]; .global .b8 y;", 0);
    assert_takes("// .global .b8 x[1048576];\n/* .global .b8 x[1048576]; */", 0);
    assert_takes(".file 1 \".global .b8 x[1048576];\"", 0);
    assert_takes(".entry k(.param .u64 .ptr .global .align 4 p, .param .u32 .ptr .global q)\n"
                 "{ ld.global.u32 %r, [p]; st.global.v4.u32 [p], {a,b,c,d}; cvta.to.global.u64 a, "
                 "b; cp.async.bulk.shared::cluster.global.x [a], [b]; atom.global.add.u32 a, [b], "
                 "1; ret; }",
                 0);
    /* No instruction that is known: it counts as two variables. */
    assert_takes(".func f() { foo.global.u32 a, b; }", 8);
    assert_takes(".func f() { .global .b8 x[1048576]; ret; }", MIB);
}

/* Sizes that nobody here can tell */
TEST(test_text_unknown)
{
    static const char *const texts[] = {
        ".global .b8 x[1024*1024];",
        ".global .b8 x[0x100000];",
        ".global .b8 x[04000000];",
        ".global .b8 x[1048576U];",
        ".global .b8 x[] = {1, 2};",
        ".global .b8 x[9223372036854775807][16];",
        ".global .b8 x[99999999999999999999];",
        ".global .b64 x[999999999999999999][999999999];",
        ".global .texref x;",
        ".global .b8 x",
        ".global .align 4*4 .b8 x;",
        ".global",
        "#define N 1048576\n.global .b8 x[1];",
        ".file 1 \"a\\\"\" .global .b8 x[1];",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (look_at_text(texts[i]).knows_memory)
            fail_msg("%s: known", texts[i]);
    assert_true(look_at_text(".extern .func vprintf;").may_print);
    assert_false(look_at_text(".extern .func print;").may_print);
    /* Behind a 0 is no text. */
    assert_false(look_at(".version 6.3\n\0vprintf", 22).may_print);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images),     cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_capability), cmocka_unit_test(test_cubins),
        cmocka_unit_test(test_text),       cmocka_unit_test(test_text_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
